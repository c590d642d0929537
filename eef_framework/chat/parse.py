"""Reading an action from whatever a language model answers. Never raises: an answer without an action is data too."""

from __future__ import annotations

import re
from collections.abc import Iterator

from eef_framework.records import Observation, Record

_LABEL = r"action[ \t]*(?:\d+[ \t]*)?[*_]*[ \t]*:[*_ \t]*"
_LABEL_ON_ITS_LINE = re.compile(rf"^[ \t>*_#-]*{_LABEL}", re.IGNORECASE | re.MULTILINE)
_LABEL_ANYWHERE = re.compile(rf"\b{_LABEL}", re.IGNORECASE)
_INVENTED = re.compile(r"^[ \t>*_#-]*observation[ \t]*(?:\d+[ \t]*)?[*_]*[ \t]*:", re.IGNORECASE | re.MULTILINE)
_THOUGHT = re.compile(r"^[\s>*_#-]*thought[ \t]*(?:\d+[ \t]*)?[*_]*[ \t]*:[*_ \t]*", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*$", re.MULTILINE)
_BRACKETS = re.compile(r"^([^\[\]\n]*?)\s*\[\s*(.*?)\s*\]$", re.DOTALL)
_QUOTES = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "*": "*"}


class Answer(Record):
    """What an answer says."""

    action: str
    """The action; the whole answer where none was found."""
    thought: str = ""
    parsed: bool = True
    """Whether an action was found."""


def parse_answer(text: str, observation: Observation, *, labelled: bool) -> Answer:
    """Read thought and action from an answer.

    The action is the first line behind the last `Action:`. Code fences, quotes and spaces inside brackets are
    dropped; an action that is admissible but for case and spaces gets its admissible spelling.

    Args:
        text: the answer, without its stop token.
        observation: the state it answers, with the admissible actions where they are known.
        labelled: whether an answer should have the label `Action:`. One without it then counts only if it is
            an admissible action.
    """
    if observation.actions and text in observation.actions:
        return Answer(action=text)
    thought, found = _split(text, anywhere=labelled)
    line = _first_line(text if found is None else found)
    for candidate in _candidates(line):
        spelling = _admissible(candidate, observation)
        if spelling is not None:
            return Answer(action=spelling, thought=thought)
    if not line or (labelled and found is None):
        return Answer(action=text, parsed=False)
    return Answer(action=_tidy(line), thought=thought)


def _split(text: str, *, anywhere: bool) -> tuple[str, str | None]:
    """Return what comes before and behind the last label that has something behind it (None without a label)."""
    for part in _turns(text):
        for label in (_LABEL_ON_ITS_LINE, _LABEL_ANYWHERE) if anywhere else (_LABEL_ON_ITS_LINE,):
            for match in reversed(list(label.finditer(part))):
                if _first_line(part[match.end() :]):
                    return _thought(part[: match.start()]), part[match.end() :]
    return "", None


def _thought(text: str) -> str:
    return _THOUGHT.sub("", _FENCE.sub("", text)).strip()


def _turns(text: str) -> Iterator[str]:
    """Yield the answer up to the first observation that the model made up itself, then the whole answer."""
    invented = [match.start() for match in _INVENTED.finditer(text)]
    if invented:
        yield text[: invented[0]]
    yield text


def _first_line(text: str) -> str:
    lines = (_unquote(line) for line in re.split(r"[\r\n]", _FENCE.sub("", text)))
    return next((line for line in lines if line), "")


def _unquote(text: str) -> str:
    text = text.strip()
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = text[1:-1].strip()
    return "" if text in _QUOTES else text


def _candidates(line: str) -> Iterator[str]:
    """Yield readings of a line, the most literal first."""
    yield line
    yield _unquote(line.rstrip(".!;, \t"))
    if "]" in line:
        yield line[: line.rindex("]") + 1]
        yield line[: line.index("]") + 1]


def _key(text: str) -> str:
    return "".join(text.split()).casefold()


def _admissible(candidate: str, observation: Observation) -> str | None:
    """Return the admissible spelling of an action, or None if it isn't known to be admissible."""
    actions = observation.actions or ()
    if candidate in actions:
        return candidate
    key = _key(candidate)
    for action in actions:
        if key and _key(action) == key:
            return action
    return _free(candidate, observation)


def _free(candidate: str, observation: Observation) -> str | None:
    for form in observation.free:
        pattern = rf"\s*{_loose(form.prefix)}\s*(.*?\S)\s*{_loose(form.suffix)}\s*"
        match = re.fullmatch(pattern, candidate, re.IGNORECASE | re.DOTALL)
        if match:
            return f"{form.prefix}{match[1]}{form.suffix}"
    return None


def _loose(text: str) -> str:
    """Return a pattern for a text with spaces anywhere between words and signs, and somewhere between words."""
    parts = re.findall(r"\w+|\s+|[^\w\s]", text)
    return r"\s*".join(r"\s" if part.isspace() else re.escape(part) for part in parts)


def _tidy(line: str) -> str:
    match = _BRACKETS.match(line)
    return f"{match[1].strip()}[{match[2]}]" if match else line
