"""The policy against a real server on a socket."""

import asyncio
import random
import subprocess
import sys
import threading
import time

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import AnswerFailure, ConfigError, PolicyFailure
from eef_framework.interfaces import Sampling
from eef_framework.policies.chat_completions import OpenAIPolicy, Prices
from eef_framework.records import FreeText, Message, Observation, Tool
from eef_framework.testing.conformance import check_policy
from eef_framework.testing.server import ChatServer, Reply

ROOM = Observation(text="door: 1 east\nkey: not needed", actions=("go[west]", "go[east]"))
ASKED = (Message(role="system", content="Open the door."), Message(role="user", content=ROOM.text))
GREEDY = Sampling(temperature=0.0)


@pytest.fixture
def server():
    with ChatServer() as server:
        yield server


def policy(server, /, **settings):
    return OpenAIPolicy(**{"model": "test", "base_url": server.url, "retries": 2, "longest_wait_s": 0.01} | settings)


def act(policy, conversation=ASKED, observation=ROOM, sampling=GREEDY, seed=1):
    return asyncio.run(policy.act(conversation, observation, sampling, seed))


async def first_request(server):
    while not server.requests:  # noqa: ASYNC110 - it comes from another thread
        await asyncio.sleep(0.01)


def faults(*order):
    """Return these faults in order, then none."""
    return lambda request: order[request.number] if request.number < len(order) else ""


def test_it_sends_the_conversation_and_returns_the_answer_with_its_tokens(server):
    response = act(policy(server))
    assert response.text == "Thought: The way is clear.\nAction: go[east]"
    assert (response.prompt_tokens, response.computed_tokens, response.info) == (9, 9 - 4 + 7, {"completion_tokens": 7})
    assert server.requests[0].body["messages"] == [
        {"role": "system", "content": "Open the door."},
        {"role": "user", "content": ROOM.text},
    ]


def test_sampling_seed_and_stop_are_passed_on(server):
    act(policy(server, stop=("\nObservation:",)), sampling=Sampling(temperature=0.7, max_tokens=33), seed=2**62 + 5)
    body = server.requests[0].body
    assert (body["temperature"], body["max_tokens"], body["seed"], body["stop"]) == (0.7, 33, 5, ["\nObservation:"])
    assert "logprobs" not in body


TOOL = Tool(name="go", action="go[{direction}]")
CALL = {"function": {"name": "go", "arguments": '{"direction": "west"}'}}
TOLD = (Message(role="system", content="Go.", tools=(TOOL,)), Message(role="user", content="page"))


@pytest.mark.parametrize(
    ("settings", "choice"),
    [
        ({}, None),
        ({"server": "vllm"}, "none"),
        ({"server": "vllm", "extra": {"tool_choice": "auto"}}, "auto"),
        ({"server": "vllm", "extra": {"tool_choice": None}}, None),
    ],
)
def test_tools_are_sent_and_vllm_leaves_calls_in_the_text(server, settings, choice):
    server.answer = lambda request: "hm"
    act(policy(server, **settings), TOLD)
    body = server.requests[-1].body
    assert (body["tools"], body.get("tool_choice")) == ([TOOL.function], choice)
    assert [message["content"] for message in body["messages"]] == ["Go.", "page"]


def test_tokens_of_calls_that_a_server_took_out_of_the_text_are_not_kept(server):
    def took_out(request):
        message = {"role": "assistant", "content": "On.", "tool_calls": [CALL]}
        choice = {"message": message, "token_ids": [1, 2, 3], "finish_reason": "tool_calls"}
        return Reply(200, {"choices": [choice], "usage": {"prompt_tokens": 90, "completion_tokens": 3}})

    server.fault = took_out
    response = act(policy(server, server="vllm"), TOLD)
    assert response.text == 'On.\n<tool_call>\n{"name": "go", "arguments": {"direction": "west"}}\n</tool_call>'
    assert response.token_ids is None
    assert response.prompt_tokens == 90


@pytest.mark.parametrize(
    ("arguments", "parsed"),
    [('{"direction": "we', False), ("[]", False), ("west", False), ("", True), (None, True), ("{}", True)],
)
def test_a_call_whose_arguments_are_not_an_object_is_the_models_answer(server, arguments, parsed):
    call = {"id": "c", "type": "function", "function": {"name": "go", "arguments": arguments}}
    choice = {"message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    server.fault = lambda request: Reply(200, {"choices": [choice]})
    response = act(policy(server), TOLD)
    assert len(server.requests) == 1
    assert ChatFormat(style="tools").parse(response.text, Observation(text="page")).parsed == parsed


def test_fields_can_be_added_renamed_and_removed(server):
    special = {"token_limit": "max_completion_tokens", "extra": {"reasoning_effort": "low", "temperature": None}}
    act(policy(server, **special))
    body = server.requests[0].body
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (64, "low")
    assert not {"temperature", "max_tokens"} & set(body)


@pytest.mark.parametrize("fault", ["die", "garbage", "html", "shape", "no-choices", "no-text", "429", "500"])
def test_what_may_pass_is_asked_again(server, fault):
    server.fault = faults(fault, fault)
    response = act(policy(server))
    assert response.text.endswith("go[east]")
    assert (response.info["requests"], len(server.requests)) == (3, 3)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("die", "connection-lost"),
        ("garbage", "unreadable-answer"),
        ("html", "unreadable-answer"),
        ("shape", "unreadable-answer"),
        ("no-choices", "unreadable-answer"),
        ("no-text", "unreadable-answer"),
        ("badly-zipped", "unreadable-answer"),
        ("429", "server-busy"),
        ("500", "server-error"),
    ],
)
def test_what_does_not_pass_costs_one_answer(server, fault, code):
    server.fault = lambda request: fault
    with pytest.raises(AnswerFailure) as caught:
        act(policy(server))
    assert caught.value.code == code
    assert caught.value.details["attempts"] == len(server.requests) == 3


def test_a_filter_of_the_server_costs_one_answer_and_is_not_asked_again(server):
    server.fault = lambda request: "filtered"
    with pytest.raises(AnswerFailure) as caught:
        act(policy(server))
    assert (caught.value.code, len(server.requests)) == ("content-filter", 1)


@pytest.mark.parametrize(("fault", "code"), [("quota", "out-of-money"), ("400", "field-refused")])
def test_what_would_happen_to_all_requests_is_not_about_one_answer_and_not_repeated(server, fault, code):
    server.fault = lambda request: fault
    with pytest.raises(PolicyFailure) as caught:
        act(policy(server))
    assert not isinstance(caught.value, AnswerFailure)
    assert caught.value.code == code
    assert len(server.requests) == 1


def test_a_refusal_after_good_answers_costs_one_answer(server):
    server.fault = faults("", "400")
    asked = policy(server)

    async def twice():
        await asked.act(ASKED, ROOM, GREEDY, 1)
        await asked.act(ASKED, ROOM, GREEDY, 2)

    with pytest.raises(AnswerFailure) as caught:
        asyncio.run(twice())
    assert (caught.value.code, caught.value.details["field"]) == ("field-refused", "temperature")


def test_an_answer_that_takes_too_long_is_lost(server):
    server.fault, server.slow_s = lambda request: "slow", 0.3
    with pytest.raises(AnswerFailure) as caught:
        act(policy(server, timeout_s=0.05, retries=0))
    assert (caught.value.code, caught.value.details["timeout_s"]) == ("answer-timeout", 0.05)


def test_a_server_that_is_not_there_concerns_everybody():
    with ChatServer() as gone:
        pass
    with pytest.raises(PolicyFailure) as caught:
        act(policy(gone))
    assert not isinstance(caught.value, AnswerFailure)
    assert (caught.value.code, caught.value.details["attempts"]) == ("unreachable", 3)


def test_a_server_that_comes_back_is_asked_again(server):
    server.fault = faults("quit")

    async def act_and_restart():
        answer = asyncio.create_task(policy(server, retries=20, longest_wait_s=0.05).act(ASKED, ROOM, GREEDY, 1))
        await first_request(server)
        await asyncio.sleep(0.1)
        server.start()
        return await answer

    assert asyncio.run(act_and_restart()).text.endswith("go[east]")


def test_a_wrong_key_concerns_everybody_and_is_not_told(server, monkeypatch):
    server.key = "right"
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    with pytest.raises(PolicyFailure) as caught:
        act(policy(server, api_key_env="SOME_KEY"))
    assert not isinstance(caught.value, AnswerFailure)
    assert (caught.value.code, caught.value.details["variable"]) == ("key-refused", "SOME_KEY")
    assert "sk-secret" not in str(caught.value)


def test_the_key_comes_from_the_environment_and_is_not_a_setting(server, monkeypatch):
    server.key = "sk-secret"
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    asked = policy(server, api_key_env="SOME_KEY")
    assert act(asked).text
    assert "sk-secret" not in repr(asked) + str(asked.settings())


def test_without_a_key_messages_are_told_as_they_are(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server.key = "right"
    with pytest.raises(PolicyFailure) as caught:
        act(policy(server))
    assert caught.value.details["reason"].endswith("Bearer none")


def test_openai_itself_needs_a_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for asked in (OpenAIPolicy(model="gpt-4o").preflight, lambda: act(OpenAIPolicy(model="gpt-4o"))):
        with pytest.raises(ConfigError) as caught:
            asked()
        assert (caught.value.code, caught.value.details["variable"]) == ("no-key", "OPENAI_API_KEY")


@pytest.mark.parametrize("fault", ["negative-usage", "absurd-usage", "text-usage", "no-usage"])
def test_token_counts_that_cannot_be_are_not_recorded(server, fault):
    server.fault = lambda request: fault
    response = act(policy(server, prices=Prices(input=10.0, output=30.0)))
    assert response.text.endswith("go[east]")
    assert (response.prompt_tokens, response.computed_tokens, response.usd) == (0, 0, 0.0)
    assert response.info == {"usage": "unknown"}


def test_an_answer_costs_what_the_prices_say(server):
    response = act(policy(server, prices=Prices(input=2.0, cached_input=1.0, output=10.0)))
    assert response.usd == pytest.approx((5 * 2.0 + 4 * 1.0 + 7 * 10.0) / 1e6)


def test_no_more_requests_are_under_way_than_allowed(server):
    three = threading.Barrier(3)  # each is answered once two others are under way, too

    def wait(request):
        three.wait(timeout=60)
        return ""

    server.fault = wait

    async def many():
        asked = policy(server, requests=3)
        await asyncio.gather(*(asked.act(ASKED, ROOM, GREEDY, seed) for seed in range(9)))

    asyncio.run(many())
    assert server.most_at_once == 3


def test_waiting_for_a_repetition_does_not_block_other_requests(server):
    server.fault, server.retry_after_s = faults("429"), 0.4

    async def two():
        asked = policy(server, requests=1, longest_wait_s=5.0)
        first = asyncio.create_task(asked.act(ASKED, ROOM, GREEDY, 1))
        await first_request(server)
        await asked.act(ASKED, ROOM, GREEDY, 2)
        assert not first.done()
        await first

    asyncio.run(two())


def test_it_waits_as_long_as_the_server_asks_for(server):
    server.fault, server.retry_after_s = faults("429"), 0.3
    began = time.monotonic()
    act(policy(server, longest_wait_s=5.0))
    assert time.monotonic() - began >= 0.3


def test_a_policy_serves_one_event_loop_after_the_other(server):
    asked = policy(server)
    assert [act(asked).text for _ in range(3)] == [act(asked).text] * 3


def test_vllm_is_recognised_and_gives_token_ids():
    with ChatServer(vllm=True) as server:
        response = act(policy(server, logprobs=True))
    assert response.token_ids is not None
    assert (len(response.token_ids), response.tokenizer) == (7, "server:test")
    assert (response.logprob, response.logprobs) == (-3.5, (-0.5,) * 7)


def test_a_list_of_models_that_fails_says_nothing_about_answers(server):
    server.list_fails = True
    assert act(policy(server)).text.endswith("go[east]")
    assert "return_token_ids" not in server.requests[0].body


def test_other_servers_are_not_asked_for_what_they_do_not_know(server):
    assert act(policy(server)).token_ids is None
    assert "return_token_ids" not in server.requests[0].body


def test_token_ids_belong_to_the_tokenizer_that_is_named(tmp_path):
    from eef_framework.chat.tokens import ChatTokenizer
    from eef_framework.policies.loading import load_tokenizer
    from eef_framework.policies.tiny import TinyModel

    folder = TinyModel().build([ASKED], tmp_path / "tiny", 0).path
    with ChatServer(vllm=True) as server:
        response = act(policy(server, tokenizer=str(folder)))
    assert response.tokenizer == ChatTokenizer(load_tokenizer(folder)).fingerprint


def test_allowed_answers_are_told_to_vllm():
    free = ROOM.changed(free=(FreeText(prefix="search[", suffix="]"),))
    constrained = Sampling(constrain=True)
    with ChatServer(lambda request: "search[red shoes]", vllm=True) as server:
        assert act(policy(server), sampling=constrained).text == "go[west]"
        assert act(policy(server), observation=free, sampling=constrained).text == "search[red shoes]"
    assert server.requests[0].body["structured_outputs"] == {"choice": ["go[west]", "go[east]"]}


def test_a_server_that_ignores_the_allowed_answers_is_found_out():
    with (
        ChatServer(vllm=True) as server,
        pytest.raises(PolicyFailure) as caught,
    ):
        act(policy(server, constraint="guided"), sampling=Sampling(constrain=True))
    assert caught.value.code == "constraint-ignored"


def test_a_server_that_cannot_be_constrained_is_refused(server):
    with pytest.raises(PolicyFailure) as caught:
        act(policy(server), sampling=Sampling(constrain=True))
    assert caught.value.code == "constraint-unsupported"
    assert server.requests == []


def long_conversation(turns):
    told = [ASKED[0], Message(role="user", content="the goal: a door")]
    for turn in range(turns):
        told += [
            Message(role="assistant", content=f"Action: go[{turn}]"),
            Message(role="user", content=f"room {turn + 1} " + "with a long description " * 5),
        ]
    return tuple(told)


def test_the_oldest_observations_are_left_out_of_a_conversation_that_is_too_long():
    with ChatServer(lambda request: "Action: go[on]", context=150) as server:
        response = act(policy(server), long_conversation(8))
    assert response.dropped in range(1, 9)
    assert response.info["requests"] == len(server.requests) > 1
    shown = [message["content"] for message in server.requests[-1].body["messages"]]
    assert shown == [m.content for m in (ASKED[0], *long_conversation(8)[1 + 2 * response.dropped :])]
    assert shown[-1].startswith("room 8")


@pytest.mark.parametrize(("turns", "overflow"), [(8, "fail"), (0, "drop-oldest"), (1, "drop-oldest")])
def test_a_conversation_with_nothing_to_leave_out_costs_one_answer(turns, overflow):
    with ChatServer(context=60) as server, pytest.raises(AnswerFailure) as caught:
        act(policy(server, overflow=overflow), long_conversation(turns))
    assert caught.value.code == "too-long"


@pytest.mark.slow
def test_it_keeps_the_contract_of_policies_with_a_server_that_keeps_its_side():
    def sampled(request):
        draw = random.Random(request.body["seed"] if request.body["temperature"] else 0)
        return f"go[{draw.choice(['west', 'east', 'up', 'down'])}]"

    with ChatServer(sampled, vllm=True) as server:
        check_policy(policy(server))


@pytest.mark.slow
def test_without_the_library_it_says_what_to_install():
    code = (
        "import sys, importlib.machinery as m\n"
        "find = m.PathFinder.find_spec\n"
        "m.PathFinder.find_spec = classmethod(lambda c, n, *a, **k: None if n == sys.argv[1] else find(n, *a, **k))\n"
        "from eef_framework.errors import ConfigError\n"
        "from eef_framework.policies.chat_completions import OpenAIPolicy\n"
        "try: OpenAIPolicy(model='x', base_url='http://host/v1').preflight()\n"
        "except ConfigError as e: print(e.code, e.details['library'], e.details['extra'])\n"
    )
    for library in ("openai", "tenacity"):
        done = subprocess.run([sys.executable, "-c", code, library], capture_output=True, text=True, timeout=60)
        assert done.stdout == f"missing-extra {library} openai\n", done.stderr
