"""Figures of a run reach its trackers, and trackers never stop it."""

import importlib
import json
import shutil
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import PrivateAttr

from eef_framework.config.loading import load_config
from eef_framework.errors import EefWarning, StorageError, TrainerFailure, UnknownName
from eef_framework.interfaces import TrackedRun, Tracker
from eef_framework.pipeline import run, tracking
from eef_framework.pipeline.tracking import TrainingLog
from eef_framework.plugins import Registry, load_plugins
from eef_framework.runs import RunLayout
from eef_framework.testing.conformance import check_tracker, tracker_violations
from eef_framework.testing.lookup import LookupTrainer
from eef_framework.testing.small_run import small_config
from eef_framework.tracking import FileTracker, TensorBoardTracker


class Notes(Tracker):
    """Remembers what it is sent; raises or waits if it is told to."""

    name: ClassVar[str] = "notes"

    fails_at: str = ""
    """Name of a figure at which it raises."""

    _runs: list[TrackedRun] = PrivateAttr(default_factory=list)
    _figures: list[tuple[str, int, float]] = PrivateAttr(default_factory=list)
    _files: list[str] = PrivateAttr(default_factory=list)
    _threads: set[int] = PrivateAttr(default_factory=set)
    _finished: int = PrivateAttr(default=0)

    def start(self, run):
        """Note it."""
        self._threads.add(threading.get_ident())
        self._runs.append(run)

    def log(self, figures, step):
        """Note them."""
        self._threads.add(threading.get_ident())
        for name, value in figures.items():
            if name == self.fails_at:
                raise RuntimeError("no connection")
            self._figures.append((name, step, value))

    def add_file(self, path):
        """Note its name."""
        self._files.append(path.name)

    def finish(self):
        """Note it."""
        self._finished += 1


def figures_of(folder: Path) -> dict[tuple[str, int], float]:
    rows = [json.loads(line) for line in RunLayout(folder).figures.read_text().splitlines()]
    assert len({(row["figure"], row["step"]) for row in rows}) == len(rows)
    return {(row["figure"], row["step"]): row["value"] for row in rows}


def test_a_run_leaves_its_figures_in_a_file(tmp_path):
    done = run(small_config(), Registry(), tmp_path)
    figures = figures_of(tmp_path)
    rows = {row.label: row for row in done.rows}
    assert figures["eef/evaluate/success", 1] == rows["eef 1"].evaluation.success.mean
    assert figures["eef/evaluate/reward", 1] == pytest.approx(rows["eef 1"].evaluation.reward.mean)
    assert figures["evaluate/expert/success", 0] == rows["expert"].evaluation.success.mean
    assert figures["eef/explore/cost/simulations", 1] == done.metrics.stages["methods/eef/1/explore"].simulations
    log = [json.loads(line) for line in RunLayout(tmp_path).training_log("eef", 1).read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in log] == [
        (step, value) for (name, step), value in figures.items() if name == "eef/tune/1/loss"
    ]
    assert any(name == "clone/loss" for name, _ in figures)


def test_several_trackers_get_the_same_figures_each_in_one_thread(tmp_path):
    one, other = Notes(), Notes(fails_at="never")
    run(small_config(trackers=[one, other, FileTracker()]), Registry(), tmp_path / "group" / "name")
    assert one._figures == other._figures
    assert {(name, step): value for name, step, value in one._figures} == figures_of(tmp_path / "group" / "name")
    assert (one._finished, one._files) == (1, ["report.html", "metrics.json"])
    assert len(one._threads) == 1
    assert one._threads != {threading.get_ident()}
    (tracked,) = one._runs
    assert (tracked.name, tracked.group) == ("name", "group")
    assert tracked.config["iterations"] == 1


def test_no_tracker_is_a_choice(tmp_path):
    run(small_config(trackers=[]), Registry(), tmp_path)
    assert not RunLayout(tmp_path).figures.exists()


def test_a_run_that_is_repeated_sends_nothing_twice_and_has_the_same_id(tmp_path):
    notes = Notes()
    run(small_config(trackers=[notes]), Registry(), tmp_path / "a")
    before = list(notes._figures)
    shutil.move(tmp_path / "a", tmp_path / "b")
    run(small_config(trackers=[notes]), Registry(), tmp_path / "b")
    assert notes._figures == before
    assert len({each.id for each in notes._runs}) == 1
    assert [each.name for each in notes._runs] == ["a", "b"]


def test_a_tracker_that_is_added_later_gets_everything(tmp_path):
    first, second = Notes(), Notes(fails_at="never")
    run(small_config(trackers=[first]), Registry(), tmp_path)
    run(small_config(trackers=[first, second]), Registry(), tmp_path)
    assert set(second._figures) == set(first._figures)


def test_a_tracker_that_fails_is_warned_of_and_gets_the_rest_later(tmp_path, monkeypatch):
    failing, other = Notes(fails_at="eef/explore/success"), Notes(fails_at="never")
    with pytest.warns(EefWarning) as said:
        done = run(small_config(trackers=[failing, other]), Registry(), tmp_path)
    assert [each.message.code for each in said if isinstance(each.message, EefWarning)] == ["tracker-failed"]
    details = said.pop(EefWarning).message.details
    assert details["tracker"] == "notes"
    assert __file__ in details["where"]
    assert done.rows
    assert other._finished == 1
    assert failing._finished == 0
    assert ("collect/success", 0) in {(name, step) for name, step, _ in failing._figures}
    sent = list(failing._figures)
    monkeypatch.setattr(
        Notes,
        "log",
        lambda self, figures, step: self._figures.extend((name, step, value) for name, value in figures.items()),
    )
    run(small_config(trackers=[failing, other]), Registry(), tmp_path)
    assert set(failing._figures) == set(other._figures)
    missing = failing._figures[len(sent) :]
    assert not any(name.startswith("collect/") for name, _, _ in missing)


def test_a_tracker_that_hangs_does_not_hang_the_run(tmp_path, monkeypatch):
    waiting = threading.Event()

    class Hanging(Notes):
        def log(self, figures, step):
            waiting.wait()

    monkeypatch.setattr(tracking, "PATIENCE_S", 0.05)
    with pytest.warns(EefWarning) as said:
        run(small_config(trackers=[Hanging(), FileTracker()]), Registry(), tmp_path)
    waiting.set()
    assert [each.message.code for each in said if isinstance(each.message, EefWarning)] == ["tracker-unfinished"]
    assert said.pop(EefWarning).message.details["calls"] > 1
    assert figures_of(tmp_path)["evaluate/expert/success", 0] >= 0


def test_rows_of_a_training_are_read_while_it_writes_them(tmp_path):
    path = tmp_path / "training.jsonl"
    log = TrainingLog(path)
    assert list(log.new()) == []
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert list(log.new()) == [(1, {"loss": 2.0})]
    assert list(log.new()) == []
    with path.open("a") as file:
        file.write('ss": 1.5, "note": "x"}\nno json\n[1]\n')
    assert list(log.new()) == [(2, {"loss": 1.5, "note": "x"})]
    path.write_text('{"step": 1, "loss": 9.0}\n')  # the training began anew
    assert list(log.new()) == [(1, {"loss": 9.0})]


def test_losses_are_sent_while_a_training_runs(tmp_path, monkeypatch):
    class Slow(LookupTrainer):
        """Writes its log as it goes, and looks at what the tracker has got."""

        name: ClassVar[str] = "slow"

        def train(self, examples, start, output, seed, progress):
            """Train, and wait for the figure of the first row."""
            output.mkdir(parents=True, exist_ok=True)
            (output / "training.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
            progress(1, 2, "")
            notes._arrived.wait(10)
            seen.append(notes._figures[-1])
            return super().train(examples, start, output, seed, progress)

    class Alert(Notes):
        _arrived: threading.Event = PrivateAttr(default_factory=threading.Event)

        def log(self, figures, step):
            super().log(figures, step)
            if any(name.endswith("/loss") for name in figures):
                self._arrived.set()

    seen: list[Any] = []
    notes = Alert()
    monkeypatch.setattr(tracking, "EVERY_S", 0.0)
    run(small_config(iterations=0, clone={"trainer": Slow()}, trackers=[notes]), Registry(), tmp_path)
    assert seen == [("clone/loss", 1, 0.5)]


def test_a_torn_line_of_the_file_is_removed_and_written_again(tmp_path):
    run(small_config(iterations=0), Registry(), tmp_path)
    layout = RunLayout(tmp_path)
    before = figures_of(tmp_path)
    layout.figures.write_bytes(layout.figures.read_bytes()[:-9])
    layout.tracked.unlink()  # as if the process was killed before it was noted
    run(small_config(iterations=0), Registry(), tmp_path)
    assert figures_of(tmp_path) == before


@pytest.mark.slow
def test_tensorboard_holds_the_curves_of_a_run(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(small_config(trackers=[TensorBoardTracker(), FileTracker()]), Registry(), tmp_path)
    events = EventAccumulator(str(RunLayout(tmp_path).tensorboard))
    events.Reload()
    shown = {(name, event.step): event.value for name in events.Tags()["scalars"] for event in events.Scalars(name)}
    assert shown == pytest.approx(figures_of(tmp_path))
    assert "configuration/text_summary" in events.Tags()["tensors"]


def test_an_unknown_tracker_is_named_with_the_nearest():
    registry = load_plugins(["eef_framework.testing.plugin"], {})
    with pytest.raises(UnknownName) as caught:
        load_config({"environment": "corridor", "trackers": ["tensorbord"]}, registry=registry)
    assert "tensorboard" in caught.value.details["known"]


def test_the_cores_trackers_keep_their_contract(tmp_path):
    check_tracker(FileTracker())


def violations(**methods: Any) -> list[str]:
    return [each.code for each in tracker_violations(type("Made", (Notes,), methods)())]


def test_the_check_finds_a_tracker_that_is_choosy():
    def log(self, figures, step):
        assert all(name.isascii() for name in figures)

    assert violations(log=log) == ["any-figures-are-taken"]


def test_the_check_finds_a_tracker_that_takes_a_file_away():
    def add_file(self, path):
        path.unlink(missing_ok=True)

    assert violations(add_file=add_file) == ["files-are-taken"]


def test_the_check_finds_a_tracker_that_cannot_continue_a_run():
    def start(self, run):
        (run.folder / "made").mkdir()

    assert violations(start=start) == ["a-run-is-continued"]


def test_the_check_finds_a_tracker_that_hangs(monkeypatch):
    waiting = threading.Event()

    def log(self, figures, step):
        waiting.wait()

    monkeypatch.setattr("eef_framework.testing.conformance.tracker.TIME_LIMIT_S", 0.2)
    assert violations(log=log) == ["any-figures-are-taken"]  # and no further check waits for it
    waiting.set()


def test_the_check_finds_a_tracker_that_keeps_a_process_from_ending(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "endless.py").write_text(
        "import threading, time\n"
        "from eef_framework import Tracker\n"
        "class Endless(Tracker):\n"
        "    def start(self, run):\n"
        "        threading.Thread(target=time.sleep, args=(30,)).start()\n"
        "    def log(self, figures, step):\n"
        "        pass\n"
        "    def finish(self):\n"
        "        pass\n"
    )
    monkeypatch.setattr("eef_framework.testing.conformance.tracker.TIME_LIMIT_S", 10.0)
    endless = importlib.import_module("endless").Endless()
    assert [each.code for each in tracker_violations(endless)] == ["a-process-can-end"]


def test_a_tracker_whose_figures_are_stored_at_its_end_gets_those_of_a_killed_run_again(tmp_path, monkeypatch):
    class Late(Notes):
        stores_at_finish: ClassVar[bool] = True

    class Killed(BaseException):
        """Ends the process, as it were."""

    def killed(self, *arguments):
        raise Killed

    late, now = Late(), Notes(fails_at="never")
    with monkeypatch.context() as patch:
        patch.setattr(tracking.Tracking, "__exit__", killed)
        patch.setattr(tracking.Tracking, "finish", killed)
        with pytest.raises(Killed):
            run(small_config(iterations=0, trackers=[late, now]), Registry(), tmp_path)
    before = list(now._figures)
    run(small_config(iterations=0, trackers=[late, now]), Registry(), tmp_path)
    assert late._figures == before * 2
    assert now._figures[: len(before)] == before
    sent = len(late._figures)
    run(small_config(iterations=0, trackers=[late, now]), Registry(), tmp_path)
    assert len(late._figures) == sent


@pytest.mark.parametrize("size", [2, 3, 10, 64])
def test_the_check_finds_a_tracker_that_loses_what_it_buffers(size):
    rows, file = [], []

    def start(self, run):
        rows.clear()
        file[:] = [run.folder / "rows.txt"]

    def log(self, figures, step):
        rows.extend(f"{name} {step} {value}\n" for name, value in figures.items())
        if len(rows) >= size:
            with file[0].open("a") as out:
                out.writelines(rows)
            rows.clear()

    assert violations(start=start, log=log) == ["the-last-figures-are-kept"]


def test_a_run_that_fails_ends_its_trackers_with_what_was_done(tmp_path):
    class Broken(LookupTrainer):
        """Fails."""

        name: ClassVar[str] = "broken"

        def train(self, examples, start, output, seed, progress):
            """Fail."""
            raise RuntimeError("no memory")

    notes = Notes()
    threads = threading.active_count()
    with pytest.raises(TrainerFailure):
        run(small_config(clone={"trainer": Broken()}, trackers=[notes]), Registry(), tmp_path)
    assert notes._finished == 1
    assert "collect/success" in {name for name, _, _ in notes._figures}
    assert notes._files == []
    sent = json.loads(RunLayout(tmp_path).tracked.read_text())
    assert [stage for stages in sent.values() for stage in stages] == ["base", "collect", "evaluate/expert"]
    assert threading.active_count() <= threads + 1  # the ended thread may still be returning


def test_a_disk_that_refuses_the_record_of_what_was_sent_does_not_stop_the_run(tmp_path, monkeypatch):
    def refuse(path, data):
        raise StorageError("disk full", code="disk-full")

    monkeypatch.setattr(tracking, "write_json", refuse)
    with pytest.warns(EefWarning) as said:
        done = run(small_config(iterations=0), Registry(), tmp_path)
    assert {each.message.code for each in said if isinstance(each.message, EefWarning)} == {"tracking-not-recorded"}
    assert done.rows
