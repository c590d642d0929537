"""Files of tokens for `eef serve`."""

from __future__ import annotations

from pathlib import Path

import pytest
from eef_serve.command import _tokens

from eef_framework.errors import ConfigError

TOKEN = "a-token-of-the-tests"


def test_a_file_of_tokens_has_a_line_for_each_client(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"# clients\n\nme {TOKEN}\n  # others\n\tyou\t{TOKEN}2\n")
    assert _tokens(tmp_path / "tokens") == {"me": TOKEN, "you": f"{TOKEN}2"}


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"# nobody",
        TOKEN.encode(),
        f"me {TOKEN} x".encode(),
        f"me {TOKEN}\nme {TOKEN}2".encode(),
        f"me {TOKEN}\nyou {TOKEN}".encode(),  # they would share their sessions
        b"me short",
        f"me {TOKEN}".encode("utf-16"),
        f"me {TOKEN}".encode() + b"\xff",
    ],
)
def test_a_file_of_tokens_with_a_mistake_is_refused(tmp_path: Path, lines: bytes) -> None:
    (tmp_path / "tokens").write_bytes(lines)
    with pytest.raises(ConfigError) as caught:
        _tokens(tmp_path / "tokens")
    assert caught.value.code == "bad-token"
