"""Episodes of lost workers are submitted again."""

from __future__ import annotations

from collections.abc import Sequence

from eef_framework.errors import ExecutorFailure, WorkerLost, boundary
from eef_framework.interfaces import EpisodeSpec, PlayEpisode
from eef_framework.records import Response, State, Trajectory
from eef_framework.rollout.scoring import score_actions

ATTEMPTS = 5
"""Maximum number of times that an episode is submitted. One that ends its worker each time would do so for ever."""


class Resubmission:
    """Plays episodes with an executor, and submits those of lost workers again.

    Args:
        play: what the executor provides.
        executor: its name.

    Attributes:
        lost: how many episodes were lost with their workers, and played again.
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
        who = f"executor {self._executor!r}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with boundary(ExecutorFailure, who, f"playing {episode.id!r}"):
                    found = await self._play(episode)
            except WorkerLost as lost:
                self.lost += 1
                if attempt == ATTEMPTS:
                    raise ExecutorFailure(
                        f"{who} lost the worker of episode {episode.id!r} {ATTEMPTS} times: {lost.message}",
                        "See the workers' logs, for example for lack of memory. Run the command again to continue.",
                        code="workers-lost",
                        episode=episode.id,
                        attempts=ATTEMPTS,
                    ) from lost
                continue
            self._check(found, episode)
            return found
        raise AssertionError

    async def score(self, state: State, actions: Sequence[str], thought: str) -> Sequence[Response]:
        """Return the answers that take actions in a state, with their log-probabilities.

        Raises:
            PolicyFailure: the executor, or the policy, can't score actions (`scoring-unsupported`).
            ExecutorFailure: the executor raised.
        """
        with boundary(ExecutorFailure, f"executor {self._executor!r}", f"scoring actions in {state.task.id!r}"):
            return await score_actions(self._play, state, actions, thought)

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
