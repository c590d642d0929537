import json
import multiprocessing
import subprocess
from pathlib import Path

import pytest
import yaml

from eef_framework.errors import ConfigError, CorruptFile, EefWarning, RunConflict, StorageError
from eef_framework.records import Cost
from eef_framework.runs import RunDirectory, RunLayout, StageKey, new_folder, write_text
from eef_framework.runs.settings_files import Leeway, Recorded, differences, read_settings_file

CONFIG = {"seed": 1, "explore": {"simulations": 2}, "limits": {"concurrency": 8}}


def test_a_run_is_taken_up_with_the_same_configuration(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare(CONFIG, {})
    before = (tmp_path / "run" / "run.json").read_bytes()
    directory.prepare(CONFIG, {})
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_another_configuration_is_refused_and_the_changed_keys_are_listed(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare(CONFIG, {})
    with pytest.raises(RunConflict) as caught:
        directory.prepare({**CONFIG, "explore": {"simulations": 3}}, {})
    assert caught.value.code == "other-configuration"
    assert caught.value.details["changes"] == ["explore.simulations: 2 -> 3"]


def test_settings_that_change_no_result_may_change(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare(CONFIG, {})
    changed = {**CONFIG, "limits": {"concurrency": 99}}
    directory.prepare(changed, {})
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text()) == changed


def baseline(**settings: object) -> dict[str, Recorded]:
    return {"rft": Recorded({"iterations": 2, "explore": {"simulations": 1}} | settings)}


@pytest.mark.parametrize("start", ["check", "prepare"])
def test_a_baseline_that_has_begun_keeps_its_settings(tmp_path: Path, start: str) -> None:
    directory = RunDirectory(tmp_path)
    directory.prepare(CONFIG, {}, baselines=baseline())
    directory.prepare(CONFIG, {}, baselines=baseline(explore={"simulations": 2}))  # nothing was done with the former
    directory.layout.stage(StageKey("explore", "rft", 1)).path.mkdir(parents=True)
    directory.prepare(CONFIG, {}, baselines=baseline(explore={"simulations": 2}))
    with pytest.raises(RunConflict) as caught:
        getattr(directory, start)(CONFIG, {}, baselines=baseline(explore={"simulations": 3}))
    assert (caught.value.code, caught.value.details["method"]) == ("other-baseline", "rft")
    assert caught.value.details["changes"] == ["explore.simulations: 2 -> 3"]
    directory.prepare(CONFIG, {}, baselines=baseline(explore={"simulations": 2}, iterations=3))


def test_a_baseline_that_was_removed_is_still_recorded(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.prepare(CONFIG, {}, baselines=baseline())
    directory.layout.stage(StageKey("explore", "rft", 1)).path.mkdir(parents=True)
    directory.prepare(CONFIG, {})
    directory.prepare(CONFIG, {}, baselines={"other": Recorded({"iterations": 1})})
    assert read_settings_file(directory.layout.baselines).keys() == {"rft", "other"}
    with pytest.raises(RunConflict):
        directory.check(CONFIG, {}, baselines=baseline(iterations=1))


def test_a_file_that_a_user_named_like_the_record_of_baselines_is_kept(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.prepare(CONFIG, {})
    directory.layout.baselines.write_text("mine: 1\n")
    directory.prepare(CONFIG, {})
    with pytest.raises(RunConflict) as caught:
        directory.prepare(CONFIG, {}, baselines=baseline())
    assert caught.value.code == "foreign-file"
    assert directory.layout.baselines.read_text() == "mine: 1\n"


def test_baselines_of_a_run_of_an_earlier_version_are_taken_as_they_are(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.prepare(CONFIG, {})
    directory.layout.stage(StageKey("explore", "rft", 1)).path.mkdir(parents=True)
    directory.prepare(CONFIG, {}, baselines=baseline())
    assert read_settings_file(directory.layout.baselines) == {"rft": baseline()["rft"].settings}


def test_other_code_than_at_the_start_is_a_warning_at_each_further_start(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    first = {"my_ideas": "source 0123", "eef-webshop": "0.1.0", "same": "source 1"}
    assert directory.prepare(CONFIG, first) == []
    changed = {"my_ideas": "source 4567", "eef-webshop": "0.2.0", "same": "source 1", "new": "source 2"}
    for start in (directory.prepare, directory.check, directory.prepare):
        with pytest.warns(EefWarning) as caught:
            (note,) = start(CONFIG, changed)
        (warning,) = [each.message for each in caught]
        assert (str(warning), warning.code) == (note, "other-code")
        assert warning.details["changed"] == {
            "eef-webshop": ("0.1.0", "0.2.0"),
            "my_ideas": ("source 0123", "source 4567"),
        }


def test_other_code_stays_a_note_when_it_is_undone_and_is_noted_once(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare(CONFIG, {"my_ideas": "source 0", "shop": "0.1.0"})
    edited = {"my_ideas": "source 1", "shop": "0.1.0"}
    with pytest.warns(EefWarning):
        directory.check(CONFIG, edited)
    assert directory.prepare(CONFIG, {"my_ideas": "source 0", "shop": "0.1.0"}) == []  # nothing was done with it
    for _ in range(2):
        with pytest.warns(EefWarning):
            assert len(directory.prepare(CONFIG, edited)) == 1
    before = directory.layout.manifest.read_bytes()
    for _ in range(2):  # without a warning
        (note,) = directory.prepare(CONFIG, {"my_ideas": "source 0", "shop": "0.1.0"})
        assert "my_ideas" in note
        assert "shop" not in note
    assert directory.layout.manifest.read_bytes() == before
    with pytest.warns(EefWarning) as caught:
        kept, new = directory.prepare(CONFIG, {"my_ideas": "source 0", "shop": "0.2.0"})
    assert ("my_ideas" in kept, "shop" in kept, "shop" in new) == (True, False, True)
    assert [each.message.details["changed"] for each in caught] == [{"shop": ("0.1.0", "0.2.0")}]
    (note,) = directory.prepare(CONFIG, {"my_ideas": "source 0", "shop": "0.1.0"})
    assert ("my_ideas" in note, "0.2.0" in note) == (True, True)


def test_differences_name_added_and_removed_keys() -> None:
    assert list(differences({"a": {"b": 1}}, {"a": {"c": 2}})) == ["a.b: 1 -> None", "a.c: None -> 2"]


@pytest.mark.parametrize(
    ("name", "content"),
    [("thesis.tex", ""), ("config.yaml", "mine: true\n"), ("run.json", '{"mine": true}'), (".env", "KEY=1")],
)
def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError) as caught:
        RunDirectory(tmp_path).prepare(CONFIG, {})
    assert (caught.value.code, caught.value.details["found"]) == ("not-a-run", [name])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_manifest_says_which_file(tmp_path: Path, content: str) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare(CONFIG, {})
    (tmp_path / "run" / "run.json").write_text(content)
    with pytest.raises(CorruptFile) as caught:
        directory.prepare(CONFIG, {})
    assert caught.value.code == "corrupt-run"


def test_a_start_that_was_interrupted_is_taken_up(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare(CONFIG, {})
    (tmp_path / "run" / "run.json").unlink()
    directory.prepare(CONFIG, {})
    assert (tmp_path / "run" / "run.json").exists()


def test_a_path_through_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        RunDirectory(tmp_path / "file" / "run").prepare(CONFIG, {})
    assert caught.value.code == "not-a-folder"


def _hold(path: Path, ready: "multiprocessing.synchronize.Event", end: "multiprocessing.synchronize.Event") -> None:
    with RunDirectory(path).locked():
        ready.set()
        end.wait(20)


def test_two_processes_never_write_to_one_run(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, ready, end))
    other.start()
    try:
        assert ready.wait(20)
        with pytest.raises(RunConflict) as caught, RunDirectory(tmp_path).locked():
            pass
        assert caught.value.code == "in-use"
    finally:
        end.set()
        other.join()
    with RunDirectory(tmp_path).locked():
        pass


def test_a_stage_is_complete_only_with_its_manifest(tmp_path: Path) -> None:
    stage = RunLayout(tmp_path).stage(StageKey("explore", "eef", 1))
    write_text(stage.path / "simulations.jsonl", "")
    assert not stage.done
    stage.finish(Cost(episodes=3), {"simulations.jsonl": 0})
    assert stage.done
    assert stage.manifest is not None
    assert (stage.manifest.stage, stage.manifest.cost.episodes) == ("methods/eef/1/explore", 3)


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail_halfway() -> None:
        with new_folder(tmp_path / "new") as folder:
            (folder / "half").write_text("")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert list(tmp_path.iterdir()) == []
    with new_folder(tmp_path / "new") as folder:
        (folder / "whole").write_text("")
    assert (tmp_path / "new" / "whole").exists()


def test_the_manifest_tells_the_state_of_the_users_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    monkeypatch.chdir(mine)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    RunDirectory(tmp_path / "outside").prepare({}, {})
    assert json.loads((tmp_path / "outside/run.json").read_text())["git"] is None
    who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    for arguments in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", "mine")):
        subprocess.run(["git", *arguments], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    (mine / "new.py").write_text("")
    RunDirectory(tmp_path / "inside").prepare({}, {})
    assert json.loads((tmp_path / "inside/run.json").read_text())["git"] == {"commit": commit, "dirty": True}


def test_a_setting_recorded_under_its_old_name_is_not_a_difference(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    directory.prepare({"policy": {"name": "x", "cache_mb": 1}}, {})
    renamed = {"policy.cache_mb": "policy.kv_cache_mb"}
    directory.prepare({"policy": {"name": "x", "kv_cache_mb": 1}}, {}, leeway=Leeway(renamed))
    with pytest.raises(RunConflict) as caught:
        directory.prepare({"policy": {"name": "x", "kv_cache_mb": 2}}, {}, leeway=Leeway(renamed))
    assert caught.value.details["changes"] == ["policy.kv_cache_mb: 1 -> 2"]


def test_a_setting_that_is_newer_than_the_record_may_have_its_default() -> None:
    leeway = Leeway(defaults={"format.reasoning": "keep", "format.history": None})
    old, new = {"format": {"style": "react"}}, {"format": {"style": "react", "reasoning": "keep", "history": None}}
    assert list(differences(old, new, leeway)) == []
    new["format"]["reasoning"] = "drop"
    assert list(differences(old, new, leeway)) == ["format.reasoning: 'keep' -> 'drop'"]
    old["format"]["reasoning"] = "train"
    assert list(differences(old, new, leeway)) == ["format.reasoning: 'train' -> 'drop'"]


def test_settings_that_cannot_be_parsed_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for text, line in ((b"a: 1\nb: [\n", 3), (b"\xff\xfea", None), (b"- a\n", None)):
        path.write_bytes(text)
        with pytest.raises(CorruptFile) as caught:
            read_settings_file(path)
        assert (caught.value.code, caught.value.details) == ("corrupt-settings", {"path": str(path), "line": line})
