def test_the_list_says_what_is_here(command, monkeypatch, tmp_path):
    monkeypatch.setenv("EEF_HOME", str(tmp_path))
    done = command("eef", "models", "list")
    assert done.code == 0, done.err
    (row,) = [line.split() for line in done.out.splitlines() if line.startswith("smollm2-135m")]
    assert row[1] == "no"


def test_a_model_that_is_here_is_not_fetched_again(command, monkeypatch, tmp_path):
    monkeypatch.setenv("EEF_HOME", str(tmp_path))
    folder = tmp_path / "models" / "smollm2-135m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    done = command("eef", "models", "get", "smollm2-135m")
    assert done.code == 0, done.err
    assert str(folder) in done.out.replace("\n", "")


def test_an_unknown_model_gets_a_suggestion(command):
    done = command("eef", "models", "get", "smolm2-135m")
    assert done.code != 0
    assert "did you mean 'smollm2-135m'?" in done.err
    assert "hub" in done.err
