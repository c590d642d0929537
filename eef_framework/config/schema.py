"""The configuration of a run: one tree. Whatever the paper leaves open is a setting here, with our default.

A component is named and set up in one place: `environment: {name: shop, products: 300}`, or just
`environment: shop`. Which settings it takes is the component's own affair (`eef plugins` lists them).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from eef_framework.chat.format import ChatFormat
from eef_framework.interfaces import Component, Sampling
from eef_framework.paths import UserPathOrName
from eef_framework.records import SuccessRule


class ComponentSpec(dict[str, Any]):
    """A component's name and settings; with the component itself where it was handed over in Python.

    Attributes:
        component: the object that was handed over. It is used as it is, live state included, and stays its owner's:
            a run doesn't close it.
        checked: what was built of the settings to check them, for the run that comes to use it.
    """

    component: Component | None = None
    checked: Component | None = None

    @classmethod
    def of(cls, component: Component) -> Self:
        """Return what is recorded of an object: its settings, and the import path of its class as the name."""
        kind = type(component)
        spec = cls(component.settings() | {"name": f"{kind.__module__}:{kind.__qualname__}"})
        spec.component = component
        return spec

    def take_checked(self) -> Component | None:
        """Return what was built to check the settings, to one caller only."""
        component, self.checked = self.checked, None
        return component

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Accept a component, its name, or a mapping with name and settings."""
        return core_schema.no_info_wrap_validator_function(
            lambda value, plain: cls.make(value),
            core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema()),
        )

    @classmethod
    def make(cls, value: Any) -> Self:
        """Return the specification that a value stands for: a name, name and settings, or a component itself.

        Raises:
            ValueError: it stands for none.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Component):
            return cls.of(value)
        if isinstance(value, type) and issubclass(value, Component):
            raise ValueError(f"this is the class {value.__name__}; hand over an object of it: {value.__name__}()")
        if not isinstance(value, str | Mapping):
            raise ValueError(f"expected a component's name, or its name and settings, or an object, not {value!r}")
        return cls({"name": value} if isinstance(value, str) else value)


class Section(BaseModel):
    """A part of the tree. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class TaskList(Section):
    """Which tasks of a split are played."""

    split: str
    count: int | None = Field(default=None, gt=0)
    """How many, from the split's start; all where it is null."""


class Collect(Section):
    """The expert's demonstrations."""

    tasks: TaskList = TaskList(split="train")
    trajectories: UserPathOrName | None = None
    """A file of trajectories (JSON lines) to use in place of the expert's demonstrations."""


class Clone(Section):
    """Phase 1, behaviour cloning."""

    on: Literal["successes", "all", "none"] = "successes"
    """Which demonstrations to imitate. `all`, failures included, is the naive baseline; with `none`, the agent starts
    as it is, which is all that a policy without weights can do."""
    trainer: ComponentSpec = ComponentSpec(name="sft")


class Explore(Section):
    """Phase 2, exploration by the current agent."""

    simulations: int = Field(default=1, gt=0)
    """Episodes from every training task's initial state."""
    attribute: Literal["all", "failures", "none"] = "all"
    """Which demonstrations are attributed, where there is an attributor. The paper: all."""
    matched: bool = False
    """Give every task as many episodes from its initial state as the main method spent on it, from whatever states: a
    fair baseline. A main method gets as many as its attributor plans. Goes with `attribute: none`."""
    sampling: Sampling = Sampling(temperature=1.0)


class Select(Section):
    """Phase 3, the choice of what to learn."""

    prefix_loss: Literal["beneficial", "not-harmful", "all", "none"] = "beneficial"
    """Which of the expert's actions before a successful continuation get loss. The paper: the beneficial ones."""
    solution: Literal["least-expert", "fewest-steps", "fewest-trained", "random"] = "least-expert"
    """Which solution of a task to prefer. `least-expert` takes the earliest state that the agent succeeds from."""
    solutions_per_state: int = Field(default=1, gt=0)
    """How many solutions of one important state are kept, so that easy tasks don't crowd out hard ones."""
    initial: bool = True
    """Learn to solve tasks from their initial states."""
    recovery: bool = True
    """Learn to get out of states that the expert's harmful actions led to."""
    keep: Literal["all", "latest"] = "all"
    """Whether solutions found in earlier iterations stay in the repository D+."""
    pairs: bool = False
    """Choose pairs in place of solutions, for trainers that learn preferences: of every task, the expert's and the
    agent's attempts of the lowest reward, each beside one of the highest. `solutions_per_state` pairs of a task are
    kept, from the attempts that `keep` keeps."""


class Tune(Section):
    """The fine-tuning at the end of each iteration."""

    start: Literal["base", "clone", "previous"] = "clone"
    """Which weights each iteration starts from."""
    trainer: ComponentSpec | None = None
    """The trainer; the one of `clone` where it is null."""


class Evaluate(Section):
    """Evaluation, on held-out tasks by default."""

    tasks: TaskList = TaskList(split="test")
    sampling: Sampling = Sampling(temperature=0.0)
    expert: bool = True
    """Also let the expert play these tasks."""


class Limits(Section):
    """What keeps a run from hanging."""

    concurrency: int = Field(default=128, gt=0)
    """Episodes in flight. Never changes a result."""
    steps: int | None = Field(default=None, gt=0)
    """Longest episode, in actions, where the environment's own limit isn't short enough. An expert's demonstration that
    is longer is cut there, and counts as unfinished."""
    step_timeout_s: float = Field(default=120.0, gt=0)
    """Longest time for one step of the environment; that it waits for its turn doesn't count."""
    episode_timeout_s: float = Field(default=3600.0, gt=0)
    """Longest time for one episode, waiting included."""


class RunConfig(Section):
    """Everything a run depends on."""

    seed: int = 0
    """All randomness of the run derives from it."""
    plugins: tuple[str, ...] | None = None
    """Limit the run to these plugins; all installed ones where it is null."""
    environment: ComponentSpec
    expert: ComponentSpec | None = None
    """Who demonstrates. Needed unless `collect.trajectories` names demonstrations, and `evaluate.expert` is off."""
    policy: ComponentSpec = ComponentSpec(name="transformers")
    format: ChatFormat = ChatFormat()
    success: SuccessRule = SuccessRule()
    method: str = Field(default="eef", pattern=r"^\w[\w .+=-]*$")
    """Name of the method in tables, and of its folder in a run; recipes set it."""
    iterations: int = Field(default=2, ge=0)
    """How often exploration and fine-tuning are repeated."""
    collect: Collect = Collect()
    clone: Clone = Clone()
    explore: Explore = Explore()
    attributor: ComponentSpec | None = None
    """Who attributes; null for methods without attribution."""
    select: Select = Select()
    filters: tuple[ComponentSpec, ...] = ()
    """Applied in order to the training examples."""
    tune: Tune = Tune()
    evaluate: Evaluate = Evaluate()
    limits: Limits = Limits()
    baselines: tuple[str, ...] = ()
    """Recipes to run beside this one, on the same demonstrations and the same cloned agent."""
