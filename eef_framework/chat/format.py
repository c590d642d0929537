"""Converts episodes to conversations, and answers to actions. Works on text, not on tokens (see `chat.tokens`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import cycle, groupby
from typing import Self

from pydantic import ValidationError

from eef_framework.chat.parse import Answer, parse_answer, parse_tool_calls
from eef_framework.chat.settings import FormatSettings
from eef_framework.chat.spelling import same
from eef_framework.chat.tool_calls import ACT, as_call, as_observation
from eef_framework.errors import ConfigError
from eef_framework.interfaces import Environment
from eef_framework.records import Conversation, Example, Message, Observation, Response, Step, Tool, Trajectory
from eef_framework.validation_messages import reason

PREDICT = "Predict what you observe after this answer:"
"""What is asked for in an example of `ChatFormat.prediction`, before the answer. The sentence is ours."""


class ChatFormat(FormatSettings):
    """How an episode is presented to a language model, and how its answers are parsed."""

    def for_environment(self, environment: Environment) -> Self:
        """Return this format with the tools that an environment declares, if it calls tools and has none of its own.

        Raises:
            ConfigError: one of them isn't a tool (`bad-tools`).
        """
        if self.style != "tools" or self.tools is not None:
            return self
        told = self.model_copy(update={"tools": tools_of(environment)})
        shots = tuple(tuple(map(told._recalled, shot, cycle((False, True)))) for shot in self.shots)
        return told.model_copy(update={"shots": shots})

    def _recalled(self, text: str, is_answer: bool) -> str:
        """Return a text of a shot, with a call of one of the tools in place of another."""
        read = self.parse(text, Observation(text="")) if is_answer else None
        return self.answer(read.action, read.thought) if read and read.parsed else text

    def shot(self, trajectory: Trajectory) -> tuple[str, ...]:
        """Return an episode as an entry of `shots`: what the agent saw and answered, in this format.

        Of an answer, thought and action are shown, but not reasoning or text made up after the action.
        """
        shown: list[str] = []
        for state, step in enumerate(trajectory.steps):
            seen = trajectory.observation(state)
            shown += [seen.text, self._rewritten(step, self._read(step, seen))]
        return tuple(shown)

    def conversation(self, instructions: str, initial: Observation, steps: Sequence[Step]) -> Conversation:
        """Return the prompt for the state after some steps; it ends with a user message.

        Args:
            instructions: the environment's instructions.
            initial: the first observation.
            steps: the steps so far, in order.
        """
        weights = [0.0] * len(steps)
        return self._head(instructions) + self._turns(initial, steps, weights, self._first_shown(len(steps)))

    def parse(self, text: str, observation: Observation) -> Answer:
        """Parse thought and action from an answer, which may be any text.

        Args:
            text: the answer, without its stop token.
            observation: the state it answers; its admissible actions settle case and spaces.
        """
        return _parsed(text, observation, self.style, self.tools or ())

    def answer(self, action: str, thought: str = "") -> str:
        """Return an action as an answer. A thought is left out if the format has none, or if it is blank."""
        if self.style == "action":
            return action
        if self.style == "tools":
            call = as_call(action, self.tools or ())
            return f"{thought.strip()}\n{call}" if self.thoughts and thought.strip() else call
        shown = f"Thought: {thought.strip()}\n" if self.thoughts and thought.strip() else ""
        return f"{shown}Action: {action}"

    def examples(
        self, trajectory: Trajectory, weights: Sequence[float], instructions: str, source: str, failed: bool = False
    ) -> list[Example]:
        """Create training examples from a trajectory.

        With the whole episode as history there is one example; anything after the last weighted turn has no effect and
        is left out. With a shorter history there is one example for each weighted turn, showing what the agent would be
        shown there. If observations were dropped from prompts because the model's context window was full
        (`Response.dropped`), they are dropped here too: there is one example for each beginning. Turns without weight
        stay in the context, and so do answers in which no action was found (see `train_unparsed`).

        Args:
            trajectory: what to learn from.
            weights: loss weight of each step's turn, one for each step.
            instructions: the environment's instructions.
            source: why it is learned; becomes part of the examples' ids.
            failed: whether it is marked as a failure (`outcomes`).

        Raises:
            ValueError: there isn't one weight for each step.
        """
        if len(weights) != len(trajectory.steps):
            raise ValueError(
                f"{len(weights)} weights for the {len(trajectory.steps)} steps of trajectory {trajectory.id!r}: "
                "give one for each step"
            )
        weights = [
            weight if weight and self._is_trained(step, trajectory.observation(state)) else 0.0
            for state, (step, weight) in enumerate(zip(trajectory.steps, weights, strict=True))
        ]
        states = [state for state, weight in enumerate(weights) if weight > 0]
        head = self._head(instructions, failed)
        if self.history is not None:
            return [self._example(trajectory, weights, head, source, (state,)) for state in states]
        groups = groupby(states, key=lambda state: _dropped(trajectory, state))
        return [self._example(trajectory, weights, head, source, tuple(group)) for _, group in groups]

    def prediction(self, trajectory: Trajectory, state: int, instructions: str) -> Example | None:
        """Create an example in which the observation after an action is predicted (implicit world modelling).

        The prompt is that of the agent in the state before the action, followed by the action as an answer without its
        thought. Only the observation has loss.

        Args:
            trajectory: it has the action.
            state: the state that the action was taken in.
            instructions: the environment's instructions.

        Returns:
            The example; None if the observation is blank.
        """
        step = trajectory.steps[state]
        if not step.observation.text.strip():
            return None
        first = self._first_shown(state) + _dropped(trajectory, state)
        *turns, seen = self._turns(trajectory.initial, trajectory.steps[:state], [0.0] * state, first)
        question = f"{seen.content}\n\n{PREDICT}\n{self.answer(step.action)}"
        answer = Message(role="assistant", content=step.observation.text, weight=1.0)
        return Example(
            id=f"{trajectory.id}#world-model@{state}",
            messages=(*self._head(instructions), *turns, Message(role="user", content=question), answer),
            task=trajectory.task.id,
            source="world-model",
            trajectory=trajectory.id,
        )

    def _example(
        self, trajectory: Trajectory, weights: Sequence[float], head: Conversation, source: str, states: tuple[int, ...]
    ) -> Example:
        last = states[-1]
        shown = [weight if state in states else 0.0 for state, weight in enumerate(weights[: last + 1])]
        first = self._first_shown(last) + _dropped(trajectory, last)
        turns = self._turns(trajectory.initial, trajectory.steps[: last + 1], shown, first)
        return Example(
            id=f"{trajectory.id}#{source}@{states[0]}",
            messages=head + turns[:-1],  # the observation after the last turn isn't known yet
            task=trajectory.task.id,
            source=source,
            trajectory=trajectory.id,
            states=states,
        )

    def _head(self, instructions: str, failed: bool = False) -> Conversation:
        parts = [instructions] if self.instructions and instructions.strip() else []
        # As text, not as turns of this conversation: it is clear where an example ends and the episode begins, and a
        # full window drops the episode's turns, never the examples.
        for number, shot in enumerate(self.shots, 1):
            turns = zip(shot[::2], shot[1::2], strict=True)
            lines = "\n\n".join(f"Observation:\n{seen}\n\nAnswer:\n{answer}" for seen, answer in turns)
            parts.append(f"Example {number}\n\n{lines}")
        if self.outcomes is not None:
            parts.append(self.outcomes.failure if failed else self.outcomes.success)
        tools = self.tools or () if self.style == "tools" else ()
        return (Message(role="system", content="\n\n".join(parts), tools=tools),) if parts or tools else ()

    def _first_shown(self, state: int) -> int:
        """Return the earliest state whose observation is shown in a state."""
        return 0 if self.history is None else max(0, state - self.history + 1)

    def _turns(self, initial: Observation, steps: Sequence[Step], weights: Sequence[float], first: int) -> Conversation:
        seen = initial if first == 0 else steps[first - 1].observation
        result = as_observation(seen.text) if self.style == "tools" and first else seen.text
        messages = [Message(role="user", content=result)]
        for step, weight in zip(steps[first:], weights[first:], strict=True):
            result = as_observation(step.observation.text) if self.style == "tools" else step.observation.text
            messages += [self._turn(step, weight, seen), Message(role="user", content=result)]
            seen = step.observation
        return tuple(messages)

    def _turn(self, step: Step, weight: float, seen: Observation) -> Message:
        message = self._whole_turn(step, weight, seen)
        return message if self.train_actions or not weight else self._thought_alone(message, seen)

    def _thought_alone(self, message: Message, seen: Observation) -> Message:
        """Return a turn with loss on what is before its action, or without loss if there is nothing."""
        answer, start = self.parse(message.content, seen), message.unweighted_prefix_chars
        end = len(message.content[: answer.action_span.start].rstrip()) if answer.action_span else 0
        if end <= start:
            return message.changed(weight=0.0, unweighted_prefix_chars=0, unweighted_suffix_chars=0)
        return message.changed(unweighted_suffix_chars=len(message.content) - end)

    def _whole_turn(self, step: Step, weight: float, seen: Observation) -> Message:
        response, answer = step.response, self._read(step, seen)
        if response is not None and answer is not None and answer.reasoning and self.reasoning == "drop":
            response = _without_reasoning(response, answer)
            answer = self._read(step.changed(response=response), seen)
        if response is None or answer is None:
            written = self._rewritten(step, answer)
            trained_whole = self.train_thoughts or not weight
            prefix = 0 if trained_whole else len(written) - len(self.answer(step.action))
            return Message(role="assistant", content=written, weight=weight, unweighted_prefix_chars=prefix)
        thinks = answer.thought_span or (answer.reasoning and self.reasoning != "train")
        if answer.action_span and not self.shows_thoughts and (thinks or self._is_foreign(response, answer)):
            # Tokens that hold a thought can't be shown in a format without thoughts.
            return Message(role="assistant", content=self.answer(step.action), weight=weight)
        start, end = 0, len(response.text)
        if answer.action_span:
            first = answer.thought_span if self.train_thoughts else None
            start, end = (first or answer.action_span).start, answer.action_span.end
            if self.reasoning == "train":
                start = _reasoning_start(response.text, answer, start)
        return Message(
            role="assistant",
            content=response.text,
            weight=weight,
            unweighted_prefix_chars=start if weight else 0,
            unweighted_suffix_chars=len(response.text) - end if weight else 0,
            token_ids=response.token_ids,
            tokenizer=response.tokenizer,
        )

    def _is_foreign(self, response: Response, answer: Answer) -> bool:
        """Return whether an answer from elsewhere has more than an action, such as a label, where that is all of it."""
        if self.style != "action" or response.token_ids is not None or answer.reasoning or answer.action_span is None:
            return False
        return not same(response.text[: answer.action_span.end].strip(), answer.action)

    def _is_trained(self, step: Step, seen: Observation) -> bool:
        if not (self.train_unparsed or step.parsed):
            return False
        return self.train_actions or self._turn(step, 1.0, seen).weight > 0

    def _read(self, step: Step, seen: Observation) -> Answer | None:
        """Return the position of the executed action in an answer; None if there is none, or it has another action.

        An answer parsed by other rules (another style, another program) may have another action.
        """
        response = step.response
        if response is None:
            return None
        if not response.parsed:
            return Answer(response.text, parsed=False)
        answer = self.parse(response.text, seen)
        return answer if answer.parsed and same(answer.action, step.action) else None

    def _rewritten(self, step: Step, answer: Answer | None) -> str:
        """Return a turn rewritten in this format."""
        if answer is not None and not answer.parsed:
            return answer.action
        thought = answer.thought if answer else step.response.thought if step.response else ""
        written = self.answer(step.action, thought)
        # A thought that would be parsed as another action is left out.
        read = self.parse(written, Observation(text=""))
        return written if same(read.action, step.action) else self.answer(step.action)


def tools_of(environment: Environment) -> tuple[Tool, ...]:
    """Return the tools that an environment declares; `act` if it declares none.

    Raises:
        ConfigError: one of them isn't a tool (`bad-tools`).
    """
    try:
        return FormatSettings(tools=tuple(environment.tools)).tools or (ACT,)
    except (ValidationError, TypeError) as cause:
        name = environment.component_name()
        raise ConfigError(
            f"environment {name!r} declares tools that can't be used: {reason(cause)}",
            "Return a sequence of Tool(name=..., description=..., action=...) in its `tools`.",
            code="bad-tools",
            environment=name,
        ) from cause


@lru_cache(maxsize=1024)  # every prompt shows all turns before it
def _parsed(text: str, observation: Observation, style: str, tools: tuple[Tool, ...]) -> Answer:
    called = parse_tool_calls(text, observation, tools) if style == "tools" else None
    return called or parse_answer(text, observation, labelled=style != "action")


def _without_reasoning(response: Response, answer: Answer) -> Response:
    """Return an answer without its reasoning, and so without its tokens; unchanged if nothing else is left."""
    ends = [0, *(span.end for span in answer.reasoning)]
    starts = [*(span.start for span in answer.reasoning), len(response.text)]
    text = "".join(response.text[end:start] for end, start in zip(ends, starts, strict=True)).strip()
    changed: Response = response.changed(text=text, token_ids=None, tokenizer="") if text else response
    return changed


def _reasoning_start(text: str, answer: Answer, start: int) -> int:
    """Return where the reasoning begins that a turn follows directly; the turn's start if there is none."""
    for span in reversed([span for span in answer.reasoning if span.start < start]):
        if text[span.end : start].strip():
            break  # something was made up in between
        start = span.start
    return start


def _dropped(trajectory: Trajectory, state: int) -> int:
    """Return how many observations were dropped from a state's prompt because the window was full."""
    response = trajectory.steps[state].response
    return response.dropped if response is not None else 0
