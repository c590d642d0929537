"""A shell in which a launcher left its variables: nothing waits for peers, and nothing is taken for another rank."""

import os
import subprocess
import sys

import pytest

from eef_framework.errors import EefWarning
from eef_framework.training import SftTrainer
from eef_framework.training.distributed import _relay, single_process

LEFT = {
    "torchrun": {
        **{"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29501", "TORCHELASTIC_RUN_ID": "none"},
    },
    "accelerate": {"ACCELERATE_USE_FSDP": "true", "ACCELERATE_MIXED_PRECISION": "fp16", "FSDP_VERSION": "2"},
    "mpi": {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "PMI_SIZE": "4", "PMI_RANK": "3"},
    "rubbish": {"RANK": "", "LOCAL_RANK": "x", "WORLD_SIZE": "-1"},
}
PREFIXES = ("RANK", "LOCAL_", "WORLD_", "MASTER_", "TORCHELASTIC_", "ACCELERATE_", "FSDP_", "OMPI_", "PMI_")
TRAIN = """
import sys
from pathlib import Path
from eef_framework.records import Checkpoint, Example, Message
from eef_framework.training import DpoTrainer, SftTrainer

ask, good, bad = (Message(role=role, content=text, weight=weight) for role, text, weight in (
    ("user", "copy word1", 0.0), ("assistant", "word1", 1.0), ("assistant", "word2", 1.0)))
example = Example(id="e", messages=(ask, good), rejected=(ask, bad))
start, output, kind = sys.argv[1:]
trainer = {"sft": SftTrainer, "dpo": DpoTrainer}[kind](device="cpu", steps=1, batch_size=1)
trainer.train([example], Checkpoint(path=Path(start)), Path(output), 0, lambda *_: None)
"""


def _inside():
    """Return the variables that libraries see, and leave one set as they do."""
    with single_process("cuda:1"):
        seen = {name: value for name, value in os.environ.items() if name.startswith(PREFIXES)}
        os.environ["LOCAL_RANK"] = "7"
    return seen


@pytest.mark.parametrize("kind", LEFT)
def test_variables_of_a_launcher_are_hidden_reported_and_restored(kind, monkeypatch):
    for name, value in LEFT[kind].items():
        monkeypatch.setenv(name, value)
    with pytest.warns(EefWarning) as caught:
        inside = _inside()
    assert inside == {"ACCELERATE_TORCH_DEVICE": "cuda:1"}
    assert [warning.message.code for warning in caught if isinstance(warning.message, EefWarning)] == [
        "launcher-variables"
    ]
    assert set(caught.pop(EefWarning).message.details["names"]) >= LEFT[kind].keys()
    assert {name: os.environ.get(name) for name in LEFT[kind]} == LEFT[kind]
    assert "ACCELERATE_TORCH_DEVICE" not in os.environ


def test_lines_of_libraries_among_the_messages_of_a_process_are_skipped():
    seen = []
    lines = [
        "Loading",
        "{'loss': 0.5}",
        "{",
        "[1]",
        '{"loss": 1}',
        '{"step": 1, "loss": 1}',
        '{"error": "disk full"}',
        "\udcff",
        '{"step": 1, "steps": 2, "note": "loss 1"}',
    ]
    found = _relay([*lines, '{"result": {"loss": 1}}'], lambda *update: seen.append(update))
    assert (found, seen) == ({"result": {"loss": 1}}, [(1, 2, "loss 1")])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "left"), [("sft", "torchrun"), ("sft", "rubbish"), ("sft", "mpi"), ("dpo", "torchrun")]
)
def test_a_training_in_such_a_shell_ends_like_any_other(start, tmp_path, kind, left):
    if kind == "dpo":
        pytest.importorskip("trl")
    command = [sys.executable, "-c", TRAIN, str(start.path), str(tmp_path), kind]
    done = subprocess.run(
        command, env=os.environ | LEFT[left], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert {"config.json", "model.safetensors", "training.jsonl"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_several_processes_start_in_such_a_shell(examples, start, tmp_path, monkeypatch):
    for name, value in LEFT["torchrun"].items():
        monkeypatch.setenv(name, value)
    trainer = SftTrainer(device="cpu", steps=2, batch_size=4, trackers=(), processes=2)
    trainer.train(examples, start, tmp_path, 0, lambda *_: None)
    assert (tmp_path / "model.safetensors").is_file()
