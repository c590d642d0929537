"""A language model names the first mistake; simulations from the state before it say whether it was one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field

from eef_attribution.asking import AskingAttributor
from eef_attribution.comparing import SimulatingAttributor
from eef_attribution.spec import Spec
from eef_framework.interfaces import Simulate
from eef_framework.records import Evidence, Segment, StateValue, Trajectory, Verdict

QUESTION = """\
Task: {task}

{attempt}

Which step was the first mistake, after which the attempt was likely to fail?
Answer with one line and nothing else: `First mistake: ` and the number of the step, or `none`."""


class FirstErrorAttributor(AskingAttributor, SimulatingAttributor):
    """Asks for the first mistake of a failed episode, and lets the agent try from the state before it.

    SRPO (arXiv 2605.25507): reset to just before the first error, sample from there, and mask the prefix. If the agent
    succeeds from there, the named action is harmful and those before it are neutral. Otherwise, and for episodes that
    succeeded, everything is unknown.
    """

    name: ClassVar[str] = "first-error"
    one_state: ClassVar[bool] = True

    judge: Spec
    """Name and settings of an expert that is a language model: `{name: openai, model: gpt-4o}`."""
    simulations: int = Field(default=4, gt=0)
    """Number of simulations from the state before the mistake."""

    def most_simulations(self, length: int) -> int | None:
        """Return the maximum number of simulations that a trajectory takes, from any states."""
        return self.simulations

    async def attribute(self, trajectory: Trajectory, simulate: Simulate) -> Iterable[Segment | StateValue]:
        """Ask, then simulate from the state before the named action."""
        length = len(trajectory.steps)
        if not length or simulate.succeeded(trajectory):
            return ()
        answer = await self.ask(
            QUESTION.format(task=trajectory.task.instruction, attempt=self.account(trajectory, succeeded=False)),
            simulate,
        )
        mistake = read_first_mistake(answer.text, length)
        if mistake is None:
            return [answer.unknown(0, length, "named no mistake, or several")]
        outcome = (await self.outcomes(trajectory, [mistake], simulate))[mistake]
        solved, rate = outcome.solved(self.rule), outcome.rate
        evidence = Evidence(
            simulations=outcome.found,
            successes=outcome.successes,
            low=-rate.high,  # the attempt failed: the credit is 0 minus the value of the state before
            high=-rate.low,
            tokens=outcome.tokens + answer.tokens,
        )
        named = Segment(
            start=mistake,
            end=mistake + 1,
            verdict=Verdict.HARMFUL if solved else Verdict.UNKNOWN,
            credit=-rate.mean if outcome.found else None,
            evidence=evidence,
            reason=f"the judge's first mistake; agent: {outcome} from state {mistake}",
        )
        values = [outcome.value(mistake)] if outcome.found else []
        if not (mistake and solved):
            return [*values, named]
        before = Segment(start=0, end=mistake, verdict=Verdict.NEUTRAL, reason="before the first mistake")
        return [*values, before, named]


def read_first_mistake(text: str, length: int) -> int | None:
    """Return the index of the step that an answer names, counted from 0; None if it names none, or several.

    Args:
        text: the answer.
        length: number of steps.
    """
    numbers = re.findall(
        r"first mistake\W{1,12}(?:(?:was|is|at|in)\s+)?(?:step\W{0,3})?(\d{1,4})\b", text, re.IGNORECASE
    )
    numbers = numbers or re.findall(r"^\W*(?:step\W{0,3})?(\d{1,4})\W*$", text, re.IGNORECASE | re.MULTILINE)
    steps = {int(number) for number in numbers}
    step = steps.pop() if len(steps) == 1 else 0
    return step - 1 if 1 <= step <= length else None
