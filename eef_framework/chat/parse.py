"""Parses actions from the answers of language models. Never raises: an answer without an action is data too.

An action is accepted only if it is certain: it is admissible except for its spelling, or it has a label. If there
are several actions, the first counts: the model wrote the others without an observation in between. Runs in linear
time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from eef_framework.chat.action_search import ActionSearch
from eef_framework.chat.answer_patterns import FENCE, REST, THOUGHT, THOUGHT_TAG, kind_of
from eef_framework.chat.reasoning import Block, reasoning, without
from eef_framework.chat.spelling import admissible, plain
from eef_framework.chat.tool_calls import Call, action_of, find_calls, with_calls
from eef_framework.records import Observation, Tool


class Span(NamedTuple):
    """A part of an answer: `text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True)
class Answer:
    """Parsed answer, with positions.

    Attributes:
        action: the action; the whole answer if none was found.
        thought: the thought before it, without label. Reasoning such as `<think>...</think>` isn't part of it.
        parsed: whether an action was found.
        action_span: the action with its label and the marks around it; to the end of the answer if only such follow.
        thought_span: the thought with its label, without reasoning and observations made up before it.
        reasoning: spans of reasoning, marks included. No action is parsed from it.
    """

    action: str
    thought: str = ""
    parsed: bool = True
    action_span: Span | None = None
    thought_span: Span | None = None
    reasoning: tuple[Span, ...] = ()


def parse_answer(text: str, observation: Observation, *, labelled: bool) -> Answer:
    """Parse thought and action from an answer.

    Code fences, quotes and spaces inside brackets are dropped; an action that is admissible except for its spelling
    gets its admissible spelling.

    Args:
        text: the answer, without its stop token.
        observation: the state it answers, with the admissible actions if known.
        labelled: whether an answer should have the label `Action:`. One without it then counts only if it is
            an admissible action.
    """
    if observation.actions and text in observation.actions:
        return Answer(text, action_span=Span(0, len(text)))
    whole = plain(text)
    blocks = reasoning(whole)
    spans = tuple(Span(block.start, block.end) for block in blocks)
    search = ActionSearch(without(text, blocks), without(whole, blocks), observation)
    # Text before reasoning that never ends may be anything.
    found = search.find(labelled or any(not block.closed for block in blocks))
    if found is None:
        return Answer(text, parsed=False, reasoning=spans)
    start = _turn_start(whole, search.labels, blocks, found.start)
    end = len(text) if REST.match(whole, found.end) else found.end
    thinks = any(start <= block.start < found.start for block in blocks)
    before = Span(start, found.start) if thinks or not REST.match(whole[start : found.start]) else None
    thought = _thought(text[slice(*before)]) if before and found.thought is None else found.thought or ""
    return Answer(
        found.action,
        thought.strip(),
        action_span=Span(found.start if before else start, end),
        thought_span=before,
        reasoning=spans,
    )


def parse_tool_calls(text: str, observation: Observation, tools: Sequence[Tool] = ()) -> Answer | None:
    """Parse thought and action from an answer that calls a tool; None if it doesn't.

    A call of a declared tool, or of `act`, means the tool's action. Another call is the admissible action that its name
    and argument mean, if the observation lists the admissible actions; otherwise the calls themselves are the action,
    as text.

    Args:
        text: the answer, without its stop token.
        observation: the state it answers.
        tools: the declared tools.
    """
    blocks = reasoning(plain(text))
    body = without(text, blocks)  # of the same length
    found = find_calls(body)
    if found is None:
        return None
    before = max((block.end for block in blocks if block.end <= found.start), default=0)
    thought = body[before : found.start]
    start = before + len(thought) - len(thought.lstrip())
    action = _called(found.calls, observation, tools)
    # Calls after the first were written without an observation in between, unless all of them are the action.
    end = found.end if action == with_calls("", found.calls) else found.first_end
    return Answer(
        action,
        thought.strip(),
        action_span=Span(found.start, end if body[end:].strip() else len(text)),
        thought_span=Span(start, found.start) if thought.strip() else None,
        reasoning=tuple(Span(block.start, block.end) for block in blocks),
    )


def _called(calls: Sequence[Call], observation: Observation, tools: Sequence[Tool]) -> str:
    """Return the action that calls mean. Of several calls the first counts if the environment takes actions as text."""
    name, arguments = calls[0]
    if (action := action_of(calls[0], tools)) is not None:
        known = admissible(action, observation)
        return known[0] if known else action
    if observation.actions is None and not observation.free:
        return with_calls("", calls)
    values = ", ".join(map(str, arguments.values()))
    known = next(filter(None, (admissible(each.format(name, values), observation) for each in _WORDINGS)), None)
    return known[0] if known else f"{name}[{values}]" if arguments else name


_WORDINGS = ("{0}[{1}]", "{0} {1}", "{0}({1})", "{0}")


def _turn_start(text: str, labels: list[re.Match[str]], blocks: list[Block], end: int) -> int:
    """Return where a turn starts: after reasoning, and after an observation that was made up before it."""
    # Text marked as a thought is the turn's thought, unless another is labelled as one.
    thought = max((label.start() for label in labels if label.start() < end and kind_of(label) == "thought"), default=0)
    before_it = (block.end for block in blocks if block.end <= (thought if block.thought else end))
    start = max(before_it, default=0)
    before = [label for label in labels if start <= label.start() < end]
    made_up = max((n for n, label in enumerate(before) if kind_of(label) == "observation"), default=None)
    if made_up is not None:
        start = next((label.start() for label in before[made_up:] if kind_of(label) == "thought"), end)
    return start + len(text[start:end]) - len(text[start:end].lstrip()) if start else 0


def _thought(text: str) -> str:
    text = THOUGHT_TAG.sub("", FENCE.sub("", text)).strip()
    labelled = THOUGHT.match(plain(text))
    return text[labelled.end() if labelled else 0 :].strip()
