import json
import shutil

import pytest
import torch

from eef_framework.errors import ConfigError
from eef_framework.models.adapter import is_adapter
from eef_framework.policies import TinyModel, TransformersPolicy
from eef_framework.policies.loading import load_model, load_tokenizer
from eef_framework.records import Message

peft = pytest.importorskip("peft")
TEXT = (Message(role="user", content="one two three four five"),)


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


def refused(folder):
    with pytest.raises(ConfigError) as caught:
        load_model(folder, "float32", "cpu")
    assert caught.value.fix
    return caught.value


def test_adapters_that_do_not_name_their_model_are_explained(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    assert refused(tmp_path).code == "no-adapter-base"


def test_adapters_without_weights_are_incomplete(base, adapters, tmp_path):
    (tmp_path / "adapter_config.json").write_text((adapters[0] / "adapter_config.json").read_text())
    error = refused(tmp_path)
    assert (error.code, error.details["missing"]) == ("model-incomplete", ["adapter_model.safetensors"])


@pytest.fixture
def moved(adapters, tmp_path):
    """Return the adapters with another base."""

    def to(base):
        folder = shutil.copytree(adapters[0], tmp_path / "adapters")
        settings = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps({**settings, "base_model_name_or_path": str(base)}))
        return folder

    return to


def test_adapters_whose_model_is_gone_name_it(moved, tmp_path):
    error = refused(moved(tmp_path / "gone"))
    assert (error.code, error.details["base"]) == ("no-adapter-base", str(tmp_path / "gone"))


def test_adapters_of_themselves_are_refused(moved, tmp_path):
    assert refused(moved(tmp_path / "adapters")).code == "no-adapter-base"


def test_adapters_are_found_before_a_run(moved, tmp_path):
    with pytest.raises(ConfigError) as caught:
        TransformersPolicy(model=str(moved(tmp_path / "gone"))).preflight()
    assert caught.value.code == "no-adapter-base"


@pytest.mark.parametrize("other", [{"hidden": 64}, {"layers": 1}, {"layers": 3}])
def test_adapters_of_another_model_are_refused(moved, tmp_path, other):
    sizes = {"hidden": 32, "layers": 2, "feed_forward": 64} | other
    base = TinyModel(**sizes).build([TEXT], tmp_path / "other", 0).path
    folder = moved(base)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["target_modules"] = sorted({name.split(".")[-1] for name in settings["target_modules"]})  # as most have it
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    assert refused(folder).code == "adapter-differs"


def test_a_copy_of_the_models_settings_beside_adapters_changes_nothing(base, moved):
    folder = moved(base)
    shutil.copy(base / "config.json", folder)
    assert is_adapter(folder)
