"""The text of an answer: its lines, and the actions that lines are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from eef_framework.chat.answer_patterns import (
    FENCE,
    LINE,
    LONGEST_MARK,
    MARK,
    PLACEHOLDER,
    PUNCTUATION,
    QUOTES,
    STRUCTURE,
)
from eef_framework.chat.spelling import admissible, tidy
from eef_framework.records import Observation


class FoundAction(NamedTuple):
    """An action and its position, label included."""

    action: str
    start: int
    end: int
    thought: str | None = None
    """The thought in the same object, instead of before the action."""


class AnswerText:
    """The text of an answer.

    Args:
        text: the answer without reasoning.
        simple: the same, as normalised by `plain`; all searches use it.
        observation: the state it answers.
    """

    def __init__(self, text: str, simple: str, observation: Observation) -> None:
        self.text = text
        self.simple = FENCE.sub(lambda fence: " " * len(fence[0]), simple)
        self.observation = observation

    def lines(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the non-empty lines, without quotes and marks around them."""
        for line in LINE.finditer(self.simple, start, end):
            first, last = self.trimmed(line.start(), line.end())
            if first < last and not (
                last - first < 200
                and PLACEHOLDER.fullmatch(self.simple, first, last)
                and self.text[first:last] not in (self.observation.actions or ())
            ):
                yield first, last

    def trimmed(self, start: int, end: int) -> tuple[int, int]:
        """Return a part without spaces, quotes and marks around it; nothing if there is nothing else."""
        text = self.simple
        while start < end:
            if text[start].isspace():
                start += 1
            elif text[end - 1].isspace():
                end -= 1
            elif text[start] == "<" and (mark := MARK.match(text, start, end)):
                start = mark.end()
            elif text[end - 1] == ">" and (cut := self._mark_before(start, end)) is not None:
                end = cut
            elif end - start > 1 and QUOTES.get(text[start]) == text[end - 1]:
                start, end = start + 1, end - 1
            elif text.startswith("\\boxed{", start) and text[end - 1] == "}":
                start, end = start + len("\\boxed{"), end - 1
            else:
                break
        return (start, end) if end - start > 1 or text[start:end] not in QUOTES else (end, end)

    def _mark_before(self, start: int, end: int) -> int | None:
        place = self.simple.rfind("<", max(start, end - LONGEST_MARK), end)
        return place if place >= 0 and MARK.fullmatch(self.simple, place, end) else None

    def admissible(self, start: int, end: int) -> FoundAction | None:
        """Return the action that a line is or begins with."""
        for first, last in self._readings(start, end):
            if found := admissible(self.text[first:last], self.observation):
                return FoundAction(found[0], start, first + found[1])
        return None

    def _readings(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield parts of a line that may be the action, the most literal first."""
        yield start, end
        yield self.trimmed(start, start + len(self.simple[start:end].rstrip(PUNCTUATION)))
        if "]" in self.simple[start:end]:
            yield start, self.simple.rindex("]", start, end) + 1
            yield start, self.simple.index("]", start, end) + 1

    def exactly(self, start: int, end: int) -> FoundAction | None:
        """Return the action if the whole line is one, and not a form that begins like any sentence."""
        found = admissible(self.text[start:end], self.observation)
        listed = found and (found[0] in (self.observation.actions or ()) or found[0].endswith("]"))
        return FoundAction(found[0], start, end) if found and listed and found[1] == end - start else None

    def as_action(self, start: int, end: int) -> FoundAction:
        """Return a line as an action, without any check."""
        return FoundAction(tidy(self.text[start:end]), start, end)

    def is_structure(self, start: int) -> bool:
        """Return whether a line begins JSON or markup that couldn't be parsed, rather than an action."""
        return STRUCTURE.match(self.simple, start) is not None
