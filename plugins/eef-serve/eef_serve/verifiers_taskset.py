"""A taskset of verifiers (0.4): its agents play episodes of any installed environment, `remote` included.

The id of the taskset is `eef-serve`. The environment plays the user: it answers each reply with the next observation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import verifiers.v1 as vf
from pydantic import Field

from eef_framework.chat import ChatFormat, as_instructions
from eef_framework.interfaces import Environment, Session
from eef_framework.plugins import load_plugins
from eef_framework.records import Observation, SuccessRule, Task, Trajectory
from eef_serve.whole_episodes import check_whole


class EefTasksetConfig(vf.TasksetConfig):  # type: ignore[misc]
    """What is played."""

    environment: str = ""
    """Name of an environment: `shop`, `remote`, `my_module:MyClass`."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The environment's settings."""
    split: str = "train"
    """Whose tasks are played."""
    format: dict[str, Any] = Field(default_factory=dict)
    """Settings of `ChatFormat`: how actions are read from replies. All observations have to be shown."""
    success: float = SuccessRule().threshold
    """Smallest reward that counts as a success."""


class EefTaskData(vf.TaskData):  # type: ignore[misc]
    """A task: its id, and its split."""

    split: str


class EefTask(vf.Task[EefTaskData]):  # type: ignore[misc]
    """A task of an environment. It is scored by the environment while it is played."""


class _World:
    """The environment and its tasks, built when they are needed. All views of a taskset share it."""

    def __init__(self, config: EefTasksetConfig) -> None:
        self.config = config
        self.given_format = check_whole(ChatFormat.model_validate(config.format))

    @cached_property
    def environment(self) -> Environment:
        return load_plugins().build("environment", {"name": self.config.environment, **self.config.settings})

    @cached_property
    def tasks(self) -> dict[str, Task]:
        return {task.id: task for task in self.environment.tasks(self.config.split)}

    @cached_property
    def format(self) -> ChatFormat:
        """The format, with the environment's tools."""
        return self.given_format.for_environment(self.environment)

    @cached_property
    def room(self) -> asyncio.Semaphore:
        """Limits the number of sessions."""
        return asyncio.Semaphore(self.environment.max_sessions or 1_000_000)

    @property
    def instructions(self) -> str | None:
        """The system prompt. It describes the tools: the agent's own requests don't have them."""
        first = self.format.conversation(self.environment.instructions, Observation(text=""), ())[0]
        if first.role != "system":
            return None
        parts = [first.content, as_instructions(first.tools) if first.tools else ""]
        return "\n\n".join(part for part in parts if part)

    def shown(self, session: Session) -> str:
        """Return the user's message for a session's current observation."""
        return self.format.conversation("", session.initial, session.steps)[-1].content

    def close(self) -> None:
        if "environment" in self.__dict__:
            self.environment.close()
            for name in ("environment", "tasks", "format", "room"):
                self.__dict__.pop(name, None)


class EefTaskset(vf.Taskset[EefTask, EefTasksetConfig]):  # type: ignore[misc]
    """The tasks of a split."""

    def __init__(self, config: EefTasksetConfig) -> None:
        super().__init__(config)
        self.world = _World(config)

    def load(self) -> Iterator[EefTask]:
        """Yield the tasks in the environment's order."""
        instructions = self.world.instructions
        for task in self.world.tasks.values():
            data = EefTaskData(id=task.id, name=task.id, split=task.split, prompt=None, system_prompt=instructions)
            yield EefTask(data, self.config.task)


class EefEnvConfig(vf.EnvConfig):  # type: ignore[misc]
    """Who plays."""

    player: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, runtime={"type": "subprocess"})
    """The agent. It has no tools, and executes nothing: its replies are actions."""


class EefEnv(vf.Env[EefEnvConfig]):  # type: ignore[misc]
    """Plays an episode; its reward is the environment's, and the metric `success` is 1 or 0."""

    async def run(self, task: EefTask, agents: vf.Agents) -> None:
        """Play an episode. One that fails, by the environment or the model, has no reward."""
        world: _World = self.taskset.world
        async with world.room:
            session = await asyncio.to_thread(world.environment.open, world.tasks[task.data.id])
            try:
                async with agents.player.interaction(task) as interaction:
                    while not session.done:
                        segment = await interaction.turn(world.shown(session))
                        if segment.terminated:
                            break
                        action = world.format.parse(segment.last_reply, session.observation).action
                        await asyncio.to_thread(session.step, action)
                trace = interaction.trace
                if not trace.has_error:
                    trace.record_reward("reward", session.reward)
                    trace.record_metric("success", self._success(session))
                trace.record_metric("steps", len(session.steps))
            finally:
                await asyncio.to_thread(session.close)

    async def stop(self) -> None:
        """Close the environment."""
        self.taskset.world.close()

    def _success(self, session: Session) -> bool:
        episode = Trajectory(
            task=session.task, initial=session.initial, steps=tuple(session.steps), reward=session.reward
        )
        return SuccessRule(threshold=self.taskset.config.success).holds(episode)
