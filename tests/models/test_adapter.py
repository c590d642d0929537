import json

import pytest
import torch

from eef_framework.errors import ConfigError
from eef_framework.models.adapter import is_adapter
from eef_framework.policies import TinyModel
from eef_framework.policies.loading import load_model, load_tokenizer
from eef_framework.records import Message

peft = pytest.importorskip("peft")
TEXT = (Message(role="user", content="one two three four five"),)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return TinyModel(hidden=32, layers=2, feed_forward=64).build([TEXT], tmp_path_factory.mktemp("base"), 0).path


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    """Adapters with weights that change what the model says, and the logits of model and adapters by peft itself."""
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = peft.get_peft_model(load_model(base, "float32", "cpu"), config).eval()
    model.peft_config["default"].base_model_name_or_path = str(base)
    folder = tmp_path_factory.mktemp("adapters")
    model.save_pretrained(folder)
    with torch.inference_mode():
        return folder, model(input_ids=torch.tensor([[6, 7, 8, 9]])).logits


def test_adapters_are_merged_into_their_model(base, adapters):
    folder, expected = adapters
    assert is_adapter(folder)
    assert not is_adapter(base)
    ids = torch.tensor([[6, 7, 8, 9]])
    with torch.inference_mode():
        merged = load_model(folder, "float32", "cpu").eval()(input_ids=ids).logits
        plain = load_model(base, "float32", "cpu").eval()(input_ids=ids).logits
    assert torch.allclose(merged, expected, atol=1e-4)
    assert not torch.allclose(merged, plain, atol=1e-2)


def test_adapters_without_a_tokenizer_have_that_of_their_model(base, adapters):
    assert load_tokenizer(adapters[0]).get_vocab() == load_tokenizer(base).get_vocab()


def test_adapters_that_do_not_name_their_model_are_explained(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(ConfigError, match="don't say which model"):
        load_model(tmp_path, "float32", "cpu")


def test_adapters_without_weights_are_explained(base, adapters, tmp_path):
    (tmp_path / "adapter_config.json").write_text((adapters[0] / "adapter_config.json").read_text())
    with pytest.raises(ConfigError, match=r"adapters in .* don't fit"):
        load_model(tmp_path, "float32", "cpu")
