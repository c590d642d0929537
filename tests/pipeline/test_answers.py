import warnings

import pytest

from eef_framework.chat import ChatFormat
from eef_framework.errors import EefWarning
from eef_framework.pipeline import run
from eef_framework.pipeline.episodes import warn_of_answers
from eef_framework.plugins import load_plugins
from eef_framework.records import Observation, Origin, Response, Step, Task, Trajectory
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.lookup import LookupPolicy
from eef_framework.testing.small_run import small_config

SEEN = Observation(text="a room", actions=("go", "stay"))


def episode(*answers, replayed=0):
    """Return an agent's episode with these answers; (text, parsed) each. The first ones are replayed."""
    steps = [
        Step(action="go", observation=SEEN, response=answer and Response(text=answer[0], parsed=answer[1]))
        for answer in answers
    ]
    origin = Origin(trajectory="expert/1", state=replayed) if replayed else None
    task = Task(id="t", environment="e")
    return Trajectory(id="a", task=task, actor="agent", initial=SEEN, steps=tuple(steps), origin=origin)


def warnings_of(rows, style="react", trained=True):
    with warnings.catch_warnings(record=True, action="always") as caught:
        warn_of_answers(rows, ChatFormat(style=style), trained)
    assert all(isinstance(each.message, EefWarning) for each in caught)
    return [each.message for each in caught]


def warned(rows, style="react", trained=True):
    return [each.code for each in warnings_of(rows, style, trained)]


def test_an_agent_without_a_readable_answer_is_warned_of():
    rows = [episode(("hm", False), ("well", False)), episode(("so", False))]
    assert warned(rows) == warned(rows, "action", trained=False) == ["answers-unparsed"]
    assert warned([*rows, episode(("Action: go", True))]) == []


def test_an_agent_with_weights_that_never_answers_in_the_form_of_examples_is_warned_of():
    bare = [episode(("go", True), ("go", True))]
    assert warned(bare) == ["answers-unlabelled"]
    assert warned([*bare, episode(("Action: go", True))]) == []
    assert warned(bare, trained=False) == warned(bare, "action") == []


@pytest.mark.parametrize("parsed", [True, False])
def test_a_long_answer_is_quoted_once_and_shortened(parsed):
    garbage = "green huge " * 200
    step = Step(action=garbage, observation=SEEN, response=Response(text=garbage, parsed=parsed))
    (warning,) = warnings_of([episode().changed(steps=(step,))])
    assert len(warning.details["answer"]) <= 80
    assert garbage.startswith(warning.details["answer"].removesuffix("..."))
    assert len(str(warning)) <= 400


def test_replayed_steps_and_episodes_without_answers_are_not_counted():
    assert warned([episode(None, None), episode()]) == []
    assert warned([episode(("Action: go", True), ("hm", False), replayed=1)]) == ["answers-unparsed"]


def test_a_run_says_that_its_agent_never_answers_as_it_was_trained(tmp_path):
    config = small_config(4, policy=LookupPolicy(epsilon=1.0, template="{action}"))
    with pytest.warns(EefWarning) as caught:
        run(config, load_plugins([]), tmp_path / "run")
    assert {each.message.code for each in caught} == {"answers-unlabelled"}


def test_a_run_whose_episodes_have_no_limit_says_so(tmp_path):
    class Unlimited(Corridor):
        @property
        def longest_episode(self):
            return None

    config = small_config(4, environment=Unlimited(), iterations=0)
    with pytest.warns(EefWarning) as caught:
        run(config, load_plugins([]), tmp_path / "run")
    assert "no-step-limit" in {each.message.code for each in caught if isinstance(each.message, EefWarning)}
