"""Model files as people have them: each is an error that says what is wrong and what to do."""

import json
import pickle
import shutil
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from eef_framework.errors import ConfigError
from eef_framework.models.finding import find_model
from eef_framework.models.gguf_header import required_size
from eef_framework.models.inspection import check_model
from eef_framework.paths import expand
from eef_framework.policies import TransformersPolicy
from eef_framework.policies.loading import load_model, load_tokenizer

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"


@pytest.fixture
def model(base, tmp_path):
    """A copy of a tiny model, to be broken."""
    return shutil.copytree(base, tmp_path / "model")


def configure(model, **changes):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changes}))


def found_before_a_run(model):
    with pytest.raises(ConfigError) as caught:
        TransformersPolicy(model=str(model)).preflight()
    assert caught.value.fix
    return caught.value


def found_when_loaded(model):
    check_model(model)  # headers alone don't show it
    with pytest.raises(ConfigError) as caught:
        load_model(model, "float32", "cpu")
    assert caught.value.fix
    return caught.value


def shards(model):
    """Cut the weights into three files; returns their names."""
    weights = load_file(model / "model.safetensors")
    names = [f"model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    parts = [dict(list(weights.items())[number::3]) for number in range(3)]
    for name, part in zip(names, parts, strict=True):
        save_file(part, model / name, {"format": "pt"})
    index = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    (model / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (model / "model.safetensors").unlink()
    return names


def test_a_model_that_is_whole_passes(model):
    TransformersPolicy(model=str(model)).preflight()
    shards(model)
    TransformersPolicy(model=str(model)).preflight()
    assert load_model(model, "float32", "cpu").config.num_hidden_layers == 2


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_pointer_of_git_lfs_is_named(model, name):
    (model / name).write_text(POINTER)
    error = found_before_a_run(model)
    assert error.code == "model-git-lfs-pointer"
    assert error.details["path"] == str(model / name)


@pytest.mark.parametrize("size", [0, 5, 100, 20000])
def test_half_a_file_is_incomplete(model, size):
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(size)
    error = found_before_a_run(model)
    assert (error.code, error.details["path"]) == ("model-incomplete", str(model / "model.safetensors"))


def test_every_cut_off_end_is_found(model):
    whole = (model / "model.safetensors").stat().st_size
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(whole - 1)
    assert found_before_a_run(model).code == "model-incomplete"


def test_a_missing_part_of_several_is_named(model):
    names = shards(model)
    (model / names[1]).unlink()
    error = found_before_a_run(model)
    assert (error.code, error.details["missing"]) == ("model-incomplete", [names[1]])


def test_half_a_part_of_several_is_named(model):
    names = shards(model)
    with (model / names[2]).open("r+b") as file:
        file.truncate(500)
    error = found_before_a_run(model)
    assert (error.code, error.details["path"]) == ("model-incomplete", str(model / names[2]))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    error = found_before_a_run(model)
    assert (error.code, error.details["missing"]) == ("model-incomplete", [name])


def test_something_else_than_weights_is_unreadable(model):
    (model / "model.safetensors").write_text("<html>log in</html>" * 100)
    assert found_before_a_run(model).code == "model-unreadable"


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_settings_that_are_not_json_are_unreadable(model, text):
    (model / "config.json").write_text(text)
    error = found_before_a_run(model)
    assert (error.code, error.details["path"]) == ("model-unreadable", str(model / "config.json"))


@pytest.mark.parametrize(
    ("method", "packages"),
    [("gptq", ["optimum", "gptqmodel"]), ("awq", ["gptqmodel"]), ("bitsandbytes", ["bitsandbytes"]), ("hqq", ["hqq"])],
)
def test_quantised_weights_name_the_library_they_need(model, method, packages):
    configure(model, quantization_config={"quant_method": method, "bits": 4, "load_in_4bit": True})
    error = found_before_a_run(model)
    assert (error.code, error.details["packages"]) == ("model-needs-library", packages)


def test_sizes_that_differ_name_the_tensors(model):
    before = json.loads((model / "config.json").read_text())["vocab_size"]
    configure(model, vocab_size=9999)
    error = found_when_loaded(model)
    assert error.code == "model-sizes-differ"
    assert error.details["tensors"]["model.embed_tokens.weight"] == ((before, 32), (9999, 32))


def test_a_missing_tensor_is_named(model):
    weights = load_file(model / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    error = found_when_loaded(model)
    assert (error.code, error.details["missing"]) == ("model-incomplete", ["model.layers.1.mlp.up_proj.weight"])


def test_a_model_type_of_the_future_is_too_new(model):
    configure(model, model_type="llama99", architectures=["Llama99ForCausalLM"])
    error = found_before_a_run(model)
    assert (error.code, error.details["model_type"]) == ("model-type-unknown", "llama99")


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True},
        {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
        {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
        {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]},
        {"model_type": "llama", "architectures": ["LlamaModel"]},
    ],
    ids=["T5", "encoder", "vision", "classifier", "embeddings"],
)
def test_models_that_do_not_write_text_left_to_right_are_refused(model, settings):
    configure(model, **settings)
    error = found_before_a_run(model)
    assert (error.code, error.details["architectures"]) == ("not-a-causal-model", settings["architectures"])


def test_an_encoder_with_a_head_for_text_is_refused(base, tmp_path):
    from transformers import BertConfig, BertLMHeadModel

    config = BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertLMHeadModel(config).save_pretrained(tmp_path)
    for files in (base.glob("*tokenizer*"), base.glob("*chat_template*")):
        for file in files:
            shutil.copy(file, tmp_path)
    assert found_when_loaded(tmp_path).code == "not-a-causal-model"


CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path({mark!r}).touch()
class OwnConfig(LlamaConfig):
    model_type = "own-llama"
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_code_of_a_model_runs_only_where_a_setting_says_so(model, tmp_path):
    mark = tmp_path / "ran"
    (model / "own.py").write_text(CODE.format(mark=str(mark)))
    configure(
        model,
        model_type="own-llama",
        architectures=["OwnModel"],
        auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    )
    assert found_before_a_run(model).code == "model-needs-remote-code"
    with pytest.raises(ConfigError):
        load_model(model, "float32", "cpu")
    assert not mark.exists()
    TransformersPolicy(model=str(model), trust_remote_code=True).preflight()
    assert not mark.exists()
    assert load_model(model, "float32", "cpu", trust_remote_code=True).config.num_hidden_layers == 2
    assert mark.exists()


def test_code_beside_a_model_that_is_known_is_left_alone(model, tmp_path):
    mark = tmp_path / "ran"
    (model / "own.py").write_text(CODE.format(mark=str(mark)))
    configure(model, auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"})
    load_model(model, "float32", "cpu")
    assert not mark.exists()


def test_a_missing_tokenizer_is_found(model):
    for path in model.glob("*token*"):
        path.unlink()
    assert found_before_a_run(model).code == "no-tokenizer"


def test_a_model_without_a_chat_template_is_found(model):
    settings = model / "tokenizer_config.json"
    for path in model.glob("*chat_template*"):
        path.unlink()
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "chat_template": None}))
    assert found_before_a_run(model).code == "no-chat-template"
    (model / "chat_template.jinja").write_text("{{ messages }}")
    check_model(model)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_settings_with_a_byte_order_mark_are_found_as_transformers_reads_none(model, name):
    (model / name).write_bytes(b"\xef\xbb\xbf" + (model / name).read_bytes())
    found = found_before_a_run(model)
    assert (found.code, found.details["path"]) == ("model-byte-order-mark", str(model / name))


def test_a_tokenizer_that_cannot_be_read_is_found(model):
    (model / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigError) as caught:
        load_tokenizer(model)
    assert caught.value.code == "no-tokenizer"


def test_a_tokenizer_without_chat_template_is_found(model):
    (model / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError) as caught:
        load_tokenizer(model)
    assert caught.value.code == "no-chat-template"


class Harmful:
    def __reduce__(self):
        return (print, ("this ran",))


@pytest.fixture
def pickled(model):
    """The model with its weights in the old format."""
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    return model / "pytorch_model.bin"


def test_weights_that_torch_pickled_are_read(model, base, pickled):
    check_model(model)
    read = load_model(model, "float32", "cpu").state_dict()
    assert all(read[name].equal(tensor) for name, tensor in load_file(base / "model.safetensors").items())


def test_a_pickle_runs_nothing(model, pickled, capsys):
    torch.save({"model.embed_tokens.weight": Harmful()}, pickled)
    assert found_when_loaded(model).code == "model-unsafe-pickle"
    pickled.write_bytes(pickle.dumps({"a": Harmful()}, protocol=2))
    assert found_when_loaded(model).code == "model-unsafe-pickle"
    assert "this ran" not in capsys.readouterr().out


def test_half_a_pickle_is_incomplete(model, pickled):
    with pickled.open("r+b") as file:
        file.truncate(10000)
    assert found_before_a_run(model).code == "model-incomplete"


def gguf(architecture):
    """Return the start of a GGUF file: version 3, no tensors, one setting."""
    key, value = b"general.architecture", architecture.encode()
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
    return head + struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, len(value)) + value


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("page.gguf", b"<html>log in</html>", "model-not-gguf"),
        ("empty.gguf", b"", "model-not-gguf"),
        ("pointer.gguf", POINTER.encode(), "model-git-lfs-pointer"),
        ("new.gguf", gguf("llama99"), "model-gguf-architecture"),
        ("big-00001-of-00003.gguf", gguf("llama"), "model-gguf-parts"),
        ("model.safetensors", struct.pack("<Q", 2) + b"{}", "model-not-gguf"),
    ],
)
def test_files_that_are_not_gguf_or_of_another_kind_are_told_apart(tmp_path, name, content, code):
    (tmp_path / name).write_bytes(content)
    error = found_before_a_run(tmp_path / name)
    assert (error.code, error.details["path"]) == (code, str(tmp_path / name))


@pytest.fixture(params=["LITTLE", "BIG"])
def gguf_file(request, tmp_path):
    """A GGUF file with values of several types and two tensors."""
    from gguf import GGMLQuantizationType, GGUFEndian, GGUFWriter, quants

    writer = GGUFWriter(tmp_path / "model.gguf", "llama", endianess=GGUFEndian[request.param])
    writer.add_custom_alignment(64)
    writer.add_token_list(["a", "bc", "def"])
    writer.add_array("numbers", [1.5, 2.5])
    writer.add_bool("flag", True)
    writer.add_tensor("token_embd.weight", torch.ones(64, 32).numpy())
    packed = quants.quantize(torch.ones(3, 32).numpy(), GGMLQuantizationType.Q8_0)
    writer.add_tensor("output.weight", packed, raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "model.gguf"


def test_the_size_that_a_gguf_file_must_have_is_where_its_last_tensor_ends(gguf_file):
    from gguf import GGUFReader

    ends = [int(tensor.data_offset + tensor.n_bytes) for tensor in GGUFReader(gguf_file).tensors]
    assert required_size(gguf_file) == max(ends) <= gguf_file.stat().st_size


def test_a_gguf_file_that_is_cut_off_is_incomplete(gguf_file):
    required = required_size(gguf_file)
    with gguf_file.open("r+b") as file:
        file.truncate(required - 1)
    error = found_before_a_run(gguf_file)
    assert error.code == "model-incomplete"
    assert error.details == {"path": str(gguf_file), "size": required - 1, "required": required}


@pytest.mark.parametrize("size", [4, 24, 30, 60, 150, 250])
def test_a_gguf_file_that_is_cut_off_within_its_header_is_incomplete(gguf_file, size):
    with gguf_file.open("r+b") as file:
        file.truncate(size)
    error = found_before_a_run(gguf_file)
    assert (error.code, error.details) == ("model-incomplete", {"path": str(gguf_file)})


def test_a_folder_of_gguf_files_names_one(tmp_path):
    (tmp_path / "some.gguf").write_bytes(gguf("llama"))
    error = found_before_a_run(tmp_path)
    assert error.code == "model-incomplete"
    assert str(tmp_path / "some.gguf") in error.fix


@pytest.mark.parametrize("name", ["./nothing", "/no/such/folder", "~/no-such-model", "no/such/folder", "model.gguf"])
def test_a_path_that_leads_nowhere_is_found(name):
    error = found_before_a_run(name)
    assert (error.code, error.details["model"]) == ("no-such-model", str(expand(name)) if "~" in name else name)


def test_paths_may_hold_variables_and_the_home_folder(base, monkeypatch):
    monkeypatch.setenv("HOME", str(base.parent))
    monkeypatch.setenv("MODELS", str(base.parent))
    assert find_model(f"~/{base.name}") == find_model(f"$MODELS/{base.name}") == base


def test_a_checkpoint_of_another_policy_is_not_taken_for_a_model(tmp_path):
    (tmp_path / "counts.json").write_text("{}")
    with pytest.raises(ConfigError) as caught:
        load_tokenizer(tmp_path)
    assert (caught.value.code, caught.value.details["missing"]) == ("model-incomplete", ["config.json"])
