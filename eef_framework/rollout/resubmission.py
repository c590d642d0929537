"""Episodes of lost workers are submitted again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from eef_framework.errors import ExecutorFailure, WorkerLost, boundary
from eef_framework.interfaces import EpisodeSpec, PlayEpisode
from eef_framework.records import Response, State, Trajectory
from eef_framework.rollout.scoring import score_actions

T = TypeVar("T")

ATTEMPTS = 5
"""Maximum number of times that an episode is submitted. One that ends its worker each time would do so forever."""


class Resubmission:
    """Plays episodes with an executor, and submits those of lost workers again.

    Args:
        play: what the executor provides.
        executor: its name.

    Attributes:
        lost: how many episodes, or requests for scores, were lost with their workers, and submitted again.
    """

    def __init__(self, play: PlayEpisode, executor: str) -> None:
        self._play = play
        self._executor = executor
        self.lost = 0

    async def __call__(self, episode: EpisodeSpec) -> Trajectory:
        """Play an episode.

        Raises:
            ExecutorFailure: its worker was lost each time (`workers-lost`), the result isn't this episode
                (`wrong-episode`), or the executor raised.
        """
        found = await self._resubmitted(lambda: self._play(episode), "playing", episode.id)
        self._check(found, episode)
        return found

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Return the answers that take actions in a state, with their log-probabilities.

        Raises:
            PolicyFailure: the executor, or the policy, can't score actions (`scoring-unsupported`).
            ExecutorFailure: the worker was lost each time (`workers-lost`), or the executor raised.
        """
        return await self._resubmitted(
            lambda: score_actions(self._play, state, actions, thought), "scoring actions in", state.task.id
        )

    async def _resubmitted(self, call: Callable[[], Awaitable[T]], doing: str, id: str) -> T:
        who = f"executor {self._executor!r}"
        for _ in range(ATTEMPTS):
            try:
                with boundary(ExecutorFailure, who, f"{doing} {id!r}"):
                    return await call()
            except WorkerLost as lost:
                self.lost += 1
                last = lost
        raise ExecutorFailure(
            f"{who} lost the worker {ATTEMPTS} times while {doing} {id!r}: {last.message}",
            "See the workers' logs, for example for lack of memory. Run the command again to continue.",
            code="workers-lost",
            episode=id,
            attempts=ATTEMPTS,
        ) from last

    def _check(self, found: object, episode: EpisodeSpec) -> None:
        if isinstance(found, Trajectory) and found.id == episode.id and found.task.id == episode.task.id:
            return
        given = f"the trajectory {found.id!r}" if isinstance(found, Trajectory) else f"{found!r:.100}"
        raise ExecutorFailure(
            f"executor {self._executor!r} returned {given} for episode {episode.id!r}",
            "Return the result of the call that this episode was passed to.",
            code="wrong-episode",
            episode=episode.id,
        )
