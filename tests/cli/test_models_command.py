def test_the_list_says_what_is_not_here_and_how_to_get_it(command, monkeypatch, tmp_path):
    monkeypatch.setenv("EEF_HOME", str(tmp_path))
    done = command("eef", "models", "list")
    assert done.code == 0, done.err
    assert "smollm2-135m: SmolLM2-135M-Instruct" in done.out
    assert "eef models get smollm2-135m\n" in done.out


def test_the_list_gives_the_folder_of_what_is_here_in_one_piece(command, monkeypatch, tmp_path):
    folder = tmp_path / ("a" * 90) / "models" / "smollm2-135m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    monkeypatch.setenv("EEF_HOME", str(folder.parents[1]))
    assert f"  {folder}\n" in command("eef", "models", "list").out


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
    assert (done.code, done.error.code) == (2, "unknown-name")
    assert "'smollm2-135m'" in done.error.message
    assert "policy.model" in done.error.fix
