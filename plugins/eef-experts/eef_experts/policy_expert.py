"""Experts that are policies, such as language models. They play under the same rules as the agent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar, Literal

from pydantic import Field

from eef_experts.prompt import ExpertFormat, read_examples
from eef_framework.interfaces import Environment, EpisodeSpec, Expert, Policy, Sampling
from eef_framework.paths import UserPathOrName
from eef_framework.records import Cost, Info, Observation, State, Task, Trajectory
from eef_framework.rollout import EpisodeRunner, as_they_end, continuation_id, expert_id
from eef_framework.seeds import derive

BYTES_PER_TOKEN = 4
"""Of English text, for estimates."""


class PolicyExpert(Expert):
    """An expert whose demonstrations are episodes of a policy. Subclasses provide the policy.

    If a response is lost, its episode is recorded as an error and played again when the run is resumed. If the policy
    can't respond at all, the run ends, and can be resumed.
    """

    continues: ClassVar[bool] = True
    renamed: ClassVar[Mapping[str, str]] = {"episodes": "concurrency"}

    style: Literal["react", "action", "tools"] = "react"
    """`react`: a thought before each action (arXiv 2210.03629). `action`: only the action. `tools`: a thought, and the
    action as a tool call."""
    guidance: str | None = None
    """Prompt after the environment's instructions; by default (null) it describes the format of responses."""
    examples: UserPathOrName = ""
    """A file of example episodes for the prompt: conversations or trajectories, one per line (.jsonl)."""
    history: int | None = Field(default=None, gt=0)
    """Number of latest observations in its prompt; null for all."""
    temperature: float = Field(default=0.0, ge=0)
    """Sampling temperature of its responses."""
    max_tokens: int = Field(default=512, gt=0)
    """Maximum length of its responses, in tokens, thoughts included."""
    max_steps: int | None = Field(default=None, gt=0)
    """Maximum length of its episodes, in actions, in addition to the environment's limit."""
    concurrency: int = Field(default=32, gt=0)
    """Number of concurrent episodes. Doesn't change results that depend only on their seeds."""
    step_timeout_s: float = Field(default=120.0, gt=0)
    """Time limit for an environment step, in seconds."""
    episode_timeout_s: float = Field(default=3600.0, gt=0)
    """Time limit for an episode, in seconds, including waiting."""

    def free_settings(self) -> Collection[str]:
        """Return the settings that don't change an episode that ends."""
        return ("concurrency", "step_timeout_s", "episode_timeout_s")

    def preflight(self, environment: Environment | None = None) -> None:
        """Check that the file of examples can be read.

        Raises:
            ConfigError: a line isn't an example.
            StorageError: the file can't be read.
        """
        self.format(environment)

    @abstractmethod
    def open_policy(self) -> AbstractContextManager[Policy]:
        """Provide the policy, ready to respond, for the duration of the context."""

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Play the tasks, several at once, and yield each trajectory as it ends.

        Raises:
            ConfigError: the examples can't be read.
            PolicyFailure: the policy can't respond at all.
        """
        name = self.component_name()
        async for each in self._episodes(
            environment,
            [
                EpisodeSpec(id=expert_id(name, task), start=State(task=task), seed=derive(seed, name, task.id))
                for task in tasks
            ],
        ):
            yield each

    async def continue_from(
        self, environment: Environment, states: Sequence[State], seed: int, steps: int | None = None
    ) -> AsyncIterator[Trajectory]:
        """Play on from states of other episodes, several at once, and yield each trajectory as it ends.

        Raises:
            ConfigError: the examples can't be read.
            PolicyFailure: the policy can't respond at all.
        """
        name = self.component_name()
        ids = [continuation_id(name, state) for state in states]
        async for each in self._episodes(
            environment,
            [
                EpisodeSpec(id=id, start=state, seed=derive(seed, id), steps=steps)
                for id, state in zip(ids, states, strict=True)
            ],
        ):
            yield each

    async def _episodes(self, environment: Environment, specs: Sequence[EpisodeSpec]) -> AsyncIterator[Trajectory]:
        format = self.format(environment)
        name = self.component_name()
        with self.open_policy() as policy:
            runner = EpisodeRunner(
                environment=environment,
                policy=policy,
                actor=f"expert/{name}",
                format=format,
                sampling=Sampling(temperature=self.temperature, max_tokens=self.max_tokens),
                concurrency=self.concurrency,
                max_steps=self.max_steps,
                step_timeout_s=self.step_timeout_s,
                episode_timeout_s=self.episode_timeout_s,
            )
            episodes = (runner.play(spec) for spec in specs)
            async for trajectory in as_they_end(episodes):
                yield trajectory.changed(info={**trajectory.info, **usage(trajectory)})

    def expected_cost(
        self, environment: Environment, initial: Sequence[Observation], episodes: int, longest: int
    ) -> Cost | None:
        """Estimate the tokens from the length of the prompts in bytes.

        Raises:
            ConfigError: the examples can't be read.
        """
        turns = min(longest, self.max_steps or longest)
        system = len(self.format(environment).system_message(environment.instructions).encode()) / BYTES_PER_TOKEN
        seen = sum(len(each.text.encode()) for each in initial) / max(1, len(initial)) / BYTES_PER_TOKEN
        # Turn k has k + 1 observations and k answers in its prompt.
        shown = [min(turn + 1, self.history or turn + 1) for turn in range(turns)]
        prompt = sum(system + count * seen + (count - 1) * self.max_tokens for count in shown)
        prompts, answers = round(episodes * prompt), episodes * turns * self.max_tokens
        return Cost(
            episodes=episodes,
            steps=episodes * turns,
            prompt_tokens=prompts,
            computed_tokens=prompts + answers,
            usd=round(self.price(prompts, answers), 6),
        )

    def format(self, environment: Environment | None = None) -> ExpertFormat:
        """Return the format of its prompts.

        Args:
            environment: the environment, which may declare tools; None if it isn't known yet.

        Raises:
            ConfigError: the examples can't be read.
        """
        format = ExpertFormat(style=self.style, history=self.history, guidance=self.guidance)
        format = format if environment is None else format.for_environment(environment)
        return format.model_copy(
            update={"example_episodes": read_examples(self.examples, format) if self.examples else ()}
        )


def usage(trajectory: Trajectory) -> Info:
    """Return the tokens and dollars that an episode used, lost responses included, as far as they are known."""
    responses = [step.response for step in trajectory.steps if step.response is not None]
    total: Info = {
        "turns": len(responses),
        "prompt_tokens": sum(response.prompt_tokens for response in responses),
        "computed_tokens": sum(response.computed_tokens for response in responses) + trajectory.lost_tokens,
        "usd": round(sum(response.usd for response in responses) + trajectory.lost_usd, 6),
    }
    unknown = sum(response.info.get("usage") == "unknown" for response in responses)
    shortened = sum(response.dropped > 0 for response in responses)
    without_text = sum("without_text" in response.info for response in responses)
    if unknown:
        total["turns_of_unknown_cost"] = unknown
    if without_text:
        total["turns_without_text"] = without_text
    if shortened:
        total["turns_with_shortened_context"] = shortened
    return total
