import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.integrations import sdpa_attention

from eef_framework._compat.transformers import empty_cache
from eef_framework.policies.attention import without_copies


def llama(attention="sdpa"):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation=attention,
    )
    return LlamaForCausalLM(config).eval()


def logits(model, new):
    """Return the logits of some new tokens after a cache, in rows of which the first is padded."""
    ids = torch.randint(0, 50, (2, 9 + new), generator=torch.Generator().manual_seed(new))
    mask = torch.ones_like(ids)
    mask[0, :4] = 0
    cache, found = empty_cache(model.config), None
    with torch.inference_mode():
        for begin, end in ((0, 9), (9, 9 + new)):
            found = model(input_ids=ids[:, begin:end], attention_mask=mask[:, :end], past_key_values=cache).logits
    return found


@pytest.mark.parametrize("new", [1, 2, 7])
def test_logits_are_those_of_the_usual_attention(new):
    usual, other = logits(llama(), new), logits(without_copies(llama()), new)
    torch.testing.assert_close(other, usual, rtol=1e-5, atol=1e-6)


def test_keys_and_values_are_not_copied_for_every_head(monkeypatch):
    model = without_copies(llama())

    def copy(*_):
        raise AssertionError("copied")

    monkeypatch.setattr(sdpa_attention, "repeat_kv", copy)
    logits(model, 7)
    with pytest.raises(AssertionError, match="copied"):
        logits(llama(), 7)


def test_models_without_shared_heads_or_with_another_attention_stay_as_they_are():
    gpt = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)).eval()
    assert without_copies(gpt).config._attn_implementation == "sdpa"
    assert without_copies(llama("eager")).config._attn_implementation == "eager"
