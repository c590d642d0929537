import random

import pytest
import torch
import transformers as hf

from eef_framework.policies.decoding_state import DecodingState, GenerationRequest
from eef_framework.policies.engine import Engine
from eef_framework.policies.logits_cache import LogitsCache
from eef_framework.policies.prefix_cache import PrefixCache, PrefixMatch, assembled

SMALL = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.4,
}
CONFIGS = {
    "llama": lambda: hf.LlamaConfig(**SMALL),
    "gpt2": lambda: hf.GPT2Config(vocab_size=90, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0),
    "mistral": lambda: hf.MistralConfig(**SMALL, sliding_window=6),
}
END = 5


def model(kind):
    torch.manual_seed(0)
    return hf.AutoModelForCausalLM.from_config(CONFIGS[kind]()).eval()


def engine(model, prefixes):
    return Engine(model, pad=0, tie_margin=1e-4, logits_cache=LogitsCache(0), prefix_cache=prefixes)


def episodes(engine, count, turns=5):
    """Play conversations side by side and return all answers; each prompt continues the one before."""
    rng = random.Random(2)
    prompts = [tuple(rng.randrange(10, 90) for _ in range(rng.randint(3, 12))) for _ in range(count)]
    starts = [() for _ in range(count)]
    answers = []
    for turn in range(turns):
        rows = [
            DecodingState(
                GenerationRequest(prompt, None, 1.0, 4, 100 * turn + index, starts[index]), frozenset({END}), None
            )
            for index, prompt in enumerate(prompts)
        ]
        rng_batches = random.Random(turn)
        order = list(rows)
        rng_batches.shuffle(order)
        for part in (order[: count // 2], order[count // 2 :]):
            engine.complete(part)
        answers.append([row.new for row in rows])
        starts = [(*known, len(prompt)) for known, prompt in zip(starts, prompts, strict=True)]
        prompts = [
            (*prompt, *row.new, END, *(rng.randrange(10, 90) for _ in range(rng.randint(1, 5))))
            for prompt, row in zip(prompts, rows, strict=True)
        ]
    return answers


@pytest.mark.parametrize("kind", CONFIGS)
def test_answers_are_the_same_with_and_without(kind):
    uncached, cached = engine(model(kind), PrefixCache(0)), engine(model(kind), PrefixCache(1 << 24))
    assert episodes(uncached, 8) == episodes(cached, 8)
    saves = cached.statistics.tokens < 0.6 * uncached.statistics.tokens
    assert saves == (kind != "mistral")  # a sliding window forgets the beginning, so nothing can be kept


def test_little_buffers_changes_no_answer():
    uncached, small = engine(model("llama"), PrefixCache(0)), engine(model("llama"), PrefixCache(30_000))
    assert episodes(uncached, 8) == episodes(small, 8)
    assert small.statistics.tokens <= uncached.statistics.tokens


def keep(prefixes, prompt, answer):
    """Keep a conversation whose keys and values are its tokens."""
    ids = (*prompt, *answer)
    cache = hf.DynamicCache()
    values = torch.tensor([0.0, *ids]).reshape(1, 1, -1, 1)  # one row, one head, padded by one on the left
    cache.update(values, values, 0)
    prefixes.keep(prompt, ids, cache, 0, torch.tensor([0] + [1] * len(ids)))


def test_what_shrinks_drops_the_oldest_and_keeps_less_from_then_on():
    prefixes = wanting(200)  # five conversations
    for first in range(10, 60, 10):
        keep(prefixes, (first, 2, 3), (4, 5))
    full = len(prefixes._by_prompt)
    prefixes.shrink()
    assert (full, len(prefixes._by_prompt)) == (5, 2)
    assert list(prefixes._by_prompt)[-1] == (50, 2, 3)
    assert prefixes._bytes <= prefixes._max_bytes == 100
    for _ in range(10):
        prefixes.shrink()
    assert not prefixes._by_prompt
    assert prefixes._bytes == 0


def found(prefixes, ids, earlier=(), start=None):
    known = prefixes.find(ids, (*earlier, len(ids) if start is None else start))
    return known.length, known.prefix.ids if known.prefix else None


def wanting(max_bytes=10_000):
    prefixes = PrefixCache(max_bytes)
    prefixes.find((1, 2, 3), (1, 3))  # a prompt with an earlier answer
    return prefixes


def test_nothing_is_kept_where_prompts_do_not_continue_one_another():
    prefixes = PrefixCache(10_000)
    prefixes.find((1, 2), (2,))
    keep(prefixes, (1, 2), (3,))
    assert found(prefixes, (1, 2, 3, 4), (2,)) == (0, None)


def test_the_longest_known_beginning_is_found():
    prefixes = wanting()
    keep(prefixes, (1, 2), (3,))
    keep(prefixes, (1, 2, 3, 4), (5, 6))
    assert found(prefixes, (1, 2, 3, 4, 5, 6, 7), (2, 4)) == (6, (1, 2, 3, 4, 5, 6))
    assert found(prefixes, (1, 2, 3, 9, 9), (2, 4)) == (3, (1, 2, 3))
    assert found(prefixes, (9, 2, 3), (2,)) == (0, None)


def test_another_answer_to_the_same_prompt_shares_the_prompt():
    prefixes = wanting()
    keep(prefixes, (1, 2), (3, 4))
    assert found(prefixes, (1, 2, 3, 9, 9), (2,)) == (3, (1, 2, 3, 4))


def test_one_token_is_left_for_the_model():
    prefixes = wanting()
    keep(prefixes, (1, 2), (3,))
    assert found(prefixes, (1, 2)) == (1, (1, 2, 3))


def test_an_answer_that_was_begun_counts():
    prefixes = wanting()
    keep(prefixes, (1, 2), (3, 4, 5))
    assert found(prefixes, (1, 2, 3, 4), start=2) == (3, (1, 2, 3, 4, 5))


def test_keys_are_kept_without_padding_and_assembled_with_it():
    prefixes = wanting()
    keep(prefixes, (1, 2), (3,))
    known = [prefixes.find((1, 2, 3, 4), (2, 4)), PrefixMatch(), prefixes.find((1, 2, 9), (2, 3))]
    cache, mask = assembled(known, 1, hf.LlamaConfig(**SMALL), "cpu")
    assert mask.tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 1]]
    assert cache.layers[0].keys[:, 0, :, 0].tolist() == [[1, 2, 3], [0, 0, 0], [0, 1, 2]]


def test_what_was_continued_goes_first():
    prefixes = wanting(max_bytes=3 * 2 * 4 * 2)  # two conversations of three tokens, keys and values in float32
    keep(prefixes, (1, 2), (3,))
    keep(prefixes, (5, 6), (7,))
    assert found(prefixes, (5, 6, 7, 8), (2,))[0] == 3
    keep(prefixes, (8, 8), (8,))
    assert found(prefixes, (1, 2, 3, 4), (2,))[0] == 3
    assert found(prefixes, (5, 6, 7, 8), (2,))[0] == 0


def head_and_tails(count, seed):
    rng = random.Random(seed)
    head = tuple(random.Random(0).randrange(10, 90) for _ in range(20))
    return [(*head, 10 + index, *(rng.randrange(10, 90) for _ in range(3))) for index in range(count)]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_what_prompts_begin_with_alike_is_computed_once(kind):
    uncached, cached = engine(model(kind), PrefixCache(0)), engine(model(kind), PrefixCache(1 << 24))
    asked = [[GenerationRequest(prompt, None, 1.0, 1, 7) for prompt in head_and_tails(6, seed)] for seed in (1, 2)]
    for requests, tokens in zip(asked, (20 + 6 * 4, 6 * 4), strict=True):
        wanted, found = ([DecodingState(request, frozenset({END}), None) for request in requests] for _ in range(2))
        before = cached.statistics.tokens
        uncached.complete(wanted)
        cached.complete(found)
        assert [row.new for row in found] == [row.new for row in wanted]
        assert cached.statistics.tokens - before == tokens


def test_nothing_short_is_shared_nor_what_only_one_prompt_has():
    prefixes = PrefixCache(10_000)
    assert prefixes.shared_prefix([(1, 2, 3), (1, 2, 4)], [PrefixMatch(), PrefixMatch()]) == ()
    assert prefixes.shared_prefix([tuple(range(40))], [PrefixMatch()]) == ()
    long = [(*range(20), 50), (*range(20), 51)]
    assert prefixes.shared_prefix(long, [PrefixMatch(), PrefixMatch()]) == tuple(range(20))
    assert PrefixCache(0).shared_prefix(long, [PrefixMatch(), PrefixMatch()]) == ()


def test_prompts_of_similar_length_are_computed_together():
    groups = engine(model("llama"), PrefixCache(0))._groups([3, 200, 4, 210, 60])
    assert sorted(map(sorted, groups)) == [[0, 2], [1, 3], [4]]
    assert (
        len(engine(model("mistral"), PrefixCache(0))._groups([3, 200, 60])) == 1
    )  # windows of one batch stay together
