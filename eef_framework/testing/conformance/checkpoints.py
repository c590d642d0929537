"""Checks of a policy's checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eef_framework.interfaces import Policy, TrainablePolicy
from eef_framework.records import Checkpoint
from eef_framework.testing.conformance.examples import conversations
from eef_framework.testing.conformance.processes import differs_in_another_process
from eef_framework.testing.conformance.prompts import answers_to_prompts, ask, content_of, prompts
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of


@dataclass(frozen=True)
class CheckpointContext:
    """Input of the checks of checkpoints.

    Attributes:
        policy: the policy under test, not loaded.
        folder: for checkpoints.
        given: the checkpoint to load; None if the policy makes one.
        seed: of the weights and the answers.
    """

    policy: TrainablePolicy
    folder: Path
    given: Checkpoint | None = None
    seed: int = 0

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint to load."""
        return self.given or self.initial("initial", self.seed)

    def initial(self, name: str, seed: int) -> Checkpoint:
        """Let the policy make an initial checkpoint."""
        return self.policy.initial_checkpoint(conversations(), self.folder / name, seed)

    def answers(self, policy: Policy) -> list[object]:
        """Return the policy's answers to the prompts."""
        return [content_of(answer) for answer in ask(policy, prompts(self.seed))]


def loaded(context: CheckpointContext) -> Violation | None:
    """A policy loads its own initial checkpoint and answers."""
    checkpoint = context.checkpoint
    if not isinstance(checkpoint, Checkpoint):
        fix = "Return Checkpoint(path=output)."
        return Violation(rule_of(loaded), "initial_checkpoint()", "a Checkpoint", quoted(checkpoint), fix)
    with context.policy.load(checkpoint) as policy:
        context.answers(policy)
    return None


def loading_twice_gives_equal_policies(context: CheckpointContext) -> Violation | None:
    """A checkpoint gives the same answers each time it is loaded, also from a copy in another folder."""
    with context.policy.load(context.checkpoint) as policy:
        first = context.answers(policy)
    places = {"again": context.checkpoint}
    if context.checkpoint.path.is_dir():
        moved = Path(shutil.copytree(context.checkpoint.path, context.folder / "moved"))
        places["from a copy in another folder"] = Checkpoint(path=moved)
    for how, checkpoint in places.items():
        with context.policy.load(checkpoint) as policy:
            if (again := context.answers(policy)) != first:
                fix = "Save everything that answers depend on in the checkpoint, without absolute paths."
                return _different(rule_of(loading_twice_gives_equal_policies), f"loaded {how}", first, again, fix)
    return None


def answers_are_the_same_in_another_process(context: CheckpointContext) -> Violation | None:
    """A checkpoint gives the same answers in another process."""
    given = {"checkpoint": str(context.checkpoint.path), "seed": context.seed}
    return differs_in_another_process(answers_are_the_same_in_another_process, context.policy, _answered, given)


def loading_leaves_others_alone(context: CheckpointContext) -> Violation | None:
    """Loading and closing another checkpoint doesn't change a policy that was loaded before."""
    with context.policy.load(context.checkpoint) as first:
        before = context.answers(first)
        other = context.given or context.initial("other", context.seed + 1)
        with context.policy.load(other) as second:
            context.answers(second)
        after = context.answers(first)
    if after == before:
        return None
    fix = "Return a new object from load(), with the weights in its fields."
    return _different(rule_of(loading_leaves_others_alone), "", before, after, fix)


def initial_checkpoints_depend_on_their_seed(context: CheckpointContext) -> Violation | None:
    """The initial checkpoint depends only on the seed."""
    if context.given is not None:
        return None
    with context.policy.load(context.checkpoint) as policy:
        first = context.answers(policy)
    with context.policy.load(context.initial("again", context.seed)) as policy:
        again = context.answers(policy)
    if again == first:
        return None
    fix = "Draw the initial weights from the seed that initial_checkpoint() is given."
    return _different(rule_of(initial_checkpoints_depend_on_their_seed), f"seed {context.seed}", first, again, fix)


def policies_close_twice(context: CheckpointContext) -> Violation | None:
    """A policy can be closed twice, loaded or not."""
    policy = context.policy.load(context.checkpoint)
    for each in (policy, policy, context.policy.model_copy()):
        each.close()
    return None


CHECKPOINT_CHECKS = (
    loading_twice_gives_equal_policies,
    answers_are_the_same_in_another_process,
    loading_leaves_others_alone,
    initial_checkpoints_depend_on_their_seed,
    policies_close_twice,
)


def _answered(policy: TrainablePolicy, given: Any) -> list[list[str]]:
    with policy.load(Checkpoint(path=Path(given["checkpoint"]))) as ready:
        return answers_to_prompts(ready, given["seed"])


def _different(rule: str, where: str, first: list[object], again: list[object], fix: str) -> Violation:
    expected, actual = next((one, other) for one, other in zip(first, again, strict=True) if one != other)
    return Violation(rule, where, f"answer {quoted(expected)}", f"answer {quoted(actual)}", fix)
