"""Where the files of a run are."""

from pathlib import Path

import pytest

from eef_framework.runs import RunLayout, StageKey

KEYS = {
    "collect": StageKey("collect"),
    "base": StageKey("base"),
    "clone": StageKey("clone"),
    "evaluate/expert": StageKey("evaluate", expert=True),
    "evaluate/clone": StageKey("evaluate"),
    "methods/sft-all/clone": StageKey("clone", "sft-all"),
    "methods/sft-all/evaluate": StageKey("evaluate", "sft-all"),
    "methods/eef/1/explore": StageKey("explore", "eef", 1),
    "methods/eef/12/tune": StageKey("tune", "eef", 12),
}


@pytest.mark.parametrize("path", KEYS)
def test_a_stage_and_its_folder_belong_together(path: str) -> None:
    assert KEYS[path].path == path
    assert StageKey.of_path(path) == KEYS[path]


@pytest.mark.parametrize("path", ["", "notes", "evaluate/eef", "methods/eef", "methods/eef/x/tune", "methods/eef/1/y"])
def test_other_folders_are_no_stages(path: str) -> None:
    assert StageKey.of_path(path) is None


def test_the_stages_that_are_there_come_in_the_order_of_a_run(tmp_path: Path) -> None:
    for path in ("methods/b/2/tune", "methods/b/1/explore", "methods/a/clone", "clone", "collect", "methods/b/logs"):
        (tmp_path / path).mkdir(parents=True)
    layout = RunLayout(tmp_path)
    found = [key.path for key in layout.stages()]
    assert found == ["collect", "clone", "methods/a/clone", "methods/b/1/explore", "methods/b/2/tune"]
    assert layout.methods() == ["a", "b"]
    assert layout.iterations("b") == [1, 2]
    assert RunLayout(tmp_path / "absent").stages() == []
