"""Whatever form a key stands in, it is not told."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework import redaction
from eef_framework.errors import EefError, EefWarning
from eef_framework.redaction import redact, redacted, register_secret

KEY = "zq-V3RY/s3cret+Key=9\\x"
FORMS = {
    "plain": str,
    "repr": lambda key: repr(f"Bearer {key}\r".encode()),
    "json": lambda key: json.dumps({"authorization": key}),
    "url": quote,
    "url, all of it": lambda key: quote(key, safe=""),
    "form": quote_plus,
    "html": html.escape,
    "hex": lambda key: key.encode().hex(),
    "basic auth": lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
    "basic auth without user": lambda key: base64.b64encode(f":{key}".encode()).decode(),
    "base64 for urls": lambda key: base64.urlsafe_b64encode(f"ab{key}cd".encode()).decode(),
    "in an address": lambda key: f"http://me:{quote(key, safe='')}@host/v1",
}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(redaction, "_known", set())


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("from_where", ["registered", "environment"])
def test_no_form_of_a_key_is_left(form, from_where, monkeypatch):
    if from_where == "registered":
        register_secret(f" {KEY}\r\n")
    else:
        monkeypatch.setenv("SOME_API_KEY", f"{KEY}\n")
    shown = redact(f"before {form(KEY)} after")
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert form(KEY)[:12] not in shown.replace("authorization", "")
    assert "s3cret" not in shown


@given(st.text(st.characters(codec="utf-8"), min_size=8, max_size=40), st.binary(max_size=5), st.binary(max_size=5))
def test_no_encoded_key_can_be_decoded_from_what_is_left(key, before, after):
    key = key.strip()
    if len(key) < 8:
        return
    redaction._known.clear()
    register_secret(key)
    data = key.encode()
    shown = redact(base64.b64encode(before + data + after).decode())
    assert data[3:-3] not in base64.b64decode(shown.replace("***", "") + "===")
    assert key not in redact(f"x{key}y")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Illegal header value b'Bearer abcdef\\r'", "Illegal header value b'Bearer ***\\r'"),
        ("http://user:pw@proxy:3128 failed", "http://***@proxy:3128 failed"),
        ("Incorrect API key provided: sk-proj-abcdefghijklmnop.", "Incorrect API key provided: ***"),
        ("the task is: go to http://host/a:b", "the task is: go to http://host/a:b"),
        ("a bearer bond", "a bearer ***"),
        ("--set expert.api_key=abcdefgh12 is unknown", "--set expert.api_key=*** is unknown"),
        ('{"password": "abcdefgh12", "x": 1}', '{"password": "***", "x": 1}'),
        ("https://host/v1?key=abcdefgh12&alt=json", "https://host/v1?key=***&alt=json"),
        ("x-api-key: abcdefgh12 was refused", "x-api-key: *** was refused"),
        ("key AIzaSyAbcdefghijklmnopqrstuvw is wrong", "key *** is wrong"),
        ("token ghp_abcdefghijklmnopqrstuvw", "token ***"),
        ("what?key=short", "what?key=short"),
        ("api_key_env=OPENAI_API_KEY", "api_key_env=OPENAI_API_KEY"),
        ("max_tokens=400000, tokenizer='some-model'", "max_tokens=400000, tokenizer='some-model'"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text, shown):
    assert redact(text) == shown


def test_passwords_of_proxies_are_secrets(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter%2B2@proxy:3128")
    assert "hunter" not in redact("407: me / hunter+2 / hunter%2B2")


@pytest.mark.parametrize("placeholder", ["none", "EMPTY", "k"])
def test_placeholders_are_no_secrets(placeholder, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", placeholder)
    register_secret(placeholder)
    assert redact(f"{placeholder} is kept") == f"{placeholder} is kept"


def test_paths_in_variables_with_such_names_are_no_secrets(monkeypatch):
    monkeypatch.setenv("SSH_AUTH_SOCK", "/tmp/agent.123")
    assert redact("/tmp/agent.123") == "/tmp/agent.123"


def test_errors_and_warnings_hide_secrets_in_words_fixes_and_details():
    register_secret(KEY)
    error = EefError(f"a {KEY}", f"b {KEY}", url=f"c {KEY}", known=[KEY], count=3)
    assert (error.message, error.fix, error.args) == ("a ***", "b ***", ("a ***",))
    assert error.details == {"url": "c ***", "known": ["***"], "count": 3}
    warning = EefWarning(f"a {KEY}", url=KEY)
    assert (str(warning), warning.details) == ("a ***", {"url": "***"})
    assert redacted((KEY, {"x": KEY})) == ("***", {"x": "***"})
