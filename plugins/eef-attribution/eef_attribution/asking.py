"""Base class of the strategies that ask a language model."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Self
from weakref import WeakKeyDictionary, WeakValueDictionary

from pydantic import Field, PrivateAttr, model_validator

from eef_framework.chat import without_reasoning
from eef_framework.errors import AnswerFailure
from eef_framework.interfaces import Attributor, Expert, Policy, Sampling, Simulate
from eef_framework.plugins import current_registry
from eef_framework.records import (
    Cost,
    Evidence,
    Message,
    Observation,
    Response,
    Segment,
    Trajectory,
    Verdict,
    fingerprint,
)
from eef_framework.seeds import derive

ROLE = "You assess what an agent did in a text environment, step by step."
QUESTION_CHARS, STEP_CHARS = 1000, 50
"""Characters of a question, its task included, and of a step, without observations: for estimates."""
SHOWN_CHARS = 100
"""Characters of an answer that can't be used, in the reason of a verdict."""


@dataclass(frozen=True)
class Answer:
    """Answer of a judge.

    Attributes:
        text: its text after any reasoning; empty if the answer was lost.
        tokens: number of tokens that its model processed.
        lost: why there is no answer; empty if there is one.
    """

    text: str
    tokens: int = 0
    lost: str = ""

    def unknown(self, start: int, end: int, why: str) -> Segment:
        """Return the verdict on actions of which the answer says nothing that can be used: unknown, with the reason.

        Args:
            start: index of the first of the actions.
            end: exclusive end index.
            why: what is wrong with the answer, such as `labelled no step`; the answer is quoted after it, shortened.
        """
        said = " ".join(self.text.split())
        shown = said if len(said) <= SHOWN_CHARS else f"{said[:SHOWN_CHARS]} ..."
        reason = f"the judge's answer was lost: {self.lost}" if self.lost else f"the judge {why}: {shown!r}"
        evidence = Evidence(tokens=self.tokens)
        return Segment(start=start, end=end, verdict=Verdict.UNKNOWN, evidence=evidence, reason=reason)


class Judge:
    """An expert that is a language model, and can be asked questions.

    A lost answer is never evidence. If the model can't answer at all, the run stops, and can be resumed.

    Args:
        spec: name and settings of the expert.
        sampling: how answers are sampled.
        seed: determines answers, together with the question.

    Raises:
        ConfigError: there is no such expert, or it isn't a language model.
    """

    def __init__(self, spec: dict[str, Any], sampling: Sampling, seed: int) -> None:
        self.expert: Expert = current_registry().build("expert", spec)
        if type(self.expert).open_policy is Expert.open_policy:
            self.expert.open_policy()  # raises: found now, before anything starts
        self.spec = {**self.expert.settings(), "name": spec["name"]}
        self._sampling = sampling
        self._seed = seed
        self._open = ExitStack()
        self._policy: Policy | None = None
        self._answers: dict[str, Answer] = {}
        self._lost: WeakKeyDictionary[Simulate, dict[str, Answer]] = WeakKeyDictionary()  # by attribution
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # of questions that are being asked

    async def ask(self, question: str, simulate: Simulate) -> Answer:
        """Return the answer to a question, which is asked once; if its answer is lost, once an attribution.

        Args:
            question: the question.
            simulate: of the attribution, which pays for the answer if it is the first to ask.

        Raises:
            PolicyFailure: the model can't answer at all.
        """
        key = fingerprint(question)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:  # another request for it waits here
            lost = self._lost.setdefault(simulate, {})
            if key not in self._answers and key not in lost:
                answer = await self._ask(question, simulate)
                (lost if answer.lost else self._answers)[key] = answer
            return self._answers.get(key) or lost[key]

    def close(self) -> None:
        """Release the model."""
        self._policy = None
        self._open.close()
        self.expert.close()

    async def _ask(self, question: str, simulate: Simulate) -> Answer:
        if self._policy is None:
            self._policy = self._open.enter_context(self.expert.open_policy())
        conversation = (Message(role="system", content=ROLE), Message(role="user", content=question))
        seed = derive(self._seed, "judge", question)
        try:
            response = await self._policy.act(conversation, Observation(text=question), self._sampling, seed)
        except AnswerFailure as failure:
            lost = Response(
                text="",
                computed_tokens=int(failure.details.get("computed_tokens", 0)),
                usd=float(failure.details.get("usd", 0.0)),
                info={"unknown_requests": int(failure.details.get("unknown_requests", 0))},
            )
            simulate.charge(lost)
            return Answer("", lost.computed_tokens, failure.message)
        simulate.charge(response)
        return Answer(without_reasoning(response.text), response.computed_tokens)


class AskingAttributor(Attributor):
    """Base class of the strategies that ask a judge. Subclasses have a field `judge`: an expert's name and settings."""

    max_tokens: int = Field(default=1024, gt=0)
    """Maximum length of the judge's answers, in tokens."""
    temperature: float = Field(default=0.0, ge=0)
    """How its answers are sampled."""
    seed: int = 0
    """Determines its answers, together with the question."""
    observation_chars: int = Field(default=400, gt=0)
    """Number of characters of each observation that it is shown."""

    _judge: Judge | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _build(self) -> Self:
        # Built immediately, to find misspelt settings before anything starts, and to record all settings.
        spec: dict[str, Any] | None = getattr(self, "judge", None)
        if spec:
            sampling = Sampling(temperature=self.temperature, max_tokens=self.max_tokens)
            self._judge = Judge(spec, sampling, self.seed)
            spec.update(self._judge.spec)
        return self

    def free_settings(self) -> Collection[str]:
        """Return the judge's."""
        return [f"judge.{name}" for name in self._judge.expert.free_settings()] if self._judge else ()

    def preflight(self) -> None:
        """Check that the judge can work here."""
        if self._judge:
            self._judge.expert.preflight()

    def close(self) -> None:
        """Release the judge's resources."""
        if self._judge:
            self._judge.close()

    @property
    def shown_episodes(self) -> int:
        """Most episodes that a question shows; 0 if nothing is asked about demonstrations."""
        return 1

    def expected_cost(self, initial: Sequence[Observation], lengths: Sequence[int]) -> Cost | None:
        """Estimate the cost of a question about each trajectory."""
        if self._judge is None or not self.shown_episodes:
            return None
        first = sum(len(each.text) for each in initial) / max(1, len(initial))
        step = min(first, self.observation_chars) + STEP_CHARS
        steps = self.shown_episodes * (sum(lengths) / max(1, len(lengths)) + 1)
        characters = QUESTION_CHARS + steps * step
        return self._judge.expert.expected_cost_of_questions(len(lengths), characters, self.max_tokens)

    async def ask(self, question: str, simulate: Simulate) -> Answer:
        """Return the judge's answer to a question.

        Args:
            question: the question.
            simulate: of the attribution that pays for the answer.

        Raises:
            PolicyFailure: the judge can't answer at all.
        """
        if self._judge is None:
            raise TypeError(f"{self.component_name()} has no judge to ask")
        return await self._judge.ask(question, simulate)

    def account(self, trajectory: Trajectory, succeeded: bool) -> str:
        """Return an episode as text, with its outcome."""
        end = f"The attempt {'succeeded' if succeeded else 'failed'}, with a reward of {trajectory.reward:g}."
        return f"{self.steps_of(trajectory)}\n\n{end}"

    def steps_of(self, trajectory: Trajectory) -> str:
        """Return an episode as text, its steps numbered from 1."""
        steps = [
            f"Step {number}: {step.action}\n{self._short(step.observation.text)}"
            for number, step in enumerate(trajectory.steps, start=1)
        ]
        return "\n\n".join([self._short(trajectory.initial.text), *steps])

    def _short(self, text: str) -> str:
        whole = " ".join(text.split())
        return whole if len(whole) <= self.observation_chars else f"{whole[: self.observation_chars]} ..."
