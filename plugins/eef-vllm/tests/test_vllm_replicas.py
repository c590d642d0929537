import asyncio
import threading
import warnings

import pytest

from eef_framework.errors import AnswerFailure, EefWarning, PolicyFailure
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Sampling
from eef_framework.records import Checkpoint, Observation

SAMPLING = Sampling(temperature=1.0, max_tokens=6)


def test_each_iteration_has_a_new_name_on_every_replica_and_former_ones_are_unloaded(pair, policy_on, trained):
    policy = policy_on(*pair)
    names = []
    for checkpoint in (trained["first"], trained["second"], trained["first"]):
        with policy.load(checkpoint) as loaded:
            names.append(loaded.model)
            assert all(loaded.model in server.models for server in pair)
        assert all(set(server.models) == {"base"} for server in pair)
    assert names[0] == names[2] != names[1]


def test_conversations_of_one_trajectory_go_to_the_same_replica(pair, policy_on, trained, asked):
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


def test_one_of_two_replicas_dies_and_no_answer_is_lost(pair, policy_on, trained, base, answers):
    with policy_on(*pair).load(trained["first"]) as policy:
        before = answers(policy, 24)
        pair[0].stop()
        after = answers(policy, 24)
        assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]
        assert policy.replicas.repeated > 0


def test_a_server_that_was_restarted_gets_its_adapter_again(server, policy_on, trained, answers):
    with policy_on(server).load(trained["first"]) as policy:
        before = answers(policy)
        server.stop()
        server.start()
        after = answers(policy)
    assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]
    assert len(server.loads) == 2


def test_a_server_that_comes_back_with_other_weights_stops_the_run(server, policy_on, trained, answers):
    policy = policy_on(server)
    with policy.load(trained["first"]) as loaded:
        answers(loaded)
        server.stop()
        server.stale = True
        server.start()
        found = answers(loaded, errors=True)
    assert {getattr(each, "code", "an answer") for each in found} == {"wrong-weights"}


def test_a_server_that_hangs_costs_time_and_no_answer(pair, policy_on, trained, answers):
    with policy_on(*pair, timeout_s=1.0).load(trained["first"]) as policy:
        before = answers(policy, 24)
        pair[0].fault = lambda body: 3.0
        after = answers(policy, 24)
        pair[0].fault = lambda body: None
    assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]


def test_a_server_that_fails_now_and_then_costs_no_answer(server, policy_on, trained, answers):
    with policy_on(server).load(trained["first"]) as policy:
        before = answers(policy)
        count = iter(range(1000))
        server.fault = lambda body: 503 if next(count) % 5 == 0 else None
        after = answers(policy)
    assert [answer.token_ids for answer in after] == [answer.token_ids for answer in before]


def test_a_request_at_which_the_server_fails_costs_no_answer_but_its_own(
    server, policy_on, trained, answers, monkeypatch
):
    monkeypatch.setattr("eef_vllm.replicas.BUSY_WAITS_S", (0.01,))
    policy = policy_on(server)
    with policy.load(trained["first"]) as loaded:
        before = answers(loaded)
        seed = [body["seed"] for body in server.requests if body["max_tokens"] > 1][3]
        server.fault = lambda body: 500 if body["seed"] == seed and body["max_tokens"] > 1 else None
        after = answers(loaded, errors=True)
        assert loaded.replicas.lost == 1
    failed = [each for each in after if isinstance(each, AnswerFailure)]
    assert [each.code for each in failed] == ["answer-lost"]
    assert "a fault" in failed[0].details["reason"]
    kept = [(one.token_ids, two.token_ids) for one, two in zip(before, after, strict=True) if two not in failed]
    assert len(kept) == len(before) - 1
    assert all(one == two for one, two in kept)
    with pytest.warns(EefWarning) as caught:
        policy.close()
    assert caught.pop(EefWarning).message.details["lost"] == 1


def test_an_outage_without_end_stops_the_run(server, policy_on, trained, answers):
    with policy_on(server, outage_s=1.0).load(trained["first"]) as policy:
        server.stop()
        with pytest.raises(PolicyFailure) as caught:
            answers(policy, 2)
    assert caught.value.code == "vllm-lost"


def test_what_was_repeated_is_reported(server, policy_on, trained, answers):
    policy = policy_on(server)
    with policy.load(trained["first"]) as loaded:
        threading.Timer(0.1, server.start).start()
        server.stop()
        answers(loaded)
    with pytest.warns(EefWarning) as caught:
        policy.close()
    assert [warning.message.code for warning in caught if isinstance(warning.message, EefWarning)] == ["vllm-recovered"]
    assert caught.pop(EefWarning).message.details["repeated"] >= 1


@pytest.mark.parametrize(
    ("version", "codes"),
    [
        ("0.26.0", ["untested-vllm"]),
        ("0.27.1", []),
        ("0.32.1.dev3+cpu", []),
        ("0.33.0rc1", ["untested-vllm"]),
        ("", []),
    ],
)
def test_versions_that_were_not_tested_are_told(server, policy_on, base, version, codes):
    server.version = version
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        policy_on(server).load(Checkpoint(path=base.path)).close()
    assert [each.message.code for each in caught if isinstance(each.message, EefWarning)] == codes
