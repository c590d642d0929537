"""Each test names a part of accelerate that is not public. If it fails, adapt `_compat/accelerate.py`."""

import importlib.util
import logging
import os
import subprocess
import sys

import pytest
import torch

from eef_framework._compat.accelerate import (
    DEVICE_VARIABLE,
    LAUNCH_MODULE,
    LAUNCHER_VARIABLES,
    no_warnings_of_tied_weights,
    reset_settings,
)


def accelerator(**settings):
    from accelerate import Accelerator

    return Accelerator(cpu=True, **settings)


def test_settings_of_an_earlier_training_are_forgotten():
    reset_settings()
    assert accelerator(mixed_precision="bf16").mixed_precision == "bf16"
    reset_settings()
    assert accelerator(mixed_precision="no").mixed_precision == "no"
    reset_settings()


class Tied(torch.nn.Module):
    """A model with two names for one weight."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(2, 2, bias=False)
        self.second = torch.nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight


def test_the_warning_about_tied_weights_comes_from_the_logger_that_is_silenced(tmp_path, caplog):
    reset_settings()
    prepared = accelerator()
    prepared.prepare(Tied())
    with caplog.at_level(logging.WARNING):
        with no_warnings_of_tied_weights():
            prepared.save_state(str(tmp_path / "silent"))
        assert caplog.records == []
        prepared.save_state(str(tmp_path / "loud"))
    assert {record.name for record in caplog.records} == {"accelerate.utils.other"}
    reset_settings()


@pytest.mark.slow
def test_the_device_is_read_from_the_environment():
    code = "from accelerate import Accelerator; print(Accelerator().device)"
    environment = os.environ | {DEVICE_VARIABLE: "meta"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "meta", done.stderr


def test_the_launcher_can_be_run_as_a_module():
    assert importlib.util.find_spec(LAUNCH_MODULE) is not None


@pytest.mark.slow
def test_all_variables_that_the_launcher_sets_are_known(tmp_path):
    """A process that was launched has no other new variables than those that are hidden from single processes."""
    script = tmp_path / "names.py"
    script.write_text("import os; print('NAMES', *os.environ)")

    def names(*command):
        done = subprocess.run([sys.executable, *command, script], capture_output=True, text=True, timeout=200)
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("NAMES"))
        return set(line.split()[1:])

    new = names("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1") - names()
    without_effect_on_one_process = {"OMP_NUM_THREADS", "TORCH_NCCL_ASYNC_ERROR_HANDLING"}
    assert "RANK" in new
    assert {name for name in new - without_effect_on_one_process if not LAUNCHER_VARIABLES.fullmatch(name)} == set()
