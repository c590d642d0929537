import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from eef_framework.errors import ConfigError
from eef_framework.policies.loading import load_model
from eef_framework.training import SftTrainer
from eef_framework.training.collate import Prepared
from eef_framework.training.packing import pack, packs, refuse_to_mix_neighbours


@st.composite
def prepared(draw):
    ids = draw(st.lists(st.integers(1, 99), min_size=2, max_size=12))
    places = sorted(draw(st.sets(st.integers(1, len(ids) - 1), min_size=1)))
    return Prepared(draw(st.text(max_size=3)), ids, places, [draw(st.sampled_from([0.5, 1.0])) for _ in places])


@given(st.lists(prepared(), min_size=1, max_size=9), st.integers(1, 40))
def test_every_example_is_in_one_row_and_rows_fit(examples, room):
    rows = packs(examples, room)
    assert sorted(example for row in rows for example in row) == sorted(examples)
    assert all(len(row) == 1 or sum(len(example.ids) for example in row) <= room for row in rows)


@given(st.lists(prepared(), min_size=1, max_size=5))
def test_each_label_is_predicted_at_the_position_before_it_in_its_own_example(examples):
    batch = pack(examples)
    assert batch.ids.shape == batch.positions.shape
    starts = (batch.positions[0] == 0).nonzero()[:, 0].tolist()
    assert len(starts) == len(examples)
    found = []
    shown = batch.shown[batch.columns].tolist()
    for place, label, weight in zip(shown, batch.labels.tolist(), batch.weights.tolist(), strict=True):
        number = max(number for number, start in enumerate(starts) if start <= place)
        found.append((number, place - starts[number] + 1, label, weight))
    assert found == [
        (number, place, example.ids[place], weight)
        for number, example in enumerate(examples)
        for place, weight in zip(example.places, example.weights, strict=True)
    ]
    ends = [*starts[1:], batch.ids.shape[1]]
    for start, end, example in zip(starts, ends, examples, strict=True):
        assert batch.ids[0, start:end].tolist() == example.ids[: example.places[-1]]
        assert batch.positions[0, start:end].tolist() == list(range(end - start))


def trained(examples, start, output, **settings):
    """Return the weights and losses of a training."""
    trainer = SftTrainer(device="cpu", trackers=(), learning_rate=3e-3, batch_size=16, steps=4, **settings)
    trainer.train(examples, start, output, 0, lambda *_: None)
    losses = [json.loads(row)["loss"] for row in (output / "training.jsonl").read_text().splitlines()]
    return load_file(output / "model.safetensors"), losses


@pytest.mark.slow
def test_packed_and_padded_examples_teach_the_same(examples, start, tmp_path):
    padded, losses = trained(examples, start, tmp_path / "padded")
    for room in (40, 4096):
        packed, same = trained(examples, start, tmp_path / f"packed-{room}", packing=True, max_batch_tokens=room)
        assert same == pytest.approx(losses, abs=1e-5)
        assert all(packed[name].allclose(padded[name], atol=2e-5) for name in padded)


def test_neighbours_stay_apart_in_the_tiny_model(start):
    refuse_to_mix_neighbours(load_model(start.path, "float32", "cpu"))


def test_a_model_in_which_they_do_not_is_refused(start):
    model = load_model(start.path, "float32", "cpu")
    forward = model.forward
    model.forward = lambda position_ids, **arguments: forward(**arguments)  # as if it weren't told where they begin
    with pytest.raises(ConfigError) as caught:
        refuse_to_mix_neighbours(model)
    assert (caught.value.code, caught.value.details) == ("packing-unsupported", {"model": "LlamaForCausalLM"})


def test_a_recurrent_model_is_refused():
    transformers = pytest.importorskip("transformers")
    config = transformers.MambaConfig(vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=1)
    torch.manual_seed(0)
    with pytest.raises(ConfigError) as caught:
        refuse_to_mix_neighbours(transformers.MambaForCausalLM(config))
    assert (caught.value.code, caught.value.details) == ("packing-unsupported", {"model": "MambaForCausalLM"})
