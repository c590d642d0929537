"""Tools, with the actions that their calls take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eef_framework.records import Message, Tool

SEARCH = Tool(name="search", action="search[{query}]")
PUT = Tool(name="put", action="put {what} in {where}")
WAIT = Tool(
    name="wait",
    action="wait {turns} {how}",
    parameters={"type": "object", "properties": {"turns": {"type": "integer"}, "how": {"type": ["object", "null"]}}},
)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
json_values = st.none() | st.dictionaries(texts, st.integers() | texts, max_size=3)


@given(query=texts)
def test_a_call_with_one_argument_is_its_action_and_back(query):
    action = SEARCH.action_of({"query": query})
    assert action == f"search[{query}]"
    assert SEARCH.arguments_of(action) == {"query": query}


@given(what=texts, where=texts)
def test_an_action_is_a_call_that_takes_it(what, where):
    action = PUT.action_of({"what": what, "where": where})
    assert PUT.action_of(PUT.arguments_of(action)) == action


@given(turns=st.integers(), how=json_values)
def test_arguments_that_are_not_texts_are_written_as_json(turns, how):
    arguments = {"turns": turns, "how": how}
    assert WAIT.arguments_of(WAIT.action_of(arguments)) == arguments


@given(action=texts)
def test_any_text_is_an_action_of_the_tool_or_not(action):
    for tool in (SEARCH, PUT, WAIT):
        arguments = tool.arguments_of(action)
        assert arguments is None or tool.action_of(arguments) == action


@given(text=texts)
def test_an_argument_that_may_be_a_text_is_one(text):
    schema = {"type": "object", "properties": {"query": {"type": ["null", "string"]}}}
    search = SEARCH.changed(parameters=schema)
    assert search.arguments_of(f"search[{text}]") == {"query": text}


def test_json_that_is_nested_too_deeply_is_not_an_argument():
    assert WAIT.arguments_of(f"wait 1 {'[' * 100_000}") is None


@pytest.mark.parametrize("arguments", [{}, {"query": "x", "page": 2}, {"text": "x"}, "x", None])
def test_a_call_with_other_arguments_is_none_of_its_actions(arguments):
    assert SEARCH.action_of(arguments) is None


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_format_of_apis_is_read_and_written(wrapped):
    parameters = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"enum": [1, 2]}}, "required": ["a"]}
    function = {"name": "f", "description": "Does f.", "parameters": parameters}
    tool = Tool.model_validate({"type": "function", "function": {**function, "strict": True}} if wrapped else function)
    assert tool.function == {"type": "function", "function": function}
    assert tool.action == "f[{a}, {b}]"
    assert Tool.model_validate_json(tool.model_dump_json()) == tool
    assert len({tool, tool.changed()}) == 1
    described = {"type": "function", "function": function, "action": "do {a}"}
    assert Tool.model_validate(described) == tool.changed(action="do {a}")


@pytest.mark.parametrize("parameters", [None, {}, {"type": "object", "properties": {}}])
def test_a_tool_without_parameters_is_its_name(parameters):
    tool = Tool.model_validate({"name": "look", "parameters": parameters})
    assert (tool.action, tool.action_of({}), tool.arguments_of("look")) == ("look", "look", {})


BAD = [
    ({"name": "a b"}, "string_pattern_mismatch"),
    ({"name": "a", "parameters": {"type": "string"}}, "bad-tool-schema"),
    ({"name": "a", "parameters": {"type": "object", "properties": ["x"]}}, "bad-tool-schema"),
    ({"name": "a", "parameters": {"type": "object", "properties": {"x": "string"}}}, "bad-tool-schema"),
    ({"name": "a", "parameters": {"type": "object", "properties": {"x": {"type": "text"}}}}, "bad-tool-schema"),
    ({"name": "a", "parameters": {"type": "object", "properties": {"x": {"type": []}}}}, "bad-tool-schema"),
    ({"name": "a", "parameters": {"type": "object", "required": ["x"]}}, "bad-tool-schema"),
    ({"name": "a", "parameters": {"type": "object", "properties": None}}, "bad-tool-schema"),
    ({"name": "a", "parameters": {"type": "object", "properties": 5}}, "bad-tool-schema"),
    ({"name": "a", "action": "a[{x}] {x}"}, "bad-tool-action"),
    ({"name": "a", "action": "{y}", "parameters": {"type": "object", "properties": {"x": {}}}}, "bad-tool-action"),
    ({"name": "a", "action": 3}, "string_type"),
    ({"name": "a", "parameters": "x"}, "dict_type"),
    ({"name": "a", "schema": {}}, "extra_forbidden"),
    ({"function": {"description": "x"}}, "missing"),
]


@pytest.mark.parametrize(("data", "code"), BAD)
def test_what_does_not_describe_a_tool_is_refused(data, code):
    with pytest.raises(ValidationError) as caught:
        Tool.model_validate(data)
    assert code in {error["type"] for error in caught.value.errors()}


def test_only_system_messages_have_tools():
    assert Message(role="system", content="", tools=(SEARCH,)).tools == (SEARCH,)
    with pytest.raises(ValidationError) as caught:
        Message(role="user", content="x", tools=(SEARCH,))
    assert caught.value.errors()[0]["type"] == "tools-not-system"
