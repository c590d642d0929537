"""Parses actions from the answers of language models. Never raises: an answer without an action is data too.

An action is accepted only if it is certain: it is admissible except for its spelling, or it has a label. Of several
actions the first counts, since the others were made up without an observation in between. Runs in linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

from eef_framework.chat.reasoning import Block, reasoning, without
from eef_framework.chat.spelling import admissible, plain, tidy
from eef_framework.records import Observation

_ACTIONS = "action|动作|動作|行动|行動|操作|アクション|행동|동작|acción|ação|azione|aktion|действие"
_THOUGHTS = (
    "thoughts?|thinking|reasoning|思考|想法|思路|推理|思维|思維|考え|생각|pensamiento|pensamento|pensée|pensiero|gedanke"
    "|мысль"
)
_OBSERVATIONS = "observations?|观察结果|观察|觀察|観察|관찰|observación|observação|osservazione|beobachtung|наблюдение"
_INPUTS = rf"(?:{_ACTIONS})[ \t_]?(?:inputs?|输入|輸入|入力|입력)"
_WRAPPERS = r"</?(?:answer|response|output|solution|final_answer|turn|s)>|<\|[^|<>\n]{1,40}\|>"
_NUMBER = r"(?:[#(\[]?\d{1,6}[)\]]?[ \t]*+)?"
_LABEL = re.compile(
    rf"^(?P<before>(?:[ \t>*_#-]|{_WRAPPERS})*+(?:\d{{1,3}}[.)][ \t]*+)?[*_]*+)"
    r"(?:(?:next|final|my|the|chosen|selected|best|current)[ \t]++)?"
    rf"(?:(?P<input>{_INPUTS})|(?P<action>{_ACTIONS})|(?P<thought>{_THOUGHTS})|(?P<observation>{_OBSERVATIONS}))"
    rf"[ \t]*+{_NUMBER}(?:(?P<colon>[*_]*+[ \t]*+:[*_ \t]*+)|(?P<alone>[*_#]*+)[ \t]*+$)"
    rf"|<(?:(?P<input_tag>{_INPUTS})|(?P<action_tag>act|{_ACTIONS})|(?P<observation_tag>{_OBSERVATIONS}))>",
    re.IGNORECASE | re.MULTILINE,
)
_WITHIN_LINE = re.compile(
    rf"(?=[aA动動行操アД행동д])(?<![a-z])(?:{_ACTIONS})[ \t]*+{_NUMBER}[*_]*+[ \t]*+:[*_ \t]*+", re.IGNORECASE
)
_THOUGHT = re.compile(
    rf"[\s>*_#-]*+(?:\d{{1,3}}[.)][ \t]*+)?[*_]*+(?:{_THOUGHTS})[ \t]*+{_NUMBER}"
    r"(?:[*_]*+[ \t]*+:[*_ \t]*+|[*_#]*+[ \t]*+\n)",
    re.IGNORECASE,
)
_THOUGHT_TAG = re.compile(r"</?\s?thoughts?(?:\s[^<>\n]{0,100})?>|" + _WRAPPERS, re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*+```[\w-]*+[ \t]*+$", re.MULTILINE)
_MARK = re.compile(rf"{_WRAPPERS}|</(?:{_INPUTS}|act|{_ACTIONS})>", re.IGNORECASE)
_MARKS = re.compile(rf"(?:\s|{_WRAPPERS})*+", re.IGNORECASE)
_LONGEST_MARK = 44
_REST = re.compile(
    rf"(?:[\s`\"'“”‘’「」*_.!;,…。！；，}})\]】］）]|```\w*+|{_WRAPPERS}|</?[^\W\d]\w{{0,20}}>)*+\Z", re.IGNORECASE
)
_PLACEHOLDER = re.compile(
    r"[.…\s]*+|[|>][+-]?|<[^<>]*+>|\[(?:the |your |my )?(?:next )?action[^\[\]]*+\]", re.IGNORECASE
)
_QUOTES = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "*": "*"}
_PUNCTUATION = ".!;,。！；， \t"
_ACTION_KEY = re.compile(rf'"(?:{_ACTIONS})"\s*+:', re.IGNORECASE)
_THOUGHT_KEY = re.compile(rf'"(?:{_THOUGHTS})"\s*+:', re.IGNORECASE)
_STRUCTURE = re.compile(r"[{<]\s*+[\"'/\w]|\{\s*+$|\[\s*+\{", re.MULTILINE)
_LINE = re.compile(r"[^\n]++")
_OBJECT = re.compile(r"^[ \t]*+\{", re.MULTILINE)
_BRACKETED = re.compile(r"[^\W\d]\w{0,30}[ \t]?\[")
_FILLER = re.compile(
    "i|we|you|ll|d|m|will|would|should|shall|must|want|need|am|are|is|be|going|to|let|me|us|s|now|next|then|so|first"
    "|please|the|best|my|action|take|do|use|try|perform|execute|choose|and|ok|okay|therefore|thus"
)
"""Phrases that introduce an action."""
_LABELS_TRIED = 8
"""Maximum number of labels within lines to try; more occur only in answers that loop."""
_LONGEST_SENTENCE = 500
"""Longest line searched for an action among other words, in characters."""


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


class _Found(NamedTuple):
    """An action and its position, label included."""

    action: str
    start: int
    end: int
    thought: str | None = None
    """The thought given with it rather than before it."""


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
    reader = _Reader(without(text, blocks), without(whole, blocks), observation)
    # Text before reasoning that never ends may be anything.
    found = reader.find(labelled or any(not block.closed for block in blocks))
    if found is None:
        return Answer(text, parsed=False, reasoning=spans)
    start = _turn_start(whole, reader.labels, blocks, found.start)
    end = len(text) if _REST.match(whole, found.end) else found.end
    thinks = any(start <= block.start < found.start for block in blocks)
    before = Span(start, found.start) if thinks or not _REST.match(whole[start : found.start]) else None
    thought = _thought(text[slice(*before)]) if before and found.thought is None else found.thought or ""
    return Answer(
        found.action,
        thought.strip(),
        action_span=Span(found.start if before else start, end),
        thought_span=before,
        reasoning=spans,
    )


def _turn_start(text: str, labels: list[re.Match[str]], blocks: list[Block], end: int) -> int:
    """Return where a turn starts: after reasoning, and after an observation that was made up before it."""
    # Text marked as a thought is the turn's thought, unless another is labelled as one.
    thought = max((label.start() for label in labels if label.start() < end and _kind(label) == "thought"), default=0)
    before_it = (block.end for block in blocks if block.end <= (thought if block.thought else end))
    start = max(before_it, default=0)
    before = [label for label in labels if start <= label.start() < end]
    made_up = max((n for n, label in enumerate(before) if _kind(label) == "observation"), default=None)
    if made_up is not None:
        start = next((label.start() for label in before[made_up:] if _kind(label) == "thought"), end)
    return start + len(text[start:end]) - len(text[start:end].lstrip()) if start else 0


def _thought(text: str) -> str:
    text = _THOUGHT_TAG.sub("", _FENCE.sub("", text)).strip()
    labelled = _THOUGHT.match(plain(text))
    return text[labelled.end() if labelled else 0 :].strip()


def _kind(label: re.Match[str]) -> str:
    kinds = ("input", "action", "thought", "observation")
    return next(kind for kind in kinds if label[kind] or (kind != "thought" and label[f"{kind}_tag"]))


def _is_clear(label: re.Match[str]) -> bool:
    """Return whether a label is unambiguous: with a colon, as a heading, in bold or as a tag."""
    marked = label["alone"] is not None and (
        "#" in label["before"] or ("**" in label["before"] and "**" in label["alone"])
    )
    return bool(label["colon"]) or label["alone"] is None or marked


class _Reader:
    """Finds the action in an answer.

    Args:
        text: the answer without reasoning.
        simple: the same, as normalised by `plain`; all searches use it.
        observation: the state it answers.
    """

    def __init__(self, text: str, simple: str, observation: Observation) -> None:
        self.text = text
        self.simple = _FENCE.sub(lambda fence: " " * len(fence[0]), simple)
        self.observation = observation
        self.labels = list(_LABEL.finditer(self.simple))

    def find(self, labelled: bool) -> _Found | None:
        """Return the first action that is certain; None if there is none."""
        first = next(self._lines(0, len(self.simple)), None)
        if first is None:
            return None
        if not labelled and (found := self._admissible(*first)):
            return found
        ways = (self._object(), self._behind_a_label(), self._within_a_line() if labelled else (), self._alone(first))
        for found in chain.from_iterable(ways):
            return found
        marks = _MARKS.match(self.simple)
        return None if labelled or not marks or self._is_structure(marks.end()) else self._worded(*first)

    # Each strategy yields an action, or None if its match isn't certain and no other strategy may be tried.

    def _object(self) -> Iterator[_Found | None]:
        """Read the first JSON object, if it comes before the first label."""
        opening = _OBJECT.search(self.simple)
        labels = (label.start() for label in self.labels if _kind(label) == "action" and _is_clear(label))
        if opening and opening.start() < next(labels, len(self.simple)):
            said = self._json(opening.end() - 1)
            if said and (said[0] or not self.simple[: opening.start()].strip()):
                yield said[0]

    def _json(self, start: int) -> tuple[_Found | None, int] | None:
        """Return the action of the JSON object that starts at a position, and the end of the object."""
        try:
            said, end = json.JSONDecoder(object_pairs_hook=_unique, strict=False).raw_decode(self.text, start)
        except (ValueError, RecursionError):
            return None
        fields = {key.casefold(): value for key, value in said.items()} if isinstance(said, dict) else {}
        thoughts = [fields[key] for key in fields if re.fullmatch(_THOUGHTS, key)]
        actions = [fields[key] for key in fields if re.fullmatch(_ACTIONS, key)]
        inputs = [fields[key] for key in fields if re.fullmatch(_INPUTS, key)]
        action = self._spelt(actions[0] if len(actions) == 1 else fields, inputs)
        if action is None:
            return None, end
        thought = thoughts[0] if thoughts and isinstance(thoughts[0], str) else None
        # A thought that comes first isn't part of the action. If it comes later, the object is one piece.
        thinks, acts = (key.search(self.text, start, end) for key in (_THOUGHT_KEY, _ACTION_KEY))
        first = acts.start() if thinks and acts and thinks.start() < acts.start() else start
        return _Found(action, first, end, thought), end

    def _spelt(self, action: Any, inputs: list[Any]) -> str | None:
        """Return the action that a field of an object means, if that is certain."""
        if isinstance(action, str) and not inputs:
            line = next(iter(action.strip().splitlines()), "")
            found = admissible(line, self.observation)
            if found:
                return found[0]
            return tidy(line) if line and not _PLACEHOLDER.fullmatch(line[:200]) else None
        if isinstance(action, dict):
            names = [action[key] for key in ("name", "type", "action", "tool") if isinstance(action.get(key), str)]
            others = [value for key, value in action.items() if key not in ("name", "type", "action", "tool")]
            action, inputs = names[0] if len(names) == 1 else None, others
        return self._combined(action, inputs[0]) if isinstance(action, str) and len(inputs) == 1 else None

    def _combined(self, name: str, argument: Any) -> str | None:
        """Return the admissible action that a name and its argument mean, if there is one."""
        if isinstance(argument, str) and argument.lstrip().startswith("{"):
            try:
                argument = json.loads(argument, strict=False)
            except (ValueError, RecursionError):
                return None
        while isinstance(argument, dict) and len(argument) == 1:
            argument = next(iter(argument.values()))
        if not isinstance(argument, str | int) or isinstance(argument, bool):
            return None
        wordings = (name, f"{name}[{argument}]", f"{name} {argument}", f"{name}({argument})")
        found = (admissible(wording, self.observation) for wording in wordings)
        return next((each[0] for each in found if each), None)

    def _behind_a_label(self) -> Iterator[_Found | None]:
        """Read the text after the first label that has text after it."""
        for number, label in enumerate(self.labels):
            following = self.labels[number + 1] if number + 1 < len(self.labels) else None
            end = following.start() if following else len(self.simple)
            line = next(self._lines(label.end(), end), None) if _kind(label) == "action" else None
            if line is None:
                continue
            if "*" in (label["before"] or ""):  # `**Action: go**` is bold as a whole
                line = line[0], line[0] + len(self.simple[slice(*line)].rstrip("* "))
            if following and _kind(following) == "input":
                found = self._admissible(*line) or self._with_input(line, number + 1)
            else:
                found = self._read(*line)
                if found is None and _is_clear(label) and not self._is_structure(line[0]):
                    found = self._worded(*line)
            if found or _is_clear(label):
                yield found._replace(start=label.start()) if found else None

    def _with_input(self, line: tuple[int, int], number: int) -> _Found | None:
        """Return the action of `Action: name` and `Action Input: argument`, given the name and the second label."""
        start = self.labels[number].end()
        end = self.labels[number + 1].start() if number + 1 < len(self.labels) else len(self.simple)
        given = next(self._lines(start, end), None)
        if given and self.simple.startswith("{", given[0]) and (said := self._json(given[0])):
            given = given[0], said[1]
        action = self._combined(tidy(self.text[slice(*line)]), self.text[slice(*given)]) if given else None
        return _Found(action, line[0], given[1]) if action and given else None

    def _within_a_line(self) -> Iterator[_Found]:
        """Read the text after a label that follows other words; of several, only an admissible one."""
        labels = list(islice(_WITHIN_LINE.finditer(self.simple), _LABELS_TRIED))
        worded: list[_Found] = []
        for label in labels:
            line = next(self._lines(label.end(), len(self.simple)), None)
            if line is None:
                continue
            if found := self._read(*line):
                yield found._replace(start=label.start())
            worded.append(self._worded(*line)._replace(start=label.start()))
        if len(labels) == 1:
            yield from worded

    def _alone(self, first: tuple[int, int]) -> Iterator[_Found]:
        """Read the first line if it is admissible, or the last one if it is and no other line is."""
        if found := self._admissible(*first):
            yield found
        lines = [line for line in self._lines(first[1], len(self.simple)) if line[1] - line[0] <= _LONGEST_SENTENCE]
        found = self._exactly(*lines[-1]) if lines else None
        if found and not any(self._exactly(*line) for line in lines[:-1]):
            yield found

    def _read(self, start: int, end: int) -> _Found | None:
        """Return the action after a label, if it is certain by itself."""
        if self.simple.startswith("{", start) and (said := self._json(start)):
            return said[0]
        return self._admissible(start, end) or self._in_a_sentence(start, end)

    def _exactly(self, start: int, end: int) -> _Found | None:
        """Return the action if the whole line is one, and not a form that begins like any sentence."""
        found = admissible(self.text[start:end], self.observation)
        listed = found and (found[0] in (self.observation.actions or ()) or found[0].endswith("]"))
        return _Found(found[0], start, end) if found and listed and found[1] == end - start else None

    def _admissible(self, start: int, end: int) -> _Found | None:
        """Return the action that a line is or begins with."""
        for first, last in self._readings(start, end):
            if found := admissible(self.text[first:last], self.observation):
                return _Found(found[0], start, first + found[1])
        return None

    def _readings(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield parts of a line that may be the action, the most literal first."""
        yield start, end
        yield self._trimmed(start, start + len(self.simple[start:end].rstrip(_PUNCTUATION)))
        if "]" in self.simple[start:end]:
            yield start, self.simple.rindex("]", start, end) + 1
            yield start, self.simple.index("]", start, end) + 1

    def _in_a_sentence(self, start: int, end: int) -> _Found | None:
        """Return the action in a line that contains nothing else, such as `I will click[buy now]`."""
        line = self.simple[start:end]
        if len(line) > _LONGEST_SENTENCE:
            return None
        found = [match.start() for match in _BRACKETED.finditer(line)]
        words = re.findall(r"\w+", line[: found[0]].casefold()) if found else []
        if not words or not all(map(_FILLER.fullmatch, words)):
            return None
        action = self._admissible(start + found[0], end)
        return action if action and not any(start + place >= action.end for place in found) else None

    def _worded(self, start: int, end: int) -> _Found:
        return _Found(tidy(self.text[start:end]), start, end)

    def _is_structure(self, start: int) -> bool:
        """Return whether a line begins JSON or markup that couldn't be parsed, rather than an action."""
        return _STRUCTURE.match(self.simple, start) is not None

    def _lines(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the non-empty lines, without quotes and marks around them."""
        for line in _LINE.finditer(self.simple, start, end):
            first, last = self._trimmed(line.start(), line.end())
            if first < last and not (
                last - first < 200
                and _PLACEHOLDER.fullmatch(self.simple, first, last)
                and self.text[first:last] not in (self.observation.actions or ())
            ):
                yield first, last

    def _trimmed(self, start: int, end: int) -> tuple[int, int]:
        """Return a part without spaces, quotes and marks around it; nothing if there is nothing else."""
        text = self.simple
        while start < end:
            if text[start].isspace():
                start += 1
            elif text[end - 1].isspace():
                end -= 1
            elif text[start] == "<" and (mark := _MARK.match(text, start, end)):
                start = mark.end()
            elif text[end - 1] == ">" and (cut := self._mark_before(start, end)) is not None:
                end = cut
            elif end - start > 1 and _QUOTES.get(text[start]) == text[end - 1]:
                start, end = start + 1, end - 1
            elif text.startswith("\\boxed{", start) and text[end - 1] == "}":
                start, end = start + len("\\boxed{"), end - 1
            else:
                break
        return (start, end) if end - start > 1 or text[start:end] not in _QUOTES else (end, end)

    def _mark_before(self, start: int, end: int) -> int | None:
        place = self.simple.rfind("<", max(start, end - _LONGEST_MARK), end)
        return place if place >= 0 and _MARK.fullmatch(self.simple, place, end) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; reject duplicate keys, which are ambiguous."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found
