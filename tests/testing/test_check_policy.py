"""Each rule is tested against a policy that breaks it in a line or two."""

import asyncio
import itertools
import random
from typing import Any

import pytest

from eef_framework.interfaces import Policy, TrainablePolicy
from eef_framework.policies.tiny import TinyModel
from eef_framework.policies.transformers_policy import TransformersPolicy
from eef_framework.records import Checkpoint, Response
from eef_framework.testing.conformance import Nonconformance, Violation, check_policy, policy_violations
from eef_framework.testing.lookup import LoadedLookup, LookupPolicy, LookupTrainer
from eef_framework.testing.queue_policy import QueuePolicy, ScriptedPolicy

counter = itertools.count()


def violation(code: str, policy: Policy | TrainablePolicy) -> Violation:
    """Return the violation with this code."""
    (found,) = (each for each in policy_violations(policy) if each.code == code)
    return found


def answering(change: Any, wait: float | None = None) -> ScriptedPolicy:
    """Return a policy whose answers are changed: `change(answer, conversation, observation, sampling, seed)`."""

    class Changed(ScriptedPolicy):
        async def act(self, conversation, observation, sampling, seed):
            answer = await super().act(conversation, observation, sampling, seed)
            if wait is not None:
                await asyncio.sleep(wait)
            return change(answer, conversation, observation, sampling, seed)

    return Changed()


@pytest.mark.parametrize("policy", [ScriptedPolicy(), LookupPolicy(), LookupPolicy(epsilon=1.0)])
def test_the_doubles_keep_their_contract(policy):
    check_policy(policy)


def test_a_model_that_was_trained_keeps_its_contract(tmp_path):
    from eef_framework.testing.conformance.examples import examples

    policy = LookupPolicy(epsilon=0.5)
    start = policy.initial_checkpoint([], tmp_path / "base", 0)
    LookupTrainer().train(examples(), start, tmp_path / "trained", 0, lambda *_: None)
    checkpoint = Checkpoint(path=tmp_path / "trained")
    check_policy(policy, checkpoint)


@pytest.mark.slow
def test_a_tiny_model_keeps_its_contract():
    check_policy(TransformersPolicy(tiny=TinyModel(hidden=32, layers=1, heads=2, feed_forward=32)))


def test_an_act_that_is_not_a_coroutine_is_named_with_its_class():
    class Sync(ScriptedPolicy):
        def act(self, *_):
            return Response(text="go[east]")

    found = violation("answers-are-responses", Sync())
    assert "Sync.act()" in found.actual
    assert "async def act" in found.fix


def test_something_else_than_a_response_is_reported():
    found = violation("answers-are-responses", answering(lambda answer, *_: answer.text))
    assert found.actual.startswith("str 'Action: ")


def test_tokens_of_nobody_are_reported():
    policy = answering(lambda answer, *_: answer.changed(token_ids=(1, 2)))
    assert violation("answers-are-responses", policy).actual.startswith("token_ids")


def test_answers_that_run_out_are_reported():
    assert policy_violations(QueuePolicy(answers=("a", "b")))[0].actual.startswith("PolicyFailure: ")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_that_does_not_come_from_its_seed_is_reported(temperature):
    def moody(answer, conversation, observation, sampling, seed):
        mood = f" {next(counter)}" if sampling.temperature == temperature else ""
        return answer.changed(text=answer.text + mood)

    found = violation("answers-depend-on-their-prompt", answering(moody))
    assert f"temperature {temperature:g}" in found.where


class Hashed(ScriptedPolicy):
    """Draws by hash()."""

    def choose(self, observation, draw):
        return super().choose(observation, random.Random(hash((observation.text, draw.random()))))


class HashedLookup(LookupPolicy):
    """Its weights are drawn by hash()."""

    def load(self, checkpoint):
        loaded = super().load(checkpoint)
        return loaded.model_copy(update={"template": f"Action: {{action}} {hash(checkpoint.path.name)}"})


@pytest.mark.parametrize("policy", [Hashed(), HashedLookup()], ids=["answers", "checkpoints"])
def test_an_answer_that_depends_on_hash_is_reported(policy):
    assert "answers-are-the-same-in-another-process" in [found.code for found in policy_violations(policy)]


def test_an_answer_that_depends_on_its_neighbours_is_reported():
    class Chatty(ScriptedPolicy):
        waiting: int = 0

        async def act(self, conversation, observation, sampling, seed):
            self.waiting += 1
            await asyncio.sleep(0)
            neighbours = self.waiting
            await asyncio.sleep(0)
            self.waiting -= 1
            answer = await super().act(conversation, observation, sampling, seed)
            return answer.changed(text=f"{answer.text} {min(neighbours, 2)}")

    assert violation("other-prompts-do-not-matter", Chatty())


def test_a_generator_that_answers_share_is_reported():
    """Each batch is seeded by its first prompt: alone or again, everything looks right."""

    class Shared(ScriptedPolicy):
        waiting: int = 0
        _stream: Any = None

        async def act(self, conversation, observation, sampling, seed):
            if not self.waiting:
                self._stream = random.Random(seed)
            self.waiting += 1
            await asyncio.sleep(0)
            answer = await super().act(conversation, observation, sampling, self._stream.randrange(10**6))
            self.waiting -= 1
            return answer

    assert violation("other-prompts-do-not-matter", Shared())


def test_a_seed_that_is_ignored_is_reported():
    found = violation("seeds-matter", answering(lambda answer, *_: answer.changed(text="Action: go[east]")))
    assert found.actual == "16 times 'Action: go[east]'"


def test_an_answer_that_is_too_long_is_reported():
    policy = answering(lambda answer, *_: answer.changed(text=f"Well, let me think. {answer.text}"))
    found = violation("answers-keep-to-their-length", policy)
    assert found.expected == "at most 4 tokens"
    assert found.actual.startswith("6 words: 'Well, let me think. Action: ")


def test_too_many_tokens_are_reported():
    policy = answering(lambda answer, *_: answer.changed(token_ids=tuple(range(9)), tokenizer="made-up"))
    assert violation("answers-keep-to-their-length", policy).actual.startswith("9 tokens: ")


def test_a_constraint_that_is_ignored_is_reported():
    def stray(answer, conversation, observation, sampling, seed):
        return answer.changed(text="Action: fly") if seed % 2 else answer

    found = violation("constrained-answers-are-admissible", answering(stray))
    assert found.where.endswith("constrained")
    assert found.actual == "'Action: fly'"


def test_a_state_without_actions_that_is_too_much_is_reported():
    def needy(answer, conversation, observation, sampling, seed):
        return answer if observation.actions[0] else None

    assert violation("states-without-actions-are-answered", answering(needy))


class Learned(LoadedLookup):
    """Answers by the secret of its checkpoint."""

    async def act(self, conversation, observation, sampling, seed):
        (secret,) = self.table["secret"]
        return await super().act(conversation, observation, sampling, seed + int(secret))


class Learner(LookupPolicy):
    """A lookup policy to break, whose checkpoints have a secret."""

    def initial_checkpoint(self, conversations, output, seed):
        return Checkpoint.of_json(output, {"secret": {str(self.secret(seed)): 1.0}}, "base")

    def secret(self, seed: int) -> int:
        return seed

    def load(self, checkpoint):
        return Learned(table=checkpoint.read_json(), epsilon=self.epsilon, template=self.template)


def test_the_learner_is_right_as_it_is():
    check_policy(Learner())


def test_a_checkpoint_that_can_not_be_loaded_is_reported():
    class Lost(Learner):
        def initial_checkpoint(self, conversations, output, seed):
            return Checkpoint(path=output)

    assert violation("loaded", Lost()).actual.startswith("FileNotFoundError")


def test_something_else_than_a_checkpoint_is_reported():
    class Pathless(Learner):
        def initial_checkpoint(self, conversations, output, seed):
            super().initial_checkpoint(conversations, output, seed)
            return output

    assert violation("loaded", Pathless()).expected == "a Checkpoint"


def test_a_checkpoint_that_points_elsewhere_is_reported():
    class Tied(Learner):
        def load(self, checkpoint):
            policy = super().load(checkpoint)
            policy.table = {"secret": {str(len(str(checkpoint.path))): 1.0}}
            return policy

    assert "another folder" in violation("loading-twice-gives-equal-policies", Tied()).where


def test_weights_that_all_policies_share_are_reported():
    class Shared(Learner):
        _loaded: Any = None

        def load(self, checkpoint):
            policy = super().load(checkpoint)
            if self._loaded is None:
                self._loaded = policy
            self._loaded.table = policy.table
            return self._loaded

    assert violation("loading-leaves-others-alone", Shared())


def test_weights_that_do_not_come_from_the_seed_are_reported():
    class Moody(Learner):
        def secret(self, seed: int) -> int:
            return next(counter) * 1000

    assert policy_violations(Moody())[0].code == "initial-checkpoints-depend-on-their-seed"


def test_a_policy_that_fails_to_close_again_is_reported():
    class Once(Learned):
        _closed: bool = False

        def close(self) -> None:
            if self._closed:
                raise RuntimeError("closed already")
            self._closed = True

    class Closing(Learner):
        def load(self, checkpoint):
            return Once(**super().load(checkpoint).model_dump())

    assert "RuntimeError: closed already" in [found.actual for found in policy_violations(Closing())]


def test_a_violation_is_raised_with_the_policys_name():
    with pytest.raises(Nonconformance, match=r"^policy 'scripted'") as caught:
        check_policy(answering(lambda answer, *_: None))
    assert [found.code for found in caught.value.violations] == ["answers-are-responses"]


def test_scores_other_than_the_reported_logprobs_are_told():
    class Scoring(ScriptedPolicy):
        async def act(self, conversation, observation, sampling, seed):
            answer = await super().act(conversation, observation, sampling, seed)
            return answer.changed(logprob=-1.5)

        async def score(self, conversation, observation, sampling, answers):
            return [answer.changed(logprob=self.logprob) for answer in answers]

        logprob: float | None = -1.5

    check_policy(Scoring())
    for wrong in (-1.0, None):
        found = violation("scores-are-the-logprobs-of-answers", Scoring(logprob=wrong))
        assert found.expected == "-1.5000"
