import pytest

from eef_framework.errors import ConfigError
from eef_framework.models import KNOWN, folder_of, resolve
from eef_framework.models.store import models_folder


def test_models_lie_in_the_folder_that_the_user_set(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EEF_HOME", raising=False)
    assert models_folder() == tmp_path / "cache" / "eef-framework" / "models"
    monkeypatch.setenv("EEF_HOME", str(tmp_path / "own"))
    assert models_folder() == tmp_path / "own" / "models"


def test_a_known_model_that_is_not_here_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("EEF_HOME", str(tmp_path))
    assert folder_of("smollm2-135m") is None
    with pytest.raises(ConfigError) as caught:
        resolve("smollm2-135m")
    assert (caught.value.code, caught.value.details) == ("model-not-installed", {"model": "smollm2-135m"})
    assert "eef models get smollm2-135m" in caught.value.fix


def test_a_known_model_is_found_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("EEF_HOME", str(tmp_path))
    folder = tmp_path / "models" / "smollm2-135m"
    folder.mkdir(parents=True)
    assert folder_of("smollm2-135m") is None  # a folder without a model is none
    (folder / "config.json").write_text("{}")
    assert resolve("smollm2-135m") == str(folder)


@pytest.mark.parametrize("name", ["some/folder", "HuggingFaceTB/SmolLM2-135M-Instruct", "tiny"])
def test_other_names_stay_what_they_are(name):
    assert resolve(name) == name


def test_known_models_go_by_their_names_and_have_whole_checksums():
    assert all(name == model.name and len(model.sha256) == 64 for name, model in KNOWN.items())
