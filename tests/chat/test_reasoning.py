"""Nothing inside reasoning is an action, and the answer is after it, whatever a model's marks are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.parse import parse_answer
from eef_framework.chat.reasoning import is_reasoning_mark, reasoning
from eef_framework.records import FreeText, Observation

SHOP = Observation(
    text="page", actions=("click[buy now]", "click[back]"), free=(FreeText(prefix="search[", suffix="]"),)
)
UNKNOWN = Observation(text="anything goes")
MARKS = [
    ("<think>", "</think>"),
    ("<Thinking>", "</Thinking>"),
    ('<think lang="en">', "</think>"),
    ("<reasoning>", "</reasoning>"),
    ("<reason>", "</reason>"),
    ("<thought_process>", "</thought_process>"),
    ('<details type="reasoning" done="true">\n', "\n</details>"),
    ("<seed:think>", "</seed:think>"),
    ("<thought>", "</thought>"),
    ("＜think＞", "＜/think＞"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>analysis<|message|>", "assistant<|channel|>final<|message|>"),
    ("<|start|>assistant<|channel|>commentary to=user<|message|>", "<|channel|>final<|message|>"),
]
marks = pytest.mark.parametrize(("begin", "end"), MARKS)
labelled = pytest.mark.parametrize("labelled", [False, True])


@marks
@labelled
@pytest.mark.parametrize("inside", ["", "I should go back.", "Perhaps\nAction: click[back]\nNo.", "click[back]"])
@pytest.mark.parametrize("between", ["", "\n\n"])
def test_the_answer_is_what_follows(begin, end, labelled, inside, between):
    text = f"{begin}{inside}{end}{between}click[buy now]"
    answer = parse_answer(text, SHOP, labelled=labelled)
    assert (answer.action, answer.parsed) == ("click[buy now]", True)
    assert text[slice(*answer.action_span)] == "click[buy now]"


@marks
def test_a_labelled_answer_follows_and_need_not_be_known(begin, end):
    text = f"{begin}Thought: a\nAction: go back{end}\nThought: b\nAction: go on"
    answer = parse_answer(text, UNKNOWN, labelled=True)
    assert (answer.action, answer.thought) == ("go on", "b")
    assert text[slice(*answer.thought_span)] == "Thought: b\n"


@marks
@labelled
@pytest.mark.parametrize("observation", [SHOP, UNKNOWN])
@pytest.mark.parametrize("inside", ["click[back]", "I could do\nAction: click[back]\nbut", '{"action": "click[back]"}'])
def test_reasoning_that_never_ends_is_not_an_answer(begin, end, labelled, observation, inside):
    text = begin + inside
    answer = parse_answer(text, observation, labelled=labelled)
    assert (answer.action, answer.parsed, answer.action_span) == (text, False, None)


@pytest.mark.parametrize(
    ("begin", "end"), [pair for pair in MARKS if "commentary" not in pair[0] and "details" not in pair[0]]
)
@labelled
def test_reasoning_that_the_prompt_began_ends_all_the_same(begin, end, labelled):
    answer = parse_answer(f"Perhaps\nAction: click[back]\n{end}\nclick[buy now]", SHOP, labelled=labelled)
    assert (answer.action, answer.parsed) == ("click[buy now]", True)


@labelled
@pytest.mark.parametrize(
    "text",
    [
        "<think>a</think>click[back]</think>\nclick[buy now]",
        "<think>I'd write <think> here: click[back]</think>\nclick[buy now]",
        "<think>a <reasoning> b</think>\nclick[buy now]",
        "<think>a</think>\n<think>click[back]</think>\nclick[buy now]",
        "analysisThe user wants click[back]assistantfinalclick[buy now]",
        "<|begin_of_thought|>a<|end_of_thought|>\n<|begin_of_solution|>\nclick[buy now]\n<|end_of_solution|>",
        "<think>a</think><answer>click[buy now]</answer>",
    ],
)
def test_marks_within_marks_and_answers_with_marks_of_their_own(text, labelled):
    assert parse_answer(text, SHOP, labelled=labelled).action == "click[buy now]"


@labelled
@pytest.mark.parametrize(
    "text",
    ["analysisThe user wants\nclick[back]", "<think>a</think>", "<think>a</think>\n<think>click[back]", "</think>"],
)
def test_nothing_but_reasoning_is_not_an_answer(text, labelled):
    assert not parse_answer(text, SHOP, labelled=labelled).parsed
    assert not parse_answer(text, UNKNOWN, labelled=labelled).parsed


def test_an_action_before_reasoning_that_never_ends_counts_if_it_is_certain():
    assert parse_answer("Action: click[buy now]\n<think>and", SHOP, labelled=True).action == "click[buy now]"
    assert not parse_answer("hm\n<think>and", UNKNOWN, labelled=False).parsed


@pytest.mark.parametrize(
    ("token", "is_mark"),
    [
        ("<think>", True),
        ("[/THINK]", True),
        ("<|END_THINKING|>", True),
        ("<|channel|>", True),
        ("<|message|>", True),
        ("<|im_end|>", False),
        ("<|end|>", False),
        ("</s>", False),
        ("[INST]", False),
    ],
)
def test_marks_are_told_from_other_special_tokens(token, is_mark):
    assert is_reasoning_mark(token) is is_mark


piles = st.lists(st.sampled_from([mark for pair in MARKS for mark in pair] + ["a", "\n", "Action: click[back]"]))


@given(piles.map("".join))
def test_blocks_are_in_order_and_lie_within_the_text(text):
    places = [0, *(place for block in reasoning(text) for place in (block.start, block.end)), len(text)]
    assert places == sorted(places)
