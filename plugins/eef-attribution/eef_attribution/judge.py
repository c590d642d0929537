"""A language model labels the steps."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import ClassVar

from eef_attribution.asking import AskingAttributor
from eef_attribution.spec import Spec
from eef_framework.interfaces import Simulate
from eef_framework.records import Evidence, Segment, StateValue, Trajectory, Verdict

LABELS = {
    "good": Verdict.BENEFICIAL,
    "recovery": Verdict.BENEFICIAL,
    "unnecessary": Verdict.NEUTRAL,
    "mistake": Verdict.HARMFUL,
}
"""Label -> verdict."""

QUESTION = """\
Task: {task}

{attempt}

{comparison}Label every step of {this} with one of:
good: it brings the agent closer to solving the task
unnecessary: it neither helps nor harms
mistake: it makes success less likely
recovery: it undoes an earlier mistake

Answer with one line for each step and nothing else, such as
1: good"""

_LINE = re.compile(
    r"(?<![\w.])(\d{1,4})(?:\s*(?:-|–|to)\s*(?:step\s*)?(\d{1,4}))?(?![\d\w])"  # 3, 3-5, 3 to 5
    r"([^\n\w]{0,12}|\W{0,20}(?:label|verdict)\W{0,12})"  # `: `, `. **`, `", "label": "`
    r"\b(good|recovery|unnecessary|mistake)\b",
    re.IGNORECASE,
)


class JudgeAttributor(AskingAttributor):
    """Asks a language model to label each step good, unnecessary, mistake or recovery. Nothing is simulated.

    ATLaS (arXiv 2503.02197): a language model selects the steps to learn from. The labels are those of arXiv
    2605.10674, which masks mistakes. A step without a clear label is unknown.
    """

    name: ClassVar[str] = "judge"

    judge: Spec
    """Name and settings of an expert that is a language model: `{name: openai, model: gpt-4o}`."""
    compare: bool = True
    """Show the judge the shortest recorded success at the same task, if there is one."""

    @property
    def shown_episodes(self) -> int:
        """Most episodes that a question shows."""
        return 2 if self.compare else 1

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Ask for labels, and read them."""
        length = len(trajectory.steps)
        if not length:
            return ()
        answer = await self.ask(await self.question(trajectory, simulate), simulate)
        labels = read_labels(answer.text, length)
        if not labels:
            return [answer.unknown(0, length, "labelled no step")]
        evidence = Evidence(tokens=answer.tokens)
        return [
            Segment(
                start=step,
                end=step + 1,
                verdict=LABELS[labels[step]] if step in labels else Verdict.UNKNOWN,
                evidence=evidence,
                reason=f"judge: {labels.get(step, 'no clear label')}",
            )
            for step in range(length)
        ]

    async def question(self, trajectory: Trajectory, simulate: Simulate) -> str:
        """Return the question about a trajectory."""
        comparison = ""
        if self.compare:
            wins = [e for e in await simulate.episodes() if simulate.succeeded(e) and e.id != trajectory.id]
            if wins:
                shortest = min(wins, key=lambda episode: (len(episode.steps), episode.id))
                comparison = f"A successful attempt at the same task:\n\n{self.account(shortest, True)}\n\n"
        return QUESTION.format(
            task=trajectory.task.instruction,
            attempt=self.account(trajectory, simulate.succeeded(trajectory)),
            comparison=comparison,
            this="the first attempt" if comparison else "the attempt",
        )

    def planned_simulations(self, length: int) -> dict[int, int]:
        """Return that nothing is simulated."""
        return {}


def read_labels(text: str, length: int) -> dict[int, str]:
    """Return the labels in a judge's answer, by step, counted from 0.

    Reads lines (`3: good`, `Step 3 - **mistake**`, `3-5: good`), lists and JSON. Steps that don't exist are left out,
    and so are steps with two different labels.

    Args:
        text: the answer.
        length: number of steps.
    """
    found: dict[int, set[str]] = defaultdict(set)
    for match in _LINE.finditer(text):
        first, last = int(match[1]), int(match[2] or match[1])
        for step in range(max(first, 1), min(last, length) + 1):
            found[step - 1].add(match[4].lower())
    return {step: labels.pop() for step, labels in sorted(found.items()) if len(labels) == 1}
