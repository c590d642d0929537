"""An answer depends on its prompt and seed only, not on concurrent requests."""

import random

import pytest
import torch
import transformers as hf

from eef_framework.errors import PolicyFailure
from eef_framework.policies.capabilities import Capabilities
from eef_framework.policies.constraint import Constraints
from eef_framework.policies.decoding_state import DecodingState, GenerationRequest
from eef_framework.policies.engine import Engine
from eef_framework.policies.loading import load_model
from eef_framework.policies.logits_cache import LogitsCache
from eef_framework.policies.prefix_cache import PrefixCache
from eef_framework.policies.sampling import SamplingRequest, sample, uniform
from eef_framework.records import Observation


def tiny_config(kind):
    """Return the configuration of a small model of one architecture."""
    common = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    common |= {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.4, "pad_token_id": 0}
    return {
        "llama": lambda: hf.LlamaConfig(**common),
        "qwen2": lambda: hf.Qwen2Config(**common),
        "mistral, sliding window": lambda: hf.MistralConfig(**common, sliding_window=16),
        "gemma2, capped logits": lambda: hf.Gemma2Config(**common, head_dim=8, sliding_window=16),
        "gpt2, learned positions": lambda: hf.GPT2Config(
            vocab_size=90, n_embd=32, n_layer=2, n_head=4, initializer_range=0.4
        ),
    }[kind]()


ARCHITECTURES = ["llama", "qwen2", "mistral, sliding window", "gemma2, capped logits", "gpt2, learned positions"]


ABLE = Capabilities()


def engine(model, logits_cache=0, margin=1e-4, able=ABLE):
    """Return an engine of a model that supports caching and padding, without trying it."""
    return Engine(model, 0, margin, LogitsCache(logits_cache), PrefixCache(0), able)


def requests(count, longest=40, vocabulary=90):
    rng = random.Random(1)
    return [
        GenerationRequest(
            prompt=tuple(rng.randrange(10, vocabulary) for _ in range(rng.randint(1, longest))),
            start=None,
            temperature=rng.choice([0.0, 0.7, 1.0]),
            max_tokens=rng.randint(1, 8),
            seed=rng.randrange(1 << 60),
        )
        for _ in range(count)
    ]


def answers(engine, asked, sizes, ends=frozenset({5})):
    """Return the answers when batches have these sizes in turn."""
    states = [DecodingState(request, ends, None) for request in asked]
    waiting, turn = list(states), 0
    while waiting:
        size = sizes[turn % len(sizes)]
        engine.complete(waiting[:size])
        waiting, turn = waiting[size:], turn + 1
    assert all(state.done for state in states)
    return [state.new for state in states]


def by_hand(model, request, ends=frozenset({5})):
    """Return the answer computed the slow and obvious way: whole sequence, no batch, no cache, every time."""
    new = []
    while len(new) < request.max_tokens and not (new and new[-1] in ends):
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([[*request.prompt, *new]])).logits[:, -1]
        new.append(
            sample(logits, [SamplingRequest(None, request.temperature, uniform(request.seed, len(new)))])[0].token
        )
    return new


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_batched_answers_are_those_computed_by_hand(kind):
    torch.manual_seed(0)
    model = hf.AutoModelForCausalLM.from_config(tiny_config(kind)).eval()
    asked = requests(24)
    wanted = [by_hand(model, request) for request in asked]
    for sizes in ((24,), (3, 7)):
        assert answers(engine(model, able=None), asked, sizes) == wanted


class Noisy(torch.nn.Module):
    """A model whose logits differ by up to 0.1 with the shape of the batch, as those of short types do."""

    def __init__(self, model):
        super().__init__()
        self.inner, self.config, self.device = model, model.config, model.device

    def forward(self, input_ids, attention_mask, position_ids, use_cache, past_key_values=None):
        output = self.inner(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
        )
        noise = torch.Generator().manual_seed(hash((tuple(attention_mask.shape), tuple(input_ids.shape))) % 2**31)
        output.logits = output.logits + 0.1 * (torch.rand(output.logits.shape, generator=noise) - 0.5)
        return output


@pytest.fixture(scope="module")
def noisy(checkpoint):
    return Noisy(load_model(checkpoint.path, "float32", "cpu").eval())


def test_answers_survive_noise_within_the_margin(noisy):
    asked = requests(60, vocabulary=60)
    engines = [engine(noisy, size, margin=0.1) for size in (0, 0, 1 << 20)]
    alone, together, cached = (answers(e, asked, s) for e, s in zip(engines, ((1,), (60,), (7, 30)), strict=True))
    assert alone == together == cached
    assert engines[1].statistics.recomputed > 0


def test_without_a_margin_noise_changes_answers(noisy):
    """Otherwise the test above would prove nothing."""
    asked = requests(60, vocabulary=60)
    alone, together = (answers(engine(noisy, margin=0.0), asked, sizes) for sizes in ((1,), (60,)))
    assert alone != together


def test_equal_prompts_go_through_the_model_once(checkpoint):
    once = engine(load_model(checkpoint.path, "float32", "cpu").eval())
    asked = [GenerationRequest((7, 8, 9), None, 1.0, 1, seed) for seed in range(30)]
    answers(once, asked, (30,))
    assert once.statistics.tokens - 3 * once.statistics.recomputed == 3


def test_repeated_prompts_are_answered_alike_from_the_cache(checkpoint):
    model = load_model(checkpoint.path, "float32", "cpu").eval()
    asked = requests(20, vocabulary=60)
    uncached, cached = (engine(model, size) for size in (0, 1 << 20))
    wanted = answers(uncached, asked, (20,))
    assert answers(cached, asked, (20,)) == wanted
    batches = cached.statistics.batches
    assert answers(cached, asked, (6,)) == wanted
    assert cached.statistics.batches == batches
    assert cached.statistics.cached == sum(map(len, wanted))


def test_forced_tokens_need_no_model(chat):
    constraints = Constraints(chat, len(chat.tokenizer), "cpu")
    start = constraints.start(Observation(text="", actions=("buy now",)))
    state = DecodingState(GenerationRequest((1, 2), start, 1.0, 8, seed=0), chat.end_ids, None)
    assert state.done
    assert chat.text(state.new) == "buy now"
    assert state.computed_tokens == 0


def test_a_click_costs_one_pass(checkpoint, chat, shop):
    clicking = engine(load_model(checkpoint.path, "float32", "cpu").eval(), margin=0.0)
    start = Constraints(chat, len(chat.tokenizer), "cpu").start(shop)
    states = [
        DecodingState(GenerationRequest((7, 8, 9), start, 1.0, 8, seed), chat.end_ids, None) for seed in range(40)
    ]
    clicks = 0
    for state in states:
        before = clicking.statistics.tokens
        clicking.complete([state])
        if chat.text(state.new).startswith("click"):
            clicks += 1
            assert clicking.statistics.tokens - before == 3 == state.computed_tokens
            assert state.new[-1] in chat.end_ids
    assert clicks > 20


def test_cut_off_answers_have_no_stop_token(checkpoint):
    (new,) = answers(
        engine(load_model(checkpoint.path, "float32", "cpu").eval()),
        [GenerationRequest((7,), None, 0.0, 3, 0)],
        (1,),
        ends=frozenset(),
    )
    assert len(new) == 3


def test_a_broken_model_is_named(checkpoint):
    model = load_model(checkpoint.path, "float32", "cpu").eval()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    for temperature in (0.0, 1.0):
        state = DecodingState(GenerationRequest((7, 8), None, temperature, 4, 0), frozenset({5}), None)
        with pytest.raises(PolicyFailure) as caught:
            engine(model).complete([state])
        assert caught.value.code == "not-a-number"


class Cramped(Noisy):
    """A model on a device with memory for a few rows."""

    most = 2

    def forward(self, input_ids, **more):
        if len(input_ids) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.inner(input_ids=input_ids, **more)


def test_a_batch_beyond_the_memory_is_halved_until_it_fits(noisy):
    asked = requests(11, vocabulary=60)
    wanted = answers(engine(noisy.inner), asked, (11,))
    assert answers(engine(Cramped(noisy.inner)), asked, (11,)) == wanted


def test_a_prompt_beyond_the_memory_is_an_error_with_a_fix(noisy):
    model = Cramped(noisy.inner)
    model.most = 0
    with pytest.raises(PolicyFailure) as caught:
        answers(engine(model), [GenerationRequest((7, 8, 9), None, 1.0, 4, 0)], (1,))
    assert (caught.value.code, caught.value.details) == ("out-of-memory", {"tokens": 3})
