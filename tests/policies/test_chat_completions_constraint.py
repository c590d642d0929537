import re

from eef_framework.policies.chat_completions.constraint import constraint
from eef_framework.records import FreeText, Observation


def test_worded_actions_are_allowed_by_a_pattern():
    observation = Observation(text="", actions=("click[a+b]",), free=(FreeText(prefix="search[", suffix="]"),))
    pattern = constraint(observation, "guided")["guided_regex"]
    for allowed in ("click[a+b]", "search[red shoes]"):
        assert re.fullmatch(pattern, allowed)
    for forbidden in ("click[aab]", "search[]", "search[ ]", "search[a]\nsearch[b]", "buy"):
        assert not re.fullmatch(pattern, forbidden)


def test_nothing_is_forbidden_where_actions_are_not_known():
    assert constraint(Observation(text=""), "structured_outputs") == {}
