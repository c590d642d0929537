"""The score of an answer is the log-probability that is reported when it is sampled."""

import asyncio
import math

import pytest
import torch
import transformers as hf
from hypothesis import given, settings
from hypothesis import strategies as st

from eef_framework.errors import PolicyFailure
from eef_framework.interfaces import Sampling
from eef_framework.policies import TransformersPolicy, engine
from eef_framework.policies.decoding_state import GenerationRequest
from eef_framework.policies.engine import Engine
from eef_framework.policies.loading import load_model
from eef_framework.policies.logits_cache import LogitsCache
from eef_framework.policies.prefix_cache import PrefixCache
from eef_framework.policies.scoring_state import ScoringState
from eef_framework.records import Message, Observation, Response
from eef_framework.testing.queue_policy import ScriptedPolicy

FREE = Observation(text="")


def scored(policy, conversation, observation, sampling, answers):
    return asyncio.run(policy.score(conversation, observation, sampling, answers))


@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(st.integers(0, 59), min_size=1, max_size=40),
    temperature=st.sampled_from([0.0, 0.5, 1.0, 1.5]),
    max_tokens=st.integers(1, 8),
    constrain=st.booleans(),
    seed=st.integers(0, 2**60),
)
def test_the_score_of_a_sampled_answer_is_its_logprob(policy, shop, words, temperature, max_tokens, constrain, seed):
    question = (Message(role="user", content=" ".join(f"word{word}" for word in words)),)
    sampling = Sampling(temperature=temperature, max_tokens=max_tokens, constrain=constrain)

    async def both():
        answers = [await policy.act(question, shop, sampling, seed + index) for index in range(3)]
        return answers, await policy.score(question, shop, sampling, answers)

    answers, scores = asyncio.run(both())
    for answer, score in zip(answers, scores, strict=True):
        assert score.logprob == pytest.approx(answer.logprob, abs=1e-4)
        assert score.logprob == pytest.approx(sum(score.logprobs), abs=1e-4)
        assert (score.text, score.token_ids, score.computed_tokens) == (
            answer.text,
            answer.token_ids,
            answer.computed_tokens,
        )


def test_the_text_alone_is_scored_with_its_usual_tokens_and_the_stop_token(policy, checkpoint, chat, questions):
    model = load_model(checkpoint.path, "float32", "cpu").eval()
    texts = ["word1", "word2 word3 word4", "buy now"]
    scores = scored(policy, questions[0], FREE, Sampling(), [Response(text=text) for text in texts])
    prompt = chat.prompt_ids(questions[0])
    for text, score in zip(texts, scores, strict=True):
        ids = [*chat.answer_ids(text), *chat.stop_ids]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        expected = logits.double().log_softmax(dim=1)[range(len(ids)), ids]
        assert score.token_ids == tuple(ids)
        assert score.tokenizer == chat.fingerprint
        assert score.logprobs == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_probabilities_of_all_admissible_actions_add_up_to_one(policy, questions, shop):
    only_listed = shop.changed(free=())
    answers = [Response(text=action) for action in only_listed.actions]
    scores = scored(policy, questions[3], only_listed, Sampling(constrain=True), answers)
    assert sum(math.exp(score.logprob) for score in scores) == pytest.approx(1.0, abs=1e-4)


def test_an_action_that_cannot_be_sampled_has_no_probability(policy, questions, shop):
    texts = ["word1", "click[item 99]", "click[item 1]", "search[word1 word2]"]
    answers = [Response(text=text) for text in texts]
    scores = scored(policy, questions[3], shop, Sampling(constrain=True), answers)
    assert [math.isinf(score.logprob) for score in scores] == [True, True, False, False]


def test_an_action_without_an_alternative_is_certain(policy, questions):
    only = Observation(text="", actions=("buy now",))
    (score,) = scored(policy, questions[0], only, Sampling(constrain=True), [Response(text="buy now")])
    assert (score.logprob, score.computed_tokens) == (0.0, 0)


def test_free_text_longer_than_the_limit_is_scored_as_without_one(policy, questions, shop):
    answers = [Response(text="search[" + "word1 " * 6 + "]")]
    short, long = (
        scored(policy, questions[0], shop, Sampling(constrain=True, max_tokens=limit), answers) for limit in (3, 60)
    )
    assert short[0].logprob == pytest.approx(long[0].logprob, abs=1e-4)


def test_prompt_and_answer_fit_into_the_context_window(checkpoint):
    seen = Message(role="user", content="word1 " * 10)
    conversation = (seen, Message(role="assistant", content="word1"), seen)
    with TransformersPolicy().load(checkpoint) as loaded:
        loaded.context_window = 60
        answers = [[Response(text="word1 " * count)] for count in (2, 40)]
        scores = [scored(loaded, conversation, FREE, Sampling(max_tokens=3), each)[0] for each in answers]
    assert [score.dropped for score in scores] == [0, 1]
    assert scores[1].prompt_tokens + len(scores[1].token_ids) <= 60


def test_tokens_of_another_tokenizer_are_not_used(policy, questions, chat):
    foreign = Response(text="word1", token_ids=(1, 2, 3, 4), tokenizer="another")
    (score,) = scored(policy, questions[0], FREE, Sampling(), [foreign])
    assert score.token_ids == (*chat.answer_ids("word1"), *chat.stop_ids)


def scores_of(engine, count=12):
    answers = [tuple(range(10 + index, 11 + 2 * index)) for index in range(1, count)]
    requests = [GenerationRequest(tuple(range(7, 12 + index % 4)), None, 1.0, 64, 0) for index in range(len(answers))]
    states = [ScoringState(request, answer, None) for request, answer in zip(requests, answers, strict=True)]
    engine.score(states)
    assert all(state.done for state in states)
    return [logprob for state in states for logprob in state.logprobs]


def model(config):
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(config).eval()


def new_engine(model):
    return Engine(model, 0, 1e-4, LogitsCache(0), PrefixCache(1 << 20))


SMALL = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.4}


@pytest.mark.parametrize("bytes_", [1, 4 * 11 * 90 * 3, 1 << 26])
def test_scores_do_not_depend_on_how_much_is_computed_at_once(monkeypatch, bytes_):
    expected = scores_of(new_engine(model(hf.LlamaConfig(**SMALL))))
    monkeypatch.setattr(engine, "_LOGITS_BYTES", bytes_)
    assert scores_of(new_engine(model(hf.LlamaConfig(**SMALL)))) == pytest.approx(expected, abs=1e-4)


def test_equal_prompts_are_processed_once():
    once = new_engine(model(hf.LlamaConfig(**SMALL)))
    request = GenerationRequest(tuple(range(10, 30)), None, 1.0, 64, 0)
    once.score([ScoringState(request, (40 + index, 5), None) for index in range(8)])
    assert once.statistics.tokens == 20 + 8  # the prompt, and the first token of each answer


class Cramped(torch.nn.Module):
    """A model on a device with memory for two rows."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.config, self.device, self.dtype = inner, inner.config, inner.device, inner.dtype

    def forward(self, input_ids, attention_mask, position_ids, use_cache, past_key_values=None):
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return self.inner(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=use_cache,
            past_key_values=past_key_values,
        )


def test_a_batch_beyond_the_memory_is_halved_until_it_fits():
    expected = scores_of(new_engine(model(hf.LlamaConfig(**SMALL))))
    assert scores_of(new_engine(Cramped(model(hf.LlamaConfig(**SMALL))))) == pytest.approx(expected, abs=1e-4)


def test_a_broken_model_is_named(checkpoint):
    broken = load_model(checkpoint.path, "float32", "cpu").eval()
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    with pytest.raises(PolicyFailure) as caught:
        new_engine(broken).score([ScoringState(GenerationRequest((7, 8), None, 1.0, 4, 0), (9, 5), None)])
    assert caught.value.code == "not-a-number"


def test_a_closed_policy_scores_no_more(checkpoint, questions):
    closed = TransformersPolicy().load(checkpoint)
    closed.close()
    with pytest.raises(PolicyFailure) as caught:
        scored(closed, questions[0], FREE, Sampling(), [Response(text="word1")])
    assert caught.value.code == "closed"


def test_a_policy_without_log_probabilities_says_so(questions):
    with pytest.raises(PolicyFailure) as caught:
        scored(ScriptedPolicy(), questions[0], FREE, Sampling(), [Response(text="word1")])
    assert (caught.value.code, caught.value.details) == ("scoring-unsupported", {"policy": "scripted"})
