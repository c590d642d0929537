"""The schema of a run's configuration. Everything that the paper leaves open is a setting here, with our default.

A component is named and configured in one place: `environment: {name: shop, products: 300}`, or just
`environment: shop`. The component defines its settings (`eef plugins` lists them).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, field_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from eef_framework.chat.format import ChatFormat
from eef_framework.interfaces import Component, Sampling
from eef_framework.paths import UserPathOrName
from eef_framework.records import SuccessRule


class ComponentSpec(dict[str, Any]):
    """A component's name and settings; with the component itself if it was passed as a Python object.

    Attributes:
        component: the object that was passed. It is used unchanged, live state included, and belongs to its owner: a
            run doesn't close it.
        checked: the component built to validate the settings, for reuse by the run.
    """

    component: Component | None = None
    checked: Component | None = None

    @classmethod
    def of(cls, component: Component) -> Self:
        """Return what is recorded for an object: its settings, and the import path of its class as the name."""
        kind = type(component)
        spec = cls(component.settings() | {"name": f"{kind.__module__}:{kind.__qualname__}"})
        spec.component = component
        return spec

    def take_checked(self) -> Component | None:
        """Return the component built to validate the settings, to one caller only."""
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
        """Return the specification for a value: a name, name and settings, or a component itself.

        Raises:
            ValueError: it isn't a component specification.
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
    """A section of the configuration. Unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())


class TaskList(Section):
    """The tasks of a split to play."""

    split: str
    count: int | None = Field(default=None, gt=0)
    """Number of tasks, from the start of the split; null for all."""


class Collect(Section):
    """Demonstrations by the expert."""

    tasks: TaskList = TaskList(split="train")
    trajectories: UserPathOrName | None = Field(default=None, min_length=1)
    """A file of trajectories (JSON Lines) to use instead of the expert's demonstrations."""


class Clone(Section):
    """Phase 1, behaviour cloning."""

    on: Literal["successes", "all", "marked", "none"] = "successes"
    """Which demonstrations to imitate. `all`, failures included, is the naive baseline; `marked` says in the prompt
    which are failures (NAT), with the sentences of `format.outcomes`. With `none`, the agent starts unchanged, which is
    the only choice for a policy without weights."""
    trainer: ComponentSpec = ComponentSpec(name="sft")


class Budget(Section):
    """What an exploration may spend, on average per training task. It ends when the first limit is reached.

    With a limit on seconds, a repeated run may play other episodes; with the others, it plays the same ones.
    """

    simulations: float | None = Field(default=None, gt=0)
    """Episodes of the agent, from any state."""
    tokens: float | None = Field(default=None, gt=0)
    """Tokens processed by the model while acting."""
    steps: float | None = Field(default=None, gt=0)
    """Environment steps, excluding replayed ones."""
    seconds: float | None = Field(default=None, gt=0)
    """Sum of the times of the episodes, which are played concurrently."""


class Schedule(Section):
    """Exploration that adapts (not part of arXiv 2504.13145).

    First `explore.simulations` episodes from every initial state; then attribution of failed demonstrations of tasks
    that nobody has solved; then further episodes where a solution is likely and its task has few.
    """

    budget: Budget = Budget(simulations=6.0)
    """What it may spend, on average per training task: 6 simulations by default."""
    attribution: float = Field(default=0.75, ge=0.0, le=1.0)
    """Maximum share of the budget for attribution, of what is left after the first episodes."""
    solutions: int = Field(default=3, gt=0)
    """Number of known solutions, the expert's included, from which on a task gets no further episodes."""
    tries: int = Field(default=8, gt=0)
    """Number of episodes from which on a state gets no further ones."""


class Reflection(Section):
    """Self-reflection (arXiv 2510.08558): a language model writes why the expert's action is better."""

    judge: ComponentSpec
    """Name and settings of an expert that is a language model: `{name: openai, model: gpt-4o}`."""
    max_tokens: int = Field(default=512, gt=0)
    """Maximum length of a reflection, in tokens. One that reaches it is left out."""
    temperature: float = Field(default=1.0, ge=0)
    """How reflections are sampled."""


class Explore(Section):
    """Phase 2, exploration by the current agent."""

    simulations: int = Field(default=1, ge=0)
    """Number of episodes from every training task's initial state. 0 only where something else is explored."""
    attribute: Literal["all", "failures", "none"] = "all"
    """Which demonstrations are attributed, if there is an attributor. The paper: all."""
    matched: bool = False
    """Give every task as many episodes from its initial state as the main method spent on it, from any states: a fair
    baseline. A main method gets as many as its attributor plans. Use with `attribute: none`. With a schedule, what the
    main method spent in all is the budget instead; a main method keeps its own."""
    advice: bool = False
    """Ask the expert for its action in every state of the agent's episodes from initial states, and learn these actions
    as well (DAgger, arXiv 1011.0686). Needs an expert that can continue from any state."""
    alternatives: int = Field(default=0, ge=0)
    """Number of actions that the agent tries in every state of the expert's successes, one step each. Before each
    fine-tuning, it learns to predict what it observes after them and after the expert's own actions (implicit world
    modelling, arXiv 2510.08558). They come on top of the budget of a schedule. If there are no other simulations, the
    agent is the model that `tune` starts from."""
    reflection: Reflection | None = None
    """Instead of predicting observations, learn to reason (self-reflection, arXiv 2510.08558): where the agent tried
    something else, a language model compares the expert's action with the `alternatives` by what was observed after
    them. What it writes becomes a thought, which is learned with the expert's action, in addition to the expert's
    successes. The format needs thoughts."""
    schedule: Schedule | None = None
    """Adapt the exploration to what was played; null for the same number of episodes for every task (the paper)."""
    sampling: Sampling = Sampling(temperature=1.0)

    @property
    def predicts(self) -> bool:
        """Whether observations are predicted."""
        return self.alternatives > 0 and self.reflection is None


Preference = Literal["least-expert", "fewest-steps", "fewest-trained", "fewest-wasted", "most-probable", "random"]
"""What to prefer among several solutions of a state."""


class Select(Section):
    """Phase 3, selection of training data."""

    prefix_loss: Literal["beneficial", "not-harmful", "all", "none", "credit", "confidence"] = "beneficial"
    """Which of the expert's actions before a successful continuation get loss. The paper: the beneficial ones. With
    `credit`, their weight is how much they raised the agent's chance of success (0 where they didn't); with
    `confidence`, how certain it is that they raised it: 2 P - 1 for a probability P above one half, from simulations on
    both sides."""
    solution: Preference | Annotated[tuple[Preference, ...], Field(min_length=1)] = "least-expert"
    """Which solution of a task to prefer; a list is in order of importance, and ties are broken randomly (`random`,
    alone or last in a list, says so). `least-expert` takes the earliest state from which the agent succeeds,
    `fewest-steps` the shortest solution, `fewest-wasted` the one with fewest actions that were invalid, unparsed or
    undone (the agent sees what it saw before them), `most-probable` the one whose turns the agent gave the highest
    probability on average."""
    expert: Literal["always", "preferred"] = "always"
    """Whether the expert's successes are always learned from (the paper), or only where `solution` prefers them to the
    agent's own."""
    length_ratio: float | None = Field(default=None, ge=1.0)
    """Leave out solutions of initial states with more than this many times the actions of the shortest known success of
    their task; null for no limit."""
    shorten: Literal["none", "prefix", "all"] = "none"
    """Leave out actions without which the rest of a solution still leads to the same observations and to success, which
    a replay in the environment verifies: those of the expert's `prefix`, or `all`. The replayed steps are part of the
    method's cost."""
    shorten_replays: int = Field(default=32, gt=0)
    """Maximum number of replays per solution for `shorten`. Loops are tried first, the longest one first."""
    solutions_per_state: int = Field(default=1, gt=0)
    """Maximum number of solutions per important state, so that easy tasks don't crowd out hard ones."""
    initial: bool = True
    """Learn to solve tasks from their initial states."""
    recovery: bool = True
    """Learn to recover from states that the expert's harmful actions led to."""
    keep: Literal["all", "latest"] = "all"
    """Whether solutions found in earlier iterations stay in the repository D+."""
    pairs: bool = False
    """Select pairs instead of solutions, for trainers that learn preferences: for every task, the attempts of the
    expert and the agent with the lowest reward, each paired with one with the highest. Up to `solutions_per_state`
    pairs per task are kept, from the attempts that `keep` keeps."""
    step_pairs: bool = False
    """Select pairs of actions instead of solutions, or in addition to `pairs` (IPR, arXiv 2406.11176): what the expert
    and the agent did in the same state, where a verdict says that the expert's actions are beneficial, and a simulation
    from there failed, or that they are harmful, and one succeeded. Up to `solutions_per_state` pairs per verdict."""

    @field_validator("solution")
    @classmethod
    def _random_is_last(cls, solution: Preference | tuple[Preference, ...]) -> Preference | tuple[Preference, ...]:
        if not isinstance(solution, str) and "random" in solution[:-1]:
            later = solution[solution.index("random") + 1 :]
            raise PydanticCustomError(
                "random-not-last",
                "'random' is before {later}, and a random choice leaves nothing to prefer; put 'random' last, or leave "
                "it out",
                {"later": ", ".join(map(repr, later))},
            )
        return solution

    @property
    def learns_pairs(self) -> bool:
        """Whether pairs of any kind are selected, not solutions."""
        return self.pairs or self.step_pairs


class Tune(Section):
    """The fine-tuning at the end of each iteration."""

    start: Literal["base", "clone", "previous"] = "clone"
    """Which weights each iteration starts from."""
    trainer: ComponentSpec | None = None
    """The trainer; null for the trainer of `clone`."""
    world_model: ComponentSpec | None = None
    """The trainer that learns to predict observations (`explore.alternatives`); null for `trainer`."""

    def world_model_trainer(self, clone: Clone) -> ComponentSpec:
        """Return the trainer that learns to predict observations, given the section `clone`."""
        return self.world_model or self.trainer or clone.trainer


class Evaluate(Section):
    """Evaluation, on held-out tasks by default."""

    tasks: TaskList = TaskList(split="test")
    sampling: Sampling = Sampling(temperature=0.0)
    expert: bool = True
    """Also let the expert play these tasks, if there is one."""


class Limits(Section):
    """Limits that keep a run from hanging."""

    concurrency: int = Field(default=128, gt=0)
    """Number of concurrent episodes. Never changes a result."""
    steps: int | None = Field(default=None, gt=0)
    """Maximum episode length, in actions, if the environment's own limit isn't short enough. A longer expert
    demonstration is truncated there, and counts as unfinished."""
    step_timeout_s: float = Field(default=120.0, gt=0)
    """Maximum time for one environment step, excluding the time that it waits for its turn. It applies where steps are
    done in threads: in environments with `blocking = True`. A step of another one that hangs holds up the whole run."""
    episode_timeout_s: float = Field(default=3600.0, gt=0)
    """Maximum time for one episode, including waiting."""


class RunConfig(Section):
    """The complete configuration of a run."""

    seed: int = 0
    """Seed for all randomness of the run."""
    plugins: tuple[str, ...] | None = None
    """Limit the run to these plugins; null for all installed ones."""
    environment: ComponentSpec
    expert: ComponentSpec | None = None
    """The expert. Required unless `collect.trajectories` names demonstrations, or none are needed."""
    policy: ComponentSpec = ComponentSpec(name="transformers")
    format: ChatFormat = ChatFormat()
    success: SuccessRule = SuccessRule()
    method: str = Field(default="eef", pattern=r"^\w[\w .+=-]*$")
    """Name of the method in tables and of its folder in a run, of letters, digits, `_`, spaces and `.+=-`; the first
    character is a letter, a digit or `_`. Set by recipes."""
    iterations: int = Field(default=2, ge=0)
    """Number of iterations of exploration and fine-tuning."""
    collect: Collect = Collect()
    clone: Clone = Clone()
    explore: Explore = Explore()
    attributor: ComponentSpec | None = None
    """The attributor; null for methods without attribution."""
    select: Select = Select()
    filters: tuple[ComponentSpec, ...] = ()
    """Filters, applied in order to the training examples."""
    tune: Tune = Tune()
    evaluate: Evaluate = Evaluate()
    limits: Limits = Limits()
    executor: ComponentSpec | None = None
    """Where episodes are played; null for `threads` with its defaults: in this process. Never changes a result."""
    trackers: tuple[ComponentSpec, ...] | None = None
    """Where figures are shown; null for `files`, a file in the run directory. Never changes a result."""
    baselines: tuple[str, ...] = ()
    """Recipes to run as baselines, on the same demonstrations and the same cloned agent. A baseline is this run with
    what its recipe sets of `method`, `iterations`, `clone`, `explore`, `attributor`, `select`, `filters` and `tune`. So
    a file that sets `method` and one other setting changes this one alone; with `extends: eef`, it also sets all that
    the recipe `eef` does. Paths in a file are relative to the file, or else to the current folder."""
