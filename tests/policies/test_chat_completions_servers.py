"""Servers as they are: keys, addresses, refusals, failures within answers, thoughts in place of words."""

import asyncio
import base64
import contextlib
import email.utils
import json
import socket
import ssl
import subprocess
import threading
import time
import warnings

import pytest

from eef_framework import redaction
from eef_framework.errors import AnswerFailure, ConfigError, EefWarning, PolicyFailure
from eef_framework.interfaces import Sampling
from eef_framework.policies.chat_completions import OpenAIPolicy, Prices
from eef_framework.policies.chat_completions.context_length import is_too_long, sizes
from eef_framework.policies.chat_completions.error_response import read_error_response
from eef_framework.records import Message, Observation
from eef_framework.testing.server import ChatServer, Reply

HERE = Observation(text="door: 1 east\nkey: not needed", actions=("go[west]", "go[east]"))
ASKED = (Message(role="system", content="Open the door."), Message(role="user", content=HERE.text))
GREEDY = Sampling(temperature=0.0)
SAID = "Thought: on.\nAction: go[east]"
KEY = "sk-VERY-secret+key/123"
PASSWORD = "sk-VERY-secret"


@pytest.fixture(autouse=True)
def without_proxies_and_secrets(monkeypatch):
    monkeypatch.setattr(redaction, "_known", set())
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server():
    with ChatServer(lambda request: SAID) as server:
        yield server


def policy(at, **settings):
    url = {"base_url": at.url} if at else {}
    return OpenAIPolicy(**{"model": "test", **url, "retries": 1, "longest_wait_s": 0.01, "server": "plain"} | settings)


def act(policy, conversation=ASKED, seed=1, sampling=GREEDY):
    return asyncio.run(policy.act(conversation, HERE, sampling, seed))


def long_conversation(turns, words=20):
    said = [ASKED[0], Message(role="user", content="the goal: a door")]
    for turn in range(turns):
        said += [
            Message(role="assistant", content=f"Action: go[{turn}]"),
            Message(role="user", content=f"room {turn + 1} " + "long " * words),
        ]
    return tuple(said)


def completion(content=SAID, finish="stop", usage=(9, 5), message=None, **choice):
    counts = {"usage": dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))} if usage else {}
    said = {"role": "assistant", "content": content, **(message or {})}
    return Reply(200, {"choices": [{"index": 0, "message": said, "finish_reason": finish, **choice}], **counts})


def refusal(status, message, headers=None, **more):
    return Reply(status, {"error": {"message": message, **more}}, headers or {})


def order(*replies):
    """Return these replies in order, then answers without fault."""
    return lambda request: replies[request.number] if request.number < len(replies) else ""


def failure(policy, conversation=ASKED, kind=PolicyFailure):
    with pytest.raises(kind) as caught:
        act(policy, conversation)
    assert isinstance(caught.value, AnswerFailure) == (kind is AnswerFailure)
    return caught.value


# Keys


@pytest.mark.parametrize("around", ["{}\r", "{}\n", "  {}\t\r\n", "\ufeff{}", "'{}'", '"{}"\n'])
def test_what_comes_in_with_a_key_from_a_file_is_left_off(server, monkeypatch, around):
    monkeypatch.setenv("OPENAI_API_KEY", around.format(KEY))
    server.key = KEY
    assert act(policy(server)).text.endswith("go[east]")


@pytest.mark.parametrize(
    "key", ["sk-very\rsecret", "sk-very\nsecret-x", "sk-very secret", "sk-väry-secret", "sk-\x07secret"]
)
def test_a_key_that_cannot_be_one_is_refused_without_telling_it(server, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    for asked in (policy(server).preflight, lambda: act(policy(server))):
        with pytest.raises(ConfigError) as caught:
            asked()
        assert (caught.value.code, caught.value.details["variable"]) == ("bad-key", "OPENAI_API_KEY")
        assert "secret" not in str(caught.value)


ECHOES = {
    "plain": lambda key: key,
    "header": lambda key: repr(f"Bearer {key}\r".encode()),
    "json": lambda key: json.dumps({"headers": {"authorization": f"Bearer {key}"}}),
    "base64": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "far into the text": lambda key: "x" * 290 + key,
    "page": lambda key: f"<html><pre>{key}</pre></html>",
}


@pytest.mark.parametrize("form", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "MINE"])
def test_a_server_that_says_the_key_does_not_have_it_told(server, monkeypatch, form, status, variable):
    monkeypatch.setenv(variable, KEY)
    body = form(KEY)
    server.fault = lambda request: Reply(status, body.encode())
    with pytest.raises(PolicyFailure) as caught:
        act(policy(server, api_key_env=variable))
    told = f"{caught.value} {caught.value.details} {caught.value.__cause__}"
    for part in (KEY, KEY[:8], base64.b64encode(f"user:{KEY}".encode()).decode()[8:20]):
        assert part not in told


def test_an_answer_that_says_the_key_is_recorded_without_it(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.fault = lambda request: completion(f"Action: tell[{KEY}]")
    assert act(policy(server)).text == "Action: tell[***]"


@pytest.mark.parametrize(
    "settings",
    [
        {"extra": {"extra_headers": {"Authorization": f"Bearer {KEY}"}}},
        {"extra": {"api_key": "abc"}},
        {"extra": {"user": f"me {KEY}"}},
        {"extra": {f"api_key:{KEY}": None}},
        {"model": KEY},
        {"tokenizer": f"https://{KEY}@hub/x"},
        {"stop": (KEY,)},
    ],
)
def test_a_key_among_the_settings_is_refused_since_settings_are_recorded(server, monkeypatch, settings):
    monkeypatch.setenv("SOME_TOKEN", KEY)
    with pytest.raises(ConfigError) as caught:
        policy(server, **settings)
    assert caught.value.code == "key-in-settings"
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", [KEY, "a1b2c3d4e5f60718293a4b5c6d7e8f90", "", "MY KEY", "1X"])
def test_a_key_in_place_of_its_variable_is_refused_and_not_told(server, name):
    with pytest.raises(ConfigError) as caught:
        policy(server, api_key_env=name)
    assert caught.value.code == "bad-key-variable"
    assert not name or name not in str(caught.value)


# Addresses


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://host:8000/v1/", "http://host:8000/v1"),
        (" http://host/v1/chat/completions ", "http://host/v1"),
        ("https://host/openai/v1/completions/", "https://host/openai/v1"),
        ("http://host", "http://host"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_is_used_without_what_people_paste_with_it(given, used):
    assert OpenAIPolicy(model="x", base_url=given).base_url == used


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000", "", "http://", "http://host:port/v1", "http://[::1/v1", "ftp://host/v1", "http://a b/v1",
        f"http://me:{PASSWORD}@host/v1", f"http://me:{KEY}@host/v1", f"http://{KEY}@host/v1",
        f"http://host/v1?api-key={KEY}", f"me:{KEY}@host/v1",
        f"http://host:x/v1?key={KEY}", "http://host/v1#top",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_is_refused_and_no_password_is_told(url):
    with pytest.raises(ConfigError) as caught:
        OpenAIPolicy(model="x", base_url=url)
    assert caught.value.code == "bad-base-url"
    assert PASSWORD not in f"{caught.value} {caught.value.details}"


@pytest.mark.parametrize("kind", ["auto", "plain"])
@pytest.mark.parametrize("pasted", ["", "/", "/v1/", "/v1/chat/completions"])
def test_a_server_is_found_at_v1(server, pasted, kind):
    url = server.url.removesuffix("/v1") + pasted
    asked = policy(server, base_url=url, server=kind)
    assert act(asked).text.endswith("go[east]")


def test_vllm_is_recognised_at_an_address_without_a_path():
    with ChatServer(lambda request: SAID, vllm=True) as server:
        assert act(policy(server, base_url=server.url.removesuffix("/v1"), server="auto")).token_ids


def test_a_server_that_is_not_below_v1_is_used_where_it_is(server):
    server.prefix = ""
    assert act(policy(server, base_url=server.url.removesuffix("/v1"))).text.endswith("go[east]")


def test_an_address_with_nothing_there_concerns_everybody(server):
    found = failure(policy(server, base_url=server.url.replace("/v1", "/v2")))
    assert (found.code, found.details["status"]) == ("no-such-address", 404)


@pytest.mark.parametrize(("status", "code"), [(404, "model_not_found"), (400, None), (404, None)])
def test_a_model_that_is_not_there_is_told_with_those_that_are(server, status, code):
    server.fault = lambda request: refusal(status, "The model `tset` does not exist", code=code)
    found = failure(policy(server, model="tset"))
    assert (found.code, found.details["known"], len(server.requests)) == ("no-such-model", ("test",), 1)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirection_that_changes_a_request_is_told(server, status):
    with ChatServer(lambda request: SAID) as other:
        server.fault = lambda request: Reply(status, b"", {"location": f"{other.url}/chat/completions"})
        other.list_fails = True
        found = failure(policy(server))
        assert found.code == "redirected"
        assert found.details["location"] == f"{other.url}/chat/completions"


@pytest.mark.parametrize("status", [307, 308])
def test_a_redirection_that_keeps_a_request_is_followed(server, status):
    with ChatServer(lambda request: SAID) as other:
        server.fault = lambda request: Reply(status, b"", {"location": f"{other.url}/chat/completions"})
        assert act(policy(server)).text.endswith("go[east]")


# Proxies, certificates, names


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_no_proxy_is_asked_for_a_server_on_this_machine(server, monkeypatch, variable):
    monkeypatch.setenv(variable, "http://127.0.0.1:9")  # where nobody listens
    assert act(policy(server)).text.endswith("go[east]")
    assert act(policy(server, base_url=server.url.replace("127.0.0.1", "localhost"))).text.endswith("go[east]")


@pytest.mark.parametrize("proxy", ["http://proxy:port", "gopher://proxy", f"http://me:{KEY}@"])
def test_a_proxy_that_cannot_be_is_found_before_a_run_and_its_password_not_told(server, monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    for asked in (policy(server).preflight, lambda: act(policy(server))):
        with pytest.raises(ConfigError) as caught:
            asked()
        assert (caught.value.code, caught.value.details["variable"]) == ("bad-proxy", "HTTPS_PROXY")
        assert PASSWORD not in f"{caught.value} {caught.value.details}"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_are_not_there_are_found_before_a_run(server, monkeypatch, tmp_path, variable, content):
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(ConfigError) as caught:
        policy(server).preflight()
    assert (caught.value.code, caught.value.details["variable"]) == ("bad-certificates", variable)


@pytest.fixture
def certificate(tmp_path):
    """A certificate of one's own for this machine, and its key."""
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", str(paths[0]), "-keyout", str(paths[1])]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl isn't installed")
    return paths


@pytest.fixture
def secure(server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server._http.socket = context.wrap_socket(server._http.socket, server_side=True)
    return server.url.replace("http:", "https:")


def test_a_certificate_that_is_not_trusted_concerns_everybody_and_is_not_asked_again(server, secure):
    found = failure(policy(server, base_url=secure, retries=5))
    assert (found.code, found.details["attempts"]) == ("bad-certificate", 1)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_of_ones_own_can_be_trusted(server, secure, certificate, monkeypatch, variable):
    monkeypatch.setenv(variable, str(certificate[0]))
    assert act(policy(server, base_url=secure)).text.endswith("go[east]")


def test_https_where_there_is_none_is_told(server):
    found = failure(policy(server, base_url=server.url.replace("http:", "https:")))
    assert (found.code, found.details["attempts"]) == ("not-https", 1)


def test_a_name_that_does_not_exist_is_told(monkeypatch):
    def none(*where, **how):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", none)  # no network is asked in tests
    found = failure(policy(None, base_url="http://nowhere.invalid/v1"))
    assert (found.code, found.details["attempts"]) == ("no-such-host", 1)


# Time


@pytest.mark.parametrize("filling", ["drip", "comments"])
def test_blanks_and_comments_do_not_stretch_the_time_for_an_answer(server, filling):
    server.fault, server.slow_s = lambda request: filling, 30.0
    began = time.monotonic()
    found = failure(policy(server, timeout_s=0.3, retries=0), kind=AnswerFailure)
    assert found.code == "answer-timeout"
    assert time.monotonic() - began < 15  # not 30


@pytest.mark.parametrize("fault", ["drip", "comments", "zipped", "http/1.0"])
def test_what_servers_do_with_good_answers_is_understood(server, fault):
    server.fault, server.slow_s = lambda request: fault, 0.05
    assert act(policy(server)).text.endswith("go[east]")


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_refusals_that_pass_are_asked_again(server, status):
    server.fault = order(refusal(status, "later"))
    assert act(policy(server)).info["requests"] == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_asked_again(server, status):
    server.fault = order("", refusal(status, "no"))
    asked = policy(server)
    act(asked)
    found = failure(asked)
    assert (found.code, len(server.requests)) == ("key-refused", 2)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "300", "retry-after": "7"}, 0.3),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_read(headers, seconds):
    assert read_error_response(429, "", headers).retry_after_s == seconds


def test_how_long_to_wait_is_read_from_a_date():
    date = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 60 < read_error_response(429, "", {"retry-after": date}).retry_after_s <= 100


# Failures within answers

FAILED = {
    "finish_reason": completion("", "error"),
    "with words": completion("Action: go[west]", "network_error"),
    "abort": completion("", "abort"),
    "loud": completion("", "ERROR"),
    "no resources": completion("Action: go[west]", "insufficient_system_resource"),
    "of a gateway": completion("Action: go[west]", "bad_gateway"),
    "of a rate": completion("", "rate_limit_exceeded"),
    "of another kind": completion("", "OTHER"),
    "of the provider": completion("Action: go[west]", "stop", native_finish_reason="MALFORMED_RESPONSE"),
    "in the choice": completion("Action: go[west]", "stop", error={"code": 502, "message": "upstream"}),
    "in the message": completion("Action: go[west]", "stop", message={"error": {"message": "upstream"}}),
    "in place of choices": Reply(200, {"error": {"message": "Provider returned error", "code": 529}}),
    "beside choices": Reply(200, {"error": "overloaded", **completion("Action: go[west]").document}),
    "no choices": Reply(200, {"choices": []}),
    "null": Reply(200, {"choices": None, "error": {"code": "x"}}),
}  # fmt: skip


@pytest.mark.parametrize("reply", FAILED.values(), ids=FAILED)
def test_a_failure_within_an_answer_is_asked_again_and_never_an_action(server, reply):
    server.fault = order(reply)
    assert act(policy(server)).text.endswith("go[east]")
    server.fault = lambda request: reply
    found = failure(policy(server), kind=AnswerFailure)
    assert found.details["attempts"] == 2


def test_a_refused_key_within_an_answer_concerns_everybody(server):
    server.fault = lambda request: Reply(200, {"error": {"code": 401, "message": "no credentials"}})
    assert failure(policy(server)).code == "key-refused"


@pytest.mark.parametrize(
    "reply",
    [
        completion(None, "content_filter"),
        completion("Action: go[we", "content_filter"),
        completion("", "SAFETY"),
        completion("Sorry, no.", "guardrail_intervened"),
        completion("", "stop", native_finish_reason="PROHIBITED_CONTENT"),
        refusal(400, "The response was filtered due to the prompt triggering the content management policy",
                code="content_filter"),
        refusal(400, "Output data may contain inappropriate content.", code="data_inspection_failed"),
        refusal(403, "Your chosen model requires moderation and your input was flagged"),
    ],
)  # fmt: skip
def test_a_filter_is_the_servers_and_costs_this_answer_alone(server, reply):
    server.fault = order("", reply)
    asked = policy(server, retries=3)
    act(asked)
    assert failure(asked, kind=AnswerFailure).code == "content-filter"
    assert len(server.requests) == 2
    server.fault = lambda request: reply
    assert failure(policy(server), long_conversation(3), AnswerFailure).code == "content-filter"  # and isn't probed
    assert len(server.requests) == 3


# Answers without text

SILENT = {
    "reasoning-used-the-budget": completion(None, "length", message={"reasoning_content": "hm hm"}),
    "stopped-within-reasoning": completion(None, "stop", message={"reasoning": "The page says"}),
    "refusal": completion(None, "stop", message={"refusal": "I can't help with that."}),
    "no-text": completion("", "stop"),
}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (completion("\n", "model_length"), "reasoning-used-the-budget"),
        (completion("", "stop", message={"reasoning_details": [{"text": "hm"}]}), "stopped-within-reasoning"),
        (completion("", "unknown", message={"refusal": "no"}), "refusal"),
        (completion("", "end_turn"), "no-text"),
    ],
)
def test_the_reasons_of_other_servers_are_read(server, reply, why):
    server.fault = lambda request: reply
    assert act(policy(server, stop=("\nObservation:",))).info["without_text"] == why


@pytest.mark.parametrize("why", SILENT)
def test_an_answer_without_text_says_why_and_the_summary_what_to_change(server, why):
    server.fault = lambda request: SILENT[why]
    asked = policy(server, stop=("\nObservation:",))
    response = act(asked)
    assert (response.text, response.info["without_text"]) == ("", why)
    assert response.info.get("refusal") == ("I can't help with that." if why == "refusal" else None)
    with pytest.warns(EefWarning) as told:
        asked.close()
    (warning,) = (each.message for each in told if isinstance(each.message, EefWarning))
    assert warning.code == "answers-without-text"
    assert warning.details == {"answers": 1, "reasons": {why: 1}, "advised": True}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked.close()  # once is enough


def test_a_few_answers_without_text_are_told_without_advice(server):
    server.fault = order(SILENT["no-text"])
    asked = policy(server)
    for _ in range(3):
        act(asked)
    with pytest.warns(EefWarning) as told:
        asked.close()
    (warning,) = (each.message for each in told if isinstance(each.message, EefWarning))
    assert warning.details == {"answers": 3, "reasons": {"no-text": 1}, "advised": False}


PARTS = [
    ([{"type": "text", "text": "Action: "}, {"type": "text", "text": "go[east]"}], "Action: go[east]"),
    ([{"type": "thinking", "thinking": "Action: go[west]"}, {"type": "text", "text": "Action: x"}], "Action: x"),
    ([{"type": "reasoning", "text": "Action: go[west]"}, {"type": "output_text", "text": "Action: x"}], "Action: x"),
    ([{"type": "image_url", "image_url": {"url": "data:"}}, "Action: x"], "Action: x"),
    ({"type": "text", "text": "Action: x"}, "Action: x"),
    ([], ""),
    ([{"type": "thinking", "thinking": "Action: go[west]"}], ""),
    ([{"type": "refusal", "refusal": "no"}], ""),
]


@pytest.mark.parametrize(("content", "text"), PARTS)
def test_an_answer_in_parts_is_joined_from_its_texts_alone(server, content, text):
    server.fault = lambda request: completion(content, usage=(9, 12))
    response = act(policy(server))
    assert response.text == text
    if content == PARTS[-1][0]:
        assert response.info["without_text"] == "refusal"


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "thinking"])
def test_what_a_model_thinks_is_not_its_answer(server, field):
    server.fault = lambda request: completion("Action: go[east]", message={field: "Action: go[west]"})
    response = act(policy(server))
    assert (response.text, response.thought) == ("Action: go[east]", "Action: go[west]")


@pytest.mark.parametrize(
    ("content", "fields", "thought"),
    [
        ("go", {"reasoning_details": [{"type": "reasoning.text", "text": "a"}, {"type": "reasoning.encrypted"}]}, "a"),
        ([{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "go"}], {}, "a"),
        ([{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}, {"type": "text", "text": "go"}], {}, "a"),
        ([{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "go"}], {}, ""),
        ("go", {"reasoning": {"effort": "high"}}, ""),
        ("go", {"reasoning_content": 7}, ""),
    ],
)
def test_reasoning_in_parts_is_the_thought(server, content, fields, thought):
    server.fault = lambda request: completion(content, message=fields)
    response = act(policy(server))
    assert (response.text, response.thought) == ("go", thought)


# Lengths


def words(request):
    return sum(len(message["content"].split()) for message in request.body["messages"])


WORDINGS = {
    "code": (400, {"message": "no", "code": "context_length_exceeded"}),
    "type": (400, {"message": "no", "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096}),
    "413": (413, {"message": "no"}),
    "500": (500, {"message": "context shift is disabled"}),
    "negative": (400, {"message": "max_tokens must be at least 1, got -904."}),
    "range": (400, {"message": "Range of input length should be [1, 30720]"}),
    "numbers alone": (422, {"message": "this many tokens can't be: 5000, at most 4096 of them"}),
    "per minute": (429, {"message": "Request too large on tokens per minute (TPM): Limit 6000, Requested 7000"}),
    "unknown words": (400, {"message": "zu lang, so etwas geht hier nicht"}),
    "unknown words with a code": (422, {"message": "输入长度超过限制", "code": "E17"}),
    "no words": (400, {}),
}


@pytest.mark.parametrize("wording", WORDINGS.values(), ids=WORDINGS)
def test_a_conversation_that_is_too_long_is_shortened_whatever_the_server_calls_it(server, wording):
    status, error = wording
    server.fault = lambda request: Reply(status, {"error": error}) if words(request) > 100 else ""
    asked = policy(server)
    conversation = long_conversation(8)
    response = act(asked, conversation)
    assert response.dropped == 7  # of 0, 1, 3, 7 the first that fits
    first = len(server.requests)
    assert act(asked, conversation).dropped == 7
    assert len(server.requests) == first + 1  # what was refused once isn't asked again
    more = (*conversation, Message(role="assistant", content="Action: x"), Message(role="user", content="on"))
    act(asked, more)
    assert len(server.requests) == first + 2


@pytest.mark.slow
def test_what_is_known_of_the_length_changes_no_answer(server):
    """In any order, and from any number of episodes, the same observations are left out."""
    server.fault = lambda request: refusal(400, "prompt is too long") if words(request) > 100 else ""
    conversations = [long_conversation(turns, size) for turns in (2, 5, 9) for size in (10, 21, 40)]

    def dropped(asked, order):
        return {turn: act(asked, turn).dropped for turn in order}

    alone = {turn: act(policy(server), turn).dropped for turn in conversations}
    assert dropped(policy(server), conversations) == dropped(policy(server), conversations[::-1]) == alone
    assert len(set(alone.values())) > 2


def test_a_refusal_of_any_other_kind_is_probed_once_and_stays_what_it_is(server):
    server.fault = order("", *[refusal(400, "no idea")] * 9)
    asked = policy(server, retries=5)
    act(asked)
    found = failure(asked, long_conversation(6), AnswerFailure)
    assert (found.code, len(server.requests)) == ("request-refused", 3)


def test_a_conversation_that_may_not_be_shortened_is_not_probed(server):
    server.fault = lambda request: refusal(400, "no idea")
    assert failure(policy(server, overflow="fail"), long_conversation(6)).code == "request-refused"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens"),
        (400, "Invalid 'stop': array too long. Expected an array with maximum length 4, but got 5 instead."),
        (400, "temperature must be <= 2"),
        (429, "Rate limit reached on tokens per min (TPM): Limit 10000, Used 9500, Requested 700."),
        (429, "Too many requests"),
        (500, "CUDA error: device-side assert triggered"),
        (500, "request exceeded deadline"),
        (401, "exceeded context length"),
    ],
)
def test_other_refusals_are_not_taken_for_lengths(status, message):
    assert not is_too_long(read_error_response(status, json.dumps({"error": {"message": message}}), {}))


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (
            {"message": "maximum context length is 4096 tokens. However, you requested 5000 tokens (4500 in"},
            (5000, 4096),
        ),
        ({"message": "prompt is too long: 210,000 tokens > 200,000 maximum"}, (210000, 200000)),
        ({"message": "no", "n_prompt_tokens": 5000, "n_ctx": 4096}, (5000, 4096)),
        ({"message": "Input is too long for requested model."}, (None, None)),
    ],
)
def test_a_refusals_numbers_are_read(error, found):
    assert sizes(read_error_response(400, json.dumps({"error": error}), {})) == found


@pytest.mark.parametrize(
    "body",
    [
        '{"error": "prompt is too long"}',
        '{"message": "prompt is too long"}',
        '{"detail": "prompt is too long"}',
        '[{"error": {"message": "prompt is too long"}}]',
        '{"detail": [{"loc": ["body", "messages"], "msg": "prompt is too long"}]}',
        '{"error": {"message": "Provider returned error", "metadata": {"raw": "prompt is too long"}}}',
        "prompt is too long",
        "<html><body>prompt is too long</body></html>",
    ],
)
def test_a_reason_is_found_in_whatever_form_it_comes(body):
    assert is_too_long(read_error_response(400, body, {}))


# Fields


def test_a_limit_that_goes_by_another_name_is_sent_under_it(server):
    def fault(request):
        if "max_tokens" in request.body:
            message = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
            return refusal(400, message, code="unsupported_parameter", param="max_tokens")
        return ""

    server.fault = fault
    asked = policy(server)
    act(asked)
    act(asked)
    assert ["max_tokens" in request.body for request in server.requests] == [True, False, False]
    assert server.requests[1].body["max_completion_tokens"] == GREEDY.max_tokens


def test_a_seed_that_is_refused_is_left_out_and_that_is_told(server):
    server.fault = lambda request: (
        Reply(422, {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]})
        if "seed" in request.body
        else ""
    )
    with pytest.warns(EefWarning) as told:
        act(policy(server))
    assert [each.message.code for each in told if isinstance(each.message, EefWarning)] == ["no-seed"]


@pytest.mark.parametrize(
    ("field", "message", "settings"),
    [
        ("temperature", "'temperature' does not support 0.0 with this model. Only the default (1) value", {}),
        ("logprobs", "logprobs is not supported with this model", {"logprobs": True}),
        ("stop", "Unsupported parameter: 'stop'", {"stop": ("x",)}),
        ("top_k", "Unknown parameter: top_k", {"extra": {"top_k": 3}}),
        ("max_tokens", "max_tokens is too large: 64. This model supports at most 32 completion tokens", {}),
    ],
)
def test_a_field_that_decides_about_answers_is_up_to_a_person(server, field, message, settings):
    server.fault = lambda request: refusal(400, message)
    found = failure(policy(server, retries=4, **settings))
    assert (found.code, found.details["field"], len(server.requests)) == ("field-refused", field, 1)


@pytest.mark.parametrize("extra", [{"n": 2}, {"stream": True}, {"messages": []} | {"messages": [1]}, {"model": "x"}])
def test_fields_that_would_make_answers_unreadable_are_refused(server, extra):
    with pytest.raises(ConfigError) as caught:
        policy(server, extra=extra)
    assert (caught.value.code, caught.value.details["field"]) == ("bad-extra-field", next(iter(extra)))


# Costs

DEAR = Prices(input=1.0, output=10.0)


@pytest.mark.parametrize(
    "extra",
    [
        {"max_tokens": None, "max_completion_tokens": 4000},
        {"max_tokens": 4000},
        {"max_tokens": None},
        {"max_new_tokens": 4000},
    ],
)
def test_a_limit_that_is_set_otherwise_is_believed_of_the_counts(server, extra):
    server.fault = lambda request: completion(usage=(50, 1700))
    response = act(policy(server, extra=extra, prices=DEAR))
    assert response.usd == pytest.approx((50 + 17000) / 1e6)


def test_tokens_of_hidden_thoughts_may_exceed_the_limit(server):
    reply = completion(usage=(50, 1700))
    reply.document["usage"]["completion_tokens_details"] = {"reasoning_tokens": 1690}
    server.fault = lambda request: reply
    assert act(policy(server, prices=DEAR)).usd == pytest.approx((50 + 17000) / 1e6)


@pytest.mark.parametrize("usage", [None, (50, 10**12), (50, -1), (None, 3)])
def test_counts_that_are_missing_or_wrong_are_unknown(server, usage):
    server.fault = lambda request: completion(usage=usage)
    asked = policy(server, extra={"max_tokens": None}, prices=DEAR)
    assert act(asked).info["usage"] == "unknown"
    with pytest.warns(EefWarning) as told:
        asked.close()
    (warning,) = (each.message for each in told if isinstance(each.message, EefWarning))
    assert (warning.code, warning.details) == ("unknown-costs", {"answers": 1, "unknown": 1})


def test_answers_that_were_lost_are_paid_for(server):
    server.fault = order(completion("", "error", usage=(9, 30)))
    response = act(policy(server, prices=DEAR))
    whole = act(policy(server, prices=DEAR))
    assert response.usd == pytest.approx(whole.usd + (9 + 300) / 1e6)
    assert response.computed_tokens == whole.computed_tokens + 39
    assert "unknown_requests" not in response.info
    server.fault = lambda request: completion("", "content_filter", usage=(9, 30))
    found = failure(policy(server, prices=DEAR), kind=AnswerFailure)
    assert found.details["usd"] == pytest.approx((9 + 300) / 1e6)


@pytest.mark.parametrize(("fault", "unknown"), [("die", 1), ("garbage", 1), ("429", None), ("500", None)])
def test_lost_requests_of_unknown_cost_are_counted(server, fault, unknown):
    server.fault = order(fault)
    assert act(policy(server)).info.get("unknown_requests") == unknown


@contextlib.contextmanager
def closing_socket():
    """Listen, and close each connection before anything was received."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            with contextlib.suppress(OSError):
                while True:
                    listening.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        listening.shutdown(socket.SHUT_RDWR)


def test_a_server_that_hangs_up_costs_one_answer():
    with closing_socket() as url:
        found = failure(policy(None, base_url=url), kind=AnswerFailure)
    assert (found.code, found.details["attempts"]) == ("connection-lost", 2)
