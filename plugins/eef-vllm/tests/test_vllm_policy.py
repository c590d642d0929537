import asyncio
import math
import os
import signal
import threading
import time
import warnings
from pathlib import Path

import pytest
from eef_vllm.policy import VllmPolicy

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import ConfigError, EefWarning, PolicyFailure
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import EpisodeSpec, Sampling
from eef_framework.models import adapter_chain
from eef_framework.policies import TransformersPolicy
from eef_framework.records import Message, Observation, Response, State
from eef_framework.rollout import EpisodeRunner
from eef_framework.testing.conformance import check_policy
from eef_framework.testing.corridor import Corridor

SAMPLING = Sampling(temperature=1.0, max_tokens=6)
GREEDY = Sampling(temperature=0.0, max_tokens=6)


def asked(number, turns=1):
    words = Message(role="user", content=f"word{number % 12} word{(number + 3) % 12}")
    return (words, *(Message(role=role, content="word1") for _ in range(turns - 1) for role in ("assistant", "user")))


def answers(policy, count=12, sampling=SAMPLING, errors=False):
    async def all_at_once():
        acts = (policy.act(asked(number), Observation(text=""), sampling, number) for number in range(count))
        return await asyncio.gather(*acts, return_exceptions=errors)

    return run_coroutine(all_at_once())


def logprobs_in_process(checkpoint, given, model):
    """Return the log-probabilities of answers with the merged weights of a checkpoint."""
    with TransformersPolicy(model=str(model)).load(checkpoint) as policy:
        return [
            run_coroutine(policy.score(asked(number), Observation(text=""), SAMPLING, [answer]))[0].logprob
            for number, answer in enumerate(given)
        ]


def close_to(given, wanted):
    return all(math.isclose(answer.logprob, each, abs_tol=1e-3) for answer, each in zip(given, wanted, strict=True))


@pytest.mark.parametrize("start", ["base", "first", "second"])
def test_a_checkpoint_is_served_whatever_its_training_started_from(server, policy_on, base, trained, start):
    checkpoint = base if start == "base" else trained[start]
    with policy_on(server).load(checkpoint) as policy:
        found = answers(policy)
    assert close_to(found, logprobs_in_process(checkpoint, found, base.path))
    assert {answer.tokenizer for answer in found} == {policy.chat.fingerprint}
    assert all(answer.text == policy.chat.text(answer.token_ids) for answer in found)
    assert [folder for _, folder in server.loads] == [
        str(path) for path in adapter_chain(checkpoint.path).adapters if start == "first"
    ] or start == "second"


def test_each_iteration_has_a_new_name_on_every_replica_and_former_ones_are_unloaded(pair, policy_on, trained):
    policy = policy_on(*pair)
    names = []
    for checkpoint in (trained["first"], trained["second"], trained["first"]):
        with policy.load(checkpoint) as loaded:
            names.append(loaded.model)
            assert all(loaded.model in server.models for server in pair)
        assert all(set(server.models) == {"base"} for server in pair)
    assert names[0] == names[2] != names[1]


def test_tokens_go_to_the_server_as_they_were_sampled(server, policy_on, trained):
    with policy_on(server).load(trained["first"]) as policy:
        odd = policy.chat.answer_ids("word3 word4")[::-1]
        earlier = Message(role="assistant", content="?", token_ids=tuple(odd), tokenizer=policy.chat.fingerprint)
        conversation = (*asked(1), earlier, *asked(2))
        run_coroutine(policy.act(conversation, Observation(text=""), GREEDY, 0))
        prompt = server.requests[-1]["prompt"]
    assert prompt == list(policy.chat.prompt(conversation).ids)
    assert any(prompt[start : start + len(odd)] == odd for start in range(len(prompt)))


def test_the_prompt_is_fitted_to_the_servers_window_by_counting_tokens(server, policy_on, trained):
    server.max_model_len = 40
    with policy_on(server, verify=0).load(trained["first"]) as policy:
        conversation = asked(1, turns=20)
        answer = run_coroutine(policy.act(conversation, Observation(text=""), SAMPLING, 0))
        prompt = server.requests[-1]["prompt"]
        assert 30 < len(prompt) <= 40 - SAMPLING.max_tokens
        assert answer.prompt_tokens == len(prompt)
        assert 0 < answer.dropped < 20
        with pytest.raises(PolicyFailure) as caught:
            run_coroutine(policy.act(asked(1), Observation(text=""), Sampling(max_tokens=38), 0))
    assert caught.value.code == "prompt-too-long"


def test_constrained_answers_are_admissible(server, policy_on, trained):
    observation = Observation(text="", actions=("go east", "open door"))
    constrained = SAMPLING.changed(constrain=True)
    with policy_on(server).load(trained["first"]) as policy:
        answer = run_coroutine(policy.act(asked(1), observation, constrained, 3))
    assert answer.text == "open door"
    assert answer.logprob is None  # the server knows the unconstrained one


def test_scores_are_those_of_the_merged_weights(server, policy_on, base, trained):
    given = [Response(text="word1 word2"), Response(text="go east")]
    with policy_on(server).load(trained["second"]) as policy:
        found = run_coroutine(policy.score(asked(0), Observation(text=""), SAMPLING, given))
        with pytest.raises(PolicyFailure) as caught:
            run_coroutine(policy.score(asked(0), Observation(text=""), Sampling(temperature=0.5), given))
    assert caught.value.code == "scoring-unsupported"
    with TransformersPolicy(model=str(base.path)).load(trained["second"]) as wanted:
        wanted = run_coroutine(wanted.score(asked(0), Observation(text=""), SAMPLING, given))
    assert [each.token_ids for each in found] == [each.token_ids for each in wanted]
    assert close_to(found, [each.logprob for each in wanted])


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


def test_running_servers_cannot_get_complete_weights(server, policy_on, trained):
    with pytest.raises(ConfigError) as caught:
        policy_on(server).load(trained["complete"])
    assert caught.value.code == "complete-weights"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({}, "vllm-servers"),
        ({"python": "/usr/bin/python3", "base_urls": ("http://localhost:1",)}, "vllm-servers"),
        ({"python": "/usr/bin/python3", "model": "tiny"}, "model-not-served"),
        ({"base_urls": ("localhost:1",)}, "bad-base-url"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, code):
    with pytest.raises(ConfigError) as caught:
        VllmPolicy(**({"model": "smollm2-135m"} | settings))
    assert caught.value.code == code


def test_an_interpreter_without_vllm_is_found_before_the_run(base, tmp_path):
    empty = tmp_path / "python"
    empty.write_text("#!/bin/sh\nexit 1\n")
    empty.chmod(0o755)
    for python in (empty, tmp_path / "missing"):
        with pytest.raises(ConfigError) as caught:
            VllmPolicy(model=str(base.path), python=python).preflight()
        assert caught.value.code == "no-vllm"


def test_conversations_of_one_trajectory_go_to_the_same_replica(pair, policy_on, trained):
    with policy_on(*pair).load(trained["first"]) as policy:
        for server in pair:
            server.requests.clear()

        async def play(number):
            for turns in range(1, 4):
                await policy.act(asked(number, turns), Observation(text=""), SAMPLING, turns)

        async def all_at_once():
            await asyncio.gather(*map(play, range(12)))

        run_coroutine(all_at_once())
    first = policy.chat.prompt(asked(0)).ids
    seen = [{tuple(body["prompt"][: len(first)]) for body in server.requests} for server in pair]
    assert seen[0]
    assert seen[1]
    assert not seen[0] & seen[1]


def test_one_of_two_replicas_dies_and_no_answer_is_lost(pair, policy_on, trained, base):
    with policy_on(*pair).load(trained["first"]) as policy:
        before = answers(policy, 24)
        pair[0].stop()
        after = answers(policy, 24)
        assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]
        assert policy.replicas.repeated > 0


def test_a_server_that_was_restarted_gets_its_adapter_again(server, policy_on, trained):
    with policy_on(server).load(trained["first"]) as policy:
        before = answers(policy)
        server.stop()
        server.start()
        after = answers(policy)
    assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]
    assert len(server.loads) == 2


def test_a_server_that_comes_back_with_other_weights_stops_the_run(server, policy_on, trained):
    policy = policy_on(server)
    with policy.load(trained["first"]) as loaded:
        answers(loaded)
        server.stop()
        server.stale = True
        server.start()
        found = answers(loaded, errors=True)
    assert {getattr(each, "code", "an answer") for each in found} == {"wrong-weights"}


def test_a_server_that_hangs_costs_time_and_no_answer(pair, policy_on, trained):
    with policy_on(*pair, timeout_s=1.0).load(trained["first"]) as policy:
        before = answers(policy, 24)
        pair[0].fault = lambda body: 3.0
        after = answers(policy, 24)
        pair[0].fault = lambda body: None
    assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]


def test_a_server_that_fails_now_and_then_costs_no_answer(server, policy_on, trained):
    with policy_on(server).load(trained["first"]) as policy:
        before = answers(policy)
        count = iter(range(1000))
        server.fault = lambda body: 503 if next(count) % 5 == 0 else None
        after = answers(policy)
    assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]


def test_an_outage_without_end_stops_the_run(server, policy_on, trained):
    with policy_on(server, outage_s=1.0).load(trained["first"]) as policy:
        server.stop()
        with pytest.raises(PolicyFailure) as caught:
            answers(policy, 2)
    assert caught.value.code == "vllm-lost"


def test_what_was_repeated_is_reported(server, policy_on, trained):
    policy = policy_on(server)
    with policy.load(trained["first"]) as loaded:
        threading.Timer(0.1, server.start).start()
        server.stop()
        answers(loaded)
    with pytest.warns(EefWarning) as caught:
        policy.close()
    assert [warning.message.code for warning in caught if isinstance(warning.message, EefWarning)] == ["vllm-recovered"]
    assert caught[0].message.details["repeated"] >= 1


@pytest.mark.slow
def test_the_policy_keeps_its_contract(server, policy_on, trained):
    check_policy(policy_on(server, verify=4), trained["first"])


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
def test_a_managed_server_is_started_restarted_and_ended(managed, trained, base, tmp_path):
    file = tmp_path / "pids"
    policy = managed(arguments=("--children", str(file)))
    policy.preflight()
    with policy.load(trained["second"]) as loaded:
        before = answers(loaded)
        assert close_to(before, logprobs_in_process(trained["second"], before, base.path))
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
def test_complete_weights_and_high_ranks_restart_a_managed_server(managed, trained, base):
    policy = managed(max_lora_rank=4)
    for name in ("complete", "second", "first"):  # the second has rank 8
        with policy.load(trained[name]) as loaded:
            found = answers(loaded)
        assert close_to(found, logprobs_in_process(trained[name], found, base.path))
        assert loaded.model.startswith("eef-" if name == "first" else "base-")
    assert len(policy._replicas) == 1


def test_a_managed_server_that_cannot_start_shows_its_output(managed, trained):
    with pytest.raises(ConfigError) as caught:
        managed(arguments=("--fail",)).load(trained["first"])
    assert caught.value.code == "vllm-start-failed"
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
