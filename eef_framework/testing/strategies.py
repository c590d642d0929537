"""Hypothesis strategies for records. Requires hypothesis."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from eef_framework.records import (
    Attribution,
    Example,
    FreeText,
    Message,
    Observation,
    Origin,
    Probe,
    Response,
    Segment,
    Step,
    Task,
    Trajectory,
    Verdict,
)

names: SearchStrategy[str] = st.text(st.characters(categories=["L", "N"], include_characters="-_/#"), min_size=1)
"""Ids and names."""

texts: SearchStrategy[str] = st.text(max_size=60)
"""Any Unicode text that can be written to a file."""

numbers: SearchStrategy[float] = st.floats(allow_nan=False, allow_infinity=False)


def infos() -> SearchStrategy[dict[str, Any]]:
    """Draw free-form data of plugins."""
    scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | numbers | texts
    values = st.recursive(
        scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=5
    )
    return st.dictionaries(texts, values, max_size=3)


def tasks() -> SearchStrategy[Task]:
    """Draw tasks."""
    splits = st.sampled_from(["train", "dev", "test"])
    return st.builds(Task, id=names, environment=names, split=splits, kind=texts, instruction=texts, info=infos())


def observations() -> SearchStrategy[Observation]:
    """Draw observations, with and without admissible actions."""
    actions = st.none() | st.lists(texts, max_size=4).map(tuple)
    forms = st.lists(st.builds(FreeText, prefix=texts, suffix=texts), max_size=2).map(tuple)
    return st.builds(Observation, text=texts, actions=actions, free=forms)


def responses() -> SearchStrategy[Response]:
    """Draw responses, with and without their sampled tokens."""
    tokens = st.none() | st.lists(st.integers(0, 200_000), max_size=6).map(tuple)
    return st.builds(Response, text=texts, token_ids=tokens, thought=texts, parsed=st.booleans())


def steps() -> SearchStrategy[Step]:
    """Draw steps that don't end an episode."""
    return st.builds(
        Step,
        action=texts,
        observation=observations(),
        reward=numbers,
        valid=st.booleans(),
        response=st.none() | responses(),
        info=infos(),
    )


@st.composite
def trajectories(draw: DrawFn, max_steps: int = 6) -> Trajectory:
    """Draw valid trajectories: only the last step ends the episode, and an origin's state is within it."""
    taken = draw(st.lists(steps(), max_size=max_steps))
    ending = draw(st.sampled_from(["terminated", "truncated", "step-limit", "time-limit", "gave-up", "error"]))
    if taken and ending in ("terminated", "truncated"):
        taken[-1] = taken[-1].changed(**{ending: True})
    origins = st.builds(Origin, trajectory=names, state=st.integers(0, len(taken)))
    return Trajectory(
        id=draw(names),
        task=draw(tasks()),
        actor=draw(names),
        seed=draw(st.integers(0, 2**63 - 1)),
        origin=draw(st.none() | origins),
        initial=draw(observations()),
        steps=tuple(taken),
        reward=draw(st.floats(0, 1)),
        ending=ending,
        error=draw(texts) if ending == "error" else "",
        seconds=draw(st.floats(0, 1e6)),
        info=draw(infos()),
    )


@st.composite
def attributions(draw: DrawFn, max_length: int = 12) -> Attribution:
    """Draw attributions: segments in order, with gaps between some of them."""
    length = draw(st.integers(0, max_length))
    cuts = sorted(draw(st.sets(st.integers(0, length))))
    kept = [pair for pair in itertools.pairwise(cuts) if draw(st.booleans())]
    probes = st.builds(Probe, state=st.integers(0, length), simulations=st.lists(names, max_size=3).map(tuple))
    return Attribution(
        trajectory=draw(names),
        length=length,
        segments=tuple(
            Segment(start=start, end=end, verdict=draw(st.sampled_from(Verdict)), reason=draw(texts))
            for start, end in kept
        ),
        probes=tuple(sorted(draw(st.lists(probes, max_size=4)), key=lambda probe: probe.state)),
        method=draw(names),
        error=draw(texts),
        info=draw(infos()),
    )


@st.composite
def conversations(draw: DrawFn, max_turns: int = 4) -> tuple[Message, ...]:
    """Draw conversations: an optional system message, then alternating user and assistant turns, some weighted."""
    messages = [Message(role="system", content=draw(texts))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, max_turns))):
        messages.append(Message(role="user", content=draw(texts)))
        messages.append(Message(role="assistant", content=draw(texts), weight=draw(st.sampled_from([0.0, 0.5, 1.0]))))
    return tuple(messages)


def examples() -> SearchStrategy[Example]:
    """Draw training examples, some without a weight."""
    return st.builds(
        Example,
        id=names,
        messages=conversations(),
        rejected=st.just(()) | conversations(),
        task=names,
        source=names,
        trajectory=names,
        info=infos(),
    )
