import asyncio
import math
import threading
import time
import weakref

import psutil
import pytest
import torch

from eef_framework.chat.parse import parse_answer
from eef_framework.errors import ConfigError, EefWarning, PolicyFailure
from eef_framework.interfaces import Sampling
from eef_framework.policies import TransformersPolicy
from eef_framework.policies.loading import load_model
from eef_framework.records import Checkpoint, Message, Observation

FREE = Observation(text="")


async def ask(policy, questions, observation, sampling, concurrency):
    slots = asyncio.Semaphore(concurrency)

    async def one(seed, question):
        async with slots:
            return await policy.act(question, observation, sampling, seed)

    return await asyncio.gather(*(one(seed, question) for seed, question in enumerate(questions)))


def without_logprobs(responses):
    """Return responses without their probabilities, whose last digits depend on the batch, and these."""
    return [r.changed(logprob=None) for r in responses], [r.logprob for r in responses]


@pytest.mark.slow
@pytest.mark.parametrize(("temperature", "constrain"), [(1.0, True), (1.0, False), (0.0, True), (0.3, False)])
def test_answers_do_not_depend_on_how_many_are_asked_at_once(checkpoint, questions, shop, temperature, constrain):
    sampling = Sampling(temperature=temperature, max_tokens=6, constrain=constrain)
    responses = []
    plain, small = {"logits_cache_mb": 0}, {"logits_cache_mb": 0, "max_batch_tokens": 300}
    for settings, concurrency in ((plain, 1), (plain, 200), (small, 64), ({}, 9)):
        with TransformersPolicy(**settings).load(checkpoint) as policy:
            responses.append(asyncio.run(ask(policy, questions, shop, sampling, concurrency)))
    exact, logprobs = zip(*(without_logprobs(answers) for answers in responses), strict=True)
    assert all(answers == exact[0] for answers in exact)
    assert all(each == pytest.approx(logprobs[0], abs=1e-3) for each in logprobs)


def test_constrained_answers_are_admissible(policy, questions, shop):
    responses = asyncio.run(ask(policy, questions, shop, Sampling(max_tokens=6, constrain=True), 64))
    actions = [parse_answer(response.text, shop, labelled=False).action for response in responses]
    assert all(shop.admits(action) for action in actions)
    assert {action.split("[")[0] for action in actions} == {"click", "search"}


def test_a_response_says_what_was_sampled_and_what_it_took(policy, chat, questions, shop):
    (response,) = asyncio.run(ask(policy, questions[:1], shop, Sampling(constrain=True), 1))
    assert response.tokenizer == chat.fingerprint
    assert response.token_ids[-1] in chat.end_ids
    assert chat.text(response.token_ids) == response.text
    assert response.prompt_tokens == len(chat.prompt_ids(questions[0]))
    assert response.computed_tokens >= response.prompt_tokens


def test_what_was_sampled_is_what_is_trained(policy, chat, questions, shop):
    responses = asyncio.run(ask(policy, questions, shop, Sampling(max_tokens=6), 200))
    for question, response in zip(questions, responses, strict=True):
        turn = Message(
            role="assistant",
            content=response.text,
            weight=1.0,
            token_ids=response.token_ids,
            tokenizer=response.tokenizer,
        )
        ids, weights = chat.encode((*question, turn))
        assert ids == [*chat.prompt_ids(question), *response.token_ids]
        assert weights == [0.0] * response.prompt_tokens + [1.0] * len(response.token_ids)


def test_the_seed_and_the_sampling_matter(policy, questions):
    sampling = Sampling(max_tokens=12)

    async def main():
        question = questions[0]
        return [
            await policy.act(question, FREE, sampling, 1),
            await policy.act(question, FREE, sampling, 1),
            await policy.act(question, FREE, sampling, 2),
            await policy.act(question, FREE, Sampling(max_tokens=12, temperature=0), 1),
            await policy.act(question, FREE, Sampling(max_tokens=12, temperature=0), 2),
        ]

    first, again, other, greedy, greedy_again = asyncio.run(main())
    assert first == again
    assert first.token_ids != other.token_ids
    assert greedy == greedy_again


def test_a_closed_policy_answers_no_more_and_may_be_closed_again(checkpoint, questions):
    policy = TransformersPolicy().load(checkpoint)
    policy.close()
    policy.close()
    with pytest.raises(PolicyFailure):
        asyncio.run(policy.act(questions[0], FREE, Sampling(), 0))


def test_nothing_of_the_model_stays_after_its_policy_is_closed(checkpoint, questions):
    policy = TransformersPolicy().load(checkpoint)
    asyncio.run(ask(policy, questions, FREE, Sampling(max_tokens=4), 4))
    model, prefixes = weakref.ref(policy.engine.model), weakref.ref(policy.engine.prefix_cache)
    policy.close()
    assert model() is None
    assert prefixes() is None


def test_a_policy_that_is_closed_while_it_answers_goes_no_further(checkpoint, questions):
    policy = TransformersPolicy(logits_cache_mb=0).load(checkpoint)
    model_pass, calls = policy.engine.model_pass, []
    forward = model_pass.forward

    def counted(*args):
        calls.append(args)
        if len(calls) == 3:
            closing.start()
            while not model_pass.stopped:
                time.sleep(0.001)
        return forward(*args)

    model_pass.forward = counted
    closing = threading.Thread(target=policy.close)
    with pytest.raises(PolicyFailure) as caught:
        asyncio.run(policy.act(questions[0], FREE, Sampling(max_tokens=40), 0))
    assert caught.value.code == "closed"
    closing.join()
    assert len(calls) == 3


def test_a_closed_policy_gives_its_memory_back_to_the_system(checkpoint, holes):
    policy = TransformersPolicy().load(checkpoint)
    before = psutil.Process().memory_info().rss
    policy.close()
    assert before - psutil.Process().memory_info().rss > (holes << 20) / 2


@pytest.mark.parametrize(
    ("make", "code"),
    [("missing", "no-such-model"), ("empty", "model-incomplete"), ("without weights", "model-incomplete")],
)
def test_a_folder_without_a_model_is_explained(tmp_path, checkpoint, make, code):
    folder = tmp_path / "model"
    if make != "missing":
        folder.mkdir()
    if make == "without weights":
        (folder / "config.json").write_text((checkpoint.path / "config.json").read_text())
    with pytest.raises(ConfigError) as caught:
        TransformersPolicy().load(Checkpoint(path=folder))
    assert caught.value.code == code


def test_a_folder_that_is_not_there_is_found_before_training(tmp_path):
    with pytest.raises(ConfigError) as caught:
        TransformersPolicy(model=str(tmp_path / "nowhere")).initial_checkpoint([], tmp_path / "out", 0)
    assert caught.value.code == "no-such-model"


def test_another_model_is_used_where_it_is(tmp_path, checkpoint):
    assert (
        TransformersPolicy(model=str(checkpoint.path)).initial_checkpoint([], tmp_path / "out", 0).path
        == checkpoint.path
    )


def test_settings_are_read_under_their_old_names():
    with pytest.warns(EefWarning) as caught:
        policy = TransformersPolicy(memory_mb=3, cache_mb=4)
    assert [
        (each.message.code, each.message.details["new"]) for each in caught if isinstance(each.message, EefWarning)
    ] == [
        ("renamed", "logits_cache_mb"),
        ("renamed", "kv_cache_mb"),
    ]
    assert (policy.logits_cache_mb, policy.kv_cache_mb) == (3, 4)


def test_memory_bounds_batches(checkpoint, questions):
    sampling = Sampling(max_tokens=1)
    with TransformersPolicy(max_batch_tokens=200, logits_cache_mb=0, tie_margin=0).load(checkpoint) as policy:
        asyncio.run(ask(policy, questions, FREE, sampling, 200))
        assert policy.statistics.batches > 20


def test_a_batch_size_that_does_not_fit_into_memory_is_limited(checkpoint, monkeypatch):
    monkeypatch.setattr("eef_framework.policies.transformers_policy.free_memory", lambda device: 1 << 20)
    with TransformersPolicy(max_batch_tokens=10).load(checkpoint) as policy:
        assert policy.max_batch_tokens == 10
    with pytest.warns(EefWarning) as told, TransformersPolicy(max_batch_tokens=100_000).load(checkpoint) as policy:
        used = policy.max_batch_tokens
    assert used == told.pop(EefWarning).message.details["used"] < 100_000


def test_where_memory_becomes_scarce_less_is_kept_and_answers_stay(checkpoint, questions, monkeypatch):
    sampling = Sampling(max_tokens=2)
    kept, answers = [], []
    for left in (1 << 30, 1 << 20):
        with TransformersPolicy(logits_cache_mb=0).load(checkpoint) as policy:
            before = policy.engine.prefix_cache._max_bytes
            policy.min_free_bytes = 1 << 29
            monkeypatch.setattr("eef_framework.policies.loaded_policy.free_memory", lambda device, left=left: left)
            answers.append([each.text for each in asyncio.run(ask(policy, questions[:20], FREE, sampling, 20))])
            kept.append(policy.engine.prefix_cache._max_bytes < before)
        monkeypatch.undo()
    assert kept == [False, True]
    assert answers[0] == answers[1]


def by_hand(model, chat, question, response, temperature):
    """Return the probability of each token of an answer among all tokens, from one pass over the whole of it."""
    prompt = chat.prompt_ids(question)
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*prompt, *response.token_ids]])).logits[0, len(prompt) - 1 : -1]
    scaled = logits.double() / temperature
    return scaled, scaled.log_softmax(dim=1)[range(len(response.token_ids)), response.token_ids]


@pytest.mark.parametrize(("temperature", "under"), [(1.0, 1.0), (0.5, 0.5), (0.0, 1.0)])
def test_the_logprob_is_the_sum_over_the_sampled_tokens(policy, checkpoint, chat, questions, temperature, under):
    model = load_model(checkpoint.path, "float32", "cpu").eval()
    responses = asyncio.run(ask(policy, questions[:20], FREE, Sampling(temperature=temperature, max_tokens=6), 20))
    for question, response in zip(questions, responses, strict=False):
        _, expected = by_hand(model, chat, question, response, under)
        assert response.logprob == pytest.approx(expected.sum().item(), abs=1e-3)


def test_a_constrained_answers_logprob_is_that_among_the_admissible_actions(policy, checkpoint, chat, questions, shop):
    only_clicks = shop.changed(free=())
    model = load_model(checkpoint.path, "float32", "cpu").eval()
    responses = asyncio.run(ask(policy, questions[:20], only_clicks, Sampling(max_tokens=6, constrain=True), 20))
    first = [chat.answer_ids(action)[0] for action in only_clicks.actions]
    assert len(set(first)) == len(first)  # each action is one token of this vocabulary, so the choice is the first's
    for question, response in zip(questions, responses, strict=False):
        scaled, _ = by_hand(model, chat, question, response, 1.0)
        chances = scaled[0, first].softmax(dim=0)
        assert math.exp(response.logprob) == pytest.approx(chances[first.index(response.token_ids[0])].item(), rel=1e-3)


def test_an_answer_without_a_choice_is_certain(policy, questions):
    only = Observation(text="", actions=("buy now",))
    (response,) = asyncio.run(ask(policy, questions[:1], only, Sampling(constrain=True), 1))
    assert response.logprob == 0.0
