"""Checks of an environment's episodes."""

from __future__ import annotations

from eef_framework.chat.format import tools_of
from eef_framework.errors import EnvironmentFailure
from eef_framework.testing.conformance.context import EnvironmentContext, observation_difference
from eef_framework.testing.conformance.divergence import DETERMINISM, divergence, divergence_violation
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of
from eef_framework.validation_messages import reason

ODD_ACTIONS = ("", " ", "\n\n", "\x00", "x" * 100_000, "naïve 猫 🦉 \u202e", "[", "][", "%s {0} {} \\", "None")
"""Actions that a language model may generate."""

EPISODE = 200
"""Maximum length of a walk that searches for the end of an episode, in actions."""

WITHOUT_LIMIT = 500
"""Length of a walk that looks for the end of an episode without a limit, in actions."""


def first_observation_is_fixed(context: EnvironmentContext) -> Violation | None:
    """The same task always has the same first observation."""
    for task in context.tasks():
        with context.environment.open(task) as session, context.environment.open(task) as other:
            if found := observation_difference(session.observation, other.observation):
                return divergence_violation(rule_of(first_observation_is_fixed), task, (0, "", *found), DETERMINISM)
    return None


def steps_are_deterministic(context: EnvironmentContext) -> Violation | None:
    """The same actions always lead to the same observations and rewards."""
    for task in context.tasks():
        steps = context.walk(task)
        with context.environment.open(task) as session:
            if found := divergence(session, steps):
                return divergence_violation(rule_of(steps_are_deterministic), task, found, DETERMINISM)
    return None


def ends_are_final(context: EnvironmentContext) -> Violation | None:
    """A session takes no action after the end of its episode."""
    for task in context.tasks():
        with context.environment.open(task) as session:
            context.random_walk(session, EPISODE)
            if not session.steps or not session.steps[-1].done:
                continue  # it has no end within these steps; a run has its own step limit
            action = session.steps[-1].action
            try:
                session.step(action)
            except EnvironmentFailure:
                continue
            return Violation(
                rule_of(ends_are_final),
                f"task {task.id!r}, after its last action",
                "EnvironmentFailure",
                f"step({action!r}) was carried out",
                "Don't override `done` and `step` of Session.",
            )
    return None


def episodes_end(context: EnvironmentContext) -> Violation | None:
    """Episodes end: by themselves, or at a limit in actions, the setting `max_steps` or `longest_episode`."""
    limit = context.environment.longest_episode
    if limit is not None:
        return None if limit > 0 else _without_actions(limit)
    for task in context.tasks()[:1]:
        with context.environment.open(task) as session:
            context.random_walk(session, WITHOUT_LIMIT)
            if not session.done:
                return Violation(
                    rule_of(episodes_end),
                    f"task {task.id!r}",
                    f"an end within {WITHOUT_LIMIT:,} random actions, or a limit",
                    "neither",
                    "Give the environment a field `max_steps: int = 30`, or a property `longest_episode`.",
                )
    return None


def ends_are_told_apart(context: EnvironmentContext) -> Violation | None:
    """An episode ends because of its task (terminated) or of the environment's step limit (truncated), not both."""
    for task in context.tasks():
        with context.environment.open(task) as session:
            context.random_walk(session, EPISODE)
            if session.steps and session.steps[-1].terminated and session.steps[-1].truncated:
                return Violation(
                    rule_of(ends_are_told_apart),
                    f"task {task.id!r}, step {len(session.steps)}",
                    "terminated=True, or truncated=True",
                    "both",
                    "Set truncated only if the episode would have continued without the limit.",
                )
    return None


def odd_actions_are_survived(context: EnvironmentContext) -> Violation | None:
    """Any string is accepted as an action: if it makes no sense, the step has valid=False and nothing is raised."""
    task = context.tasks()[0]
    for action in ODD_ACTIONS:
        with context.environment.open(task) as session:
            seen = session.observation
            try:
                step = session.step(action)
            except (Exception, SystemExit) as error:
                actual = reason(error)
            else:
                understood = step.valid and seen.actions is not None and not seen.admits(action)
                if not understood:
                    continue
                actual = "a step with valid=True"
        return Violation(
            rule_of(odd_actions_are_survived),
            f"task {task.id!r}, action {quoted(action)}",
            "a step with valid=False",
            actual,
            "Return Step(action=action, observation=..., valid=False) for actions that aren't understood.",
        )
    return None


def tools_take_the_actions(context: EnvironmentContext) -> Violation | None:
    """If an environment declares tools, each listed action is a call of one of them."""
    tools = tools_of(context.environment) if context.environment.tools else ()
    seen = [step.observation for task in context.tasks() for step in context.walk(task)] if tools else []
    for observation in seen:
        free = [f"{form.prefix}word{form.suffix}" for form in observation.free]
        for action in (*context.sample(observation.actions or ()), *free):
            if all(tool.arguments_of(action) is None for tool in tools):
                return Violation(
                    rule_of(tools_take_the_actions),
                    f"action {quoted(action)}",
                    "a tool whose `action` has this form",
                    f"only {', '.join(repr(tool.action) for tool in tools)}",
                    "Declare a Tool for it in `tools`, or correct the `action` of one.",
                )
    return None


def _without_actions(limit: int) -> Violation:
    return Violation(
        rule_of(episodes_end),
        "",
        "a limit of at least 1 action, or None",
        f"longest_episode is {limit}",
        "Declare `max_steps: int = Field(default=30, gt=0)`, so that a run with another value is refused.",
    )


EPISODE_CHECKS = (
    ends_are_final,
    episodes_end,
    ends_are_told_apart,
    odd_actions_are_survived,
    tools_take_the_actions,
)

DETERMINISM_CHECKS = (first_observation_is_fixed, steps_are_deterministic)
