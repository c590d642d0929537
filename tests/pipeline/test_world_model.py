"""What is to be predicted: which actions in which states, once each."""

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.config.schema import Select
from eef_framework.pipeline.solutions import Exploration
from eef_framework.pipeline.world_model import expert_states, predictions
from eef_framework.records import Example, Observation, Origin, Step, SuccessRule, Task, Trajectory

RULE = SuccessRule()
FORMAT = ChatFormat(style="action", history=1)


def episode(id: str, *actions: str, task: str = "t", reward: float = 1.0, blank: str = "") -> Trajectory:
    steps = tuple(
        Step(action=action, observation=Observation(text="  " if action == blank else f"after {' '.join(actions[:n])}"))
        for n, action in enumerate(actions, 1)
    )
    of = Task(id=task, environment="shop")
    return Trajectory(id=id, task=of, initial=Observation(text=f"start of {task}"), steps=steps, reward=reward)


def tried(id: str, *actions: str, task: str = "t", blank: str = "") -> Trajectory:
    """Return an action of the agent, the last one, after actions of the expert."""
    played, state = episode(id, *actions, task=task, reward=0.0, blank=blank), len(actions) - 1
    origin = Origin(trajectory="e", state=state) if state else None
    return played.changed(origin=origin, ending="step-limit")


def learned(
    demonstrations: list[Trajectory], *alternatives: list[Trajectory], keep: str = "all"
) -> tuple[list[Example], dict[str, int]]:
    explorations = [Exploration((), {}, alternatives=each) for each in alternatives]
    return predictions(demonstrations, explorations, Select.model_validate({"keep": keep}), RULE, FORMAT, "Rules")


def test_every_action_in_every_state_is_predicted_once() -> None:
    examples, counts = learned(
        [episode("e", "a", "b")],
        [tried("1", "c"), tried("2", "c"), tried("3", "a"), tried("4", "a", "c"), tried("5", "a", "b")],
    )
    assert counts == {"expert": 2, "agent": 2, "repeated": 3, "blank": 0}
    asked = [(each.messages[-2].content, each.messages[-1].content) for each in examples]
    assert [(text.splitlines()[0], text.splitlines()[-1], answer) for text, answer in asked] == [
        ("start of t", "a", "after a"),
        ("after a", "b", "after a b"),
        ("start of t", "c", "after c"),
        ("after a", "c", "after a c"),
    ]
    assert [each.trajectory for each in examples] == ["e", "e", "1", "4"]
    assert len({each.id for each in examples}) == 4
    for each in examples:
        assert [message.weight for message in each.messages] == [0.0, 0.0, 1.0]
        assert (each.source, each.task, each.states) == ("world-model", "t", ())


def test_equal_actions_in_other_tasks_are_not_repeated() -> None:
    _, counts = learned(
        [episode("e", "a"), episode("f", "a", task="u"), episode("g", "a")], [tried("1", "a", task="v")]
    )
    assert counts == {"expert": 2, "agent": 1, "repeated": 1, "blank": 0}


def test_blank_observations_are_left_out() -> None:
    examples, counts = learned([episode("e", "a", "b", blank="b")], [tried("1", "c", blank="c")])
    assert counts == {"expert": 1, "agent": 0, "repeated": 0, "blank": 2}
    assert [each.messages[-1].content for each in examples] == ["after a"]


@pytest.mark.parametrize(("keep", "agent"), [("all", 2), ("latest", 1)])
def test_earlier_explorations_are_kept_or_not(keep: str, agent: int) -> None:
    _, counts = learned([episode("e", "a")], [tried("1", "c")], [tried("2", "d")], keep=keep)
    assert counts["agent"] == agent


def test_failures_of_the_expert_are_no_states_to_learn_from() -> None:
    failed = episode("f", "a", "x", reward=0.5)
    assert expert_states([failed], RULE) == []
    assert learned([failed]) == ([], {"expert": 0, "agent": 0, "repeated": 0, "blank": 0})
    states = expert_states([failed, episode("e", "a", "b"), episode("g", "a", "c"), episode("h", "a", task="u")], RULE)
    assert [(state.task.id, state.trajectory, state.length) for state in states] == [
        ("t", "", 0),
        ("t", "e", 1),
        ("u", "", 0),
    ]


def test_a_success_without_an_action_has_no_state() -> None:
    assert expert_states([episode("e")], RULE) == []
