"""Training in which the model is divided among processes (FSDP2), here two on the CPU: as in one process."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from eef_framework.errors import ConfigError
from eef_framework.training import SftTrainer
from eef_framework.training.lora import Lora
from eef_framework.training.sharding import layers

pytestmark = pytest.mark.timeout(600)

TOLERANCE = 2e-5
"""Maximum difference of a weight, of about 0.06 in size, after the steps below: sums are taken in another order."""


def train(examples, start, output: Path, progress=lambda *_: None, **settings):
    """Train for six steps, with several micro-batches in each, and return the weights and losses."""
    settings = {"steps": 6, "batch_size": 16, "learning_rate": 1e-3, "max_batch_tokens": 100} | settings
    trainer = SftTrainer(device="cpu", trackers=(), **settings)
    result = trainer.train(examples, start, output, 3, progress)
    return load_file(output / "model.safetensors"), result.losses


def assert_close(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].shape == other[name].shape
        assert (one[name].float() - other[name].float()).abs().max() <= TOLERANCE, name


@pytest.fixture(scope="module")
def alone(examples, start, tmp_path_factory):
    return train(examples, start, tmp_path_factory.mktemp("alone"))


@pytest.mark.slow
def test_a_sharded_training_equals_one_in_a_single_process(examples, start, alone, tmp_path):
    weights, losses = train(examples, start, tmp_path, processes=2, shard=True)
    assert_close(alone[0], weights)
    assert losses == pytest.approx(alone[1], rel=1e-4)
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).state_dict()  # whole, as transformers writes it
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
    assert not list(tmp_path.glob("interrupted*"))


@pytest.mark.slow
def test_a_sharded_training_resumes_in_the_middle(examples, start, alone, tmp_path):
    def interrupt(step, steps, note):
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(examples, start, tmp_path, interrupt, processes=2, shard=True, save_every_s=0.0)
    (mark,) = (tmp_path / "interrupted").glob("*.json")
    assert int(mark.stem) >= 3
    parts = [path.stat().st_size for path in mark.with_suffix("").glob("*.distcp")]
    assert len(parts) == 2
    assert min(parts) > 0.4 * sum(parts)  # each process had, and wrote, its half
    seen = []
    weights, losses = train(
        examples, start, tmp_path, lambda step, *_: seen.append(step), processes=2, shard=True, save_every_s=0.0
    )
    assert seen[0] > 3
    assert_close(alone[0], weights)
    assert losses == pytest.approx(alone[1], rel=1e-4)


@pytest.mark.slow
def test_adapters_can_be_trained_sharded(examples, start, tmp_path):
    lora = Lora(rank=4)
    one, _ = train(examples, start, tmp_path / "one", lora=lora)
    two, _ = train(examples, start, tmp_path / "two", lora=lora, processes=2, shard=True)
    assert_close(one, two)
    assert_close(*(load_file(tmp_path / name / "adapter/adapter_model.safetensors") for name in ("one", "two")))


def test_the_layers_of_a_model_are_what_is_gathered_at_a_time(start):
    model = AutoModelForCausalLM.from_pretrained(start.path)
    assert layers(model) == list(model.model.layers)
    assert len(layers(model)) == 2


def test_accelerate_reads_the_configuration_for_gpus():
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(Path(__file__).parents[2] / "docs" / "accelerate-fsdp2.yaml"))
    assert (config.distributed_type, config.num_processes) == ("FSDP", 8)
    assert config.fsdp_config["fsdp_version"] == 2


@pytest.mark.parametrize("settings", [{}, {"processes": 2, "accelerate_config": Path(__file__)}])
def test_nothing_can_be_sharded_in_one_process_or_twice(settings):
    with pytest.raises(ConfigError) as caught:
        SftTrainer(shard=True, device="cpu", **settings).preflight()
    assert caught.value.code == "nothing-to-shard"
