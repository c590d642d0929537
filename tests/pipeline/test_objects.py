"""Components are built once; objects that are handed over in Python are used as they are."""

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, PrivateAttr, ValidationError

from eef_framework import load_run, run
from eef_framework.config.loading import load_config
from eef_framework.config.schema import RunConfig
from eef_framework.errors import EefWarning
from eef_framework.interfaces import Attributor, Filter, Simulate
from eef_framework.plugins import Registry, load_plugins
from eef_framework.records import Example, Segment, Trajectory, Verdict
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.small_run import small_config, small_settings

SETTINGS = small_settings(expert={"name": "corridor-expert", "skill": 0.5})


@pytest.fixture
def registry() -> Registry:
    return load_plugins(["eef_framework.testing.plugin"], {})


class Counted(Corridor):
    """Counts how many of it are built and closed."""

    name: ClassVar[str] = "counted"
    built: ClassVar[int] = 0
    closed: ClassVar[int] = 0

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        Counted.built += 1

    def close(self) -> None:
        Counted.closed += 1


class CountedFilter(Filter):
    """Counts how often it was asked."""

    name: ClassVar[str] = "counted-filter"
    built: ClassVar[int] = 0
    _asked: int = PrivateAttr(default=0)

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        CountedFilter.built += 1

    def apply(self, examples: list[Example], seed: int) -> list[Example]:  # type: ignore[override]
        self._asked += 1
        return examples


def test_every_component_is_built_once(registry: Registry, tmp_path: Path) -> None:
    registry.register(Counted, CountedFilter)
    Counted.built = Counted.closed = CountedFilter.built = 0
    changed = {"environment": "counted", "filters": ["counted-filter"], "iterations": 2}
    run(load_config(SETTINGS | changed, registry=registry), registry, tmp_path / "run")
    assert (Counted.built, Counted.closed, CountedFilter.built) == (1, 1, 1)


def test_a_configuration_can_be_run_twice(registry: Registry, tmp_path: Path) -> None:
    registry.register(Counted)
    config = load_config(SETTINGS | {"environment": "counted"}, registry=registry)
    Counted.built = Counted.closed = 0
    results = [run(config, registry, tmp_path / name) for name in "ab"]
    assert Counted.closed == 2  # each run closes what was built for it
    assert results[0].rows[0].evaluation == results[1].rows[0].evaluation


def test_objects_and_local_classes_are_used_as_they_are_with_their_live_state(tmp_path: Path) -> None:
    class Thinker(Attributor):
        """Isn't importable, and has state that no settings tell."""

        model_config = ConfigDict(arbitrary_types_allowed=True)

        callback: Any = None
        _seen: list[str] = PrivateAttr(default_factory=list)

        async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> list[Segment]:
            self._seen.append(trajectory.id)
            return [Segment(start=0, end=1, verdict=Verdict.NEUTRAL)]

    environment, filter_ = Counted(), CountedFilter()
    thinker = Thinker(callback=lambda: None)
    Counted.built = Counted.closed = 0
    config = small_config(environment=environment, attributor=thinker, filters=[filter_])
    run(config, Registry(), tmp_path)
    assert len(thinker._seen) == 8
    assert filter_._asked == 1
    assert (Counted.built, Counted.closed) == (0, 0)  # closed by the code that built it
    recorded = load_run(tmp_path).config["attributor"]
    assert recorded["name"].endswith("<locals>.Thinker")
    assert recorded["callback"] == "<builtins.function>"
    run(config, Registry(), tmp_path)  # taken up


def test_objects_stay_themselves_in_baselines(tmp_path: Path) -> None:
    bold = tmp_path / "bold.yaml"
    bold.write_text("method: bold\nselect: {prefix_loss: all}\n")
    filter_ = CountedFilter()
    CountedFilter.built = 0
    run(small_config(filters=[filter_], baselines=[str(bold)]), Registry(), tmp_path / "run")
    assert (CountedFilter.built, filter_._asked) == (0, 2)


def test_a_configuration_may_be_changed_in_python(registry: Registry, tmp_path: Path) -> None:
    config = load_config(SETTINGS, registry=registry)
    clone = config.clone.model_copy(update={"trainer": {"name": "lookup", "decay": 0.5}})
    assert run(config.model_copy(update={"clone": clone}), registry, tmp_path).rows
    assert load_run(tmp_path).config["clone"]["trainer"]["decay"] == 0.5


def test_a_class_in_place_of_an_object_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"hand over an object of it: Corridor\(\)"):
        RunConfig(environment=Corridor)


def test_strings_and_mappings_are_taken_where_people_pass_them(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(SETTINGS, registry, "here/run")
    assert done.path == Path("here/run")
    assert load_run("here/run").metrics == done.metrics
    assert run(SETTINGS, registry).path == Path("runs/eef")
    config = load_config(SETTINGS, {"seed": 3, "evaluate.tasks.count": 4}, {}, registry)
    assert (config.seed, config.evaluate.tasks.count, config.evaluate.tasks.split) == (3, 4, "test")
    assert load_config(SETTINGS, "seed=4", {}, registry).seed == 4


@pytest.mark.parametrize("loaded", [False, True])
def test_a_run_without_a_registry_loads_the_plugins_of_its_configuration(loaded: bool, tmp_path: Path) -> None:
    settings = {**SETTINGS, "plugins": ["eef_framework.testing.plugin"]}
    results = run(load_config(settings) if loaded else settings, out=tmp_path / "run")
    assert results.path == tmp_path / "run"


def test_a_run_works_where_an_event_loop_runs(registry: Registry, tmp_path: Path) -> None:
    async def cell() -> Any:
        return run(SETTINGS, registry, tmp_path / "notebook")

    in_notebook, in_script = asyncio.run(cell()), run(SETTINGS, registry, tmp_path / "script")
    assert [row.evaluation for row in in_notebook.rows] == [row.evaluation for row in in_script.rows]


class Relabelled(CountedFilter):
    """Has a setting with another name than before."""

    name: ClassVar[str] = "relabelled"
    renamed: ClassVar[dict[str, str]] = {"step": "stride"}

    stride: int = 1


def test_a_run_of_an_earlier_version_is_resumed_with_the_old_name_of_a_setting(
    registry: Registry, tmp_path: Path
) -> None:
    registry.register(Relabelled)
    settings = SETTINGS | {"filters": [{"name": "relabelled", "stride": 2}]}
    run(load_config(settings, registry=registry), registry, tmp_path)
    recorded = tmp_path / "config.yaml"
    recorded.write_text(recorded.read_text().replace("stride:", "step:"))
    old = SETTINGS | {"filters": [{"name": "relabelled", "step": 2}]}
    with pytest.warns(EefWarning) as said:
        run(load_config(old, registry=registry), registry, tmp_path)
    assert {each.message.code for each in said if isinstance(each.message, EefWarning)} == {"renamed"}
    assert load_run(tmp_path).config["filters"] == [{"name": "relabelled", "stride": 2}]
