"""Examples and demonstrations to test filters, policies and trainers with."""

from __future__ import annotations

from eef_framework.chat.format import ChatFormat
from eef_framework.records import Conversation, Example, Trajectory
from eef_framework.rollout import expert_id
from eef_framework.testing.corridor import Corridor, best_action

FORMAT = ChatFormat(style="action", history=1)


def demonstrations(count: int = 6) -> list[Trajectory]:
    """Return episodes in the corridor in which every action is the right one."""
    corridor = Corridor()
    found = []
    for task in corridor.tasks("train")[:count]:
        with corridor.open(task) as session:
            while not session.done:
                session.step(best_action(session.observation.text))
            found.append(
                Trajectory(
                    id=expert_id("made-up", task),
                    task=task,
                    actor="expert/made-up",
                    initial=session.initial,
                    steps=tuple(session.steps),
                    reward=session.reward,
                )
            )
    return found


def conversations() -> list[Conversation]:
    """Return the demonstrations as the conversations that a model gets its vocabulary from."""
    return [side for example in examples() for side in (example.messages, example.rejected)]


def examples(weight: float = 1.0) -> list[Example]:
    """Return an example for every state of the demonstrations, whose turn has this weight.

    Each comes with a wrong turn as the rejected one, which only trainers that learn preferences look at.
    """
    found = []
    for trajectory in demonstrations():
        for example in FORMAT.examples(trajectory, [1.0] * len(trajectory.steps), "", "expert"):
            *seen, said = example.messages
            wrong = "go[west]" if said.content == "go[east]" else "go[east]"
            messages = (*seen, said.changed(weight=weight))
            rejected = (*seen, said.changed(content=wrong, weight=weight))
            found.append(example.changed(messages=messages, rejected=rejected))
    return found
