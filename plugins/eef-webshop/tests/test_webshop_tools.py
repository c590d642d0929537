"""WebShop's actions as calls of tools, and back."""

from eef_webshop.generated.shop import Shop
from eef_webshop.site.environment import WebShop
from eef_webshop.tools import TOOLS
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.tool_calls import as_call, find_calls
from eef_framework.records import Observation

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
actions = st.builds("{}[{}]".format, st.sampled_from(["search", "click"]), texts) | texts
UNKNOWN = Observation(text="page")


@given(action=actions, thought=st.sampled_from(["", "I look."]))
def test_an_action_written_as_a_call_is_read_back(action, thought):
    for tools in (TOOLS, TOOLS[::-1]):
        format = ChatFormat(style="tools", tools=tools)
        answer = format.parse(format.answer(action, thought), UNKNOWN)
        assert (answer.action, answer.thought, answer.parsed) == (action, thought, True)


@given(name=st.sampled_from(["search", "click"]), argument=texts)
def test_a_call_is_the_action_that_is_written_as_this_call(name, argument):
    (key,) = next(tool for tool in TOOLS if tool.name == name).parameters["properties"]
    action = next(tool for tool in TOOLS if tool.name == name).action_of({key: argument})
    assert action == f"{name}[{argument}]"
    (call,) = find_calls(as_call(action, TOOLS)).calls
    assert call == (name, {key: argument})


def test_all_shops_declare_the_tools():
    assert WebShop().tools == Shop().tools == Shop(mode="text").tools == TOOLS
    assert ChatFormat(style="tools").for_environment(Shop()).tools == TOOLS
    assert ChatFormat().for_environment(Shop()).tools is None


def test_a_call_means_the_admissible_action_with_its_spelling():
    format = ChatFormat(style="tools", tools=TOOLS)
    page = Observation(text="page", actions=("click[next >]", "click[buy now]"))
    call = '<tool_call>\n{"name": "click", "arguments": {"target": " Buy Now"}}\n</tool_call>'
    assert format.parse(call, page).action == "click[buy now]"
