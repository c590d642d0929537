"""Runs are compared: seeds pooled, rows paired, and what isn't comparable refused."""

import csv
import io
import math
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import yaml

from eef_framework.comparison import Comparison, compare_runs
from eef_framework.comparison.figure import check_figure, draw
from eef_framework.comparison.tables import FORMATS, render
from eef_framework.errors import EefError, EefWarning, StorageError, UnknownName
from eef_framework.evaluation.run_results import load_run
from eef_framework.pipeline import run
from eef_framework.plugins import load_plugins
from eef_framework.testing.small_run import small_settings

SETTINGS = small_settings(
    expert={"name": "corridor-expert", "skill": 0.8},
    attributor={"name": "interval", "probes": 2},
    baselines=["rft"],
)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs of three seeds."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    registry = load_plugins(["eef_framework.testing.plugin", "attribution"], {})
    for seed in (1, 2, 10):
        run(SETTINGS | {"seed": seed}, registry, folder / f"seed-{seed}")
    return folder


@pytest.fixture(scope="module")
def pooled(seeds: Path) -> Comparison:
    return compare_runs([seeds])


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs that differ from the former in another setting than the seed, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("runs") / "others"
    registry = load_plugins(["eef_framework.testing.plugin", "attribution"], {})
    changes: dict[str, dict[str, Any]] = {
        "more-probes": {"seed": 1, "attributor": {"name": "interval", "probes": 1}},
        "fewer-tasks": {"seed": 1, "evaluate": {"tasks": {"count": 5}}},
        "other-seed": {"seed": 3, "attributor": {"name": "interval", "probes": 1}},
    }
    for name, change in changes.items():
        run(SETTINGS | change, registry, folder / name)
    return folder


def test_seeds_of_one_configuration_are_pooled(seeds: Path, pooled: Comparison) -> None:
    runs = [load_run(seeds / f"seed-{seed}") for seed in (1, 2, 10)]
    assert [row.label for row in pooled.rows] == ["expert", "sft", "eef 1", "rft 1"]
    for index, row in enumerate(pooled.rows):
        each = [found.rows[index].evaluation.success.mean for found in runs]
        assert row.seeds == (1, 2, 10)
        assert row.per_seed == tuple(each)
        assert row.success_over_seeds.mean == pytest.approx(fmean(each))
        assert row.success_over_tasks.mean == pytest.approx(fmean(each))
        assert (row.success_over_seeds.n, row.success_over_tasks.n) == (3, 6)
        assert row.simulations == fmean(found.rows[index].cost.simulations for found in runs)


def test_where_episodes_were_played_and_figures_shown_is_not_part_of_an_experiment(seeds: Path, tmp_path: Path) -> None:
    registry = load_plugins(["eef_framework.testing.plugin", "attribution"], {})
    elsewhere = {"seed": 4, "executor": {"name": "threads", "threads": 1}, "trackers": []}
    run(SETTINGS | elsewhere, registry, tmp_path / "seed-4")
    assert {row.seeds for row in compare_runs([seeds / "seed-1", tmp_path / "seed-4"]).rows} == {(1, 4)}


def test_the_last_rows_of_the_methods_are_compared_with_that_of_the_main_method(pooled: Comparison) -> None:
    assert [(each.first, each.second) for each in pooled.differences] == [
        ("eef 1", "expert"),
        ("eef 1", "sft"),
        ("eef 1", "rft 1"),
    ]
    rows = {row.label: row for row in pooled.rows}
    for each in pooled.differences:
        gains = [a - b for a, b in zip(rows[each.first].per_seed, rows[each.second].per_seed, strict=True)]
        assert each.per_seed == pytest.approx(gains)
        assert each.over_seeds.mean == pytest.approx(fmean(gains)) == pytest.approx(each.over_tasks.mean)


def test_one_run_has_the_intervals_of_its_own_table(seeds: Path) -> None:
    one, own = compare_runs([seeds / "seed-2"]), load_run(seeds / "seed-2")
    assert [row.success_over_tasks for row in one.rows] == [row.evaluation.success for row in own.rows]
    assert [each.over_tasks for each in one.differences] == [each.success for each in own.differences]
    assert all(math.isinf(row.success_over_seeds.low) for row in one.rows)


def test_another_reference_can_be_named(seeds: Path) -> None:
    found = compare_runs([seeds], reference="rft 1")
    assert {each.first for each in found.differences} == {"rft 1"}
    with pytest.raises(UnknownName) as refused:
        compare_runs([seeds], reference="rft 7")
    assert refused.value.details["given"] == "rft 7"


def test_two_configurations_are_two_experiments_paired_by_seed_and_task(seeds: Path, others: Path) -> None:
    found = compare_runs([seeds, others / "more-probes"])
    assert {row.experiment for row in found.rows} == {"small", "more-probes"}
    first = next(each for each in found.differences if each.second == "more-probes: eef 1")
    assert (first.first, first.seeds) == ("small: eef 1", (1,))


def with_baseline(seed: int, trainer: dict[str, Any], folder: Path) -> Path:
    """Run a small experiment with a file of a baseline in a folder of its own."""
    recipe = folder / "own.yaml"
    folder.mkdir()
    recipe.write_text(yaml.safe_dump({"extends": "rft", "method": "own", "explore": trainer}))
    registry = load_plugins(["eef_framework.testing.plugin", "attribution"], {})
    run(SETTINGS | {"seed": seed, "baselines": [str(recipe)]}, registry, folder / "run")
    return folder / "run"


def test_baselines_are_the_same_if_their_settings_are_wherever_their_file_was(tmp_path: Path) -> None:
    first = with_baseline(1, {"simulations": 1}, tmp_path / "a")
    second = with_baseline(2, {"simulations": 1}, tmp_path / "b")
    third = with_baseline(2, {"simulations": 2}, tmp_path / "c")
    (one,) = compare_runs([first, second]).experiments
    assert one.settings == {}
    with pytest.raises(EefError) as refused:
        compare_runs([first, third])
    assert (refused.value.code, refused.value.details["settings"]) == (
        "no-common-seed",
        ["baselines.own.explore.simulations"],
    )
    assert len(compare_runs([first, third], allow=["baselines.own.explore.simulations"]).experiments) == 1


def test_a_baseline_that_only_later_seeds_have_is_compared_too(seeds: Path, tmp_path: Path) -> None:
    later = with_baseline(2, {"simulations": 1}, tmp_path / "later")
    found = compare_runs([seeds / "seed-1", later, seeds / "seed-10"], allow=["baselines"])
    assert {row.label: row.seeds for row in found.rows if row.label in ("eef 1", "own 1")} == {
        "eef 1": (1, 2, 10),
        "own 1": (2,),
    }
    assert ("own 1", (2,)) in [(each.second, each.seeds) for each in found.differences]


def test_runs_of_versions_that_recorded_no_baselines_are_told_apart_by_their_names(seeds: Path, tmp_path: Path) -> None:
    for seed in (1, 2):
        shutil.copytree(seeds / f"seed-{seed}", tmp_path / f"seed-{seed}")
        (tmp_path / f"seed-{seed}" / "baselines.yaml").unlink()
    assert len(compare_runs([tmp_path]).experiments) == 1


@pytest.mark.parametrize(
    ("name", "allow", "code"),
    [
        ("fewer-tasks", (), "protocols-differ"),
        ("fewer-tasks", ("evaluate.tasks",), "tasks-differ"),
        ("other-seed", (), "no-common-seed"),
    ],
)
def test_what_was_measured_otherwise_is_refused(
    seeds: Path, others: Path, name: str, allow: tuple[str, ...], code: str
) -> None:
    with pytest.raises(EefError) as refused:
        compare_runs([seeds / "seed-1", others / name], allow=allow)
    assert refused.value.code == code


def test_differing_protocols_are_named_with_their_values(seeds: Path, others: Path) -> None:
    with pytest.raises(EefError) as refused:
        compare_runs([seeds / "seed-1", others / "fewer-tasks"])
    assert refused.value.details["keys"] == ["evaluate.tasks.count"]
    assert list(refused.value.details["values"]["evaluate.tasks.count"].values()) == [6, 5]
    assert "--allow" not in refused.value.fix, "it would be refused, too: tasks differ"


@pytest.mark.parametrize("name", ["evaluate.task", "environment.tasks_per_spilt", "evaluat", "limits.steps.count"])
def test_a_setting_that_may_differ_has_to_exist(seeds: Path, name: str) -> None:
    with pytest.raises(UnknownName) as refused:
        compare_runs([seeds], allow=["environment", "environment.tasks_per_split", name])
    assert refused.value.details["given"] == name


def test_a_run_counts_once(seeds: Path, tmp_path: Path) -> None:
    assert compare_runs([seeds, seeds / "seed-1"]) == compare_runs([seeds])
    shutil.copytree(seeds / "seed-1", tmp_path / "copy")
    with pytest.raises(EefError) as refused:
        compare_runs([seeds, tmp_path / "copy"])
    assert (refused.value.code, refused.value.details["seed"]) == ("not-comparable", 1)


def test_an_unfinished_run_in_a_folder_is_left_out_and_named(seeds: Path, tmp_path: Path) -> None:
    for name in ("seed-1", "seed-2"):
        shutil.copytree(seeds / name, tmp_path / "own" / name)
    (tmp_path / "own/seed-2/metrics.json").unlink()
    with pytest.warns(EefWarning) as warned:
        found = compare_runs([tmp_path / "own"])
    assert {row.seeds for row in found.rows} == {(1,)}
    (warning,) = (each.message for each in warned if isinstance(each.message, EefWarning))
    assert (warning.code, warning.details) == ("runs-left-out", {"runs": [str(tmp_path / "own/seed-2")]})
    with pytest.raises(EefError) as refused:
        compare_runs([tmp_path / "own", tmp_path / "own/seed-2"])
    assert (refused.value.code, refused.value.details["path"]) == ("not-comparable", str(tmp_path / "own/seed-2"))
    (tmp_path / "own/seed-1/metrics.json").unlink()
    with pytest.raises(EefError) as refused:
        compare_runs([tmp_path / "own"])
    assert (refused.value.code, refused.value.details["path"]) == ("not-comparable", str(tmp_path / "own"))


def test_unfinished_runs_and_other_folders_are_refused(seeds: Path, tmp_path: Path) -> None:
    shutil.copytree(seeds / "seed-1", tmp_path / "part")
    (tmp_path / "part" / "metrics.json").unlink()
    with pytest.raises(EefError) as unfinished:
        compare_runs([tmp_path / "part"])
    assert unfinished.value.code == "not-comparable"
    with pytest.raises(StorageError) as missing:
        compare_runs([tmp_path / "nothing"])
    assert missing.value.code == "not-a-run"


def test_a_run_made_before_rows_named_their_stage_is_compared_the_same_way(seeds: Path, tmp_path: Path) -> None:
    shutil.copytree(seeds / "seed-1", tmp_path / "seed-1")
    metrics = load_run(tmp_path / "seed-1").metrics
    old = metrics.changed(rows=tuple(row.changed(stage="") for row in metrics.rows))
    (tmp_path / "seed-1" / "metrics.json").write_text(old.model_dump_json())
    found, expected = compare_runs([tmp_path / "seed-1"]), compare_runs([seeds / "seed-1"])
    assert found.changed(experiments=()) == expected.changed(experiments=())  # they name the folders


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_has_every_row_and_difference(pooled: Comparison, style: Any) -> None:
    text = render(pooled, style)
    for row in pooled.rows:
        assert row.label in text
    for each in pooled.differences:
        assert f"{100 * each.over_tasks.mean:+.1f}" in text or repr(each.over_tasks.mean) in text


def test_csv_holds_the_numbers_unrounded(pooled: Comparison) -> None:
    lines = list(csv.DictReader(io.StringIO(render(pooled, "csv"))))
    assert len(lines) == len(pooled.rows) + len(pooled.differences)
    for line, row in zip(lines, pooled.rows, strict=False):
        assert float(line["over_seeds_mean"]) == row.success_over_seeds.mean
        assert float(line["over_tasks_high"]) == row.success_over_tasks.high


def test_latex_escapes_labels(pooled: Comparison) -> None:
    odd = pooled.changed(rows=tuple(row.changed(label="a_b & 50%") for row in pooled.rows))
    assert r"a\_b \& 50\%" in render(odd, "latex")


def test_data_frames_have_a_row_each(pooled: Comparison) -> None:
    assert list(pooled.rows_frame()["success_over_seeds_mean"]) == [row.success_over_seeds.mean for row in pooled.rows]
    assert len(pooled.differences_frame()) == 3
    assert "eef 1" in pooled._repr_html_()


def test_a_comparison_is_shown_in_a_line_for_each_row_and_difference(pooled: Comparison) -> None:
    lines = repr(pooled).splitlines()
    assert len(lines) == 1 + len(pooled.rows) + len(pooled.differences)
    assert "'small'" in lines[0]
    assert all(row.label in line for row, line in zip(pooled.rows, lines[1:], strict=False))
    assert "eef 1 - sft" in str(pooled)
    assert repr(Comparison())


def test_notes_that_differ_in_their_numbers_are_one(seeds: Path, tmp_path: Path) -> None:
    shutil.copytree(seeds, tmp_path / "small")
    for number, seed in enumerate((1, 2, 10)):
        path = tmp_path / "small" / f"seed-{seed}" / "metrics.json"
        metrics = load_run(path.parent).metrics
        own = ("only here",) if seed == 2 else ()
        notes = (f"played {1000 + number:,} of {number}.5k", "in all", *own)
        path.write_text(metrics.changed(notes=notes).model_dump_json())
    alike, same, single = compare_runs([tmp_path / "small"]).notes
    assert alike.startswith("seed-1: played 1,000 of 0.5k (")
    assert "2 more runs" in alike
    assert (same, single) == ("in all", "seed-2: only here")


def test_costs_that_are_lower_bounds_are_noted(seeds: Path, tmp_path: Path) -> None:
    shutil.copytree(seeds, tmp_path / "small")
    metrics = load_run(seeds / "seed-2").metrics
    stage, cost = next(iter(metrics.stages.items()))
    stages = {**metrics.stages, stage: cost.changed(answers_of_unknown_cost=3)}
    (tmp_path / "small" / "seed-2" / "metrics.json").write_text(metrics.changed(stages=stages).model_dump_json())
    (note,) = compare_runs([tmp_path / "small"]).notes
    assert note.startswith("seed-2: 3 answers")
    assert not compare_runs([seeds]).notes


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_figures_are_the_same_each_time_and_replace_only_their_own(
    pooled: Comparison, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"figure.{suffix}"
    draw(pooled, path)
    once = path.read_bytes()
    draw(pooled, path)
    assert path.read_bytes() == once
    if suffix == "svg":
        words = "".join(ET.fromstring(once).itertext())
        assert all(row.label in words for row in pooled.rows)
    path.write_bytes(b"mine")
    with pytest.raises(EefError) as refused:
        draw(pooled, path)
    assert (refused.value.code, path.read_bytes()) == ("foreign-file", b"mine")


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_a_figure_that_was_edited_is_not_replaced(pooled: Comparison, tmp_path: Path, suffix: str) -> None:
    """Nor is any other file that names the program."""
    path = tmp_path / f"figure.{suffix}"
    draw(pooled, path)
    drawn = path.read_bytes()
    middle = len(drawn) // 2
    for content in (drawn + b"\n", drawn[:middle] + b"x" + drawn[middle:], b"notes on eef-framework", b""):
        path.write_bytes(content)
        with pytest.raises(EefError) as refused:
            check_figure(path)
        assert refused.value.code == "foreign-file"
        assert path.read_bytes() == content


def test_an_unknown_figure_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EefError) as refused:
        check_figure(tmp_path / "figure.docx")
    assert refused.value.code == "unknown-figure-format"


def test_experiments_name_their_runs_and_the_settings_in_which_they_differ(seeds: Path, others: Path) -> None:
    (one,) = compare_runs([seeds]).experiments
    assert (one.name, len(one.runs), one.settings) == ("small", 3, {})
    found = {each.name: each.settings for each in compare_runs([seeds / "seed-1", others / "more-probes"]).experiments}
    assert found == {"seed-1": {"attributor.probes": 2}, "more-probes": {"attributor.probes": 1}}


def test_experiments_in_one_folder_are_named_by_their_first_run(seeds: Path, others: Path, tmp_path: Path) -> None:
    for source in (seeds / "seed-1", seeds / "seed-2", others / "more-probes", others / "other-seed"):
        shutil.copytree(source, tmp_path / source.name)
    assert [each.name for each in compare_runs([tmp_path]).experiments] == ["more-probes", "seed-1"]


def test_experiments_in_folders_of_one_name_are_named_by_the_path_of_their_first_run(
    seeds: Path, others: Path, tmp_path: Path
) -> None:
    for source, folder in ((seeds / "seed-1", "a"), (seeds / "seed-2", "a"), (others / "more-probes", "b")):
        shutil.copytree(source, tmp_path / folder / "runs" / source.name)
    shutil.copytree(others / "other-seed", tmp_path / "b" / "runs" / "other-seed")
    found = compare_runs([tmp_path / "a" / "runs", tmp_path / "b" / "runs"]).experiments
    assert [each.name for each in found] == [
        str(tmp_path / "a" / "runs" / "seed-1"),
        str(tmp_path / "b" / "runs" / "more-probes"),
    ]
