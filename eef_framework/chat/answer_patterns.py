"""Patterns of answers: labels, marks, quotes and phrases, in several languages."""

from __future__ import annotations

import re

ACTIONS = "action|动作|動作|行动|行動|操作|アクション|행동|동작|acción|ação|azione|aktion|действие"
THOUGHTS = (
    "thoughts?|thinking|reasoning|思考|想法|思路|推理|思维|思維|考え|생각|pensamiento|pensamento|pensée|pensiero|gedanke"
    "|мысль"
)
OBSERVATIONS = "observations?|观察结果|观察|觀察|観察|관찰|observación|observação|osservazione|beobachtung|наблюдение"
INPUTS = rf"(?:{ACTIONS})[ \t_]?(?:inputs?|输入|輸入|入力|입력)"
WRAPPERS = r"</?(?:answer|response|output|solution|final_answer|turn|s)>|<\|[^|<>\n]{1,40}\|>"
NUMBER = r"(?:[#(\[]?\d{1,6}[)\]]?[ \t]*+)?"
LABEL = re.compile(
    rf"^(?P<before>(?:[ \t>*_#-]|{WRAPPERS})*+(?:\d{{1,3}}[.)][ \t]*+)?[*_]*+)"
    r"(?:(?:next|final|my|the|chosen|selected|best|current)[ \t]++)?"
    rf"(?:(?P<input>{INPUTS})|(?P<action>{ACTIONS})|(?P<thought>{THOUGHTS})|(?P<observation>{OBSERVATIONS}))"
    rf"[ \t]*+{NUMBER}(?:(?P<colon>[*_]*+[ \t]*+:[*_ \t]*+)|(?P<alone>[*_#]*+)[ \t]*+$)"
    rf"|<(?:(?P<input_tag>{INPUTS})|(?P<action_tag>act|{ACTIONS})|(?P<observation_tag>{OBSERVATIONS}))>",
    re.IGNORECASE | re.MULTILINE,
)
WITHIN_LINE = re.compile(
    rf"(?=[aA动動行操アД행동д])(?<![a-z])(?:{ACTIONS})[ \t]*+{NUMBER}[*_]*+[ \t]*+:[*_ \t]*+", re.IGNORECASE
)
THOUGHT = re.compile(
    rf"[\s>*_#-]*+(?:\d{{1,3}}[.)][ \t]*+)?[*_]*+(?:{THOUGHTS})[ \t]*+{NUMBER}"
    r"(?:[*_]*+[ \t]*+:[*_ \t]*+|[*_#]*+[ \t]*+\n)",
    re.IGNORECASE,
)
THOUGHT_TAG = re.compile(r"</?\s?thoughts?(?:\s[^<>\n]{0,100})?>|" + WRAPPERS, re.IGNORECASE)
FENCE = re.compile(r"^[ \t]*+```[\w-]*+[ \t]*+$", re.MULTILINE)
MARK = re.compile(rf"{WRAPPERS}|</(?:{INPUTS}|act|{ACTIONS})>", re.IGNORECASE)
MARKS = re.compile(rf"(?:\s|{WRAPPERS})*+", re.IGNORECASE)
LONGEST_MARK = 44
REST = re.compile(
    rf"(?:[\s`\"'“”‘’「」*_.!;,…。！；，}})\]】］）]|```\w*+|{WRAPPERS}|</?[^\W\d]\w{{0,20}}>)*+\Z", re.IGNORECASE
)
PLACEHOLDER = re.compile(
    r"[.…\s]*+|[|>][+-]?|<[^<>]*+>|\[(?:the |your |my )?(?:next )?action[^\[\]]*+\]", re.IGNORECASE
)
QUOTES = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "*": "*"}
PUNCTUATION = ".!;,。！；， \t"
ACTION_KEY = re.compile(rf'"(?:{ACTIONS})"\s*+:', re.IGNORECASE)
THOUGHT_KEY = re.compile(rf'"(?:{THOUGHTS})"\s*+:', re.IGNORECASE)
STRUCTURE = re.compile(r"[{<]\s*+[\"'/\w]|\{\s*+$|\[\s*+\{", re.MULTILINE)
LINE = re.compile(r"[^\n]++")
OBJECT = re.compile(r"^[ \t]*+\{", re.MULTILINE)
BRACKETED = re.compile(r"[^\W\d]\w{0,30}[ \t]?\[")
FILLER = re.compile(
    "i|we|you|ll|d|m|will|would|should|shall|must|want|need|am|are|is|be|going|to|let|me|us|s|now|next|then|so|first"
    "|please|the|best|my|action|take|do|use|try|perform|execute|choose|and|ok|okay|therefore|thus"
)
"""Phrases that introduce an action."""
LABELS_TRIED = 8
"""Maximum number of labels within lines to try; more occur only in answers that loop."""
LONGEST_SENTENCE = 500
"""Longest line searched for an action among other words, in characters."""


def kind_of(label: re.Match[str]) -> str:
    """Return what a label marks: `input`, `action`, `thought` or `observation`."""
    kinds = ("input", "action", "thought", "observation")
    return next(kind for kind in kinds if label[kind] or (kind != "thought" and label[f"{kind}_tag"]))


def is_clear(label: re.Match[str]) -> bool:
    """Return whether a label is unambiguous: with a colon, as a heading, in bold or as a tag."""
    marked = label["alone"] is not None and (
        "#" in label["before"] or ("**" in label["before"] and "**" in label["alone"])
    )
    return bool(label["colon"]) or label["alone"] is None or marked
