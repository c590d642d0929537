import subprocess
import sys

import pytest
from eef_attribution.interval import IntervalAttributor

from eef_framework.config.schema import RunConfig
from eef_framework.errors import ConfigError
from eef_framework.filters import Deduplicate
from eef_framework.pipeline import run
from eef_framework.plugins import load_plugins
from eef_framework.plugins.hookspecs import GROUP
from eef_framework.testing import plugin
from eef_framework.testing.conformance import Nonconformance
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.corridor_expert import CorridorExpert

pytest_plugins = ["eef_framework.testing.fixtures"]


def registered(hook: str) -> list[str]:
    classes = []
    getattr(plugin, hook)(classes.append)
    return [cls.component_name() for cls in classes]


def test_the_doubles_are_registered_under_their_names():
    assert registered("register_environments") == ["corridor", "blocking-corridor"]
    assert registered("register_experts") == ["corridor-expert"]
    assert registered("register_policies") == ["queue", "scripted", "lookup"]
    assert registered("register_trainers") == ["lookup"]


def test_its_functions_are_marked_as_hooks():
    hooks = [name for name in vars(plugin) if name.startswith("register_")]
    assert len(hooks) == 4
    assert all(hasattr(getattr(plugin, name), f"{GROUP}_impl") for name in hooks)


def test_the_tiny_run_is_a_whole_run_in_which_the_agent_learns(tiny_run_config, tmp_path):
    registry = load_plugins(["eef_framework.testing.plugin", "eef_attribution.plugin"], {})
    metrics = run(RunConfig.model_validate(tiny_run_config), registry, tmp_path / "run")
    success = {row.label: row.evaluation.success.mean for row in metrics.rows}
    assert list(success) == ["expert", "sft", "eef 1", "eef 2"]
    assert success["eef 2"] > success["sft"] > 0


def test_the_fixtures_are_fresh(
    corridor, corridor_expert, queue_policy, scripted_policy, lookup_policy, lookup_trainer
):
    doubles = [corridor, corridor_expert, queue_policy, scripted_policy, lookup_policy, lookup_trainer]
    names = [double.component_name() for double in doubles]
    assert names == ["corridor", "corridor-expert", "queue", "scripted", "lookup", "lookup"]
    assert queue_policy.asked == []


def test_the_check_fits_whatever_it_is_given(check_component, corridor, corridor_expert, lookup_policy, lookup_trainer):
    check_component(corridor, cycles=10, processes=False)
    check_component(corridor_expert, environment=corridor, tasks=2)
    check_component(lookup_policy)
    check_component(lookup_trainer, policy=lookup_policy)
    check_component(Deduplicate())
    check_component(IntervalAttributor())
    with pytest.raises(Nonconformance, match="environment 'corridor' breaks"):
        check_component(Corridor(fault="raise"), processes=False)


def test_the_partner_of_an_expert_or_a_trainer_is_found_in_its_module(check_component, lookup_trainer, corridor_expert):
    class Elsewhere(CorridorExpert):
        __module__ = __name__

    check_component(lookup_trainer)
    check_component(Elsewhere(), tasks=2)  # this module has one environment
    with pytest.raises(ConfigError) as caught:
        check_component(corridor_expert)
    assert caught.value.code == "expert-without-environment"


def test_demonstrations_and_examples_belong_together(demonstrations, training_examples):
    assert [each.reward for each in demonstrations] == [1.0] * 6
    assert len(training_examples) == sum(len(each.steps) for each in demonstrations)
    assert {each.trained_turns for each in training_examples} == {1}


def test_the_doubles_do_without_torch():
    code = (
        "import sys; from eef_framework.testing import plugin, conformance, fixtures, strategies, simulate; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
