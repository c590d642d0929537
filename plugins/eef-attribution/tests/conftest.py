"""Worlds in which it is known what a strategy should find."""

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from typing import ClassVar

import pytest

from eef_framework import derive
from eef_framework.chat.format import ChatFormat
from eef_framework.errors import AnswerFailure
from eef_framework.interfaces import Attributor, Policy, Sampling
from eef_framework.records import Attribution, Conversation, Observation, Response, SuccessRule, Trajectory
from eef_framework.rollout import EpisodeRunner, Simulator, attribute, demonstrations
from eef_framework.rollout.attribution import attribution_of
from eef_framework.runs import JsonlFile
from eef_framework.testing.answering_expert import AnsweringExpert
from eef_framework.testing.corridor import Corridor, best_action, success_chance
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.queue_policy import ScriptedPolicy
from eef_framework.testing.simulate import ScriptedSimulate, demonstration

RULE = SuccessRule()


class Chances:
    """A trajectory whose states are solved with given chances, and a strategy tried on it.

    Attributes:
        simulate: what the strategy was given.
        attribution: what it found.
    """

    def __init__(
        self, attributor: Attributor, chances: Sequence[float], seed: int = 0, lost: Callable[[int, int], bool] = bool
    ) -> None:
        trajectory = demonstration(len(chances))

        def outcome(state: int, index: int) -> bool | None:
            if lost is not bool and lost(state, index):
                return None
            return random.Random(derive(seed, state, index)).random() < chances[state]

        self.simulate = ScriptedSimulate(trajectory, outcome)
        found = asyncio.run(attributor.attribute(trajectory, self.simulate))
        self.attribution = attribution_of(trajectory, found)

    @property
    def verdicts(self) -> list[str]:
        return [self.attribution.verdict(k).value for k in range(self.attribution.length)]

    @property
    def played(self) -> dict[int, int]:
        """State -> number of simulations."""
        most: dict[int, int] = {}
        for state, n in self.simulate.asked:
            most[state] = max(n, most.get(state, 0))
        return most


class ScoringPolicy(ScriptedPolicy):
    """The scripted policy, with the probabilities of its actions in the corridor."""

    async def score(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, answers: Sequence[Response]
    ) -> Sequence[Response]:
        actions = [answer.text.rpartition("Action: ")[2] for answer in answers]
        listed = observation.actions or ()
        shares = [
            (action in listed) * (1 - self.skill) / len(listed) + (action == best_action(observation.text)) * self.skill
            for action in actions
        ]
        return [
            answer.changed(logprob=math.log(share) if share else -math.inf)
            for answer, share in zip(answers, shares, strict=True)
        ]


class CorridorWorld:
    """The corridor, demonstrations of its tasks, and an agent that can be simulated."""

    def __init__(self, rows: JsonlFile[Trajectory], skill: float = 0.8, initial: int = 3, scores: bool = True) -> None:
        self.corridor = Corridor()
        self.tasks = self.corridor.tasks("train")[:20]
        self.rows = rows
        self.skill = skill
        self.demonstrations = asyncio.run(self._demonstrate())
        policy = (ScoringPolicy if scores else ScriptedPolicy)(skill=skill)
        runner = EpisodeRunner(self.corridor, policy, "agent/test", ChatFormat(), Sampling())
        self.simulator = Simulator(
            runner, rows, "eef/1", 5, RULE, demonstrations=self.demonstrations, initial_simulations=initial
        )

    async def _demonstrate(self) -> list[Trajectory]:
        return [each async for each in demonstrations(CorridorExpert(), self.corridor, self.tasks, 0)]

    def attribute(self, attributor: Attributor, trajectories: Sequence[Trajectory] = ()) -> list[Attribution]:
        chosen = trajectories or self.demonstrations

        async def all_of_them() -> list[Attribution]:
            return await asyncio.gather(*(attribute(attributor, each, self.simulator) for each in chosen))

        return asyncio.run(all_of_them())

    def agent_failures(self) -> list[Trajectory]:
        async def played() -> list[Trajectory]:
            found = await asyncio.gather(*(self.simulator.initial(task, 3) for task in self.tasks))
            return [run for runs in found for run in runs if not RULE.holds(run)]

        return asyncio.run(played())

    @staticmethod
    def best(trajectory: Trajectory, state: int) -> str:
        return best_action(trajectory.observation(state).text)

    def chances(self, trajectory: Trajectory) -> list[float]:
        """Return the agent's exact chance of success from each state, the last one included."""
        with self.corridor.open(trajectory.task) as session:
            found = [success_chance(session, self.skill)]
            for step in trajectory.steps:
                session.step(step.action)
                found.append(success_chance(session, self.skill))
        return found


@pytest.fixture(scope="session")
def tried():
    return Chances


@pytest.fixture
def corridor(tmp_path):
    with JsonlFile(tmp_path / "simulations.jsonl", Trajectory) as rows:
        yield CorridorWorld(rows)


@pytest.fixture
def corridor_without_scores(tmp_path):
    with JsonlFile(tmp_path / "simulations.jsonl", Trajectory) as rows:
        yield CorridorWorld(rows, scores=False)


class RulePolicy(Policy):
    """A model that answers by a rule; None is a lost answer."""

    asked: ClassVar[list[str]] = []
    rule: ClassVar[list[Callable[[str], str | None]]] = []

    async def act(
        self, conversation: Conversation, observation: Observation, sampling: Sampling, seed: int
    ) -> Response:
        self.asked.append(conversation[-1].content)
        text = self.rule[-1](conversation[-1].content)
        await asyncio.sleep(0)
        if text is None:
            raise AnswerFailure("the server hung up", computed_tokens=5)
        return Response(text=text, computed_tokens=11)


class RuleExpert(AnsweringExpert):
    model = RulePolicy

    def free_settings(self) -> Sequence[str]:
        return ("timeout_s",)


@pytest.fixture(scope="session")
def judge():
    return {"name": f"{__name__}:RuleExpert"}


@pytest.fixture(scope="session")
def answers():
    """Set what the judge answers: a text, or a function of the question. Returns the questions it is asked."""

    def set_answer(answer: str | Callable[[str], str | None] | None) -> list[str]:
        RulePolicy.asked.clear()
        RulePolicy.rule.append(answer if callable(answer) else lambda question: answer)
        return RulePolicy.asked

    return set_answer
