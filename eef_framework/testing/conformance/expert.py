"""Checks of experts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from eef_framework.chat.format import tools_of
from eef_framework.chat.tool_calls import is_call
from eef_framework.errors import ReplayDivergence
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Environment, Expert, Session, replay
from eef_framework.records import State, Task, Trajectory
from eef_framework.testing.conformance.context import EnvironmentContext, difference
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks

LOST = "Fix the cause in the expert, or in the environment (`eef check` checks environments, too)."


@dataclass(frozen=True)
class ExpertContext:
    """Input of the checks of an expert.

    Attributes:
        expert: the expert under test.
        environment: the environment of its demonstrations.
        split: the split of the tasks.
        count: number of tasks, spread over the split.
        seed: of the demonstrations.
    """

    expert: Expert
    environment: Environment
    split: str = "train"
    count: int = 6
    seed: int = 0
    opened: list[str] = field(default_factory=list)

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks to demonstrate."""
        return EnvironmentContext(self.environment, self.split, self.count).tasks()

    @cached_property
    def demonstrations(self) -> list[Trajectory]:
        """The demonstrations of all tasks, in the expert's order."""
        return self.demonstrate(self.tasks)

    def demonstrate(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """Return the expert's demonstrations of tasks."""

        async def gather() -> list[Trajectory]:
            return [each async for each in self.expert.demonstrate(self.environment, tasks, self.seed)]

        return run_coroutine(gather())

    def continued(self, states: Sequence[State]) -> list[Trajectory]:
        """Return the expert's continuations from states, of one action each."""

        async def gather() -> list[Trajectory]:
            continued = self.expert.continue_from(self.environment, states, self.seed, steps=1)
            return [each async for each in continued]

        return run_coroutine(gather())

    @contextmanager
    def failing(self, task: Task) -> Iterator[None]:
        """Make the environment fail to open a task. `opened` records attempts to open it."""

        def refuse(wanted: Task) -> Session:
            if wanted.id == task.id:
                self.opened.append(wanted.id)
                raise RuntimeError("this task can't be opened (deliberate fault of a check)")
            return type(self.environment).open(self.environment, wanted)

        # On the instance, so that the environment needn't be loaded a second time.
        self.environment.__dict__["open"] = refuse
        try:
            yield
        finally:
            del self.environment.__dict__["open"]


def check_expert(expert: Expert, environment: Environment, split: str = "train", tasks: int = 6, seed: int = 0) -> None:
    """Check that an expert keeps its contract.

    Args:
        expert: the component to check.
        environment: the environment of the demonstrations. It stays open, and should keep its own contract.
        split: the split of the tasks.
        tasks: number of tasks. The checks take about four demonstrations of each.
        seed: of the demonstrations.

    Raises:
        Nonconformance: it doesn't. The message lists all violations.
    """
    require(f"expert {expert.component_name()!r}", expert_violations(expert, environment, split, tasks, seed))


def expert_violations(
    expert: Expert, environment: Environment, split: str = "train", tasks: int = 6, seed: int = 0
) -> list[Violation]:
    """Return the violations of an expert's contract; see `check_expert`."""
    context = ExpertContext(expert, environment, split, tasks, seed)
    for check in FIRST_CHECKS:  # each needs those before it, and all others need these
        if violations := run_checks([check], context):
            return violations
    return run_checks(CHECKS, context)


def every_task_is_demonstrated_once(context: ExpertContext) -> Violation | None:
    """demonstrate() yields one demonstration of each requested task, and no others."""
    expected = Counter({task.id: context.expert.demonstrations_per_task for task in context.tasks})
    given = Counter(each.task.id if isinstance(each, Trajectory) else repr(each) for each in context.demonstrations)
    for task in expected | given:
        if expected[task] != given[task]:
            return Violation(
                rule_of(every_task_is_demonstrated_once),
                f"task {task!r}",
                f"{expected[task]} trajectories",
                f"{given[task]}",
                "Yield one Trajectory for each task, failures included.",
            )
    return None


def no_demonstration_is_lost(context: ExpertContext) -> Violation | None:
    """Where the environment works, no demonstration ends with an error."""
    lost = [each for each in context.demonstrations if each.lost]
    if not lost:
        return None
    return Violation(
        rule_of(no_demonstration_is_lost),
        f"task {lost[0].task.id!r}, state {len(lost[0].steps)}",
        "an episode that ends, or that the expert gives up",
        f"ending 'error' ({len(lost)} of {len(context.demonstrations)} demonstrations): {_error_of(lost[0])}",
        LOST,
    )


def demonstrations_survive_the_disk(context: ExpertContext) -> Violation | None:
    """A demonstration is unchanged after it was written and read back."""
    for each in context.demonstrations:
        read = Trajectory.model_validate_json(each.model_dump_json())
        if read != each:
            return Violation(
                rule_of(demonstrations_survive_the_disk),
                f"task {each.task.id!r}",
                quoted(each),
                quoted(read),
                "Use the types of the records' fields: tuples, not lists; only JSON values in `info`.",
            )
    return None


def demonstrations_can_be_replayed(context: ExpertContext) -> Violation | None:
    """Replaying the actions of a demonstration gives its observations, its reward and its ending."""
    for each in context.demonstrations:
        if each.lost:
            continue
        try:
            with replay(context.environment, each.task, each.initial, each.steps) as session:
                found = _misreported(each, session)
        except ReplayDivergence as error:
            found = "the recorded observations", error.message
        if found:
            return Violation(
                rule_of(demonstrations_can_be_replayed),
                f"task {each.task.id!r}",
                *found,
                "Record the session's own steps and reward, with all actions.",
            )
    return None


def tools_take_the_experts_actions(context: ExpertContext) -> Violation | None:
    """If the environment declares tools, each valid action of the expert is a call of one of them."""
    tools = tools_of(context.environment) if context.environment.tools else ()
    for each in context.demonstrations if tools else ():
        for step in each.steps:
            if step.valid and not is_call(step.action, tools):
                return Violation(
                    rule_of(tools_take_the_experts_actions),
                    f"task {each.task.id!r}, action {quoted(step.action)}",
                    "a tool of the environment whose `action` has this form",
                    f"only {', '.join(repr(tool.action) for tool in tools)}",
                    "Declare a Tool for it in the environment's `tools`, or correct the `action` of one.",
                )
    return None


def demonstrations_depend_on_seed_and_task_alone(context: ExpertContext) -> Violation | None:
    """A demonstration depends only on the seed and the task, not on the other tasks."""
    first = {(each.task.id, each.attempt): each for each in context.demonstrations}
    again = {"again": context.tasks, "in reverse": context.tasks[::-1], "by itself": context.tasks[-1:]}
    for how, tasks in again.items():
        for each in context.demonstrate(tasks):
            one, other = _timeless(first[each.task.id, each.attempt]), _timeless(each)
            if one != other:
                return Violation(
                    rule_of(demonstrations_depend_on_seed_and_task_alone),
                    f"task {each.task.id!r}, demonstrated {how}",
                    f"actions {quoted(one.actions)}, reward {one.reward:g}, {one.ending}",
                    f"actions {quoted(other.actions)}, reward {other.reward:g}, {other.ending}",
                    "Draw from script()'s `draw`, or from random.Random(derive(seed, name, task.id)), and keep no "
                    "state between tasks.",
                )
    return None


def failures_are_recorded(context: ExpertContext) -> Violation | None:
    """For a task that can't be opened, demonstrate() yields a trajectory that ends with an error, and continues."""
    victim = context.tasks[0]
    with context.failing(victim):
        found = {each.task.id: each for each in context.demonstrate(context.tasks)}
    missing = [task.id for task in context.tasks if task.id not in found]
    failed = found.get(victim.id)
    if missing:
        actual = f"no trajectory of {missing[0]!r}"
    elif failed and context.opened and (not failed.lost or not failed.error):
        actual = f"ending {failed.ending!r}, error {quoted(failed.error)}"
    else:
        return None  # experts that replay recordings open no task
    return Violation(
        rule_of(failures_are_recorded),
        f"task {victim.id!r}",
        "ending 'error' and a message in `error`",
        actual,
        "Catch exceptions of the environment, or derive the expert from ScriptedExpert.",
    )


def continuations_begin_in_their_states(context: ExpertContext) -> Violation | None:
    """continue_from() yields one trajectory for each state, which begins there and has at most the requested steps."""
    if not context.expert.continues:
        return None
    rule = rule_of(continuations_begin_in_their_states)
    demonstration = max(context.demonstrations, key=lambda each: len(each.steps)).changed(id="agent/check")
    states = [demonstration.at(state) for state in range(len(demonstration.steps))]
    together, alone = context.continued(states), context.continued(states[-1:])
    if found := _misplaced(rule, demonstration, states, together) or _misplaced(
        rule, demonstration, states[-1:], alone
    ):
        return found
    if alone and together and alone[0].actions != max(together, key=lambda each: each.prefix_length).actions:
        return Violation(
            rule,
            f"task {demonstration.task.id!r}, continued from one state and from all",
            quoted(max(together, key=lambda each: each.prefix_length).actions),
            quoted(alone[0].actions),
            "Let what the expert does depend on the seed and the state alone.",
        )
    return None


def other_routes_are_continued(context: ExpertContext) -> Violation | None:
    """continue_from() also acts in states that other actions than the expert's own led to."""
    if not context.expert.continues:
        return None
    rule, world = rule_of(other_routes_are_continued), EnvironmentContext(context.environment, seed=context.seed)
    route = max((_walked(world, task) for task in context.tasks[:3]), key=lambda each: len(each.steps))
    states = [route.at(state) for state in range(1, len(route.steps))]
    found = context.continued(states)
    if misplaced := _misplaced(rule, route, states, found):
        return misplaced
    own = [step for each in found for step in each.own_steps]
    if not states or any(step.valid for step in own):
        return None
    return Violation(
        rule,
        f"task {route.task.id!r}, continued after {quoted(route.actions)}",
        f"a valid action in one of {len(states)} states at least",
        quoted([step.action for step in own]),
        "Choose actions by what the session shows, not by the number of steps; or set `continues` to false.",
    )


FIRST_CHECKS = (every_task_is_demonstrated_once, no_demonstration_is_lost)

CHECKS = (
    demonstrations_survive_the_disk,
    demonstrations_can_be_replayed,
    tools_take_the_experts_actions,
    demonstrations_depend_on_seed_and_task_alone,
    failures_are_recorded,
    continuations_begin_in_their_states,
    other_routes_are_continued,
)


def _walked(world: EnvironmentContext, task: Task) -> Trajectory:
    """Return an episode of random actions."""
    with world.environment.open(task) as session:
        world.random_walk(session, world.steps)
        return Trajectory(
            id="agent/check", task=task, initial=session.initial, steps=tuple(session.steps), ending="step-limit"
        )


def _misplaced(
    rule: str, episode: Trajectory, states: Sequence[State], found: Sequence[Trajectory]
) -> Violation | None:
    """Return the violation of continuations that don't begin in the states of an episode, or are too long."""
    where = f"task {episode.task.id!r}"
    starts, wanted = sorted(each.prefix_length for each in found), [state.length for state in states]
    if starts != wanted:
        return Violation(
            rule,
            f"{where}, continued from {'all states' if len(states) > 1 else 'the last state alone'}",
            f"a trajectory from each of the states {quoted(wanted)}",
            f"trajectories from {quoted(starts)}",
            "Yield one Trajectory for each state, with its `origin` (none in the initial state).",
        )
    for each in found:
        length = each.prefix_length
        if each.lost:
            actual = f"ending 'error': {_error_of(each)}"
            return Violation(rule, f"{where}, state {length}", "an episode without an error", actual, LOST)
        if each.actions[:length] != episode.actions[:length] or len(each.steps) > length + 1:
            return Violation(
                rule,
                f"{where}, state {length}",
                f"the actions {quoted(episode.actions[:length])}, then at most one",
                quoted(each.actions),
                "Begin with the state's steps, and take at most `steps` more.",
            )
    return None


def _error_of(lost: Trajectory) -> str:
    return " ".join(lost.error.split())


def _misreported(demonstration: Trajectory, session: Session) -> tuple[str, str] | None:
    """Return the first difference between a demonstration and its replay: expected and actual value."""
    for number, (expected, recorded) in enumerate(zip(session.steps, demonstration.steps, strict=True), 1):
        if found := difference(expected, recorded):
            name, one, other = found
            return f"step {number}: {name} {quoted(one)}", f"{name} {quoted(other)}"
    if demonstration.reward != session.reward:
        return f"reward {session.reward}", f"reward {demonstration.reward}"
    last = session.steps[-1] if session.steps else None
    ended = "" if not (last and last.done) else "terminated" if last.terminated else "truncated"
    if ended and demonstration.ending != ended:
        return f"ending {ended!r}", f"ending {demonstration.ending!r}"
    if not ended and demonstration.ending in ("terminated", "truncated"):
        return "ending 'gave-up', 'step-limit' or 'time-limit'", f"ending {demonstration.ending!r}"
    return None


def _timeless(trajectory: Trajectory) -> Trajectory:
    """Return a trajectory without values that depend on the clock or on caches."""
    steps = tuple(
        step.changed(response=step.response and step.response.changed(computed_tokens=0)) for step in trajectory.steps
    )
    timeless: Trajectory = trajectory.changed(seconds=0.0, info={}, provenance=None, steps=steps)
    return timeless
