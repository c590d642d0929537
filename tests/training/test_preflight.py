"""What would stop a training is found before anything starts."""

import subprocess
import sys

import pytest
import torch

from eef_framework.errors import ConfigError, EefWarning
from eef_framework.policies import TransformersPolicy
from eef_framework.training import DpoTrainer, SftTrainer

WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
from importlib import util

hidden, text = sys.argv[1:]
find_spec = util.find_spec
util.find_spec = lambda name, package=None: None if name == hidden else find_spec(name, package)

from eef_framework.errors import ConfigError
from eef_framework.training import DpoTrainer, SftTrainer

try:
    eval(text).preflight()
    print("fine")
except ConfigError as error:
    print(error.code, *error.details["packages"])
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""


def found(component):
    with pytest.raises(ConfigError) as caught:
        component.preflight()
    assert caught.value.fix
    return caught.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hidden", "text", "found"),
    [
        ("peft", "SftTrainer(lora={'rank': 4})", "missing-extra peft"),
        ("peft", "DpoTrainer(lora={'rank': 4})", "missing-extra peft"),
        ("peft", "SftTrainer()", "fine"),
        ("trl", "DpoTrainer()", "missing-extra trl"),
        ("wandb", "SftTrainer(trackers=['wandb'])", "missing-extra wandb"),
        ("tensorboard", "SftTrainer(trackers=['tensorboard'])", "missing-extra tensorboard"),
        ("tensorboard", "SftTrainer()", "fine"),
        ("nothing", "SftTrainer(lora={'rank': 4}, trackers=['tensorboard'])", "fine"),
        ("nothing", "DpoTrainer(lora={'rank': 4})", "fine"),
    ],
)
def test_libraries_that_are_not_installed_are_found_without_loading_any(hidden, text, found):
    command = [sys.executable, "-c", WITHOUT, hidden, text]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (answer.stdout.strip(), answer.returncode) == (found, 0), answer.stderr


@pytest.mark.parametrize("component", [TransformersPolicy, SftTrainer, DpoTrainer])
@pytest.mark.parametrize("device", ["cuda", "cuda:3", "mps"])
def test_devices_that_are_not_there_are_found(component, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    error = found(component(device=device))
    assert (error.code, error.details["device"]) == ("no-such-device", device)


def test_trackers_of_a_trainer_are_warned_of():
    with pytest.warns(EefWarning) as said:
        SftTrainer(device="cpu", trackers=["tensorboard"]).preflight()
    assert [(each.message.code, each.message.details) for each in said if isinstance(each.message, EefWarning)] == [
        ("trainer-trackers", {"trackers": ["tensorboard"]})
    ]
    SftTrainer(device="cpu").preflight()


def test_one_gpu_of_several_can_be_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    TransformersPolicy(device="cuda:1").preflight()
    assert found(TransformersPolicy(device="cuda:2")).details == {"device": "cuda:2", "count": 2}


def test_more_processes_than_gpus_are_found(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    SftTrainer(processes=2).preflight()
    SftTrainer(processes=8, device="cpu").preflight()
    error = found(SftTrainer(processes=3))
    assert (error.code, error.details) == ("too-few-devices", {"count": 2, "processes": 3})


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", ""])
def test_devices_that_do_not_exist_anywhere_are_refused(device):
    with pytest.raises(ValueError, match="device"):
        SftTrainer(device=device)


def test_a_missing_file_of_accelerate_is_found(tmp_path):
    error = found(SftTrainer(accelerate_config=tmp_path / "no.yaml"))
    assert (error.code, error.details["path"]) == ("no-such-file", str(tmp_path / "no.yaml"))
