import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.parse import parse_answer
from eef_framework.records import FreeText, Observation

SHOP = Observation(
    text="a page",
    actions=("click[buy now]", "click[next >]", "click[Item-1]"),
    free=(FreeText(prefix="search[", suffix="]"),),
)
HOUSE = Observation(text="a room", actions=("open door to kitchen", "look around"))
UNKNOWN = Observation(text="anything goes")
WORDS = Observation(
    text="a chat",
    actions=("wait",),
    free=(
        FreeText(prefix="say ", suffix=""),
        FreeText(prefix="put ", suffix=" down"),
        FreeText(prefix="(", suffix=")"),
    ),
)
ANY = Observation(text="a page", actions=(), free=(FreeText(prefix="", suffix=""),))


def said(text, observation=SHOP, labelled=True):
    answer = parse_answer(text, observation, labelled=labelled)
    return answer.action, answer.thought, answer.parsed


@pytest.mark.parametrize(
    ("text", "action", "thought"),
    [
        ("Thought: it fits\nAction: click[buy now]", "click[buy now]", "it fits"),
        ("thought: it fits\naction: click[buy now]", "click[buy now]", "it fits"),
        ("**Thought:** it fits\n**Action:** click[buy now]", "click[buy now]", "it fits"),
        ("Thought: it fits\nAction: `click[buy now]`", "click[buy now]", "it fits"),
        ('Action: "click[buy now]".', "click[buy now]", ""),
        ("Action:\n```\nclick[buy now]\n```", "click[buy now]", ""),
        ("thought: it fits\naction: |-\n  click[buy now]", "click[buy now]", "it fits"),
        ("```text\nThought: it fits\nAction: click[buy now]\n```", "click[buy now]", "it fits"),
        ("Action: Click[ Buy  Now ]", "click[buy now]", ""),
        ("Action: click[item-1]", "click[Item-1]", ""),
        ("Action: click[next >] because it isn't here", "click[next >]", ""),
        ("Action: search[ red shirt ]", "search[red shirt]", ""),
        ("Action: SEARCH [red shirt]", "search[red shirt]", ""),
        ("Action: search[action: figure]", "search[action: figure]", ""),
        ("Thought: Action: what? Action: click[buy now]", "click[buy now]", "Action: what?"),
        ("Action: click[next >]\nAction: click[buy now]", "click[next >]", ""),
        ("Action: click[buy now]\nAction:", "click[buy now]", ""),
        ("Thought: a\nAction: click[next >]\nObservation: page 2\nAction: click[buy now]", "click[next >]", "a"),
        ("click[buy now]", "click[buy now]", ""),
        ("Action: click[nowhere]", "click[nowhere]", ""),
    ],
)
def test_an_action_is_found_however_it_is_dressed(text, action, thought):
    assert said(text) == (action, thought, True)


@pytest.mark.parametrize(
    ("text", "action", "thought"),
    [
        ("Thought：先看看\nAction：search[red shoes]", "search[red shoes]", "先看看"),
        ("思考：x\n行动：click[buy now]", "click[buy now]", "x"),
        ("**想法：** x\n**动作**：click［buy now］", "click[buy now]", "x"),
        ("Action: search【red shoes】", "search[red shoes]", ""),
        ("ＡＣＴＩＯＮ： ｃｌｉｃｋ［ｂｕｙ　ｎｏｗ］", "click[buy now]", ""),
        ("### Thought\nx\n### Action\nclick[Buy Now]", "click[buy now]", "x"),
        ("**Thought**\nx\n**Action**\nclick[buy now]", "click[buy now]", "x"),
        ("Thought 1: x\nAction 1: click[buy now]", "click[buy now]", "x"),
        ("1. Thought: x\n2. Action: click[buy now]", "click[buy now]", "x"),
        ("Thought: x\nNext action: click[buy now]", "click[buy now]", "x"),
        ("Thought: x\nAction : click[buy now]", "click[buy now]", "x"),
        ("Action\nclick[buy now]", "click[buy now]", ""),
        ("**Action: click[buy now]**", "click[buy now]", ""),
        ("**Action: click[nowhere]**", "click[nowhere]", ""),
        ("Action: Action: click[buy now]", "click[buy now]", ""),
        ('{"thought": "x", "action": "click[buy now]"}', "click[buy now]", "x"),
        ('```json\n{"Action": "Click[Buy now]", "Thought": "x"}\n```', "click[buy now]", "x"),
        ('{"action": "search", "action_input": "red shoes"}', "search[red shoes]", ""),
        ('{"action": {"name": "search", "query": "red shoes"}}', "search[red shoes]", ""),
        ('Thought: x\nAction:\n```json\n{"action": "click[buy now]"}\n```', "click[buy now]", "x"),
        ('<tool_call>\n{"name": "search", "arguments": {"query": "red shoes"}}\n</tool_call>', "search[red shoes]", ""),
        ("<action>click[buy now]</action>", "click[buy now]", ""),
        ("<thought>x</thought><action>click[buy now]</action>", "click[buy now]", "x"),
        ("<thought>x</thought>\n<action>click[buy now]", "click[buy now]", "x"),
        ("Thought: x\nAction: search\nAction Input: red shoes", "search[red shoes]", "x"),
        ('Thought: x\nAction: click\nAction Input: {"item": "buy now"}', "click[buy now]", "x"),
        ("Action: click[buy now]\nAction Input: none", "click[buy now]", ""),
        ("Action: I will click[buy now].", "click[buy now]", ""),
        ("Action: \\boxed{click[buy now]}", "click[buy now]", ""),
        ("<answer>click[buy now]</answer>", "click[buy now]", ""),
        ("I'll buy it.\n\nclick[buy now]", "click[buy now]", "I'll buy it."),
        ("Action: click[buy now]<|im_end|>\n<|im_start|>user\nDone", "click[buy now]", ""),
        ("\u200fAction\u200b:\u00a0click[buy\u00a0now]\u200f\0", "click[buy now]", ""),
        ("Answer like this:\nThought: ...\nAction: ...\nThought: x\nAction: click[buy now]", "click[buy now]", None),
    ],
)
def test_other_forms_are_read_where_they_are_certain(text, action, thought):
    read = said(text)
    assert (read[0], read[2]) == (action, True)
    if thought is not None:
        assert read[1] == thought


@pytest.mark.parametrize(
    "text",
    [
        "{'action': 'click[buy now]'}",
        '{"action": "click[next >]", "action": "click[buy now]"}',
        '{"action": "fly", "action_input": "home"}',
        '{"action": {"name": "search", "query": "red", "page": "2"}}',
        '{"plan": ["click[next >]", "click[buy now]"]}',
        "Thought: x\nAction: fly\nAction Input: home",
        "I could:\nclick[next >]\nclick[buy now]",
        "I won't use click[buy now] here",
        "reaction: click[buy now] was good",
        "Thought: x\nAction: <action>",
        "Action: ...",
        "Thought: I see two. Action: one Action: two",
    ],
)
def test_what_is_not_certain_is_unparsed(text):
    assert said(text) == (text, "", False)


@pytest.mark.parametrize("text", ["<tool_call>\nfoo", '{"name": "x"}', "{'action': 'go'}", "<function=go>"])
def test_markup_is_not_an_action_in_the_style_action(text):
    assert said(text, UNKNOWN, labelled=False) == (text, "", False)


@pytest.mark.parametrize(
    "text", ["Action: I will not click[buy now]", "Action: I will click[next >] or click[buy now]", "Action: buy it"]
)
def test_a_labelled_sentence_that_could_mean_several_things_is_taken_literally(text):
    assert said(text) == (text.removeprefix("Action: "), "", True)


@pytest.mark.parametrize(
    "text",
    [
        "Thought: a\nAction: search[lamp]\nObservation: page\nThought: b\nAction: click[buy now]",
        "Thought: a\nAction: search[lamp]\nThought: b\nAction: click[buy now]",
        "Thought: a\nAction: search[lamp]\n\nThen I'd buy it.\n\nAction: click[buy now]",
        "Thought: a\nAction: search[lamp] and then click[buy now]",
        "Thought: a\nAction: search[lamp]\nclick[buy now]",
        'Thought: a\nAction: search[lamp]\n{"action": "click[buy now]"}',
        "Thought: a\n<action>search[lamp]</action><action>click[buy now]</action>",
        "Observation: my page\nThought: a\nAction: search[lamp]\nObservation: page",
    ],
)
def test_of_several_actions_the_first_is_taken_and_nothing_after_it_is_part_of_the_turn(text):
    answer = parse_answer(text, SHOP, labelled=True)
    assert (answer.action, answer.thought) == ("search[lamp]", "a")
    assert text[slice(*answer.thought_span)] == "Thought: a\n"
    assert text[slice(*answer.action_span)].removesuffix("</action>") in (
        "Action: search[lamp]",
        "<action>search[lamp]",
    )


def test_a_spelling_that_could_be_two_actions_is_neither():
    state = Observation(text="", actions=("go[North]", "go[north]"))
    assert said("GO[NORTH]", state) == ("GO[NORTH]", "", False)


@pytest.mark.parametrize("text", ["Action: Open door to kitchen.", "Action: open  door to  kitchen"])
def test_an_action_in_words_gets_its_admissible_spelling(text):
    assert parse_answer(text, HOUSE, labelled=True).action == "open door to kitchen"


@pytest.mark.parametrize(
    ("text", "state", "action"),
    [
        ("Action: Say  hello to Bob.", WORDS, "say hello to Bob."),
        ("Action: put  the lamp  DOWN", WORDS, "put the lamp down"),
        ("Action: ( x )", WORDS, "(x)"),
        ("Action: wait.", WORDS, "wait"),
        ("Action: whatever it takes", ANY, "whatever it takes"),
        ("whatever it takes", ANY, "whatever it takes"),
    ],
)
def test_forms_without_brackets_and_without_any_sign_are_read(text, state, action):
    assert said(text, state) == (action, "", True)


def test_an_exact_spelling_goes_before_a_similar_one():
    state = Observation(text="", actions=("go[North]", "go[north]"))
    assert parse_answer("Action: go[north]", state, labelled=True).action == "go[north]"


def test_words_of_a_free_form_are_not_torn_apart():
    state = Observation(text="", actions=(), free=(FreeText(prefix="put ", suffix=" down"),))
    assert parse_answer("Action: Put the lamp down", state, labelled=True).action == "put the lamp down"
    assert parse_answer("Action: putting it down", state, labelled=True).action == "putting it down"


def test_without_known_actions_brackets_are_tidied_and_nothing_else():
    assert parse_answer("Action: search[ Red Shirt ]", UNKNOWN, labelled=True).action == "search[Red Shirt]"


def test_an_answer_without_label_is_unparsed_unless_it_is_admissible():
    assert said("I would buy it") == ("I would buy it", "", False)
    assert parse_answer("click[ buy now ]", SHOP, labelled=True).parsed


def test_in_style_action_the_first_line_is_the_action():
    assert parse_answer("look at this\nand that", UNKNOWN, labelled=False).action == "look at this"
    assert parse_answer("search[action: figure]", UNKNOWN, labelled=False).action == "search[action: figure]"


@pytest.mark.parametrize("text", ["", "  \n ", "```\n```", "`", "Action:", "Thought: x\nAction: ``"])
def test_an_empty_answer_is_unparsed(text):
    assert said(text) == (text, "", False)


fragments = st.sampled_from(
    [
        *("Action:", "Thought:", "Observation:", "Action Input:", "行动：", "### Action", "**Action**", "<action>"),
        *(
            "</action>",
            "<think>",
            "</think>",
            "[THINK]",
            "<|channel|>analysis<|message|>",
            "<|im_end|>",
            '{"action": "',
        ),
        *(
            '"}',
            "\n",
            " ",
            "[",
            "]",
            "【",
            "】",
            "```",
            "`",
            '"',
            "**",
            "click[buy now]",
            "search[",
            ".",
            "x",
            "\0",
            "\ud800",
        ),
    ]
)
anything = st.text(st.characters(exclude_categories=())) | st.lists(fragments).map("".join)


def letters(text):
    return "".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))


@given(anything, st.booleans(), st.sampled_from([SHOP, HOUSE, UNKNOWN, WORDS, ANY]))
def test_whatever_the_answer_the_action_stands_where_it_is_said_to_and_never_in_reasoning(text, labelled, observation):
    answer = parse_answer(text, observation, labelled=labelled)
    if not answer.parsed:
        assert (answer.action, answer.thought, answer.action_span, answer.thought_span) == (text, "", None, None)
        return
    start, end = answer.action_span
    assert 0 <= start < end <= len(text)
    assert answer.thought_span is None or (0 <= answer.thought_span.start < answer.thought_span.end == start)
    outside = list(text)
    for block in answer.reasoning:
        outside[block.start : block.end] = "\n" * (block.end - block.start)
    turn = "".join(outside[start:end])
    if "input" not in turn.casefold() and "\\" not in turn:  # there, an action is put together
        assert letters(answer.action) in letters(turn)
    if answer.reasoning:
        assert not any(
            block.start < (answer.thought_span or answer.action_span).start < block.end for block in answer.reasoning
        )


queries = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp"), exclude_characters="[]【】〔〕〖〗［］")
)


@given(queries.map(str.strip).filter(bool), st.booleans(), st.sampled_from(["react", "action"]))
def test_a_well_formed_answer_is_read_back_whole(query, thinks, style):
    format = ChatFormat(style=style)
    action = f"search[{query}]"
    text = format.answer(action, "it fits" if thinks else "")
    answer = format.parse(text, SHOP)
    if answer.reasoning:  # the query spells a mark
        return
    assert answer.action == action
    thought_end = len("Thought: it fits\n") if thinks and style == "react" else 0
    assert answer.action_span == (thought_end, len(text))


@given(st.sampled_from(SHOP.actions), st.text(alphabet="abc .,!\n", max_size=30))
def test_every_admissible_action_is_read_after_any_thought(action, thought):
    assert said(f"Thought: {thought}\nAction: {action}") == (action, thought.strip(), True)
