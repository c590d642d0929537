"""Executor: where episodes are played."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from eef_framework.interfaces.component import Component
from eef_framework.interfaces.environment import Environment
from eef_framework.interfaces.expert import Expert
from eef_framework.interfaces.policy import Policy, TrainablePolicy
from eef_framework.records import Checkpoint, Record, Response, State, Task, Trajectory


class EpisodeSpec(Record):
    """A unit of work: an episode to play. It has the same result wherever and whenever it is played."""

    id: str
    """Id of the resulting trajectory."""
    start: State
    """The state to start from: a task and the actions that lead there."""
    seed: int
    """Determines the episode, together with the state."""
    steps: int | None = None
    """Maximum number of actions after the state; None for no limit of its own."""

    @property
    def task(self) -> Task:
        """The task to play."""
        return self.start.task


class PlayEpisode(Protocol):
    """Plays one episode."""

    async def __call__(self, episode: EpisodeSpec) -> Trajectory:
        """Play an episode. Many calls are awaited at once.

        Raises:
            WorkerLost: the process that played it ended, and another one has taken its place. The framework calls this
                again for the episode.
            PolicyFailure: the policy can't answer any request: the run stops, and can be resumed.
            ConfigError: a setting is wrong, which affects all episodes.
        """


@runtime_checkable
class ScoreActions(Protocol):
    """Scores actions of the policy that plays. `PlayEpisode` may offer it, too; `EpisodeSetup.open()` does."""

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Return the answers that take actions in a state, with their log-probabilities; see `Policy.score`.

        Args:
            state: the state.
            actions: the actions.
            thought: the thought before each action, in formats with thoughts.
        """


class EpisodeSetup(Protocol):
    """What the episodes of a phase are played with, besides their specs. The framework's is `EpisodeRunner`."""

    @property
    def environment(self) -> Environment:
        """The environment."""

    @property
    def policy(self) -> Policy | TrainablePolicy:
        """The policy that plays; one that is trained isn't loaded."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The weights to load; None for a policy that isn't trained."""

    @property
    def concurrency(self) -> int:
        """Maximum number of concurrent episodes."""

    def open(self, threads: int | None = None) -> AbstractContextManager[PlayEpisode]:
        """Load the weights, and provide what plays episodes in this process.

        Args:
            threads: maximum number of threads for environment steps that block; None for the number of cores plus 4, at
                most 32.
        """

    def portable(self) -> dict[str, Any]:
        """Return this setup as JSON data. In a worker process, `open_portable(data)` takes the place of `open()`.

        Components are built there from their settings.

        Raises:
            ConfigError: a component can't be built in another process, with the code `not-portable`.
        """


class Executor(Component):
    """Executor: decides in which threads, processes or hosts episodes are played.

    A result must not depend on the executor. An episode that a lost worker played is never a result: `PlayEpisode`
    raises `WorkerLost`, and the framework submits the episode again.
    """

    @abstractmethod
    def start(self, setup: EpisodeSetup) -> AbstractContextManager[PlayEpisode]:
        """Prepare to play the episodes of a phase, for example by starting workers; release everything on exit.

        At most `setup.concurrency` episodes may be played at once; further calls wait.

        Args:
            setup: what the episodes are played with.
        """

    def demonstrate(
        self, expert: Expert, environment: Environment, tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Trajectory]:
        """Let the expert demonstrate tasks, by default in this process.

        Args:
            expert: the expert.
            environment: where it demonstrates.
            tasks: the tasks. They are independent, and may be divided among workers.
            seed: see `Expert.demonstrate`.

        Raises:
            WorkerLost: a worker ended. The framework asks again for the tasks that are missing.
        """
        return expert.demonstrate(environment, tasks, seed)
