"""Finds actions of an episode that may have made no difference."""

from __future__ import annotations

from collections.abc import Iterator

from eef_framework.records import Observation, Trajectory

Span = tuple[int, int]
"""Half-open range of actions."""


def loops(trajectory: Trajectory) -> list[Span]:
    """Return the ranges of actions after which the agent sees what it saw before them, without overlap, in order.

    From each state on, the last state with an equal observation ends the loop. The states need not be equal: two may
    look the same and differ.
    """
    length = len(trajectory.steps)
    last: dict[Observation, int] = {trajectory.observation(state): state for state in range(length + 1)}
    found: list[Span] = []
    state = 0
    while state < length:
        end = last[trajectory.observation(state)]
        if end > state:
            found.append((state, end))
        state = max(end, state + 1)
    return found


def wasted(trajectory: Trajectory) -> set[int]:
    """Return the indices of the actions that were invalid, unparsed, or undone by later ones."""
    in_vain = {index for index, step in enumerate(trajectory.steps) if not (step.valid and step.parsed)}
    return in_vain.union(*(range(*span) for span in loops(trajectory)))


def omissions(trajectory: Trajectory, end: int) -> Iterator[Span]:
    """Yield ranges of actions to try to leave out, each once.

    Loops come first, the longest first; then the loops within them; then single actions and two in a row, which may
    change nothing although the text that they lead to is a new one.

    Args:
        trajectory: the episode.
        end: only ranges before this state.
    """
    numbers: dict[Observation, int] = {}
    seen = [numbers.setdefault(trajectory.observation(state), state) for state in range(end + 1)]
    repeats = [(i, j) for i in range(end) for j in range(i + 1, end + 1) if seen[i] == seen[j]]
    short = [(i, i + width) for width in (2, 1) for i in range(end - width + 1)]
    yield from dict.fromkeys([*sorted(repeats, key=lambda span: span[0] - span[1]), *short])
