"""The generated shop as an environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PrivateAttr

from eef_framework.errors import EnvironmentFailure, UnknownName
from eef_framework.interfaces import Environment
from eef_framework.records import Task, Tool, fingerprint
from eef_webshop.generated.catalogue import Product, generate
from eef_webshop.generated.goals import SPLITS, Goal, draw_goals
from eef_webshop.generated.pages import CompactPages, Pages, TextPages
from eef_webshop.generated.search import SearchEngine
from eef_webshop.generated.session import ShopSession
from eef_webshop.generated.tasks import LazyTasks
from eef_webshop.tools import TOOLS

Share = Annotated[float, Field(ge=0.0)]


class Shop(Environment):
    """A generated shop with WebShop's actions, pages and reward. Needs no download, and suits models of any size."""

    name: ClassVar[str] = "shop"

    products: int = Field(default=300, ge=50)
    """Number of products, over 10 categories."""
    catalogue_seed: int = 233
    """Determines products and goals."""
    mode: Literal["compact", "text"] = "compact"
    """Format of pages: `compact` for tiny models (a vocabulary of less than 100 words), `text` as in WebShop."""
    max_steps: int = Field(default=15, ge=5)
    """Maximum episode length, in actions. An unfinished episode has reward 0."""
    easy: float = Field(default=1 / 3, ge=0.0, le=1.0)
    """Share of goals that can be met on the first result page, with the first product that looks right."""
    hard: dict[Literal["paging", "back", "both"], Share] = Field(default={"paging": 1.0, "back": 1.0, "both": 1.0})
    """Relative shares of the other kinds among the rest; a kind that is absent has none."""
    train: int = Field(default=4000, ge=0)
    """Number of goals in the split `train`."""
    dev: int = Field(default=1000, ge=0)
    """Number of goals in the split `dev`."""
    test: int = Field(default=2000, ge=0)
    """Number of goals in the split `test`."""

    _tasks: dict[str, LazyTasks] = PrivateAttr(default_factory=dict)

    @cached_property
    def catalogue(self) -> tuple[Product, ...]:
        """The products."""
        return generate(self.products, self.catalogue_seed)

    @cached_property
    def engine(self) -> SearchEngine:
        """The search engine."""
        return SearchEngine(self.catalogue)

    @cached_property
    def pages(self) -> Pages:
        """The pages, in the format of the chosen mode."""
        return CompactPages(self.catalogue) if self.mode == "compact" else TextPages(self.catalogue)

    @property
    def instructions(self) -> str:
        """The rules; empty in compact mode, where a model learns them from demonstrations."""
        return self.pages.instructions

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools `search` and `click`."""
        return TOOLS

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split, created on access.

        Raises:
            UnknownName: the split doesn't exist.
        """
        if split not in SPLITS:
            raise UnknownName.of("split", split, SPLITS, where="in environment 'shop'")
        if split not in self._tasks:
            self._tasks[split] = LazyTasks(self._draw(split), getattr(self, split), setting=split)
        return self._tasks[split]

    def open(self, task: Task) -> ShopSession:
        """Start an episode.

        Raises:
            EnvironmentFailure: the task belongs to another environment, or to other products.
        """
        goal = self._goal(task)
        if goal is None:
            raise EnvironmentFailure(
                f"task {task.id!r} of environment {task.environment!r} doesn't belong to this shop "
                f"({self.products} products, catalogue seed {self.catalogue_seed})",
                "Take tasks from `tasks(split)` of a shop with the same settings.",
                code="foreign-task",
                task=task.id,
            )
        return ShopSession(self, task, goal, self.pages, self.engine, self.max_steps)

    def _goal(self, task: Task) -> Goal | None:
        """Return a task's goal, or None if the task doesn't belong to this shop."""
        try:
            goal = Goal.of(task.info)
            mine = task.environment == self.name and task.fingerprint == self._fingerprint(goal)
        except (TypeError, ValueError):
            return None
        return goal if mine else None

    def _draw(self, split: str) -> Iterator[Task]:
        rest = (1 - self.easy) / (sum(self.hard.values()) or 1.0)
        shares: dict[str, float] = {kind: rest * share for kind, share in self.hard.items()}
        shares["easy"] = self.easy
        goals = draw_goals(self.engine, split, self.catalogue_seed, shares, self.max_steps)
        for number, (goal, kind) in enumerate(goals):
            yield Task(
                id=f"{split}-{number}",
                environment=self.name,
                split=split,
                kind=kind,
                instruction=goal.instruction,
                fingerprint=self._fingerprint(goal),
                info=goal.info,
            )

    def _fingerprint(self, goal: Goal) -> str:
        return fingerprint(f"{self.products} products of seed {self.catalogue_seed}: {goal.instruction}")
