"""Tool calls as actions: read in the notations of several models, written in one, shown and trained exactly."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eef_framework.chat.format import ChatFormat
from eef_framework.chat.tool_calls import ACT, Call, as_call, as_instructions, find_calls, with_calls
from eef_framework.interfaces import Sampling
from eef_framework.records import Example, FreeText, Message, Observation, Response, Step, Task, Tool, Trajectory
from eef_framework.rollout import EpisodeRunner
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.queue_policy import QueuePolicy

LISTED = Observation(
    text="x",
    actions=("go[east]", "go[west]", "open door", "look"),
    free=(FreeText(prefix="search[", suffix="]"),),
)
UNLISTED = Observation(text="x")
TOOLS = ChatFormat(style="tools")
GO = '{"name": "go", "arguments": {"direction": "east"}}'
BLOCK = f"<tool_call>\n{GO}\n</tool_call>"
NOTATIONS = [
    BLOCK,
    f"<tool_call>{GO}</tool_call>",
    f"<tool_call>\n{GO}",  # cut off after the call
    GO,
    GO.replace("arguments", "parameters"),
    f"<|python_tag|>{GO.replace('arguments', 'parameters')}",
    f"[TOOL_CALLS][{GO}]",
    f"[TOOL_CALLS] [{GO}]",
    '[TOOL_CALLS]go[ARGS]{"direction": "east"}',
    f"[{GO}]",  # special tokens are left out of texts
    'go{"direction": "east"}',
    json.dumps({"name": "go", "arguments": '{"direction": "east"}'}),
]


@pytest.mark.parametrize("text", NOTATIONS)
def test_a_call_is_read_in_the_notations_of_several_models(text):
    listed, unlisted = TOOLS.parse(text, LISTED), TOOLS.parse(text, UNLISTED)
    assert (listed.action, listed.parsed) == ("go[east]", True)
    assert (unlisted.action, unlisted.parsed) == (BLOCK, True)  # as in imported episodes
    assert text[slice(*listed.action_span)] == text


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (Call("act", {"action": "go[east]"}), "go[east]"),
        (Call("act", {"action": "Go[ EAST ]"}), "go[east]"),
        (Call("act", {"action": "fly"}), "fly"),
        (Call("look", {}), "look"),
        (Call("open", {"what": "door"}), "open door"),
        (Call("search", {"query": "red shoes"}), "search[red shoes]"),
        (Call("go", {"direction": "north"}), "go[north]"),
        (Call("put", {"what": "key", "where": "box"}), "put[key, box]"),
    ],
)
def test_a_call_is_the_admissible_action_that_it_means(call, action):
    assert TOOLS.parse(with_calls("", [call]), LISTED).action == action


SHOP = (Tool(name="look_for", action="search[{words}]"), Tool(name="go", action="walk {direction}"))
TOLD = ChatFormat(style="tools", tools=SHOP)


@pytest.mark.parametrize(
    ("call", "action"),
    [
        (Call("look_for", {"words": "red shoes"}), "search[red shoes]"),
        (Call("go", {"direction": "up"}), "walk up"),
        (Call("go", {"to": "up"}), "go[up]"),  # not the tool's arguments: read as before
        (Call("act", {"action": "look"}), "look"),
    ],
)
def test_a_call_of_a_declared_tool_is_the_tools_action(call, action):
    assert TOLD.parse(with_calls("", [call]), LISTED).action == action


def test_declared_tools_stand_in_the_system_message():
    steps = episode(BLOCK).steps
    for format in (TOLD, TOLD.model_copy(update={"history": 1}), TOLD.model_copy(update={"instructions": False})):
        first, *others = format.conversation("Rules", LISTED, steps)
        assert (first.role, first.tools) == ("system", SHOP)
        assert first.content == ("Rules" if format.instructions else "")
        assert all(not message.tools for message in others)
    assert ChatFormat(tools=SHOP).conversation("Rules", LISTED, steps)[0].tools == ()
    (example,) = TOLD.examples(episode(BLOCK), [1.0], "", "expert")
    assert example.messages[0] == Message(role="system", content="", tools=SHOP)
    assert Example.model_validate_json(example.model_dump_json()) == example


class Declaring(Corridor):
    @property
    def tools(self):
        return SHOP


def test_instructions_describe_the_tools_and_show_a_call_that_is_read():
    tools = (Tool(name="search", description="Find products.", action="search[{query}]"), ACT)
    text = as_instructions(tools)
    listed = text.partition("<tools>\n")[2].partition("\n</tools>")[0].splitlines()
    assert [Tool.model_validate_json(line) for line in listed] == [Tool.model_validate(tool.function) for tool in tools]
    assert find_calls(text).calls == [Call("NAME", {"ARGUMENT": "VALUE"})]


def test_shots_call_the_tools_that_the_environment_declares():
    shot = TOOLS.shot(episode(f"East.\n{as_call('search[lamp]')}", as_call("look"), "hm"))
    told = TOOLS.model_copy(update={"shots": (shot,)}).for_environment(Declaring())
    assert told.shots == (TOLD.shot(episode(f"East.\n{as_call('search[lamp]')}", as_call("look"), "hm")),)
    assert '"look_for", "arguments": {"words": "lamp"}' in told.shots[0][1]
    assert told.for_environment(Corridor()) == told


def test_without_declared_tools_the_tool_is_act():
    assert TOOLS.for_environment(Corridor()).tools == (ACT,)
    assert TOOLS.model_copy(update={"tools": ()}).for_environment(Declaring()).tools == ()
    assert ChatFormat().for_environment(Declaring()) == ChatFormat()


@pytest.mark.parametrize(
    ("tools", "details"),
    [
        ((SHOP[0], SHOP[0]), {"name": "look_for", "count": 2}),
        ((Tool(name="act", action="do {action}"),), {"name": "act", "given": "do {action}", "action": "{action}"}),
    ],
)
def test_tools_with_a_name_that_is_taken_are_refused(tools, details):
    with pytest.raises(ValidationError) as caught:
        ChatFormat(style="tools", tools=tools)
    (error,) = caught.value.errors()
    assert (error["type"], error["ctx"]) == ("tool-name-taken", details)


def test_a_run_plays_and_trains_with_the_tools_that_its_environment_declares():
    runner = EpisodeRunner(Declaring(), QueuePolicy(answers=()), "agent/x", TOOLS, Sampling())
    assert runner.format.tools == SHOP
    assert replace(runner, concurrency=2).format == runner.format


def test_of_several_calls_the_first_counts_where_actions_are_listed():
    text = f"{BLOCK}\n{BLOCK.replace('east', 'west')}"
    assert TOOLS.parse(text, LISTED).action == "go[east]"
    assert TOOLS.parse(text, UNLISTED).action == text


@pytest.mark.parametrize(
    ("text", "trained"),
    [
        (f"{BLOCK}\n{BLOCK.replace('east', 'west')}", BLOCK),
        (f"{BLOCK}\n<tool_response>made up</tool_response>\n{BLOCK}", BLOCK),
        (f"{BLOCK}\n", f"{BLOCK}\n"),
        (f"[TOOL_CALLS][{GO}, {GO}]", f"[TOOL_CALLS][{GO}, {GO}]"),  # one list can't be cut
    ],
)
def test_calls_that_were_not_carried_out_have_no_loss(text, trained):
    assert text[slice(*TOOLS.parse(text, LISTED).action_span)] == trained


def test_all_calls_have_loss_where_they_are_the_action():
    text = f"{BLOCK}\n{BLOCK.replace('east', 'west')}"
    assert text[slice(*TOOLS.parse(text, UNLISTED).action_span)] == text


@pytest.mark.parametrize(
    "text", ["", "hi", "<tool_call>", "<tool_call>\n{}\n</tool_call>", '{"name": 3}', "[[]]", "[]"]
)
def test_what_is_not_a_call_is_not_read_as_one(text):
    assert find_calls(text) is None
    assert not TOOLS.parse(text, LISTED).parsed


def test_answers_in_other_formats_are_read_too():
    assert TOOLS.parse("Thought: x\nAction: go[east]", LISTED).action == "go[east]"


def test_a_call_within_reasoning_is_not_an_action():
    answer = TOOLS.parse(f"<think>\n{BLOCK.replace('east', 'west')}\n</think>\n\nI go.\n{BLOCK}", LISTED)
    assert (answer.action, answer.thought) == ("go[east]", "I go.")
    assert not TOOLS.parse(f"<think>\n{BLOCK}", LISTED).parsed


texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)


@given(action=texts)
def test_a_written_action_is_read_back(action):
    read = TOOLS.parse(TOOLS.answer(action), UNLISTED)
    assert (read.action, read.parsed) == (action, True)


cut = st.tuples(st.sampled_from(NOTATIONS), st.integers(0, 80)).map(lambda pair: pair[0][: pair[1]])


@given(text=st.text(max_size=80) | cut)
def test_any_text_is_parsed(text):
    for seen in (LISTED, UNLISTED):
        answer = TOOLS.parse(text, seen)
        if answer.action_span:
            assert 0 <= answer.action_span.start < answer.action_span.end <= len(text)


def episode(*texts):
    steps = []
    for number, text in enumerate(texts):
        answer = TOOLS.parse(text, LISTED)
        response = Response(text=text, thought=answer.thought, parsed=answer.parsed)
        seen = LISTED.changed(text=f"page {number}")
        steps.append(Step(action=answer.action, observation=seen, response=response))
    task = Task(id="t", environment="e")
    return Trajectory(id="x", task=task, initial=LISTED.changed(text="start"), steps=tuple(steps))


def test_observations_after_calls_are_results():
    shown = TOOLS.conversation("Rules", LISTED, episode(BLOCK, BLOCK).steps)
    assert [message.content for message in shown] == [
        "Rules",
        "x",
        BLOCK,
        "<tool_response>\npage 0\n</tool_response>",
        BLOCK,
        "<tool_response>\npage 1\n</tool_response>",
    ]
    assert ChatFormat(style="tools", history=1).conversation("", LISTED, episode(BLOCK).steps)[0].content == (
        "<tool_response>\npage 0\n</tool_response>"
    )


def test_results_of_imported_episodes_are_not_wrapped_again():
    result = "<tool_response>\n3 hits\n</tool_response>"
    step = episode(BLOCK).steps[0].changed(observation=Observation(text=result))
    assert TOOLS.conversation("", LISTED, [step])[-1].content == result


@pytest.mark.parametrize(
    ("settings", "trained"),
    [
        ({}, f"I go.\n{BLOCK}"),
        ({"train_thoughts": False}, BLOCK),
        ({"reasoning": "train"}, f"<think>\nwhy\n</think>\n\nI go.\n{BLOCK}"),
        ({"reasoning": "drop"}, f"I go.\n{BLOCK}"),
        ({"thoughts": False}, as_call("go[east]")),
    ],
)
def test_thought_and_call_are_trained_and_nothing_made_up_after_them(settings, trained):
    text = f"<think>\nwhy\n</think>\n\nI go.\n{BLOCK}\n<tool_response>\nMADE UP\n</tool_response>"
    (example,) = ChatFormat(style="tools", **settings).examples(episode(text), [1.0], "", "expert")
    turn = example.messages[-1]
    assert turn.content[turn.unweighted_prefix_chars : len(turn.content) - turn.unweighted_suffix_chars] == trained


def test_demonstrations_without_text_become_calls():
    step = Step(action="go[east]", observation=LISTED)
    trajectory = episode(BLOCK).changed(steps=(step,))
    (example,) = TOOLS.examples(trajectory, [1.0], "", "expert")
    assert example.messages[-1].content == as_call("go[east]")


def test_an_imported_call_stays_the_call_that_it_is():
    assert as_call(BLOCK) == BLOCK
    step = Step(action=BLOCK, observation=UNLISTED, response=Response(text=f"I go.\n{BLOCK}", thought="I go."))
    trajectory = episode(BLOCK).changed(steps=(step,), initial=UNLISTED)
    (example,) = TOOLS.examples(trajectory, [1.0], "", "expert")
    assert (example.messages[-1].content, example.messages[-1].unweighted_prefix_chars) == (f"I go.\n{BLOCK}", 0)
