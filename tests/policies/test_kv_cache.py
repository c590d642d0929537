import weakref

import torch
import transformers as hf

from eef_framework._compat.transformers import empty_cache
from eef_framework.policies.kv_cache import merged

LLAMA = hf.LlamaConfig(
    vocab_size=90,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)


def two_caches():
    """Return caches of two rows with three positions and of one row with five, and their masks."""
    caches, masks = [], []
    for rows, length in ((2, 3), (1, 5)):
        cache = empty_cache(LLAMA)
        values = torch.arange(1.0, rows * length + 1).reshape(rows, 1, length, 1)
        for layer in range(2):
            cache.update(values, values, layer)
        caches.append(cache)
        masks.append(torch.ones(rows, length, dtype=torch.long))
    return caches, masks


def test_merged_caches_give_their_memory_back():
    caches, masks = two_caches()
    reserved = [weakref.ref(tensor) for cache in caches for layer in cache.layers for tensor in layer._buffers]
    assert len(reserved) == 8
    merged(caches, masks, LLAMA)
    assert not any(tensor() is not None for tensor in reserved)


def test_caches_are_merged_with_padding_on_the_left():
    caches, masks = two_caches()
    whole, mask = merged(caches, masks, LLAMA)
    assert mask.tolist() == [[0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert whole.layers[1].keys[:, 0, :, 0].tolist() == [[0, 0, 1, 2, 3], [0, 0, 4, 5, 6], [1, 2, 3, 4, 5]]
