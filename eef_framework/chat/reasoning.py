"""Finds reasoning in an answer: `<think>...</think>` and its equivalents for other models."""

from __future__ import annotations

import re
from typing import NamedTuple

from eef_framework.chat.spelling import plain

_TAGS = (
    r"(?:\w{1,20}:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad"
    r"|(?:think|thought|thinking|reasoning)_process|cot|chain_of_thought|(?:inner|internal)_monologue)"
)
_FINAL = (
    r"(?:<\|(?:end|call|return)\|>\s{0,5})?(?:<\|start\|>\s{0,5})?(?:assistant\s{0,5})?"
    r"<\|channel\|>\s{0,5}final[^<\n]{0,200}<\|message\|>"
)
_MARK = re.compile(
    r"(?=[<\[◁a])(?:"  # most positions don't match and need no further checks
    rf"(?P<final>{_FINAL})"
    r"|(?P<channel>(?:<\|start\|>\s{0,5}assistant\s{0,5})?<\|channel\|>\s{0,5}(?:analysis|commentary))"
    r"|<(?P<details>details)\s[^<>\n]{0,100}\breasoning\b[^<>\n]{0,100}>|<(?P<details_end>/details)>"
    rf"|<\s?(?P<tag_end>/?)\s?(?P<tag>{_TAGS})(?:\s[^<>\n]{{0,100}})?>"
    r"|\[\s?(?P<square_end>/?)\s?(?P<square>think(?:ing)?)\s?\]"
    r"|◁\s?(?P<kimi_end>/?)\s?(?P<kimi>think(?:ing)?)\s?▷"
    r"|<\s?\|(?P<special>[^|<>\n]{1,40})\|>"
    r"|(?P<gemma><\|channel>)|(?P<gemma_end><channel\|>))",
    re.IGNORECASE,
)
_ABOUT_REASONING = re.compile(r"think|thought|reasoning", re.IGNORECASE)
_ENDS = re.compile(r"end|/", re.IGNORECASE)
_WITHOUT_MARKS = re.compile(r"\s*analysis(?=[A-Z])")
_THEN_FINAL = "assistantfinal"


class Block(NamedTuple):
    """A part of an answer that is reasoning, marks included."""

    start: int
    end: int
    closed: bool = True
    thought: bool = False
    """Whether it is marked as a thought, which makes it the turn's thought."""


class _Mark(NamedTuple):
    kind: str
    opens: bool


def is_reasoning_mark(token: str) -> bool:
    """Return whether a special token begins or ends reasoning, so that an answer can't be parsed without it."""
    found = _MARK.fullmatch(token)
    return token in ("<|channel|>", "<|message|>") or (found is not None and _meaning(found) is not None)


def reasoning(text: str) -> list[Block]:
    """Find reasoning in an answer, in order.

    If an end mark has no begin mark (many templates put it in the prompt), everything before it is reasoning. Reasoning
    without an end mark extends to the end.

    Args:
        text: the answer, as `chat.spelling.plain` writes it.
    """
    if begun := _WITHOUT_MARKS.match(text):  # Harmony of a server that leaves special tokens out
        end = text.find(_THEN_FINAL, begun.end())
        return [Block(0, len(text) if end < 0 else end + len(_THEN_FINAL), closed=end >= 0)]
    blocks: list[Block] = []
    open_kind, start = "", 0
    for found in _MARK.finditer(text):
        mark = _meaning(found)
        if mark is None:
            continue
        if not open_kind and mark.opens:
            open_kind, start = mark.kind, found.start()
        elif not open_kind and mark.kind != "details":  # a folded part of another kind has the same end
            blocks = [Block(0, found.end())]
        elif mark.kind == open_kind and not mark.opens:
            blocks.append(Block(start, found.end(), thought=open_kind.startswith("thought")))
            open_kind = ""
    if open_kind:
        blocks.append(Block(start, len(text), closed=False))
    return blocks


def without(text: str, blocks: list[Block]) -> str:
    """Return a text of the same length, with each block replaced by spaces and a line end."""
    parts: list[str] = []
    done = 0
    for block in blocks:
        parts += [text[done : block.start], " " * (block.end - block.start - 1), "\n"]
        done = block.end
    return "".join([*parts, text[done:]])


def without_reasoning(text: str) -> str:
    """Return an answer without its reasoning. Of reasoning that doesn't end, nothing is an answer."""
    return without(text, reasoning(plain(text))).strip()


def _meaning(found: re.Match[str]) -> _Mark | None:
    """Return what a mark begins or ends; None for a special token with another meaning."""
    if found["final"] or found["channel"]:
        return _Mark("channel", opens=not found["final"])
    if found["gemma"] or found["gemma_end"]:
        return _Mark("gemma", opens=bool(found["gemma"]))
    if found["details"] or found["details_end"]:
        return _Mark("details", opens=bool(found["details"]))
    for kind in ("tag", "square", "kimi"):
        if found[kind]:
            return _Mark(found[kind].lower(), opens=not found[f"{kind}_end"])
    if not _ABOUT_REASONING.search(found["special"]):
        return None
    return _Mark("special", opens=not _ENDS.search(found["special"]))
