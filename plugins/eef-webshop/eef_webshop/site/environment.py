"""The real WebShop as an environment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from eef_framework.errors import ConfigError, EnvironmentFailure, UnknownName
from eef_framework.interfaces import Environment
from eef_framework.records import Task, Tool, fingerprint
from eef_webshop.data.catalogue import Catalogue
from eef_webshop.site.compact import CompactPages
from eef_webshop.site.goals import DrawnGoals, GivenGoals, Goal, Goals
from eef_webshop.site.pages import Pages
from eef_webshop.site.session import WebShopSession
from eef_webshop.site.state import PER_PAGE
from eef_webshop.site.store import check_products, open_catalogue
from eef_webshop.site.tasks import SPLITS, GoalTasks, split_of
from eef_webshop.site.text import TextPages
from eef_webshop.tools import TOOLS


class WebShop(Environment):
    """WebShop (Yao et al. 2022, arXiv 2207.01206): the reference's pages, goals and rewards, without Java or HTML."""

    name: ClassVar[str] = "webshop"

    data: Path | None = None
    """A store made by `eef webshop prepare`, or a folder with the official files, which is then prepared once."""
    mode: Literal["text", "text_rich", "compact"] = "text"
    """Format of pages: `text` and `text_rich` as in the reference; `compact` for tiny models."""
    goals: Literal["synthetic", "human"] | Path = "synthetic"
    """`human` for instructions written by people, as in published comparisons on the full catalogue; `synthetic` for
    generated ones; or a JSON file with goals and prices of the reference."""
    price_seed: int = 0
    """Seed of prices that are given as a range, and of price limits. With 0 they are those that the reference draws if
    Python's generator is seeded with 0 before it loads."""
    max_steps: int | None = Field(default=10, ge=1)
    """Maximum episode length, in actions; an unfinished episode has reward 0. ETO's protocol uses 10, others
    15, and the reference has no limit."""
    per_page: int = Field(default=PER_PAGE, ge=1)
    """Number of results on a page; the reference has 10. Among few products the wanted one is nearly always on the
    first page of ten; with fewer results on a page, agents have to turn pages."""
    show_attributes: bool = False
    """Whether product pages have a button for the product's attributes (the reference's `show_attrs`)."""

    def preflight(self) -> None:
        """Check that the products and the goals are available.

        Raises:
            ConfigError: they aren't, or spaCy is needed to prepare them and missing.
            StoreError: the store is incomplete, or of another version.
        """
        check_products(self.data)
        if isinstance(self.goals, Path) and not self.goals.is_file():
            raise ConfigError(
                f"there is no file of goals {str(self.goals)!r}",
                "Give `synthetic`, `human`, or a JSON file.",
                code="no-goals",
                path=str(self.goals),
            )

    @cached_property
    def catalogue(self) -> Catalogue:
        """The products and the search engine, opened when first used.

        Raises:
            ConfigError: there are no products.
        """
        return open_catalogue(self.data)

    @cached_property
    def all_goals(self) -> Goals:
        """All goals in the reference's order, and all prices."""
        if isinstance(self.goals, Path):
            return GivenGoals(self.goals, self.catalogue)
        return DrawnGoals(self.catalogue, self.goals, self.price_seed)

    @cached_property
    def pages(self) -> Pages:
        """The pages, in the format of the chosen mode."""
        if self.mode == "compact":
            return CompactPages(self.catalogue)
        return TextPages(self.catalogue, self.show_attributes, rich=self.mode == "text_rich")

    @property
    def instructions(self) -> str:
        """The rules; empty in compact mode, where a model learns them from demonstrations."""
        return "" if self.mode == "compact" else TextPages.instructions

    @property
    def tools(self) -> Sequence[Tool]:
        """The tools `search` and `click`."""
        return TOOLS

    def tasks(self, split: str) -> Sequence[Task]:
        """Return the tasks of a split: goals 0-499 for `test`, 500-1499 for `dev`, the others for `train`.

        Raises:
            UnknownName: the split doesn't exist.
            ConfigError: there are no products, or too few goals for this split.
        """
        if split not in SPLITS:
            raise UnknownName.of("split", split, SPLITS, where="in environment 'webshop'")
        start, end = SPLITS[split]
        indices = range(len(self.all_goals))[start:end]
        if not indices:
            raise ConfigError(
                f"the products in {str(self.data)!r} have {len(self.all_goals)} goals ({self.goals}); split {split!r} "
                f"starts at goal {start}",
                "Choose other goals (`--set environment.goals=synthetic`), or more products.",
                code="too-few-goals",
                split=split,
                goals=len(self.all_goals),
                start=start,
            )
        return GoalTasks(indices, self.task)

    def task(self, index: int) -> Task:
        """Return the task of a goal, given its index in the reference's order."""
        goal = self.all_goals.goal(index)
        kind = "given" if isinstance(self.goals, Path) else self.goals
        return Task(
            id=f"{kind}-{index}",
            environment=self.name,
            split=split_of(index),
            kind={0: "no options", 1: "1 option"}.get(len(goal.options), f"{len(goal.options)} options"),
            instruction=goal.instruction,
            fingerprint=self._fingerprint(goal),
            info={"goal": index},
        )

    def open(self, task: Task) -> WebShopSession:
        """Start an episode.

        Raises:
            EnvironmentFailure: the task belongs to another environment, or to other products, goals or prices.
        """
        index = task.info.get("goal")
        if task.environment == self.name and isinstance(index, int) and 0 <= index < len(self.all_goals):
            goal = self.all_goals.goal(index)
            if task.fingerprint == self._fingerprint(goal):
                return WebShopSession(self, task, goal, self.pages, self.all_goals, self.max_steps, self.per_page)
        raise EnvironmentFailure(
            f"task {task.id!r} of environment {task.environment!r} doesn't belong to this shop (products "
            f"{str(self.data)!r}, goals {str(self.goals)!r}, price seed {self.price_seed})",
            "Take tasks from `tasks(split)` of a shop with the same settings and products.",
            code="foreign-task",
            task=task.id,
        )

    def close(self) -> None:
        """Close the store. The next use opens it again."""
        if catalogue := self.__dict__.get("catalogue"):
            catalogue.close()
        for name in ("pages", "all_goals", "catalogue"):
            self.__dict__.pop(name, None)

    def _fingerprint(self, goal: Goal) -> str:
        return fingerprint(f"{goal.fingerprint} {self.catalogue.fingerprint}")
