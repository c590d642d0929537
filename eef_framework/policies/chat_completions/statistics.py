"""Statistics of a run's answers: how many had no text or unknown costs."""

from __future__ import annotations

import warnings
from collections import Counter

from eef_framework.errors import EefWarning
from eef_framework.policies.chat_completions.answer import WithoutText

_WHY: dict[WithoutText, tuple[str, str]] = {
    "reasoning-used-the-budget": (
        "the reasoning used up max_tokens",
        "Raise max_tokens, or have the model reason less, such as with extra: {reasoning_effort: low}.",
    ),
    "stopped-within-reasoning": (
        "a text of the setting stop ended the answer within its reasoning, or the model ended there",
        "Set stop to [].",
    ),
    "refusal": ("the model refused", "Rephrase the instructions, or use another model."),
    "no-text": ("the model said nothing", "Check that the server applies the model's chat template."),
}


class AnswerStatistics:
    """Counts answers, those without text by reason, and those with unknown costs."""

    def __init__(self) -> None:
        self._answers = self._unknown = 0
        self._why: Counter[WithoutText] = Counter()

    def add(self, why: WithoutText | None, counted: bool) -> None:
        """Count an answer.

        Args:
            why: why it has no text, if it has none.
            counted: whether its tokens are known.
        """
        self._answers += 1
        self._unknown += not counted
        if why:
            self._why[why] += 1

    def warn(self, model: str, endpoint: str) -> None:
        """Warn of answers without text (if there are many, with a fix), and of unknown costs."""
        self._tell_without_text(model, endpoint)
        if self._unknown:
            warnings.warn(
                EefWarning(
                    f"{self._unknown} of {self._answers} answers of {model!r} at {endpoint} came without plausible "
                    "token counts: their cost is unknown, and isn't included in the costs",
                    code="unknown-costs",
                    answers=self._answers,
                    unknown=self._unknown,
                ),
                stacklevel=3,
            )

    def _tell_without_text(self, model: str, endpoint: str) -> None:
        silent = self._why.total()
        if not silent:
            return
        reasons = ", ".join(f"{_WHY[why][0]} ({count})" for why, count in self._why.most_common())
        advice = f". {_WHY[self._why.most_common(1)[0][0]][1]}" if 2 * silent >= self._answers else ""
        warnings.warn(
            EefWarning(
                f"{silent} of {self._answers} answers of {model!r} at {endpoint} had no text: {reasons}{advice}",
                code="answers-without-text",
                answers=self._answers,
                reasons=dict(self._why),
                advised=bool(advice),
            ),
            stacklevel=4,
        )
