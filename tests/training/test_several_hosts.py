"""A training on several hosts: two launchers on this machine, as on two hosts that share a disk."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from eef_framework.errors import ConfigError
from eef_framework.records import Checkpoint
from eef_framework.runs.file_names import REQUEST
from eef_framework.training import SftTrainer
from eef_framework.training.distributed import TrainingRequest
from eef_framework.training.host import join_new_trainings, join_trainings

# accelerate's launcher ignores several hosts if it is told to use CPUs. Without GPUs, the processes use them anyway.
CONFIGURATION = {
    **{"compute_environment": "LOCAL_MACHINE", "distributed_type": "MULTI_GPU", "use_cpu": False},
    **{"num_machines": 2, "num_processes": 2, "machine_rank": 0, "rdzv_backend": "static", "same_network": True},
    **{"main_process_ip": "127.0.0.1", "mixed_precision": "no", "main_training_function": "main"},
}


@pytest.fixture
def configuration(tmp_path):
    """Return a function that writes a configuration of accelerate for two hosts."""

    def write(**changes):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        path = tmp_path / "two-hosts.yaml"
        path.write_text(yaml.safe_dump(CONFIGURATION | {"main_process_port": port} | changes))
        return path

    return write


def trainer(**settings):
    return SftTrainer(device="cpu", steps=4, batch_size=8, trackers=(), **settings)


@pytest.fixture
def join(tmp_path):
    """Start `eef join` as host 1 of the trainings in a folder, and stop it at the end."""
    started = []

    def start(folder):
        code = "from eef_framework.cli.main import main; main()"
        command = [sys.executable, "-c", code, "join", str(folder), "--machine-rank", "1"]
        log = (tmp_path / "host-1.log").open("w")
        started.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.wait(60)


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_two_hosts_train_as_one_process_does_and_join_one_training_after_another(
    examples, start, tmp_path, configuration, join
):
    host = join(tmp_path / "run")
    assert host.poll() is None
    for name in ("clone", "tune"):
        steps = []
        folder = tmp_path / "run" / name
        trainer(accelerate_config=configuration()).train(
            examples, start, folder, 0, lambda *step, steps=steps: steps.append(step)
        )
        assert [step for step, *_ in steps] == [1, 2, 3, 4]
        assert not (folder / REQUEST).exists()
    trainer().train(examples, start, tmp_path / "alone", 0, lambda *_: None)
    alone = weights(tmp_path / "alone")
    for name in ("clone", "tune"):
        for key, value in weights(tmp_path / "run" / name).items():
            torch.testing.assert_close(value, alone[key], atol=2e-5, rtol=0)
    rows = (tmp_path / "run" / "tune" / "training.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_a_training_that_ended_early_on_the_first_host_is_joined_again(
    how, examples, start, tmp_path, configuration, join
):
    join(tmp_path / "run")
    folder = tmp_path / "run" / "clone"
    folder.mkdir(parents=True)

    requests = []

    def interrupt(step, *_):
        if step == 2:
            requests.append((folder / REQUEST).read_text())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(accelerate_config=configuration()).train(examples, start, folder, 0, interrupt)
    assert not (folder / REQUEST).exists()
    if how == "killed":
        (folder / REQUEST).write_text(requests[0])
    trainer(accelerate_config=configuration()).train(examples, start, folder, 0, lambda *_: None)
    assert (folder / "model.safetensors").is_file()


@pytest.fixture
def requested(tmp_path):
    """Return a function that requests a training, without starting it."""

    def request(path):
        settings = {"device": "cpu", "accelerate_config": str(path)}
        request = TrainingRequest(settings=settings, examples=(), start=Checkpoint(path=tmp_path), seed=0)
        (tmp_path / REQUEST).write_text(request.model_dump_json())

    return request


@pytest.mark.slow
def test_a_host_that_would_train_alone_is_refused(tmp_path, configuration, requested, capfd):
    """With use_cpu, accelerate's launcher ignores the other hosts: each would write the same checkpoint."""
    requested(configuration(distributed_type="MULTI_CPU", use_cpu=True))
    join_new_trainings(tmp_path, 1, set())
    assert "TrainerFailure" in capfd.readouterr().err
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("text", "rank", "code"),
    [
        (yaml.safe_dump(CONFIGURATION), 2, "not-this-host"),
        ("num_machines: 1", 1, "not-this-host"),
        ("num_machines: two", 1, "not-this-host"),
        ("", 1, "not-this-host"),
        ("- num_machines: 2", 1, "not-settings"),
        ("num_machines: [", 1, "yaml-syntax"),
        (None, 1, "no-such-file"),
    ],
)
def test_a_host_that_has_no_part_in_a_training_is_told(tmp_path, requested, text, rank, code):
    path = tmp_path / "accelerate.yaml"
    requested(path)
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        join_trainings(tmp_path, rank)
    assert refused.value.code == code


@pytest.mark.parametrize("changes", [{"seed": None}, {"settings": {"a_new_one": 1}}])
def test_a_request_of_another_version_is_named(tmp_path, changes):
    request = {"settings": {}, "examples": [], "start": {"path": "p"}, "seed": 0}
    (tmp_path / REQUEST).write_text(json.dumps(request | changes))
    with pytest.raises(ConfigError) as refused:
        join_trainings(tmp_path, 1)
    assert refused.value.code == "other-version"


def test_a_training_that_has_just_ended_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr("eef_framework.training.host._requests", lambda folder: [tmp_path / REQUEST])
    monkeypatch.setattr("eef_framework.training.host._version", lambda path: (str(path), 1, 1))
    join_new_trainings(tmp_path, 1, set())


def test_folders_that_disappear_while_they_are_searched_are_skipped(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / REQUEST).write_text("{}")
    scan = os.scandir

    def racing(path):
        if Path(path) == tmp_path / "a":
            (tmp_path / "a" / "b").rmdir()
            (tmp_path / "a").rmdir()
        return scan(path)

    monkeypatch.setattr(os, "scandir", racing)
    with pytest.raises(ConfigError) as refused:
        join_trainings(tmp_path, 1)
    assert refused.value.details["path"] == str(tmp_path / "c" / REQUEST)
