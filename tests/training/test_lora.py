import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from eef_framework.errors import ConfigError
from eef_framework.models import adapter_chain, stack_adapters
from eef_framework.policies.loading import load_model
from eef_framework.records import Checkpoint
from eef_framework.training import SftTrainer

SETTINGS = {"device": "cpu", "learning_rate": 1e-2, "batch_size": 16, "steps": 4}


@pytest.fixture(scope="module")
def trained(examples, start, tmp_path_factory):
    """Two trainings with adapters, the second from the first one's checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    first, second = folder / "first", folder / "second"
    lora = {"rank": 4, "alpha": 8}
    SftTrainer(**SETTINGS, lora=lora).train(examples, start, first, 0, lambda *_: None)
    other = {"rank": 2, "alpha": 6, "targets": ("q_proj", "up_proj")}
    SftTrainer(**SETTINGS, lora=other).train(examples[::-1], Checkpoint(path=first), second, 1, lambda *_: None)
    return first, second


def test_a_chain_leads_from_the_base_to_a_checkpoint(trained, start):
    first, second = trained
    assert adapter_chain(second) == (str(start.path), (first / "adapter", second / "adapter"))
    assert adapter_chain(first) == (str(start.path), (first / "adapter",))
    assert adapter_chain(start.path) == (str(start.path), ())
    assert adapter_chain(second / "adapter") == (str(start.path), (first / "adapter", second / "adapter"))


def test_stacked_adapters_change_the_base_as_both_trainings_did(trained, start, tmp_path):
    _, second = trained
    assert stack_adapters(adapter_chain(second).adapters, tmp_path) == 6
    assert adapter_chain(tmp_path) == (str(start.path), (tmp_path,))
    stacked = load_model(tmp_path, "float32", "cpu").state_dict()
    wanted = load_file(second / "model.safetensors")
    before = load_file(start.path / "model.safetensors")
    moved = max((wanted[name] - before[name]).abs().max() for name in wanted)
    assert moved > 1e-2
    assert all(torch.allclose(stacked[name], wanted[name], atol=1e-5) for name in wanted)


@pytest.mark.parametrize("change", ["modules_to_save", "other weights"])
def test_adapters_that_do_not_add_up_are_refused(trained, tmp_path, change):
    first, _ = trained
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = json.loads((first / "adapter/adapter_config.json").read_text())
    weights = load_file(first / "adapter/adapter_model.safetensors")
    if change == "other weights":
        weights["base_model.model.lm_head.weight"] = torch.zeros(2, 2)
    else:
        settings["modules_to_save"] = ["lm_head"]
    save_file(weights, adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError) as caught:
        stack_adapters([adapter], tmp_path / "out")
    assert caught.value.code == "adapters-not-additive"
    assert not (tmp_path / "out").exists()
