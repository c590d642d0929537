"""Methods that can't work are refused before anything starts."""

from typing import Any

import pytest

from eef_framework.errors import ConfigError
from eef_framework.pipeline import RunContext
from eef_framework.pipeline.method_checks import check_method
from eef_framework.plugins import Registry
from eef_framework.testing.small_run import small_config
from eef_framework.training import DpoTrainer


def checked(**changes: Any) -> None:
    config = small_config(**{"format": {"history": None}} | changes)
    with RunContext(config, Registry()) as context:
        check_method(context, config)


def test_pairs_of_single_turns_are_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError) as caught:
        checked(select={"pairs": True}, format={"history": 1})
    assert (caught.value.code, caught.value.details) == ("pairs-of-turns", {"history": 1})
    checked(select={"pairs": True})


def test_a_trainer_that_needs_pairs_is_refused_where_there_are_none() -> None:
    for wrong in ({"tune": {"trainer": DpoTrainer()}}, {"clone": {"trainer": DpoTrainer()}, "select": {"pairs": True}}):
        with pytest.raises(ConfigError) as caught:
            checked(**wrong)
        assert caught.value.code == "no-pairs"
    checked(tune={"trainer": DpoTrainer()}, select={"pairs": True})


def test_pairs_of_actions_without_an_attributor_are_refused_before_anything_starts() -> None:
    with pytest.raises(ConfigError) as caught:
        checked(select={"step_pairs": True}, attributor=None)
    assert caught.value.code == "no-pairs"
