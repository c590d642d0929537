"""Phase 3 for methods that learn preferences: a better and a worse attempt at the same task (ETO, arXiv 2403.02502)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

from eef_framework.chat.format import ChatFormat
from eef_framework.config.schema import Select
from eef_framework.errors import ConfigError
from eef_framework.pipeline.examples import facts
from eef_framework.pipeline.solutions import Exploration, kept_explorations
from eef_framework.records import Example, Trajectory


@dataclass(frozen=True)
class Pair:
    """Two attempts at the same task.

    Attributes:
        preferred: the better one.
        rejected: the worse one.
        start: index of the first action to learn, before which both took the same actions.
        preferred_end: exclusive end index of the preferred actions; None for all.
        rejected_end: exclusive end index of the rejected actions; None for all.
        of_actions: whether a verdict compares what the two did in one state; otherwise their rewards are compared. The
            same two may be a pair of each kind.
    """

    preferred: Trajectory
    rejected: Trajectory
    start: int = 0
    preferred_end: int | None = None
    rejected_end: int | None = None
    of_actions: bool = False


def pairs(
    demonstrations: Sequence[Trajectory], explorations: Sequence[Exploration], settings: Select, seed: int
) -> list[Pair]:
    """Pair attempts with different rewards: the expert's, and the agent's from initial states.

    Args:
        demonstrations: the expert's trajectories, failures included.
        explorations: the explorations so far, in order. Simulations from intermediate states aren't the agent's own
            attempts and are left out, and so are episodes lost to infrastructure failures.
        settings: `keep` sets from which explorations, `solutions_per_state` how many pairs per task.
        seed: for choosing among attempts with equal reward.

    Returns:
        For each task, in the order of the demonstrations and then of the explorations: the attempts with the lowest
            reward, each with one with the highest. No attempt is rejected twice.
    """
    kept = kept_explorations(explorations, settings)
    attempts: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in (*demonstrations, *(played for exploration in kept for played in exploration.simulations)):
        if trajectory.origin is None and not trajectory.lost and trajectory.steps:
            attempts[trajectory.task.id].append(trajectory)
    return [
        pair
        for task, of_task in attempts.items()
        for pair in _pairs_of_task(of_task, settings.solutions_per_state, f"{seed}/{task}")
    ]


def pair_examples(
    pairs: Iterable[Pair],
    format: ChatFormat,
    instructions: str,
    tries: Mapping[str, Sequence[bool]] | None = None,
) -> list[Example]:
    """Turn pairs into training examples, with loss on the turns from where the sides differ.

    If the model's context window was full and observations were dropped from prompts (`Response.dropped`), a side ends
    with the last turn before that: both sides share a beginning, and turns shown without it can't be compared. For the
    same reason each side is a single turn if the format doesn't show whole episodes (`history`). Pairs with a side in
    which no action was parsed are left out.

    Args:
        pairs: the pairs.
        format: how they become conversations.
        instructions: the environment's instructions.
        tries: task id -> outcomes of the agent's episodes from its initial state.
    """
    examples = (_example(pair, format, instructions, tries or {}) for pair in pairs)
    return [example for example in examples if example is not None]


def require_whole_episodes(format: ChatFormat) -> None:
    """Reject a format in which an episode isn't one conversation, since two episodes then can't be compared.

    Raises:
        ConfigError: the format isn't supported; the message says what to set.
    """
    if format.history is not None:
        raise ConfigError(
            f"select.pairs compares whole episodes, and format.history is {format.history}: each turn would be a "
            "conversation of its own",
            "Set format.history to null, or select.pairs to false.",
            code="pairs-of-turns",
            history=format.history,
        )


def _pairs_of_task(attempts: Sequence[Trajectory], count: int, seed: str) -> list[Pair]:
    drawn = sorted(attempts, key=lambda attempt: attempt.id)
    random.Random(seed).shuffle(drawn)
    highest = max(attempt.reward for attempt in drawn)
    best = [attempt for attempt in drawn if attempt.reward == highest]
    worse = sorted((attempt for attempt in drawn if attempt.reward < highest), key=lambda attempt: attempt.reward)
    return [Pair(*both) for both in zip(cycle(best), worse[:count], strict=False)]


def _example(pair: Pair, format: ChatFormat, instructions: str, tries: Mapping[str, Sequence[bool]]) -> Example | None:
    preferred = _side(pair.preferred, pair.start, pair.preferred_end, format, instructions)
    rejected = _side(pair.rejected, pair.start, pair.rejected_end, format, instructions)
    if preferred is None or rejected is None:
        return None
    at = f"@{pair.start}" if pair.of_actions else ""
    return Example(
        id=f"{pair.preferred.id}#pair{at}#{pair.rejected.id}",
        messages=preferred.messages,
        rejected=rejected.messages,
        task=preferred.task,
        source="pair",
        trajectory=pair.preferred.id,
        states=preferred.states,
        info=facts(pair.preferred, tries)
        | {
            "rejected": pair.rejected.id,
            "rejected_states": [*rejected.states],
            "rewards": [pair.preferred.reward, pair.rejected.reward],
        },
    )


def _side(trajectory: Trajectory, start: int, end: int | None, format: ChatFormat, instructions: str) -> Example | None:
    """Return one side, up to where its prompts lose their beginning; None if no turn gets loss."""
    learned = range(len(trajectory.steps))[start:end]
    weights = [float(index in learned) for index in range(len(trajectory.steps))]
    examples = format.examples(trajectory, weights, instructions, "pair")
    return examples[0] if examples else None
