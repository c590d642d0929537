"""Searches an answer for its action, in the ways that models write it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice

from eef_framework.chat.answer_patterns import (
    BRACKETED,
    FILLER,
    LABEL,
    LABELS_TRIED,
    LONGEST_SENTENCE,
    MARKS,
    OBJECT,
    WITHIN_LINE,
    is_clear,
    kind_of,
)
from eef_framework.chat.answer_text import AnswerText, FoundAction
from eef_framework.chat.json_answers import combined, json_action
from eef_framework.chat.spelling import tidy
from eef_framework.records import Observation


class ActionSearch(AnswerText):
    """Finds the action in an answer.

    Args:
        text: the answer without reasoning.
        simple: the same, as normalised by `plain`; all searches use it.
        observation: the state it answers.
    """

    def __init__(self, text: str, simple: str, observation: Observation) -> None:
        super().__init__(text, simple, observation)
        self.labels = list(LABEL.finditer(self.simple))

    def find(self, labelled: bool) -> FoundAction | None:
        """Return the first action that is certain; None if there is none."""
        first = next(self.lines(0, len(self.simple)), None)
        if first is None:
            return None
        if not labelled and (found := self.admissible(*first)):
            return found
        ways = (self._object(), self._after_a_label(), self._within_a_line() if labelled else (), self._alone(first))
        for found in chain.from_iterable(ways):
            return found
        marks = MARKS.match(self.simple)
        return None if labelled or not marks or self.is_structure(marks.end()) else self.as_action(*first)

    # Each strategy yields an action, or None if its match isn't certain and no other strategy may be tried.

    def _object(self) -> Iterator[FoundAction | None]:
        """Read the first JSON object, if it comes before the first label."""
        opening = OBJECT.search(self.simple)
        labels = (label.start() for label in self.labels if kind_of(label) == "action" and is_clear(label))
        if opening and opening.start() < next(labels, len(self.simple)):
            parsed = json_action(self, opening.end() - 1)
            if parsed and (parsed[0] or not self.simple[: opening.start()].strip()):
                yield parsed[0]

    def _after_a_label(self) -> Iterator[FoundAction | None]:
        """Read the text after the first label that has text after it."""
        for number, label in enumerate(self.labels):
            following = self.labels[number + 1] if number + 1 < len(self.labels) else None
            end = following.start() if following else len(self.simple)
            line = next(self.lines(label.end(), end), None) if kind_of(label) == "action" else None
            if line is None:
                continue
            if "*" in (label["before"] or ""):  # `**Action: go**` is bold as a whole
                line = line[0], line[0] + len(self.simple[slice(*line)].rstrip("* "))
            if following and kind_of(following) == "input":
                found = self.admissible(*line) or self._with_input(line, number + 1)
            else:
                found = self._read(*line)
                if found is None and is_clear(label) and not self.is_structure(line[0]):
                    found = self.as_action(*line)
            if found or is_clear(label):
                yield found._replace(start=label.start()) if found else None

    def _with_input(self, line: tuple[int, int], number: int) -> FoundAction | None:
        """Return the action of `Action: name` and `Action Input: argument`, given the name and the second label."""
        start = self.labels[number].end()
        end = self.labels[number + 1].start() if number + 1 < len(self.labels) else len(self.simple)
        given = next(self.lines(start, end), None)
        if given and self.simple.startswith("{", given[0]) and (parsed := json_action(self, given[0])):
            given = given[0], parsed[1]
        action = combined(self, tidy(self.text[slice(*line)]), self.text[slice(*given)]) if given else None
        return FoundAction(action, line[0], given[1]) if action and given else None

    def _within_a_line(self) -> Iterator[FoundAction]:
        """Read the text after a label that follows other words; of several, only an admissible one."""
        labels = list(islice(WITHIN_LINE.finditer(self.simple), LABELS_TRIED))
        candidates: list[FoundAction] = []
        for label in labels:
            line = next(self.lines(label.end(), len(self.simple)), None)
            if line is None:
                continue
            if found := self._read(*line):
                yield found._replace(start=label.start())
            candidates.append(self.as_action(*line)._replace(start=label.start()))
        if len(labels) == 1:
            yield from candidates

    def _alone(self, first: tuple[int, int]) -> Iterator[FoundAction]:
        """Read the first line if it is admissible, or the last one if it is and no other line is."""
        if found := self.admissible(*first):
            yield found
        lines = [line for line in self.lines(first[1], len(self.simple)) if line[1] - line[0] <= LONGEST_SENTENCE]
        found = self.exactly(*lines[-1]) if lines else None
        if found and not any(self.exactly(*line) for line in lines[:-1]):
            yield found

    def _read(self, start: int, end: int) -> FoundAction | None:
        """Return the action after a label, if it is certain by itself."""
        if self.simple.startswith("{", start) and (parsed := json_action(self, start)):
            return parsed[0]
        return self.admissible(start, end) or self._in_a_sentence(start, end)

    def _in_a_sentence(self, start: int, end: int) -> FoundAction | None:
        """Return the action in a line that contains nothing else, such as `I will click[buy now]`."""
        line = self.simple[start:end]
        if len(line) > LONGEST_SENTENCE:
            return None
        found = [match.start() for match in BRACKETED.finditer(line)]
        words = re.findall(r"\w+", line[: found[0]].casefold()) if found else []
        if not words or not all(map(FILLER.fullmatch, words)):
            return None
        action = self.admissible(start + found[0], end)
        return action if action and not any(start + place >= action.end for place in found) else None
