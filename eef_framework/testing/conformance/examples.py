"""Examples and demonstrations for the checks of filters, policies and trainers."""

from __future__ import annotations

from eef_framework.chat.format import ChatFormat
from eef_framework.records import Conversation, Example, Message, Trajectory
from eef_framework.rollout import expert_id
from eef_framework.testing.corridor import Corridor, best_action

FORMAT = ChatFormat(style="action", history=1)
WHOLE = ChatFormat(style="action")


def demonstrations(count: int = 6) -> list[Trajectory]:
    """Return successful episodes in the corridor, without wrong actions."""
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
    """Return the demonstrations as conversations, for the vocabulary of a model."""
    return [side for example in examples() for side in (example.messages, example.rejected)]


def examples(weight: float = 1.0) -> list[Example]:
    """Return an example for every state of the demonstrations, with a turn of this weight.

    Each example also has a rejected turn, for trainers that learn preferences.
    """
    found = []
    for trajectory in demonstrations():
        for example in FORMAT.examples(trajectory, [1.0] * len(trajectory.steps), "", "expert"):
            *prompt, answer = example.messages
            wrong = "go[west]" if answer.content == "go[east]" else "go[east]"
            messages = (*prompt, answer.changed(weight=weight))
            rejected = (*prompt, answer.changed(content=wrong, weight=weight))
            found.append(example.changed(messages=messages, rejected=rejected))
    return found


def episodes(first: float = 1.0, last: str = "") -> list[Example]:
    """Return an example of several turns for every demonstration, with rejected turns.

    Args:
        first: weight of the first turn; all others have the weight 1.
        last: answer of a turn of weight 0 at the end; empty for none.
    """
    found = []
    for trajectory in demonstrations():
        weights = [first, *(1.0 for _ in trajectory.steps[1:])]
        for example in WHOLE.examples(trajectory, weights, "", "expert"):
            end = (Message(role="user", content="room"), Message(role="assistant", content=last)) if last else ()
            rejected = tuple(
                turn.changed(content="go[west]") if turn.role == "assistant" else turn for turn in example.messages
            )
            found.append(example.changed(messages=(*example.messages, *end), rejected=(*rejected, *end)))
    return found
