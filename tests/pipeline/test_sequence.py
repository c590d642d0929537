"""The phases of a run, and the names of the rows that they fill."""

from pathlib import Path
from typing import Any

import pytest

from eef_framework import load_config, run
from eef_framework.config.loading import read_recipe
from eef_framework.plugins import Registry, load_plugins
from eef_framework.testing.small_run import small_settings

RECIPES = {"sft": "successes", "sft-all": "all", "nat": "marked"}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins(["builtin", "eef_framework.testing.plugin"], {})


def settings(registry: Registry, recipe: str, **changes: Any) -> dict[str, Any]:
    """Return a small run of a recipe."""
    found = small_settings(expert={"name": "corridor-expert", "skill": 0.7}, format={"history": 1, "outcomes": {}})
    of_recipe = read_recipe(recipe, registry).data
    clone = {"clone": {**found["clone"], **of_recipe.get("clone", {})}}
    return found | {key: of_recipe[key] for key in ("method", "iterations")} | clone | changes


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_that_only_clones_is_named_after_itself_and_compared(
    registry: Registry, tmp_path: Path, recipe: str
) -> None:
    done = run(settings(registry, recipe), registry, tmp_path)
    assert done.config["clone"]["on"] == RECIPES[recipe]
    assert [row.label for row in done.rows] == ["expert", recipe]
    assert [each.label for each in done.differences] == [f"{recipe} - expert"]
    assert {row.actor for row in done.evaluated(done.rows[1])} == {f"agent/{recipe}"}
    page = done.report.read_text(encoding="utf-8")
    assert f"Is {recipe} better than the expert?" in page


@pytest.mark.parametrize("recipe", ["sft-all", "nat"])
def test_iterations_after_another_clone_start_at_its_iteration_0(
    registry: Registry, tmp_path: Path, recipe: str
) -> None:
    done = run(settings(registry, recipe, iterations=1), registry, tmp_path)
    assert [row.label for row in done.rows] == ["expert", f"{recipe} 0", f"{recipe} 1"]
    assert [each.label for each in done.differences] == [f"{recipe} 1 - expert", f"{recipe} 1 - {recipe} 0"]


@pytest.mark.parametrize(("main", "baseline"), [("sft", "nat"), ("sft", "sft-all"), ("nat", "sft"), ("sft-all", "nat")])
def test_clones_that_differ_stand_side_by_side_under_their_own_names(
    registry: Registry, tmp_path: Path, main: str, baseline: str
) -> None:
    done = run(settings(registry, main, baselines=[baseline]), registry, tmp_path)
    assert [row.label for row in done.rows] == ["expert", main, baseline]
    assert f"{main} - {baseline}" in [each.label for each in done.differences]
    assert (tmp_path / "methods" / baseline / "clone").is_dir()


def test_a_method_that_explores_starts_from_the_row_sft(registry: Registry, tmp_path: Path) -> None:
    config = load_config(settings(registry, "rft", iterations=1), (), {}, registry)
    assert [row.label for row in run(config, registry, tmp_path).rows] == ["expert", "sft", "rft 1"]
