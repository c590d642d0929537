"""`eef train` on a real, tiny model: what must not change a training doesn't."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from eef_framework.records import Example
from eef_framework.runs import read_rows

TINY = """\
environment: corridor
expert: {name: corridor-expert, skill: 0.9}
policy: {name: transformers, tiny: {hidden: 32, layers: 2, heads: 2, feed_forward: 64}}
format: {history: 3, style: action}
collect: {tasks: {split: train, count: 30}}
clone: {trainer: {name: sft, steps: 6, batch_size: 8, learning_rate: 0.003, trackers: []}}
"""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def train(command, folder):
    """Return a function that trains on a file of examples by the command line and returns the weights."""
    (folder / "tiny.yaml").write_text(TINY)
    for arguments in (
        ("collect", "tiny.yaml", "--out", "demonstrations.jsonl"),
        ("base", "tiny.yaml", "--demonstrations", "demonstrations.jsonl", "--out", "base"),
        ("select", "tiny.yaml", "--demonstrations", "demonstrations.jsonl", "--out", "examples.jsonl"),
    ):
        done = command("eef", *arguments)
        assert done.code == 0, done.err

    def train(out, *settings, examples="examples.jsonl"):
        given = [part for setting in settings for part in ("--set", f"clone.trainer.{setting}")]
        done = command("eef", "train", "tiny.yaml", "--examples", examples, "--model", "base", "--out", out, *given)
        assert done.code == 0, done.err
        return load_file(folder / out / "model.safetensors")

    return train


def same(one, other):
    return all(one[name].equal(other[name]) for name in one)


def close(one, other):
    return all(one[name].allclose(other[name], atol=2e-5) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("size", [4, 8])
def test_pieces_of_one_example_are_the_batch_in_one_piece(train, size):
    batch = f"batch_size={size}"
    assert close(train("whole", batch, "max_batch_tokens=100000"), train("pieces", batch, "max_batch_tokens=1"))


@pytest.mark.slow
def test_two_processes_are_one(train):
    assert close(train("one", "max_batch_tokens=100"), train("two", "max_batch_tokens=100", "processes=2"))


@pytest.mark.slow
def test_turns_without_weight_contribute_nothing(train, folder):
    rows = list(read_rows(folder / "examples.jsonl", Example))
    wanted = train("plain")
    silent = [row.changed(id=f"{row.id}-silent", messages=_silenced(row)) for row in rows[:5]]
    more = [*rows[:3], *silent, *rows[3:]]
    (folder / "more.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in more))
    assert same(wanted, train("more", examples="more.jsonl"))
    # Half of the turns lose their weight: another training.
    half = [row if index % 2 else row.changed(messages=_silenced(row)) for index, row in enumerate(rows)]
    (folder / "half.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in half))
    assert not same(wanted, train("half", examples="half.jsonl"))


def _silenced(row):
    return tuple(message.changed(weight=0.0) for message in row.messages)


@pytest.mark.slow
def test_a_killed_training_ends_like_an_uninterrupted_one(train, folder):
    setting = "clone.trainer.save_every_s=0"
    wanted = train("wanted", "save_every_s=0", "steps=60")
    arguments = [sys.executable, "-c", "from eef_framework.cli import main; main.main()", "train", "tiny.yaml"]
    arguments += ["--examples", "examples.jsonl", "--model", "base", "--out", "killed"]
    arguments += ["--set", setting, "--set", "clone.trainer.steps=60"]
    running = subprocess.Popen(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any((folder / "killed").glob("interrupted/*.json")) and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (folder / "killed/model.safetensors").exists()
    assert same(wanted, train("killed", "save_every_s=0", "steps=60"))
    rows = [json.loads(row) for row in (folder / "killed/training.jsonl").read_text().splitlines()]
    assert rows == [json.loads(row) for row in (folder / "wanted/training.jsonl").read_text().splitlines()]
