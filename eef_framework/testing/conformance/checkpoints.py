"""Checks of what a policy makes of checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from eef_framework.interfaces import Policy, TrainablePolicy
from eef_framework.records import Checkpoint
from eef_framework.testing.conformance.examples import conversations
from eef_framework.testing.conformance.questions import ask, questions, said
from eef_framework.testing.conformance.violation import Violation, quoted, rule_of


@dataclass(frozen=True)
class CheckpointSubject:
    """What the checks of checkpoints look at.

    Attributes:
        policy: the policy under test, without weights.
        folder: for checkpoints.
        given: the checkpoint to load; None to let the policy make one.
        seed: of the weights and the answers.
    """

    policy: TrainablePolicy
    folder: Path
    given: Checkpoint | None = None
    seed: int = 0

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that is loaded."""
        return self.given or self.base("base", self.seed)

    def base(self, name: str, seed: int) -> Checkpoint:
        """Let the policy make the model that training starts from."""
        return self.policy.base(conversations(), self.folder / name, seed)

    def answers(self, policy: Policy) -> list[object]:
        """Return what it says to the questions."""
        return [said(answer) for answer in ask(policy, questions(self.seed))]


def loaded(subject: CheckpointSubject) -> Violation | None:
    """A policy loads the checkpoint that it made, and answers."""
    checkpoint = subject.checkpoint
    if not isinstance(checkpoint, Checkpoint):
        fix = "Return Checkpoint(path=output)."
        return Violation(rule_of(loaded), "base()", "a Checkpoint", quoted(checkpoint), fix)
    with subject.policy.load(checkpoint) as policy:
        subject.answers(policy)
    return None


def loading_twice_gives_equal_policies(subject: CheckpointSubject) -> Violation | None:
    """A checkpoint says the same whenever, and from wherever, it is loaded."""
    with subject.policy.load(subject.checkpoint) as policy:
        first = subject.answers(policy)
    places = {"again": subject.checkpoint}
    if subject.checkpoint.path.is_dir():
        moved = Path(shutil.copytree(subject.checkpoint.path, subject.folder / "moved"))
        places["from a copy in another folder"] = Checkpoint(path=moved)
    for how, checkpoint in places.items():
        with subject.policy.load(checkpoint) as policy:
            if (again := subject.answers(policy)) != first:
                fix = "Keep in the checkpoint all that answers depend on, without absolute paths."
                return _different(rule_of(loading_twice_gives_equal_policies), f"loaded {how}", first, again, fix)
    return None


def loading_leaves_others_alone(subject: CheckpointSubject) -> Violation | None:
    """Loading another checkpoint doesn't change a policy that was loaded before, nor does closing it."""
    with subject.policy.load(subject.checkpoint) as first:
        before = subject.answers(first)
        other = subject.given or subject.base("other", subject.seed + 1)
        with subject.policy.load(other) as second:
            subject.answers(second)
        after = subject.answers(first)
    if after == before:
        return None
    fix = "Return a copy from load() (self.model_copy()), and keep the weights in its private attributes."
    return _different(rule_of(loading_leaves_others_alone), "", before, after, fix)


def bases_depend_on_their_seed(subject: CheckpointSubject) -> Violation | None:
    """The model to start from is the same for the same seed."""
    if subject.given is not None:
        return None
    with subject.policy.load(subject.checkpoint) as policy:
        first = subject.answers(policy)
    with subject.policy.load(subject.base("again", subject.seed)) as policy:
        again = subject.answers(policy)
    if again == first:
        return None
    fix = "Draw the initial weights from the seed that base() is given."
    return _different(rule_of(bases_depend_on_their_seed), f"seed {subject.seed}", first, again, fix)


def policies_close_twice(subject: CheckpointSubject) -> Violation | None:
    """A policy can be closed twice, with weights and without."""
    policy = subject.policy.load(subject.checkpoint)
    for each in (policy, policy, subject.policy.model_copy()):
        each.close()
    return None


CHECKPOINT_CHECKS = (
    loading_twice_gives_equal_policies,
    loading_leaves_others_alone,
    bases_depend_on_their_seed,
    policies_close_twice,
)


def _different(rule: str, where: str, first: list[object], again: list[object], fix: str) -> Violation:
    expected, actual = next((one, other) for one, other in zip(first, again, strict=True) if one != other)
    return Violation(rule, where, f"answer {quoted(expected)}", f"answer {quoted(actual)}", fix)
