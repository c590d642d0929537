import asyncio
import random

import pytest

from eef_framework.errors import PolicyFailure
from eef_framework.interfaces import Policy, Sampling
from eef_framework.records import Message, Observation, Response
from eef_framework.testing.queue_policy import QueuePolicy, ScriptedPolicy

SEEN = Observation(text="door: 2 east\nkey: not needed", actions=("go[west]", "go[east]"))
ASKED = (Message(role="system", content="two words"), Message(role="user", content=SEEN.text))


def act(policy: Policy, seed: int = 0, observation: Observation = SEEN, temperature: float = 1.0) -> Response:
    return asyncio.run(policy.act(ASKED, observation, Sampling(temperature=temperature), seed))


def test_the_queue_answers_in_order_and_remembers_what_it_was_asked():
    policy = QueuePolicy(answers=("a", "b"))
    assert [act(policy).text, act(policy).text] == ["a", "b"]
    assert policy.asked == [ASKED, ASKED]


def test_the_queue_says_when_it_is_used_up():
    policy = QueuePolicy(answers=("a",))
    act(policy)
    with pytest.raises(PolicyFailure) as caught:
        act(policy)
    assert (caught.value.code, caught.value.details) == ("queue-empty", {"answers": 1})


def test_words_are_counted_as_tokens():
    response = act(QueuePolicy(answers=("Action: go[east]",)))
    assert (response.prompt_tokens, response.computed_tokens) == (8, 10)


def test_an_answer_depends_on_observation_and_seed_alone():
    first = [act(ScriptedPolicy(), seed).text for seed in range(20)]
    assert [act(ScriptedPolicy(), seed).text for seed in range(20)] == first
    assert set(first) == {"Action: go[west]", "Action: go[east]"}


@pytest.mark.parametrize(("skill", "low", "high"), [(1.0, 400, 400), (0.5, 260, 340), (0.0, 160, 240)])
def test_skill_is_the_chance_of_the_right_action(skill, low, high):
    right = [act(ScriptedPolicy(skill=skill), seed).text for seed in range(400)].count("Action: go[east]")
    assert low <= right <= high


def test_another_rule_is_one_method():
    class Westward(ScriptedPolicy):
        def choose(self, observation: Observation, draw: random.Random) -> str:
            return "go[west]"

    assert act(Westward(template="{action}")).text == "go[west]"


def test_where_no_action_is_known_it_looks():
    assert act(ScriptedPolicy(skill=0.0), observation=Observation(text="?")).text == "Action: look"
