"""Experts that are language models: they play under the same rules as the agent."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Literal

from pydantic import Field

from eef_experts.prompt import ExpertFormat, read_examples
from eef_framework.interfaces import Environment, EpisodeSpec, Expert, Policy, Sampling
from eef_framework.paths import UserPathOrName
from eef_framework.records import Info, State, Task, Trajectory
from eef_framework.rollout import EpisodeRunner, expert_id
from eef_framework.rollout.concurrency import as_they_end
from eef_framework.seeds import derive


class PolicyExpert(Expert):
    """An expert whose demonstrations are the episodes of a policy. Subclasses define the policy.

    If an answer is lost, its episode is recorded as an error and requested again when the command is repeated. A policy
    that can't answer at all ends the run, which can be resumed.
    """

    style: Literal["react", "action"] = "react"
    """`react`: it writes a thought before each action (arXiv 2210.03629). `action`: it writes only the action."""
    guidance: str | None = None
    """Prompt after the environment's instructions; null for the format of answers."""
    examples: UserPathOrName = ""
    """A file of worked examples for the prompt: conversations or trajectories, one per line (.jsonl)."""
    history: int | None = Field(default=None, gt=0)
    """Number of latest observations that it is shown; null for the whole episode."""
    temperature: float = Field(default=0.0, ge=0)
    """How its answers are sampled."""
    max_tokens: int = Field(default=512, gt=0)
    """Maximum length of its answers, in tokens, thought included."""
    max_steps: int | None = Field(default=None, gt=0)
    """Maximum length of its episodes, in actions, if the environment's own limit isn't short enough."""
    episodes: int = Field(default=32, gt=0)
    """Number of concurrent episodes. Never changes a result that depends only on its seed."""
    step_timeout_s: float = Field(default=120.0, gt=0)
    """Maximum time for one environment step."""
    episode_timeout_s: float = Field(default=3600.0, gt=0)
    """Maximum time for one episode, including waiting."""

    def preflight(self, environment: Environment | None = None) -> None:
        """Check that the file of worked examples can be read.

        Raises:
            ConfigError: it doesn't.
            StorageError: it isn't there.
        """
        self.format()

    @abstractmethod
    def player(self) -> AbstractContextManager[Policy]:
        """Provide the policy, ready to answer, for the duration of the demonstrations."""

    async def demonstrate(
        self, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Play the tasks, several at once, and yield each trajectory as it ends.

        Raises:
            ConfigError: the examples can't be read.
            PolicyFailure: the policy can't answer at all.
        """
        format = self.format()
        name = self.component_name()
        with self.player() as policy:
            player = EpisodeRunner(
                environment=environment,
                policy=policy,
                actor=f"expert/{name}",
                format=format,
                sampling=Sampling(temperature=self.temperature, max_tokens=self.max_tokens),
                concurrency=self.episodes,
                max_steps=self.max_steps,
                step_timeout_s=self.step_timeout_s,
                episode_timeout_s=self.episode_timeout_s,
            )
            specs = (
                EpisodeSpec(id=expert_id(name, task), start=State(task=task), seed=derive(seed, name, task.id))
                for task in tasks
            )
            playing = (player.play(spec) for spec in specs)
            async for trajectory in as_they_end(playing):
                yield trajectory.changed(info={**trajectory.info, **account(trajectory)})

    def format(self) -> ExpertFormat:
        """Return the format in which episodes are presented to it.

        Raises:
            ConfigError: the examples can't be read.
        """
        format = ExpertFormat(style=self.style, history=self.history, guidance=self.guidance)
        return format.model_copy(update={"worked": read_examples(self.examples, format) if self.examples else ()})


def account(trajectory: Trajectory) -> Info:
    """Return what an episode consumed, lost answers included, as far as it is known."""
    said = [step.response for step in trajectory.steps if step.response is not None]
    total: Info = {
        "turns": len(said),
        "prompt_tokens": sum(response.prompt_tokens for response in said),
        "computed_tokens": sum(response.computed_tokens for response in said) + trajectory.lost_tokens,
        "usd": round(sum(response.usd for response in said) + trajectory.lost_usd, 6),
    }
    unknown = sum(response.info.get("usage") == "unknown" for response in said)
    shortened = sum(response.dropped > 0 for response in said)
    silent = sum("without_text" in response.info for response in said)
    if unknown:
        total["turns_of_unknown_cost"] = unknown
    if silent:
        total["turns_without_text"] = silent
    if shortened:
        total["turns_with_shortened_context"] = shortened
    return total
