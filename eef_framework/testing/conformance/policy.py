"""Does a policy keep its contract?"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from eef_framework.chat.parse import parse_answer
from eef_framework.interfaces import Policy, TrainablePolicy
from eef_framework.records import Checkpoint, Response
from eef_framework.testing.conformance.checkpoints import CHECKPOINT_CHECKS, CheckpointSubject, loaded
from eef_framework.testing.conformance.questions import Question, ask, questions, said
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks

SEEDS = 16
"""How many samples of one answer are drawn to see whether the seed matters."""


@dataclass(frozen=True)
class PolicySubject:
    """What the checks of a policy look at.

    Attributes:
        policy: the policy under test, ready to answer.
        seed: of the answers.
    """

    policy: Policy
    seed: int = 0

    def questions(self) -> list[Question]:
        """Return what it is asked."""
        return questions(self.seed)


def check_policy(policy: Policy, checkpoint: Checkpoint | None = None, seed: int = 0) -> None:
    """Check that a policy keeps its contract. It takes about a hundred short answers.

    Args:
        policy: what to check. One that can be trained makes the model to start from, and loads it.
        checkpoint: for one that can be trained, what to load instead.
        seed: of the answers.

    Raises:
        Nonconformance: it doesn't; the message is a report of all violations.
    """
    require(f"policy {policy.component_name()!r}", policy_violations(policy, checkpoint, seed))


def policy_violations(policy: Policy, checkpoint: Checkpoint | None = None, seed: int = 0) -> list[Violation]:
    """Return in which ways a policy doesn't keep its contract; see `check_policy`."""
    if not isinstance(policy, TrainablePolicy):
        return _answer_violations(PolicySubject(policy, seed))
    with tempfile.TemporaryDirectory() as folder:
        subject = CheckpointSubject(policy, Path(folder), checkpoint, seed)
        if violations := run_checks([loaded], subject):
            return violations  # it has no weights to answer with
        with subject.policy.load(subject.checkpoint) as ready:
            violations = _answer_violations(PolicySubject(ready, seed))
        return violations + run_checks(CHECKPOINT_CHECKS, subject, violations)


def _answer_violations(subject: PolicySubject) -> list[Violation]:
    violations = run_checks([answers_are_responses], subject)
    return violations or run_checks(CHECKS, subject)


def answers_are_responses(subject: PolicySubject) -> Violation | None:
    """An answer is a Response; where it has tokens, it says whose they are."""
    for question, answer in zip(subject.questions(), ask(subject.policy, subject.questions()), strict=True):
        if not isinstance(answer, Response):
            actual = f"{type(answer).__name__} {quoted(answer)}"
        elif answer.token_ids is not None and not answer.tokenizer:
            actual = "token_ids without the fingerprint of their tokenizer"
        else:
            continue
        fix = "Return Response(text=...), with token_ids and tokenizer together or not at all."
        return Violation(rule_of(answers_are_responses), str(question), "a Response", actual, fix)
    return None


def answers_depend_on_their_question(subject: PolicySubject) -> Violation | None:
    """The same question with the same seed has the same answer, at temperature 1 as well as 0."""
    first = ask(subject.policy, subject.questions())
    for _ in range(2):
        if found := _difference(subject.questions(), first, ask(subject.policy, subject.questions())):
            fix = "Draw from a generator made of the seed, and keep nothing between answers."
            return Violation(rule_of(answers_depend_on_their_question), *found, fix)
    return None


def company_does_not_matter(subject: PolicySubject) -> Violation | None:
    """A question that is asked alone has the answer it has among others."""
    asked = subject.questions()
    together = ask(subject.policy, asked)
    alone = [answer for question in asked for answer in ask(subject.policy, [question])]
    turned = ask(subject.policy, asked[::-1])[::-1]
    found = _difference(asked, alone, together) or _difference(asked, alone, turned)
    if not found:
        return None
    fix = "Give each answer its own generator and its own place in the batch; don't let padding reach it."
    return Violation(rule_of(company_does_not_matter), *found, fix)


def seeds_matter(subject: PolicySubject) -> Violation | None:
    """At temperature 1, other seeds draw other answers."""
    asked = subject.questions()[0].sampled(temperature=1.0)
    answers = ask(subject.policy, [asked.seeded(subject.seed + number) for number in range(SEEDS)])
    if len({said(answer) for answer in answers}) > 1:
        return None
    return Violation(
        rule_of(seeds_matter),
        quoted(asked.conversation[-1].content),
        f"different answers among {SEEDS}",
        f"{SEEDS} times {quoted(answers[0].text)}",
        "Sample from the distribution with the seed; simulations from one state are to differ.",
    )


def answers_keep_to_their_length(subject: PolicySubject) -> Violation | None:
    """An answer has at most max_tokens tokens."""
    for limit in (4, 8):
        asked = [question.sampled(max_tokens=limit) for question in subject.questions()]
        for question, answer in zip(asked, ask(subject.policy, asked), strict=True):
            # If the tokens aren't known, words are counted: a word is at least one token.
            length = len(answer.text.split()) if answer.token_ids is None else len(answer.token_ids)
            if length > limit:
                what = "words" if answer.token_ids is None else "tokens"
                return Violation(
                    rule_of(answers_keep_to_their_length),
                    str(question),
                    f"at most {limit} tokens",
                    f"{length} {what}: {quoted(answer.text)}",
                    "Stop at sampling.max_tokens, stop token included.",
                )
    return None


def constrained_answers_are_admissible(subject: PolicySubject) -> Violation | None:
    """With sampling.constrain, an answer is an admissible action, in states that list them."""
    asked = [question.sampled(constrain=True, temperature=1.0) for question in subject.questions()]
    asked += [question.seeded(question.seed + 1000) for question in asked]
    for question, answer in zip(asked, ask(subject.policy, asked), strict=True):
        read = parse_answer(answer.text, question.observation, labelled=True)
        if not question.observation.admits(read.action):
            return Violation(
                rule_of(constrained_answers_are_admissible),
                str(question),
                f"one of {quoted(question.observation.actions)}",
                quoted(answer.text),
                "Leave out what doesn't lead to one of observation.actions or observation.free.",
            )
    return None


def states_without_actions_are_answered(subject: PolicySubject) -> Violation | None:
    """Where a state lists no actions, there is nothing to constrain, and no reason to fail."""
    for question in subject.questions()[:2]:
        silent = question.observation.changed(actions=None, free=())
        asked = Question(question.conversation, silent, question.sampling, question.seed)
        ask(subject.policy, [asked, asked.sampled(constrain=True)])
    return None


CHECKS = (
    answers_depend_on_their_question,
    company_does_not_matter,
    seeds_matter,
    answers_keep_to_their_length,
    constrained_answers_are_admissible,
    states_without_actions_are_answered,
)


def _difference(asked: list[Question], first: list[Response], second: list[Response]) -> tuple[str, str, str] | None:
    """Return the first question with two answers, and these."""
    for question, one, other in zip(asked, first, second, strict=True):
        if said(one) != said(other):
            return str(question), quoted(one.text), quoted(other.text)
    return None
