"""Each test names a part of peft that may change. If it fails, adapt `_compat/peft.py`."""

import pytest
import torch

pytest.importorskip("peft")

from eef_framework._compat.peft import SETTINGS_FILE, WEIGHTS_FILES, load_adapters


def test_the_files_of_adapters_have_the_names_that_peft_gives_them():
    from peft.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME

    assert (SETTINGS_FILE, WEIGHTS_FILES) == (CONFIG_NAME, (SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME))


@pytest.mark.filterwarnings("ignore::UserWarning")  # peft doesn't know the model's type
def test_saved_and_loaded_weights_have_equal_names(tmp_path):
    from peft import LoraConfig, get_peft_model

    def model(names):
        return torch.nn.Sequential().append(torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in names}))

    get_peft_model(model(["a", "b"]), LoraConfig(r=1, target_modules=["a", "b"])).save_pretrained(tmp_path)
    _, saved, loaded = load_adapters(model(["a", "b"]), tmp_path)
    assert saved == loaded
    assert len(saved) == 4
    _, saved, loaded = load_adapters(model(["a"]), tmp_path)
    assert saved - loaded == {name for name in saved if ".b." in name}
