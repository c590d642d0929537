from pathlib import Path

import pytest
from eef_vllm.policy import VllmPolicy

from eef_framework.errors import ConfigError, PolicyFailure
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Sampling
from eef_framework.models import adapter_chain
from eef_framework.policies import TransformersPolicy
from eef_framework.records import Message, Observation, Response
from eef_framework.testing.conformance import check_policy

SAMPLING = Sampling(temperature=1.0, max_tokens=6)
GREEDY = Sampling(temperature=0.0, max_tokens=6)


@pytest.mark.parametrize("start", ["base", "first", "second"])
def test_a_checkpoint_is_served_whatever_its_training_started_from(
    server, policy_on, base, trained, start, answers, logprobs_in_process
):
    checkpoint = base if start == "base" else trained[start]
    with policy_on(server).load(checkpoint) as policy:
        found = answers(policy)
    assert [answer.logprob for answer in found] == pytest.approx(logprobs_in_process(checkpoint, found), abs=1e-3)
    assert {answer.tokenizer for answer in found} == {policy.chat.fingerprint}
    assert all(answer.text == policy.chat.text(answer.token_ids) for answer in found)
    assert [folder for _, folder in server.loads] == [
        str(path) for path in adapter_chain(checkpoint.path).adapters if start == "first"
    ] or start == "second"


def test_servers_get_absolute_paths_since_their_current_folder_is_another_one(server, policy_on, trained, monkeypatch):
    folder = trained["first"].path
    monkeypatch.chdir(folder.parent)
    with policy_on(server, verify=0).load(trained["first"].changed(path=Path(folder.name))):
        assert [Path(path).is_absolute() for _, path in server.loads] == [True]


def test_tokens_go_to_the_server_as_they_were_sampled(server, policy_on, trained, asked):
    with policy_on(server).load(trained["first"]) as policy:
        odd = policy.chat.answer_ids("word3 word4")[::-1]
        earlier = Message(role="assistant", content="?", token_ids=tuple(odd), tokenizer=policy.chat.fingerprint)
        conversation = (*asked(1), earlier, *asked(2))
        run_coroutine(policy.act(conversation, Observation(text=""), GREEDY, 0))
        prompt = server.requests[-1]["prompt"]
    assert prompt == list(policy.chat.prompt(conversation).ids)
    assert any(prompt[start : start + len(odd)] == odd for start in range(len(prompt)))


def test_the_prompt_is_fitted_to_the_servers_window_by_counting_tokens(server, policy_on, trained, asked):
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


def test_constrained_answers_are_admissible(server, policy_on, trained, asked):
    observation = Observation(text="", actions=("go east", "open door"))
    constrained = SAMPLING.changed(constrain=True)
    with policy_on(server).load(trained["first"]) as policy:
        answer = run_coroutine(policy.act(asked(1), observation, constrained, 3))
    assert answer.text == "open door"
    assert answer.logprob is None  # the server knows the unconstrained one


def test_scores_are_those_of_the_merged_weights(server, policy_on, base, trained, asked):
    given = [Response(text="word1 word2"), Response(text="go east")]
    with policy_on(server).load(trained["second"]) as policy:
        found = run_coroutine(policy.score(asked(0), Observation(text=""), SAMPLING, given))
        with pytest.raises(PolicyFailure) as caught:
            run_coroutine(policy.score(asked(0), Observation(text=""), Sampling(temperature=0.5), given))
    assert caught.value.code == "scoring-unsupported"
    with TransformersPolicy(model=str(base.path)).load(trained["second"]) as wanted:
        wanted = run_coroutine(wanted.score(asked(0), Observation(text=""), SAMPLING, given))
    assert [each.token_ids for each in found] == [each.token_ids for each in wanted]
    assert [each.logprob for each in found] == pytest.approx([each.logprob for each in wanted], abs=1e-3)


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


@pytest.mark.slow
def test_the_policy_keeps_its_contract(server, policy_on, trained):
    check_policy(policy_on(server, verify=4), trained["first"])
