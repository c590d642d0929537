"""A disk that fills up while a model is saved: an error in words, never half a checkpoint, and the training goes on."""

import json
import resource
import subprocess
from contextlib import contextmanager
from itertools import pairwise

import pytest
from safetensors.torch import load_file

from eef_framework.errors import StorageError
from eef_framework.policies import TinyModel
from eef_framework.records import Message
from eef_framework.training import DpoTrainer, SftTrainer

CPU = {"device": "cpu", "learning_rate": 3e-3, "batch_size": 4, "steps": 4}
WORDS = ((Message(role="user", content="copy " + " ".join(f"word{number}" for number in range(12))),),)
TINY = TinyModel(hidden=32, layers=2, feed_forward=64)


@contextmanager
def no_file_larger_than(size):
    """Let the operating system refuse to write more than so many bytes to a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def whole(folder):
    """Tell whether a folder holds a model that is whole; half a one is a failure."""
    files = {path.name for path in folder.iterdir()}
    assert ".checkpoint.tmp" not in files
    assert ("config.json" in files) == ("model.safetensors" in files) == ("tokenizer.json" in files)
    return "config.json" in files


def test_a_model_that_does_not_fit_is_not_there(tmp_path):
    with no_file_larger_than(20_000), pytest.raises(StorageError) as caught:
        TINY.build(WORDS, tmp_path, 0)
    assert (caught.value.code, caught.value.details) == ("disk-full", {"path": str(tmp_path)})
    assert not whole(tmp_path)
    TINY.build(WORDS, tmp_path, 0)
    assert whole(tmp_path)


def test_a_model_that_is_there_stays_whole(tmp_path):
    TINY.build(WORDS, tmp_path, 0)
    before = load_file(tmp_path / "model.safetensors")
    with no_file_larger_than(20_000), pytest.raises(StorageError):
        TINY.build(WORDS, tmp_path, 1)
    assert whole(tmp_path)
    after = load_file(tmp_path / "model.safetensors")
    assert all(after[name].equal(tensor) for name, tensor in before.items())


def failing_after(step, trainer, examples, start, output):
    """Train on a disk without room for weights from a step on."""

    def progress(done, steps, note):
        if done == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    with no_file_larger_than(resource.RLIM_INFINITY), pytest.raises(StorageError) as caught:
        trainer.train(examples, start, output, 0, progress)
    assert caught.value.code == "disk-full"


@pytest.mark.parametrize(("step", "save_every_s"), [(4, None), (3, 0.0)])
def test_a_training_goes_on_when_there_is_room_again(examples, start, tmp_path, step, save_every_s):
    trainer, steps = SftTrainer(**CPU, save_every_s=save_every_s, trackers=()), []
    trainer.train(examples, start, tmp_path / "wanted", 0, lambda *_: None)
    failing_after(step, trainer, examples, start, tmp_path / "out")
    assert not whole(tmp_path / "out")
    trainer.train(examples, start, tmp_path / "out", 0, lambda step, *_: steps.append(step))
    assert whole(tmp_path / "out")
    assert steps == ([1, 2, 3, 4] if save_every_s is None else [3, 4])  # the step whose state wasn't saved is repeated
    for name in ("model.safetensors", "training.jsonl", "tokenizer.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "wanted" / name).read_bytes()


@pytest.mark.parametrize(("step", "save_every_s"), [(4, None), (3, 0.0)])
def test_preferences_are_not_half_learned(examples, start, tmp_path, step, save_every_s):
    pytest.importorskip("trl")
    pairs = [
        each.changed(rejected=(each.messages[0], other.messages[1]))
        for each, other in pairwise(examples)
        if each.messages[1] != other.messages[1]
    ]
    trainer, steps = DpoTrainer(**CPU, save_every_s=save_every_s), []
    failing_after(step, trainer, pairs, start, tmp_path)
    assert not whole(tmp_path)
    assert not list(tmp_path.glob("interrupted/checkpoint-*"))  # an incomplete state would only take space
    trainer.train(pairs, start, tmp_path, 0, lambda step, *_: steps.append(step))
    assert whole(tmp_path)
    assert steps == ([1, 2, 3, 4] if save_every_s is None else [3, 4])


def test_a_full_disk_is_named(examples, start, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk can be made by root alone")
    try:
        for settings in ({"save_every_s": None}, {"save_every_s": 0.0}):
            trainer = SftTrainer(**CPU, **settings, trackers=())
            with pytest.raises(StorageError) as caught:
                trainer.train(examples, start, disk / "out", 0, lambda *_: (disk / "big").write_bytes(b"0" * 100_000))
            assert caught.value.code == "disk-full"
            assert not whole(disk / "out")
            rows = (disk / "out/training.jsonl").read_text().splitlines()
            assert [json.loads(row)["step"] for row in rows] == list(range(1, len(rows) + 1))
            (disk / "big").unlink()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
