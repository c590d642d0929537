import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.parse import Answer, parse_answer
from eef_framework.records import FreeText, Observation

SHOP = Observation(
    text="a page",
    actions=("click[buy now]", "click[next >]", "click[Item-1]"),
    free=(FreeText(prefix="search[", suffix="]"),),
)
HOUSE = Observation(text="a room", actions=("open door to kitchen", "look around"))
UNKNOWN = Observation(text="anything goes")


@pytest.mark.parametrize(
    ("text", "action", "thought"),
    [
        ("Thought: it fits\nAction: click[buy now]", "click[buy now]", "it fits"),
        ("thought: it fits\naction: click[buy now]", "click[buy now]", "it fits"),
        ("**Thought:** it fits\n**Action:** click[buy now]", "click[buy now]", "it fits"),
        ("Thought: it fits\nAction: `click[buy now]`", "click[buy now]", "it fits"),
        ('Action: "click[buy now]".', "click[buy now]", ""),
        ("Action:\n```\nclick[buy now]\n```", "click[buy now]", ""),
        ("```text\nThought: it fits\nAction: click[buy now]\n```", "click[buy now]", "it fits"),
        ("Action: Click[ Buy  Now ]", "click[buy now]", ""),
        ("Action: click[item-1]", "click[Item-1]", ""),
        ("Action: click[next >] because it isn't here", "click[next >]", ""),
        ("Action: search[ red shirt ]", "search[red shirt]", ""),
        ("Action: SEARCH [red shirt]", "search[red shirt]", ""),
        ("Action: search[action: figure]", "search[action: figure]", ""),
        ("Thought: Action: what? Action: click[buy now]", "click[buy now]", "Action: what?"),
        ("Action: click[next >]\nAction: click[buy now]", "click[buy now]", "Action: click[next >]"),
        ("Action: click[buy now]\nAction:", "click[buy now]", ""),
        ("Thought: a\nAction: click[next >]\nObservation: page 2\nAction: click[buy now]", "click[next >]", "a"),
        ("click[buy now]", "click[buy now]", ""),
        ("Action: click[nowhere]", "click[nowhere]", ""),
    ],
)
def test_an_action_is_found_however_it_is_dressed(text, action, thought):
    assert parse_answer(text, SHOP, labelled=True) == Answer(action=action, thought=thought)


@pytest.mark.parametrize("text", ["Action: Open door to kitchen.", "Action: open  door to  kitchen"])
def test_an_action_in_words_gets_its_admissible_spelling(text):
    assert parse_answer(text, HOUSE, labelled=True).action == "open door to kitchen"


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
    assert parse_answer("I would buy it", SHOP, labelled=True) == Answer(action="I would buy it", parsed=False)
    assert parse_answer("click[ buy now ]", SHOP, labelled=True).parsed


def test_in_style_action_the_first_line_is_the_action():
    assert parse_answer("look at this\nand that", UNKNOWN, labelled=False).action == "look at this"
    assert parse_answer("search[action: figure]", UNKNOWN, labelled=False).action == "search[action: figure]"


@pytest.mark.parametrize("text", ["", "  \n ", "```\n```", "`", "Action:", "Thought: x\nAction: ``"])
def test_an_empty_answer_is_unparsed(text):
    assert parse_answer(text, SHOP, labelled=True) == Answer(action=text, parsed=False)


@given(st.text(), st.booleans())
def test_no_text_breaks_the_parser(text, labelled):
    for observation in (SHOP, HOUSE, UNKNOWN):
        assert isinstance(parse_answer(text, observation, labelled=labelled).action, str)


fragments = st.sampled_from(
    [
        "Action:",
        "Thought:",
        "Observation:",
        "\n",
        " ",
        "[",
        "]",
        "```",
        "`",
        '"',
        "**",
        "click[buy now]",
        "search[",
        ".",
        "x",
    ]
)


@given(st.lists(fragments).map("".join), st.booleans())
def test_no_pile_of_labels_and_brackets_breaks_the_parser(text, labelled):
    answer = parse_answer(text, SHOP, labelled=labelled)
    assert answer.parsed or answer.action == text


@given(st.sampled_from(SHOP.actions), st.text(alphabet="abc .,!\n", max_size=30))
def test_every_admissible_action_is_read_behind_any_thought(action, thought):
    answer = parse_answer(f"Thought: {thought}\nAction: {action}", SHOP, labelled=True)
    assert answer == Answer(action=action, thought=thought.strip())
