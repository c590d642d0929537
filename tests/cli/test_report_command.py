import pytest


def test_a_run_gets_its_page_anew(command, folder):
    assert command("eef-run", "own.yaml").code == 0
    page = folder / "runs/own/report.html"
    page.unlink(missing_ok=True)
    done = command("eef", "report", "runs/own")
    assert done.out == "report: runs/own/report.html\n"
    assert "</html>" in page.read_text()


@pytest.mark.filterwarnings("always::eef_framework.errors.EefWarning")
def test_what_a_run_lost_is_told_in_the_terminal_as_well(command, folder):
    assert command("eef-run", "own.yaml").code == 0
    (folder / "runs/own/methods/eef/1/evaluate/trajectories.jsonl").unlink()
    done = command("eef", "report", "runs/own")
    assert (done.code, done.out) == (0, "report: runs/own/report.html\n")
    assert "methods/eef/1/evaluate/trajectories.jsonl" in done.err


def test_a_folder_that_is_not_a_run_is_refused_and_nothing_is_written_there(command, folder):
    (folder / "own").mkdir()
    (folder / "own" / "run.json").write_text('{"mine": true}')
    for name in ("nowhere", "own", "own.yaml"):
        done = command("eef", "report", name)
        assert done.code == 1
        assert done.error.code == "not-a-run"
        assert not done.out
    assert [path.name for path in (folder / "own").iterdir()] == ["run.json"]
