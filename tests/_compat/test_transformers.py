"""Each test names a part of transformers that may change. If it fails, adapt `_compat/transformers.py`."""

import inspect

import pytest
import torch
import transformers as hf
from transformers.cache_utils import DynamicLayer

from eef_framework._compat.transformers import (
    ATTENTION_CACHE_ARGUMENTS,
    LIMITED_ATTENTION,
    STATE_CACHE_ARGUMENT,
    _mentioned,
    attention_of,
    cache_arguments,
    empty_cache,
    enable_activation_checkpointing,
    is_attention,
    is_causal,
    is_plain,
    knows_type,
    limits_logits,
    preallocated_layer,
    reads_gguf,
    sdpa_attention,
    text_config,
    unpacked_gguf,
    use_attention,
)

SMALL = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
SMALL |= {"num_attention_heads": 4, "num_key_value_heads": 2}
LLAMA = hf.LlamaConfig(**SMALL)


def llama():
    torch.manual_seed(0)
    return hf.LlamaForCausalLM(LLAMA).eval()


def test_a_cache_has_a_list_of_layers_one_for_each_of_the_model():
    assert [type(layer) for layer in hf.DynamicCache(config=LLAMA).layers] == [DynamicLayer] * 2


@pytest.mark.parametrize("method", ["lazy_initialization", "update", "reset", "batch_select_indices"])
def test_layers_have_the_methods_that_are_used_and_overridden(method):
    assert callable(getattr(DynamicLayer, method, None))


def test_a_new_layer_says_that_it_is_not_initialized_and_then_has_keys_and_values():
    layer = DynamicLayer()
    assert layer.is_initialized is False
    keys = torch.rand(1, 2, 3, 4)
    layer.lazy_initialization(keys, keys)
    assert layer.is_initialized is True
    layer.update(keys, keys)
    assert (layer.keys.shape, layer.values.shape) == (keys.shape, keys.shape)


def test_a_layer_updates_with_keys_values_and_further_arguments():
    names = list(inspect.signature(DynamicLayer.update).parameters)
    assert names[:3] == ["self", "key_states", "value_states"]


def test_the_cache_selects_rows_in_every_layer():
    selected = []

    class Layer(preallocated_layer()):
        def batch_select_indices(self, indices):
            selected.append(indices)

    cache = hf.DynamicCache(config=LLAMA)
    cache.layers = [Layer(), Layer()]
    cache.batch_select_indices(torch.tensor([0]))
    assert len(selected) == 2


def test_a_model_asks_its_layers_for_lengths_of_what_they_keep():
    model, cache = llama(), empty_cache(LLAMA)
    ids = torch.arange(6)[None]
    with torch.inference_mode():
        whole = model(input_ids=ids).logits[:, -1]
        (name,) = cache_arguments(model)[:1]
        for part in (ids[:, :4], ids[:, 4:]):
            last = model(input_ids=part, use_cache=True, **{name: cache}).logits[:, -1]
    assert [layer.keys.shape[2] for layer in cache.layers] == [6, 6]
    torch.testing.assert_close(last, whole, rtol=1e-4, atol=1e-5)


def test_the_argument_for_keys_and_values_has_one_of_two_names():
    assert set(cache_arguments(llama())) & set(ATTENTION_CACHE_ARGUMENTS)


def test_the_argument_for_states_has_one_of_two_names():
    config = hf.MambaConfig(vocab_size=90, hidden_size=32, num_hidden_layers=1, state_size=8)
    assert set(cache_arguments(hf.MambaForCausalLM(config))) & {ATTENTION_CACHE_ARGUMENTS[0], STATE_CACHE_ARGUMENT}


def test_models_can_compute_the_last_logits_only():
    assert limits_logits(llama())
    assert llama()(input_ids=torch.tensor([[1, 2, 3]]), logits_to_keep=2).logits.shape == (1, 2, 90)


def test_the_configuration_of_the_language_part_is_found():
    assert text_config(llama()).max_position_embeddings == LLAMA.max_position_embeddings


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("MistralConfig", "sliding_window"),
        ("GPTNeoConfig", "window_size"),
        ("RecurrentGemmaConfig", "attention_window_size"),
        ("Llama4TextConfig", "attention_chunk_size"),
    ],
)
def test_limited_attention_has_these_settings(config, name):
    assert name in LIMITED_ATTENTION
    assert getattr(getattr(hf, config)(), name) is not None


def test_layers_that_forget_tokens_are_told_apart():
    windows = hf.MistralConfig(**SMALL, sliding_window=4)
    assert [(is_plain(layer), is_attention(layer)) for layer in empty_cache(windows).layers] == [(False, True)] * 2
    assert [(is_plain(layer), is_attention(layer)) for layer in empty_cache(LLAMA).layers] == [(True, True)] * 2


def test_layers_with_a_state_are_told_apart():
    linear = hf.Qwen3NextConfig(**SMALL, layer_types=["linear_attention", "full_attention"])
    layers = empty_cache(linear).layers
    if hasattr(hf.models.qwen3_next.modeling_qwen3_next, "Qwen3NextDynamicCache"):
        pytest.skip("in 5.0 such a model has a cache of its own, without these layers")
    assert [is_attention(layer) for layer in layers] == [False, True]


def test_the_name_of_the_attention_function_can_be_read_and_changed():
    called = []

    def attend(module, query, key, value, attention_mask, **others):
        called.append(attention_mask)
        return sdpa_attention(module, query, key, value, attention_mask, **others)

    model, ids = llama(), torch.tensor([[0, 1, 2]])
    mask = torch.tensor([[0, 1, 1]])
    assert attention_of(model) == "sdpa"
    with torch.inference_mode():
        usual = model(input_ids=ids, attention_mask=mask).logits
        use_attention(model, "eef_test", attend)
        other = model(input_ids=ids, attention_mask=mask).logits
    assert attention_of(model) == "eef_test"
    assert other[:, 1:].equal(usual[:, 1:])
    assert [each.shape for each in called] == [(1, 1, 3, 3)] * 2  # it gets the masks that sdpa gets


def test_preallocated_layers_keep_what_those_of_transformers_keep():
    plain, preallocated = hf.DynamicCache(), empty_cache(LLAMA)
    for length in (5, 1, 1, 40, 1):
        keys, values = torch.randn(3, 2, length, 8), torch.randn(3, 2, length, 8)
        for cache in (plain, preallocated):
            got = cache.update(keys, values, 0)
    assert got[0].equal(plain.layers[0].keys)
    for cache in (plain, preallocated):
        cache.batch_select_indices(torch.tensor([2, 0]))
        got = cache.update(keys[:2], values[:2], 0)
    assert got[0].equal(plain.layers[0].keys)
    assert got[1].equal(plain.layers[0].values)


def test_rows_that_are_kept_have_memory_for_their_next_token():
    cache = empty_cache(LLAMA)
    values = torch.rand(3, 2, 4, 8)
    cache.update(values, values, 0)
    cache.batch_select_indices(torch.tensor([2, 0]))
    before = cache.layers[0].keys.data_ptr()
    keys, _ = cache.update(values[:2, :, :1], values[:2, :, :1], 0)
    assert keys.data_ptr() == before
    assert keys.equal(torch.cat([values[[2, 0]], values[:2, :, :1]], dim=2))


@pytest.mark.parametrize("known", ["llama", "qwen3", "mixtral"])
def test_types_of_models_are_found_in_the_source_and_in_the_mapping(known):
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    assert _mentioned(known, "models/auto/configuration_auto.py", "models/auto/auto_mappings.py")
    assert known in CONFIG_MAPPING
    assert knows_type(known)


def test_an_unknown_type_of_model_is_found_in_neither():
    assert not knows_type("no-such-type")


@pytest.mark.parametrize(
    ("model_type", "architectures", "causal"),
    [("llama", [], True), ("t5", [], False), ("bert", ["BertForMaskedLM"], False), ("gpt2", ["GPT2LMHeadModel"], True)],
)
def test_causal_models_are_told_by_the_mapping_of_classes(model_type, architectures, causal):
    assert is_causal(model_type, architectures) is causal


def test_architectures_of_gguf_files_are_found_in_the_source_and_in_the_list():
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    assert _mentioned("llama", "integrations/ggml.py")
    assert "llama" in GGUF_SUPPORTED_ARCHITECTURES
    assert reads_gguf("llama")
    assert not reads_gguf("no-such-architecture")


def test_gguf_files_are_unpacked_where_transformers_can_leave_them_packed():
    assert list(unpacked_gguf()) == (["quantization_config"] if hasattr(hf, "GgufConfig") else [])


def test_activations_can_be_recomputed():
    model = llama()
    enable_activation_checkpointing(model)
    assert model.is_gradient_checkpointing
