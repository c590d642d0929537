"""Checks of policies."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from eef_framework.chat.parse import parse_answer
from eef_framework.errors import PolicyFailure
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Policy, TrainablePolicy
from eef_framework.records import Checkpoint, Response
from eef_framework.testing.conformance.checkpoints import CHECKPOINT_CHECKS, CheckpointContext, loaded
from eef_framework.testing.conformance.processes import differs_in_another_process
from eef_framework.testing.conformance.prompts import Prompt, answers_to_prompts, ask, content_of, prompts
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks

SEEDS = 16
"""Number of answers to one prompt that are sampled to see whether the seed matters."""


@dataclass(frozen=True)
class PolicyContext:
    """Input of the checks of a policy.

    Attributes:
        policy: the policy under test, ready to answer.
        seed: of the answers.
    """

    policy: Policy
    seed: int = 0

    def prompts(self) -> list[Prompt]:
        """Return the prompts."""
        return prompts(self.seed)


def check_policy(policy: Policy | TrainablePolicy, checkpoint: Checkpoint | None = None, seed: int = 0) -> None:
    """Check that a policy keeps its contract. It takes about a hundred short answers.

    Args:
        policy: the component to check. A trainable policy makes an initial checkpoint and loads it.
        checkpoint: for a trainable policy, the checkpoint to load instead.
        seed: of the answers.

    Raises:
        Nonconformance: it doesn't. The message lists all violations.
    """
    require(f"policy {policy.component_name()!r}", policy_violations(policy, checkpoint, seed))


def policy_violations(
    policy: Policy | TrainablePolicy, checkpoint: Checkpoint | None = None, seed: int = 0
) -> list[Violation]:
    """Return the violations of a policy's contract; see `check_policy`."""
    if isinstance(policy, Policy):
        context = PolicyContext(policy, seed)
        violations = _answer_violations(context)
        return violations + run_checks([answers_are_the_same_in_another_process], context, violations)
    with tempfile.TemporaryDirectory() as folder:
        trainable = CheckpointContext(policy, Path(folder), checkpoint, seed)
        if violations := run_checks([loaded], trainable):
            return violations  # it can't answer without weights
        with policy.load(trainable.checkpoint) as ready:
            violations = _answer_violations(PolicyContext(ready, seed))
        return violations + run_checks(CHECKPOINT_CHECKS, trainable, violations)


def _answer_violations(context: PolicyContext) -> list[Violation]:
    violations = run_checks([answers_are_responses], context)
    return violations or run_checks(CHECKS, context)


def answers_are_responses(context: PolicyContext) -> Violation | None:
    """act() returns a Response. If it has token ids, it names their tokenizer."""
    for prompt, answer in zip(context.prompts(), ask(context.policy, context.prompts()), strict=True):
        if not isinstance(answer, Response):
            actual = f"{type(answer).__name__} {quoted(answer)}"
        elif answer.token_ids is not None and not answer.tokenizer:
            actual = "token_ids without the fingerprint of their tokenizer"
        else:
            continue
        fix = "Return Response(text=...), with both token_ids and tokenizer or neither."
        return Violation(rule_of(answers_are_responses), str(prompt), "a Response", actual, fix)
    return None


def answers_depend_on_their_prompt(context: PolicyContext) -> Violation | None:
    """An answer depends only on the prompt and the seed, at temperature 0 and 1."""
    first = ask(context.policy, context.prompts())
    for _ in range(2):
        if found := _difference(context.prompts(), first, ask(context.policy, context.prompts())):
            fix = "Use a random generator with the given seed, and keep no state between answers."
            return Violation(rule_of(answers_depend_on_their_prompt), *found, fix)
    return None


def answers_are_the_same_in_another_process(context: PolicyContext) -> Violation | None:
    """An answer is the same in another process."""
    return differs_in_another_process(
        answers_are_the_same_in_another_process, context.policy, answers_to_prompts, context.seed
    )


def other_prompts_do_not_matter(context: PolicyContext) -> Violation | None:
    """An answer doesn't depend on other prompts that are answered at the same time."""
    asked = context.prompts()
    together = ask(context.policy, asked)
    alone = [answer for prompt in asked for answer in ask(context.policy, [prompt])]
    turned = ask(context.policy, asked[::-1])[::-1]
    found = _difference(asked, alone, together) or _difference(asked, alone, turned)
    if not found:
        return None
    fix = "Give each answer its own random generator, and mask padding in batches."
    return Violation(rule_of(other_prompts_do_not_matter), *found, fix)


def seeds_matter(context: PolicyContext) -> Violation | None:
    """At temperature 1, different seeds give different answers."""
    asked = context.prompts()[0].sampled(temperature=1.0)
    answers = ask(context.policy, [asked.seeded(context.seed + number) for number in range(SEEDS)])
    if len({content_of(answer) for answer in answers}) > 1:
        return None
    return Violation(
        rule_of(seeds_matter),
        quoted(asked.conversation[-1].content),
        f"different answers among {SEEDS}",
        f"{SEEDS} times {quoted(answers[0].text)}",
        "Sample with the given seed; simulations from the same state have to differ.",
    )


def answers_keep_to_their_length(context: PolicyContext) -> Violation | None:
    """An answer has at most max_tokens tokens."""
    for limit in (4, 8):
        asked = [prompt.sampled(max_tokens=limit) for prompt in context.prompts()]
        for prompt, answer in zip(asked, ask(context.policy, asked), strict=True):
            # If the tokens aren't known, words are counted: a word is at least one token.
            length = len(answer.text.split()) if answer.token_ids is None else len(answer.token_ids)
            if length > limit:
                what = "words" if answer.token_ids is None else "tokens"
                return Violation(
                    rule_of(answers_keep_to_their_length),
                    str(prompt),
                    f"at most {limit} tokens",
                    f"{length} {what}: {quoted(answer.text)}",
                    "Stop at sampling.max_tokens, stop token included.",
                )
    return None


def constrained_answers_are_admissible(context: PolicyContext) -> Violation | None:
    """With sampling.constrain, an answer is an admissible action, if the observation lists them."""
    asked = [prompt.sampled(constrain=True, temperature=1.0) for prompt in context.prompts()]
    asked += [prompt.seeded(prompt.seed + 1000) for prompt in asked]
    for prompt, answer in zip(asked, ask(context.policy, asked), strict=True):
        read = parse_answer(answer.text, prompt.observation, labelled=True)
        if not prompt.observation.admits(read.action):
            return Violation(
                rule_of(constrained_answers_are_admissible),
                str(prompt),
                f"one of {quoted(prompt.observation.actions)}",
                quoted(answer.text),
                "Allow only answers that lead to one of observation.actions or observation.free.",
            )
    return None


def scores_are_the_logprobs_of_answers(context: PolicyContext) -> Violation | None:
    """The score of an answer, if the policy has scores, is the log-probability that was reported with it."""
    asked = context.prompts()
    for prompt, answer in zip(asked, ask(context.policy, asked), strict=True):
        scoring = context.policy.score(prompt.conversation, prompt.observation, prompt.sampling, [answer])
        try:
            scores = run_coroutine(scoring)
        except PolicyFailure as failure:
            if failure.code == "scoring-unsupported":
                return None
            raise
        found = [score.logprob for score in scores]
        at_most = 1e-6 if answer.logprob is None else answer.logprob + 1e-2
        at_least = -math.inf if answer.logprob is None else answer.logprob - 1e-2
        if len(found) != 1 or found[0] is None or not at_least <= found[0] <= at_most:
            expected = "one log-probability" if answer.logprob is None else f"{answer.logprob:.4f}"
            fix = "Return the given answers with `logprob`, under the distribution that act() samples from."
            return Violation(rule_of(scores_are_the_logprobs_of_answers), str(prompt), expected, quoted(found), fix)
    return None


def states_without_actions_are_answered(context: PolicyContext) -> Violation | None:
    """act() accepts observations without admissible actions, also with sampling.constrain."""
    for prompt in context.prompts()[:2]:
        unlisted = prompt.observation.changed(actions=None, free=())
        asked = Prompt(prompt.conversation, unlisted, prompt.sampling, prompt.seed)
        ask(context.policy, [asked, asked.sampled(constrain=True)])
    return None


CHECKS = (
    answers_depend_on_their_prompt,
    other_prompts_do_not_matter,
    seeds_matter,
    answers_keep_to_their_length,
    constrained_answers_are_admissible,
    scores_are_the_logprobs_of_answers,
    states_without_actions_are_answered,
)


def _difference(asked: list[Prompt], first: list[Response], second: list[Response]) -> tuple[str, str, str] | None:
    """Return the first prompt with different answers, and the answers."""
    for prompt, one, other in zip(asked, first, second, strict=True):
        if content_of(one) != content_of(other):
            return str(prompt), quoted(one.text), quoted(other.text)
    return None
