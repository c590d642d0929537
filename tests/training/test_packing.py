import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from eef_framework.errors import ConfigError
from eef_framework.policies.loading import load_model
from eef_framework.training import SftTrainer
from eef_framework.training.collate import TokenizedExample
from eef_framework.training.packing import check_packing, collate_packed, packed_rows


@st.composite
def tokenized(draw):
    ids = draw(st.lists(st.integers(1, 99), min_size=2, max_size=12))
    targets = draw(st.sets(st.integers(1, len(ids) - 1), min_size=1))
    weights = [draw(st.sampled_from([0.5, 1.0])) if place in targets else 0.0 for place in range(len(ids))]
    return TokenizedExample(draw(st.text(max_size=3)), ids, weights)


@given(st.lists(tokenized(), min_size=1, max_size=9), st.integers(1, 40))
def test_every_example_is_in_one_row_and_rows_fit(examples, max_tokens):
    rows = packed_rows(examples, max_tokens)
    assert sorted(example for row in rows for example in row) == sorted(examples)
    assert all(len(row) == 1 or sum(len(example.token_ids) for example in row) <= max_tokens for row in rows)


@given(st.lists(tokenized(), min_size=1, max_size=5))
def test_each_target_is_predicted_at_the_position_before_it_in_its_own_example(examples):
    batch = collate_packed(examples)
    assert batch.input_ids.shape == batch.targets.shape == batch.loss_weights.shape == batch.position_ids.shape
    starts = (batch.position_ids[0] == 0).nonzero()[:, 0].tolist()
    assert len(starts) == len(examples)
    ends = [*starts[1:], batch.input_ids.shape[1]]
    for start, end, example in zip(starts, ends, examples, strict=True):
        size = example.target_positions[-1]
        assert end - start == size
        assert batch.input_ids[0, start:end].tolist() == example.token_ids[:size]
        assert batch.targets[0, start:end].tolist() == example.token_ids[1 : size + 1]
        assert batch.loss_weights[0, start:end].tolist() == example.loss_weights[1 : size + 1]
        assert batch.position_ids[0, start:end].tolist() == list(range(size))
    assert batch.logit_positions.tolist() == batch.loss_weights[0].nonzero()[:, 0].tolist()
    assert batch.num_tokens == sum(len(example.token_ids) for example in examples)


def trained(examples, start, output, **settings):
    """Return the weights and losses of a training."""
    trainer = SftTrainer(device="cpu", trackers=(), learning_rate=3e-3, batch_size=16, steps=4, **settings)
    trainer.train(examples, start, output, 0, lambda *_: None)
    losses = [json.loads(row)["loss"] for row in (output / "training.jsonl").read_text().splitlines()]
    return load_file(output / "model.safetensors"), losses


@pytest.mark.slow
def test_packed_and_padded_examples_teach_the_same(examples, start, tmp_path):
    padded, losses = trained(examples, start, tmp_path / "padded")
    for max_tokens in (40, 4096):
        packed, same = trained(
            examples, start, tmp_path / f"packed-{max_tokens}", packing=True, max_batch_tokens=max_tokens
        )
        assert same == pytest.approx(losses, abs=1e-5)
        assert all(packed[name].allclose(padded[name], atol=2e-5) for name in padded)


def test_neighbours_stay_apart_in_the_tiny_model(start):
    check_packing(load_model(start.path, "float32", "cpu"))


def test_a_model_in_which_they_do_not_is_refused(start):
    model = load_model(start.path, "float32", "cpu")
    forward = model.forward
    model.forward = lambda position_ids, **arguments: forward(**arguments)  # as if it weren't told where they begin
    with pytest.raises(ConfigError) as caught:
        check_packing(model)
    assert (caught.value.code, caught.value.details) == ("packing-unsupported", {"model": "LlamaForCausalLM"})


def test_a_recurrent_model_is_refused():
    transformers = pytest.importorskip("transformers")
    config = transformers.MambaConfig(vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=1)
    torch.manual_seed(0)
    with pytest.raises(ConfigError) as caught:
        check_packing(transformers.MambaForCausalLM(config))
    assert (caught.value.code, caught.value.details) == ("packing-unsupported", {"model": "MambaForCausalLM"})
