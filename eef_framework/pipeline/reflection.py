"""Self-reflection (arXiv 2510.08558): a language model writes why the expert's action is better than the agent's."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from eef_framework.chat import without_reasoning
from eef_framework.chat.format import ChatFormat
from eef_framework.chat.spelling import same
from eef_framework.errors import AnswerFailure, EefWarning, NothingToTrain, PolicyFailure, boundary
from eef_framework.interfaces import Policy, Sampling
from eef_framework.pipeline.episodes import gather, latest
from eef_framework.records import Message, Observation, Origin, Response, StateId, Step, SuccessRule, Trajectory
from eef_framework.rollout.episode_costs import with_lost_costs
from eef_framework.seeds import derive

ROLE = "You write down what goes through an agent's mind before it acts in a text environment."

QUESTION = """\
This is what the agent has been shown so far:

{shown}

It can act in different ways now. Each was tried, to see what happens:

{tried}

The first one, `{action}`, is an expert's, and part of a solution of the task.
Write the agent's thought before it chooses `{action}`: what this situation asks for, what the other actions would lead
to, and why this action is better. Write in the first person, in a few sentences, and as someone who expects these
outcomes but hasn't tried them. Answer with the thought alone, without naming the action on a line of its own."""


@dataclass(frozen=True)
class Comparison:
    """An action of the expert, and what the agent did instead.

    Attributes:
        demonstration: the expert's success.
        state: the state in which it took the action.
        others: different actions of the agent in that state, with what was observed after them.
        unparsed: number of its answers in that state in which no action was found.
    """

    demonstration: Trajectory
    state: int
    others: Sequence[Step]
    unparsed: int = 0

    @property
    def chosen(self) -> Step:
        """The expert's action, with what was observed after it."""
        return self.demonstration.steps[self.state]

    def question(self, format: ChatFormat, instructions: str) -> str:
        """Return what the writer is asked. It sees no more of the state than the agent does, and the outcomes."""
        initial, steps = self.demonstration.initial, self.demonstration.steps[: self.state]
        shown = [
            f"[Its answer] {message.content}" if message.role == "assistant" else message.content
            for message in format.conversation(instructions, initial, steps)
        ]
        tried = [
            f"{number}. `{step.action}`. Observed afterwards:\n{step.observation.text.strip() or '(nothing)'}"
            for number, step in enumerate((self.chosen, *self.others), 1)
        ]
        return QUESTION.format(shown="\n\n".join(shown), tried="\n\n".join(tried), action=self.chosen.action)


def length_of_question(
    format: ChatFormat, instructions: str, initial: Sequence[Observation], lengths: Sequence[int], alternatives: int
) -> float:
    """Estimate the mean length of a question in characters, from above.

    Args:
        format: the agent's.
        instructions: the environment's instructions.
        initial: first observations of some tasks; others are taken to be as long.
        lengths: number of actions of each demonstration.
        alternatives: number of actions of the agent in each state, all taken to be different.
    """
    seen = sum(len(each.text) for each in initial) / max(1, len(initial))
    states = [min(state, format.history or state) for length in lengths for state in range(1, length + 1)]
    shown = sum(states) / max(1, len(states))
    prompts = [sum(len(message.content) for message in format.conversation(instructions, each, ())) for each in initial]
    prompt = sum(prompts) / max(1, len(prompts))  # with the first observation
    return len(ROLE + QUESTION) + prompt + (shown + alternatives) * seen


def comparisons(
    demonstrations: Sequence[Trajectory], alternatives: Iterable[Trajectory], rule: SuccessRule
) -> list[Comparison]:
    """Return the expert's actions in its successes, each once, where the agent did something else.

    Args:
        demonstrations: the expert's trajectories.
        alternatives: single actions of the agent in states of the expert's successes; none that was lost. Answers in
            which no action was found are counted, and nothing is compared with them.
        rule: the success rule.
    """
    return [each for each in _expert_actions(demonstrations, alternatives, rule) if each.others]


def count_without_action(
    demonstrations: Sequence[Trajectory], alternatives: Iterable[Trajectory], rule: SuccessRule
) -> int:
    """Return how many of the expert's actions have no reflection because answers of the agent there had no action.

    Args:
        demonstrations: the expert's trajectories.
        alternatives: as for `comparisons`.
        rule: the success rule.
    """
    return sum(not each.others and each.unparsed > 0 for each in _expert_actions(demonstrations, alternatives, rule))


def _expert_actions(
    demonstrations: Sequence[Trajectory], alternatives: Iterable[Trajectory], rule: SuccessRule
) -> list[Comparison]:
    """Return all of the expert's actions in its successes, each once, also where there is nothing to compare with."""
    chosen: dict[StateId, dict[str, tuple[Trajectory, int]]] = {}
    for trajectory in demonstrations:
        if rule.holds(trajectory):
            for state, action in enumerate(trajectory.actions):
                chosen.setdefault(trajectory.state_id(state), {}).setdefault(action, (trajectory, state))
    others: dict[StateId, dict[str, Step]] = {key: {} for key in chosen}
    unparsed = dict.fromkeys(chosen, 0)
    for tried in alternatives:
        key, step = tried.state_id(tried.prefix_length), tried.own_steps[0]
        if key not in chosen:
            continue
        if not step.parsed:
            unparsed[key] += 1
        elif step.action not in chosen[key]:
            others[key].setdefault(step.action, step)
    return [
        Comparison(trajectory, state, tuple(others[key].values()), unparsed[key])
        for key, of_state in chosen.items()
        for trajectory, state in of_state.values()
    ]


def is_usable(row: Trajectory) -> bool:
    """Return whether a row has a reflection to learn from."""
    response = row.own_steps[-1].response if row.own_steps and not row.lost else None
    return response is not None and response.parsed


def counts_of(rows: Sequence[Trajectory]) -> dict[str, int]:
    """Return how many reflections can be learned from (`usable`), how many can't, and how many were `lost`."""
    usable, lost = sum(map(is_usable, rows)), sum(row.lost for row in rows)
    return {"usable": usable, "unusable": len(rows) - usable - lost, "lost": lost}


def check_reflections(rows: Sequence[Trajectory], alternatives: Iterable[Trajectory]) -> None:
    """Warn of reflections that are missing.

    Args:
        rows: the reflections, with those that were lost.
        alternatives: what the agent tried.

    Raises:
        NothingToTrain: there is none (`no-other-actions`, `no-reflections`).

    Warns:
        EefWarning: some were lost, or can't be used (`reflections-missing`).
    """
    counts = counts_of(rows)
    said = f"{counts['lost']} reflections were lost, and {counts['unusable']} are no thought that ends before an action"
    if not rows:
        unparsed = sum(not tried.own_steps[0].parsed for tried in alternatives)
        raise NothingToTrain(
            "there is nothing to reflect on: in the states of the expert's successes, the agent did nothing else than "
            f"the expert; {unparsed} of its answers had no action",
            "Let it try more (explore.alternatives, explore.sampling). If it can't write actions yet, let the clone "
            "try (tune.start: clone), or use a pretrained model.",
            code="no-other-actions",
            unparsed=unparsed,
        )
    if not counts["usable"]:
        raise NothingToTrain(
            f"there is no reflection to learn from: {said}",
            "Name another model in explore.reflection.judge, or allow longer answers "
            "(explore.reflection.max_tokens). Lost ones are requested again if you run the command again.",
            code="no-reflections",
            **counts,
        )
    if len(rows) > counts["usable"]:
        message = f"{said}; {counts['usable']} can be learned from"
        warnings.warn(EefWarning(message, code="reflections-missing", **counts), stacklevel=3)


@dataclass(frozen=True)
class Reflecting:
    """Asks for reflections, and returns each as an episode: the expert's steps, the last one with the reflection.

    An answer that was lost makes an episode with the ending `error` and without the last step. One that isn't a thought
    (it is blank, was cut off, or names another action) is kept as it is, as an answer in which no action was found.

    Attributes:
        policy: the language model.
        writer: its name, for records.
        name: first part of the episodes' ids, such as `early-experience/1/reflections`.
        format: the agent's; reflections become thoughts in it.
        instructions: the environment's instructions.
        sampling: how reflections are sampled.
        seed: determines them, together with the question.
        concurrency: maximum number of questions at a time.
    """

    policy: Policy
    writer: str
    name: str
    format: ChatFormat
    instructions: str
    sampling: Sampling
    seed: int
    concurrency: int

    async def write(
        self,
        compared: Iterable[Comparison],
        known: Iterable[Trajectory],
        written: Callable[[Trajectory], None],
    ) -> list[Trajectory]:
        """Ask for the reflections that aren't known, and return all, in order.

        Args:
            compared: what to reflect on.
            known: what an interrupted run wrote, in order.
            written: called with each new one.

        Raises:
            PolicyFailure: the model can't answer at all.
        """
        slots = asyncio.Semaphore(self.concurrency)
        last = latest(known, key=lambda row: row.id)

        async def one(comparison: Comparison) -> Trajectory:
            id = f"{self.name}/{comparison.demonstration.id}/s{comparison.state}"
            earlier = last.get(id)
            if earlier is not None and not earlier.lost:
                return earlier
            async with slots:
                row = with_lost_costs(await self._ask(id, comparison), earlier)
            written(row)
            return row

        return await gather(one(comparison) for comparison in compared)

    async def _ask(self, id: str, comparison: Comparison) -> Trajectory:
        demonstration, state = comparison.demonstration, comparison.state
        question = comparison.question(self.format, self.instructions)
        conversation = (Message(role="system", content=ROLE), Message(role="user", content=question))
        seen = demonstration.observation(state).changed(actions=None, free=())  # any text is an answer
        row = Trajectory(
            id=id,
            task=demonstration.task,
            actor=f"expert/{self.writer}",
            seed=derive(self.seed, id),
            origin=Origin(trajectory=demonstration.id, state=state) if state else None,
            initial=demonstration.initial,
            steps=demonstration.steps[:state],
            ending="step-limit",
        )
        try:
            with boundary(PolicyFailure, f"expert {self.writer!r}", f"writing the reflection {id!r}"):
                response = (await self.policy.act(conversation, seen, self.sampling, row.seed)).encodable()
        except AnswerFailure as failure:
            return row.changed(
                ending="error",
                error=failure.message,
                lost_tokens=int(failure.details.get("computed_tokens", 0)),
                lost_usd=float(failure.details.get("usd", 0.0)),
                lost_unknown=int(failure.details.get("unknown_requests", 0)),
            )
        answer = self._as_turn(response, comparison)
        return row.changed(steps=(*row.steps, comparison.chosen.changed(response=answer)))

    def _as_turn(self, response: Response, comparison: Comparison) -> Response:
        """Return an answer as the turn to learn: the reflection as its thought, then the expert's action."""
        action, seen = comparison.chosen.action, comparison.demonstration.observation(comparison.state)

        def unusable(why: str) -> Response:
            return response.changed(parsed=False, info={**response.info, "unusable": why})

        tokens = response.token_ids or ()
        if response.info.get("finish") or len(tokens) >= self.sampling.max_tokens:
            return unusable("it was cut off")
        written = without_reasoning(response.text).strip().removeprefix("Thought:")
        thought, _, named = f"\n{written.strip()}".partition("\nAction:")
        if not thought.strip():
            return unusable("it has no thought before an action")
        if named.strip() and not same(named.strip(), action):
            return unusable("it names another action")
        text = self.format.answer(action, thought)
        read = self.format.parse(text, seen)
        if not (read.parsed and same(read.action, action) and read.thought.strip()):
            return unusable("it isn't read as a thought before the expert's action")
        return response.changed(
            text=text, thought=read.thought, parsed=True, token_ids=None, tokenizer="", logprob=None, logprobs=None
        )
