"""The embedded default with a real, if tiny, language model: small, but every phase of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from eef_framework.config.loading import load_config
from eef_framework.pipeline import run
from eef_framework.plugins import load_plugins
from eef_framework.records import RunMetrics

SMALL = [
    "collect.tasks.count=24",
    "evaluate.tasks.count=16",
    "iterations=1",
    "attributor.probes=2",
    "clone.trainer.steps=25",
    "tune.trainer.steps=10",
]


def demo(out: Path, *settings: str) -> RunMetrics:
    registry = load_plugins()
    return run(load_config("demo", [*SMALL, *settings], {}, registry), registry, out).metrics


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunMetrics]:
    out = tmp_path_factory.mktemp("whole")
    return out, demo(out)


def contents(out: Path) -> dict[str, Any]:
    """Return rows without what depends on the clock or, in its last digits, on batches; and weights as they are."""

    def timeless(line: str) -> Any:
        row = json.loads(line)
        if row.get("figure", "").endswith("/seconds"):
            row.pop("value")
        row.pop("seconds", None)
        (row.get("provenance") or {}).pop("date", None)
        for step in row.get("steps", ()):
            (step.get("response") or {}).pop("logprob", None)
        return row

    rows = {p: [timeless(line) for line in p.read_text().splitlines()] for p in sorted(out.rglob("*.jsonl"))}
    weights = {p: p.read_bytes() for p in sorted(out.rglob("*.safetensors"))}
    return {str(path.relative_to(out)): content for path, content in (rows | weights).items()}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_whatever_the_number_of_concurrent_episodes(
    whole: tuple[Path, RunMetrics], tmp_path: Path
) -> None:
    (out, many), few = whole, demo(tmp_path / "few", "limits.concurrency=3")
    assert [row.label for row in many.rows] == ["expert", "sft", "eef 1", "rft-matched 1"]
    assert [row.evaluation for row in many.rows] == [row.evaluation for row in few.rows]
    one, other = contents(out), contents(tmp_path / "few")
    assert one.keys() == other.keys()
    assert any(name.endswith(".safetensors") for name in one)
    assert [name for name in one if one[name] != other[name]] == []


@pytest.mark.slow
def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    short = ("iterations=0", "baselines=[]")
    demo(tmp_path / "a", *short)
    demo(tmp_path / "b", *short, "seed=1")
    assert contents(tmp_path / "a") != contents(tmp_path / "b")


@pytest.mark.slow
def test_matched_rejection_sampling_plays_exactly_as_many_episodes(whole: tuple[Path, RunMetrics]) -> None:
    simulations = {row.label: row.cost.simulations for row in whole[1].rows}
    assert simulations["eef 1"] == simulations["rft-matched 1"] > 24
