"""A run in Python: records, data frames, and what a notebook shows."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eef_framework.errors import CorruptFile, EefError, StorageError, UnknownName
from eef_framework.evaluation.run_results import RunResults, load_run
from eef_framework.pipeline import run
from eef_framework.plugins import load_plugins
from eef_framework.testing.small_run import small_settings

SETTINGS = small_settings(
    expert={"name": "corridor-expert", "skill": 0.5}, attributor={"name": "interval", "probes": 2}
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    registry = load_plugins(["eef_framework.testing.plugin", "attribution"], {})
    return run(SETTINGS, registry, tmp_path_factory.mktemp("runs") / "small")


def test_a_run_is_read_as_it_was_returned(done: RunResults) -> None:
    again = load_run(str(done.path))
    assert again.metrics == done.metrics
    assert again.finished
    assert again.config["iterations"] == 1
    assert again.report.exists()


def test_trajectories_and_attributions_are_records(done: RunResults) -> None:
    assert len(done.trajectories("collect")) == 8
    assert len(done.trajectories("evaluate")) == 3 * 6  # expert, clone, eef 1
    assert len(done.trajectories("evaluate", method="eef", iteration=1)) == 6
    assert len(done.trajectories()) == 8 + 18 + len(done.trajectories("explore"))
    assert {verdict.trajectory for verdict in done.attributions()} == {row.id for row in done.trajectories("collect")}
    assert done.attributions(method="") == []  # shared by all methods
    assert len(done.attributions(method="eef", iteration=1)) == 8


def test_a_misspelt_phase_a_method_and_an_iteration_that_do_not_exist_are_refused(done: RunResults) -> None:
    calls: list[tuple[Callable[[], object], str, tuple[str, ...]]] = [
        (lambda: done.trajectories("collekt"), "collekt", ("collect", "explore", "evaluate")),  # type: ignore[arg-type]
        (lambda: done.attributions("nope", 1), "nope", ("eef",)),
        (lambda: done.attributions("eef", 5), "5", ("1",)),
        (lambda: done.trajectories("explore", iteration=5), "5", ("0", "1")),
        (lambda: done.spending("efe"), "efe", ("eef",)),
        (lambda: done.trajectories_frame("explore", "eef", 2), "2", ("1",)),
        (lambda: done.attributions_frame("rft"), "rft", ("eef",)),
    ]
    for call, given, known in calls:
        with pytest.raises(UnknownName) as refused:
            call()
        assert (refused.value.details["given"], refused.value.details["known"]) == (given, known)


def test_data_frames_have_a_row_for_each_record(done: RunResults) -> None:
    results, played, verdicts = done.results_frame(), done.trajectories_frame(), done.attributions_frame()
    assert list(results["label"]) == ["expert", "sft", "eef 1"]
    assert list(results["success"]) == [row.evaluation.success.mean for row in done.rows]
    assert len(played) == len(done.trajectories())
    held_out = played[(played.phase == "evaluate") & (played.method == "eef")]
    assert held_out.success.mean() == results["success"].iloc[-1]
    assert len(verdicts) == sum(len(each.segments) for each in done.attributions())
    assert set(verdicts.verdict) <= {"beneficial", "harmful", "neutral", "unknown"}


def test_a_notebook_shows_the_table(done: RunResults) -> None:
    shown = done._repr_html_()
    assert shown.count("<tr>") == 1 + len(done.rows)
    assert all(f"<td>{row.label}</td>" in shown for row in done.rows)
    assert "eef 1" in repr(done)


def test_an_unfinished_run_can_be_looked_at(done: RunResults, tmp_path: Path) -> None:
    (tmp_path / "collect").mkdir()
    for name in ("run.json", "config.yaml", "collect/trajectories.jsonl"):
        (tmp_path / name).write_bytes((done.path / name).read_bytes())
    part = load_run(tmp_path)
    assert (part.finished, part.rows, len(part.trajectories())) == (False, (), 8)
    assert part._repr_html_()
    assert len(part.trajectories_frame()) == 8


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as refused:
        load_run(tmp_path)
    assert refused.value.code == "not-a-run"


def test_broken_numbers_are_told(done: RunResults, tmp_path: Path) -> None:
    for name in ("run.json", "config.yaml"):
        (tmp_path / name).write_bytes((done.path / name).read_bytes())
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(CorruptFile) as refused:
        load_run(tmp_path)
    assert refused.value.details["path"] == str(tmp_path / "metrics.json")


def test_without_pandas_data_frames_are_refused(done: RunResults, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(EefError) as refused:
        done.results_frame()
    assert refused.value.code == "pandas-missing"
