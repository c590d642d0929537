"""Expert: demonstrates tasks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from eef_framework.errors import ConfigError
from eef_framework.interfaces.component import Component
from eef_framework.interfaces.environment import Environment
from eef_framework.interfaces.policy import Policy
from eef_framework.records import Cost, Observation, State, Task, Trajectory

CHARACTERS_PER_TOKEN = 4
"""For estimates."""


class Expert(Component):
    """Expert: demonstrates tasks. A language model, a script, a recording. Its failures are used, too."""

    continues: ClassVar[bool] = False
    """Whether it implements `continue_from`."""

    def preflight(self, environment: Environment | None = None) -> None:
        """Check, within a second, whether this expert can work here; see `Component.preflight`.

        Args:
            environment: the environment it will demonstrate in, if known.

        Raises:
            ConfigError: it can't, for example because it only supports another environment.
        """

    @abstractmethod
    def demonstrate(self, environment: Environment, tasks: Sequence[Task], seed: int) -> AsyncIterator[Trajectory]:
        """Play tasks and yield each trajectory as it ends, in any order.

        Args:
            environment: where to play.
            tasks: which to play; a resumed run asks only for those still missing.
            seed: a task's demonstration depends on the seed and on the task, not on other tasks.

        Yields:
            One trajectory per task, failures included (or `demonstrations_per_task`, with different `attempt`). The
            framework fills in its id, actor and provenance.
        """

    def continue_from(
        self, environment: Environment, states: Sequence[State], seed: int, steps: int | None = None
    ) -> AsyncIterator[Trajectory]:
        """Continue episodes of the agent, and yield each trajectory as it ends, in any order.

        Optional: for methods in which the expert corrects the agent (`explore.advice`). Set `continues` to true.

        Args:
            environment: where to play.
            states: the states to continue from, all different.
            seed: what the expert does in a state depends on the seed and on the state, not on other states.
            steps: maximum number of its own actions; None to play to the end.

        Yields:
            One trajectory per state. It begins with the state's steps and has its `origin`, or none in a task's initial
            state. The framework fills in id, actor and provenance.

        Raises:
            ConfigError: this expert can't.
        """
        raise cannot_continue(self)

    @property
    def demonstrations_per_task(self) -> int:
        """Number of trajectories that it yields for each task; their field `attempt` is 0, 1, and so on."""
        return 1

    def for_evaluation(self) -> Expert:
        """Return the expert that plays in evaluations, which demonstrates each task once. Usually that is this one."""
        return self

    def expected_cost(
        self, environment: Environment, initial: Sequence[Observation], episodes: int, longest: int
    ) -> Cost | None:
        """Estimate the tokens and dollars of demonstrations before a run, from above.

        Optional: only experts that are language models use tokens.

        Args:
            environment: the environment.
            initial: first observations of some tasks.
            episodes: number of tasks.
            longest: maximum length of an episode, in actions.

        Returns:
            The cost if every episode takes all actions, answers are as long as they may be, and observations as long as
            the first ones; None if it can't be told.
        """
        return None

    def expected_cost_of_questions(self, questions: int, characters: float, max_tokens: int) -> Cost:
        """Estimate the tokens and dollars of questions that it is asked as a language model, from above.

        Args:
            questions: their number.
            characters: mean length of a question.
            max_tokens: maximum length of an answer, in tokens.
        """
        prompts, answers = round(questions * characters / CHARACTERS_PER_TOKEN), questions * max_tokens
        usd = round(self.price(prompts, answers), 6)
        return Cost(prompt_tokens=prompts, computed_tokens=prompts + answers, usd=usd)

    def price(self, prompt: int, answers: int) -> float:
        """Return the price of tokens in US dollars, for estimates; 0 if there is none, or if it isn't known.

        Args:
            prompt: number of tokens of the prompts.
            answers: number of tokens of the answers.
        """
        return 0.0

    def open_policy(self) -> AbstractContextManager[Policy]:
        """Provide the language model that this expert is, so that it can be asked other things, as a judge for example.

        Optional: scripts and recordings can't answer.

        Raises:
            ConfigError: this expert can't answer.
        """
        raise ConfigError(
            f"expert {self.component_name()!r} isn't a language model, so it can't be asked",
            "Name one that is, such as openai or local.",
            code="expert-cannot-answer",
            expert=self.component_name(),
        )


def cannot_continue(expert: Expert) -> ConfigError:
    """Return the error that an expert can't continue the agent's episodes."""
    name = expert.component_name()
    return ConfigError(
        f"expert {name!r} only demonstrates whole tasks, so it can't say what it would do in the agent's episodes",
        "Name an expert that can, such as openai, local or shopper, or set explore.advice to false.",
        code="expert-cannot-continue",
        expert=name,
    )
