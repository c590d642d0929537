import asyncio
from math import exp, inf, log

import pytest
from eef_attribution.likelihood import LikelihoodAttributor

from eef_framework.errors import AttributorFailure, PolicyFailure
from eef_framework.rollout.attribution import attribution_of
from eef_framework.testing.simulate import ScriptedSimulate, demonstration


class Scripted(ScriptedSimulate):
    """Fails for some states."""

    code = ""

    async def score(self, state, actions, thought=""):
        if self.code and state == 1:
            raise AttributorFailure("no score", code=self.code)
        return [answer.changed(computed_tokens=3) for answer in await super().score(state, actions, thought)]


def attributed(attributor, probabilities, code=""):
    trajectory = demonstration(len(probabilities))

    def logprob(state, action):
        return log(probabilities[state]) if probabilities[state] else -inf

    simulate = Scripted(trajectory, lambda state, index: True, logprob=logprob)
    simulate.code = code
    found = attribution_of(trajectory, asyncio.run(attributor.attribute(trajectory, simulate)))
    assert simulate.asked == []
    return found


def test_improbable_actions_are_what_the_agent_has_to_learn():
    found = attributed(LikelihoodAttributor(threshold=0.2), [0.9, 0.1, 0.0, 0.3])
    assert [s.verdict.value for s in found.segments] == ["neutral", "beneficial", "beneficial", "neutral"]
    assert [s.evidence.tokens for s in found.segments] == [3] * 4


def test_a_lost_score_is_not_evidence():
    found = attributed(LikelihoodAttributor(), [0.0, 0.0, 0.0], code="score-lost")
    assert [s.verdict.value for s in found.segments] == ["beneficial", "unknown", "beneficial"]


def test_without_an_agent_there_are_no_verdicts_but_an_error():
    with pytest.raises(AttributorFailure) as caught:
        attributed(LikelihoodAttributor(), [0.5] * 3, code="scoring-needs-agent")
    assert caught.value.code == "scoring-needs-agent"


def test_in_the_corridor_the_experts_right_actions_are_probable(corridor):
    found = corridor.attribute(LikelihoodAttributor(threshold=0.5))
    neutral = right = 0
    for attribution, source in zip(found, corridor.demonstrations, strict=True):
        for segment in attribution.segments:
            neutral += segment.verdict.value == "neutral"
            right += source.steps[segment.start].action == corridor.best(source, segment.start)
    assert neutral == right > 20  # the agent's skill is 0.8


def test_a_policy_without_probabilities_is_an_error(corridor_without_scores):
    with pytest.raises(PolicyFailure) as caught:
        corridor_without_scores.attribute(LikelihoodAttributor())
    assert caught.value.code == "scoring-unsupported"


def test_the_reason_has_the_probability():
    (segment,) = attributed(LikelihoodAttributor(), [exp(-1)]).segments
    assert "0.37" in segment.reason
