"""The expert that uses a server, against a real one on a socket."""

import asyncio
import itertools
import json
import tempfile
import threading
from pathlib import Path

import pytest
from eef_experts.chat_completions import OpenAIExpert
from eef_experts.prompt import ExpertFormat, read_examples
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.chat.tool_calls import ACT, as_call
from eef_framework.errors import AnswerFailure, ConfigError, EefWarning, PolicyFailure, StorageError
from eef_framework.pipeline.costs import cost_of
from eef_framework.records import Observation, Response, Step, Task, Tool, Trajectory
from eef_framework.rollout import expert_id
from eef_framework.rollout.demonstrations import provenance_of
from eef_framework.testing.corridor import Corridor, best_action
from eef_framework.testing.corridor_expert import CorridorExpert
from eef_framework.testing.server import ChatServer, Reply

CORRIDOR = Corridor()
JSON = st.recursive(
    st.none() | st.integers() | st.sampled_from(["assistant", "user", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "role", "content", "steps", "id", "task"]), inner, max_size=4)
        | st.fixed_dictionaries({"role": st.sampled_from(["assistant", "user"]), "content": st.text(max_size=4)})
    ),
    max_leaves=12,
)
TASKS = CORRIDOR.tasks("train")[:6]


@pytest.fixture
def server():
    with ChatServer() as server:
        yield server


def expert(server, **settings):
    return OpenAIExpert(**{"model": "test", "base_url": server.url, "retries": 1, "longest_wait_s": 0.01} | settings)


def demonstrations(expert, tasks=TASKS, environment=CORRIDOR):
    async def gather():
        return [trajectory async for trajectory in expert.demonstrate(environment, tasks, 7)]

    return {trajectory.task.id: trajectory for trajectory in asyncio.run(gather())}


def system_message(server):
    first = server.requests[0].body["messages"][0]
    assert first["role"] == "system"
    return first["content"]


def test_it_plays_every_task_and_keeps_its_thoughts(server):
    played = demonstrations(expert(server))
    assert set(played) == {task.id for task in TASKS}
    assert all(trajectory.reward == 1.0 for trajectory in played.values())
    first = played[TASKS[0].id]
    assert (first.id, first.actor) == (expert_id("openai", TASKS[0]), "expert/openai")
    assert all(step.response.thought == "The way is clear." for step in first.steps)


def test_it_is_told_the_rules_and_how_to_answer(server):
    demonstrations(expert(server), TASKS[:1])
    told = system_message(server)
    assert told.startswith(CORRIDOR.instructions)
    assert "Thought: what you think\nAction: the action" in told
    assert server.requests[0].body["stop"] == ["\nObservation:"]


def test_an_expert_without_thoughts_says_the_action_alone(server):
    server.answer = lambda request: "go[west]"
    played = demonstrations(expert(server, style="action"), TASKS[:1])
    assert "one action and nothing else" in system_message(server)
    assert set(played[TASKS[0].id].actions) == {"go[west]"}


def test_conversations_and_trajectories_serve_as_worked_examples(server, tmp_path):
    taught = next(iter(demonstrations(CorridorExpert(skill=1.0), CORRIDOR.tasks("dev")[1:2]).values()))
    conversation = {
        "messages": [{"role": "user", "content": "a door"}, {"role": "assistant", "content": "Action: push"}]
    }
    lines = [json.dumps(conversation), "", json.dumps(conversation["messages"]), taught.model_dump_json()]
    (tmp_path / "examples.jsonl").write_text("\n".join(lines))
    demonstrations(expert(server, examples=str(tmp_path / "examples.jsonl"), guidance="Be quick."), TASKS[:1])
    told = system_message(server)
    assert told.startswith(f"{CORRIDOR.instructions}\n\nBe quick.\n\nExample 1:\n\nObservation: a door\nAction: push")
    assert "\n\nExample 2:\n\nObservation: a door\nAction: push\n\nExample 3:" in told
    assert told.endswith(f"Observation: {taught.steps[-2].observation.text}\nAction: {taught.actions[-1]}")


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"messages": 3}', '[{"role": "user", "content": "x"}]', '{"steps": []}', '[{"role": "x"}]']
)
def test_a_line_that_is_not_a_worked_example_is_named(server, tmp_path, line):
    path = tmp_path / "examples.jsonl"
    path.write_text(f'[{{"role": "assistant", "content": "Action: push"}}]\n{line}\n')
    asked = expert(server, examples=str(path))
    for found_by in (asked.preflight, lambda: demonstrations(asked)):
        with pytest.raises(ConfigError) as caught:
            found_by()
        assert (caught.value.code, caught.value.details) == ("not-an-example", {"path": str(path), "line": 2})


def test_a_trajectory_shows_thought_and_action_and_not_what_was_made_up(tmp_path):
    text = "<think>SECRET</think>\nThought: why\nAction: go\nObservation: SECRET"
    step = Step(action="go", observation=Observation(text="next"), response=Response(text=text, thought="why"))
    task = Task(id="a", environment="e")
    row = Trajectory(id="t", task=task, actor="x", initial=Observation(text="start"), steps=(step,))
    (tmp_path / "rows.jsonl").write_text(row.model_dump_json())
    (example,) = read_examples(str(tmp_path / "rows.jsonl"), ExpertFormat())
    turns = [("user", "start"), ("assistant", "Thought: why\nAction: go")]
    assert [(message.role, message.content) for message in example] == turns


@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_line_is_a_worked_example_or_named(line):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_bytes(line)
        try:
            examples = read_examples(str(path), ExpertFormat())
        except ConfigError:
            return
    assert all(any(message.role == "assistant" for message in example) for example in examples)


def test_a_file_of_examples_that_is_not_there_is_named(server):
    asked = expert(server, examples="nowhere.jsonl")
    for found_by in (asked.preflight, lambda: demonstrations(asked)):
        with pytest.raises(StorageError) as caught:
            found_by()
        assert (caught.value.code, caught.value.details["path"]) == ("no-such-file", "nowhere.jsonl")


def test_tokens_and_money_are_counted(server):
    played = demonstrations(expert(server, prices={"input": 10.0, "output": 30.0}))
    for trajectory in played.values():
        said = [step.response for step in trajectory.steps]
        assert trajectory.info["turns"] == len(said)
        assert trajectory.info["prompt_tokens"] == sum(response.prompt_tokens for response in said) > 0
        assert trajectory.info["usd"] == pytest.approx(sum(r.prompt_tokens * 1e-5 + 7 * 3e-5 for r in said), abs=1e-6)
        assert "turns_of_unknown_cost" not in trajectory.info


def test_turns_whose_cost_is_unknown_and_contexts_that_were_shortened_are_counted():
    with ChatServer(lambda request: "Action: look", context=150) as server:
        server.fault = lambda request: "no-usage" if request.number < 3 else ""
        far = Corridor(rooms=40, max_steps=8)
        with pytest.warns(EefWarning) as told:
            played = demonstrations(expert(server, max_tokens=60, concurrency=1), far.tasks("train")[1:2], far)
    assert [each.message.code for each in told if isinstance(each.message, EefWarning)] == ["unknown-costs"]
    (trajectory,) = played.values()
    assert trajectory.info["turns_of_unknown_cost"] == 3
    assert (
        trajectory.info["turns_with_shortened_context"]
        == sum(step.response.dropped > 0 for step in trajectory.steps)
        > 0
    )


def test_a_lost_answer_costs_its_episode_alone(server):
    poisoned = CORRIDOR.open(TASKS[2]).observation.text
    server.fault = lambda request: "garbage" if request.last_message == poisoned else ""
    played = demonstrations(expert(server))
    assert played[TASKS[2].id].ending == "error"
    assert played[TASKS[2].id].info["error_code"] == "unreadable-answer"
    others = [trajectory for id, trajectory in played.items() if id != TASKS[2].id]
    assert sum(trajectory.reward == 1.0 for trajectory in others) >= 4


def test_answers_that_were_lost_are_among_the_costs_of_their_episode(server):
    choice = {"message": {"content": None}, "finish_reason": "content_filter"}
    reply = Reply(200, {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 50}})
    server.fault = lambda request: reply
    (played,) = demonstrations(expert(server, prices={"input": 10.0, "output": 30.0}), TASKS[:1]).values()
    assert (played.ending, played.info["error_code"]) == ("error", "content-filter")
    assert played.info["usd"] == played.lost_usd == pytest.approx((1000 + 1500) / 1e6)
    assert cost_of([played]).usd == pytest.approx(played.lost_usd)


def test_a_server_that_is_not_there_stops_the_demonstrations():
    with ChatServer() as gone:
        pass
    with pytest.raises(PolicyFailure) as caught:
        demonstrations(expert(gone))
    assert not isinstance(caught.value, AnswerFailure)


def test_no_more_episodes_are_in_flight_than_allowed(server):
    requests, two = itertools.count(), threading.Barrier(2)

    def wait(request):
        if next(requests) < 2:  # each is answered once the other is under way, too
            two.wait(timeout=60)
        return ""

    server.fault = wait
    demonstrations(expert(server, concurrency=2))
    assert server.most_at_once == 2


def test_its_own_step_limit_ends_an_episode(server):
    played = demonstrations(expert(server, max_steps=1), CORRIDOR.tasks("train")[1:2])
    assert [(t.ending, len(t.steps)) for t in played.values()] == [("step-limit", 1)]


def test_a_demonstration_depends_on_the_seed_and_its_task_alone(server):
    demonstrations(expert(server, temperature=1.0), TASKS[:3])
    asked = {json.dumps(request.body) for request in server.requests}
    server.requests.clear()
    demonstrations(expert(server, temperature=1.0), TASKS)
    assert asked < {json.dumps(request.body) for request in server.requests}


def test_its_settings_build_an_equal_expert(server):
    one = expert(server, prices={"input": 1.0}, stop=("x",), examples="a.jsonl")
    assert OpenAIExpert(**{key: value for key, value in one.settings().items() if key != "name"}) == one


def test_tool_calls_of_a_server_are_actions(server):
    calls = [{"id": "1", "type": "function", "function": {"name": "go", "arguments": '{"direction": "west"}'}}]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    usage = {"prompt_tokens": 50, "completion_tokens": 9}
    server.fault = lambda request: Reply(
        200, {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage}
    )
    played = demonstrations(expert(server, style="tools", max_steps=2), TASKS[:1])[TASKS[0].id]
    assert played.ending != "error"
    assert played.actions[0] == "go[west]"
    text = '<tool_call>\n{"name": "go", "arguments": {"direction": "west"}}\n</tool_call>'
    assert (played.steps[0].response.text, played.steps[0].response.parsed) == (text, True)
    assert "calling one of the tools" in system_message(server)
    assert server.requests[0].body["tools"] == [ACT.function]


class Declaring(Corridor):
    """A corridor with tools."""

    @property
    def tools(self):
        named = {"go": "direction", "take": "thing", "open": "thing"}
        return [Tool(name=name, action=f"{name}[{{{argument}}}]") for name, argument in named.items()]


def called(action):
    """Return an answer with a call of one of the tools, as servers write it."""
    name, argument = action.removesuffix("]").split("[")
    arguments = {"direction" if name == "go" else "thing": argument}
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": "x", "type": "function", "function": function}
    message = {"role": "assistant", "content": "On.", "tool_calls": [call]}
    usage = {"prompt_tokens": 500, "completion_tokens": 9}
    return Reply(200, {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": usage})


def test_a_server_is_told_of_declared_tools_and_gets_calls_as_calls(server):
    server.fault = lambda request: called(best_action(request.last_message))
    played = demonstrations(expert(server, style="tools"), environment=Declaring())
    assert {trajectory.reward for trajectory in played.values()} == {1.0}
    assert {step.response.thought for row in played.values() for step in row.steps} == {"On."}
    assert {tuple(tool["function"]["name"] for tool in request.body["tools"]) for request in server.requests} == {
        ("go", "take", "open")
    }
    longest = max((request.body["messages"] for request in server.requests), key=len)
    assert [message["role"] for message in longest[:4]] == ["system", "user", "assistant", "tool"]
    for number, step in enumerate(max(played.values(), key=lambda row: len(row.steps)).steps[:-1]):
        answer, result = longest[2 * number + 2 : 2 * number + 4]
        (call,) = answer["tool_calls"]
        assert answer["content"] == "On."
        assert call["function"]["name"] == step.action.split("[")[0]
        assert list(json.loads(call["function"]["arguments"]).values()) == [step.action.split("[")[1][:-1]]
        assert result == {"role": "tool", "tool_call_id": call["id"], "content": step.observation.text}
    assert all(row.provenance is None for row in played.values())  # the framework fills it in
    assert [tool.name for tool in provenance_of(expert(server), Declaring()).tools] == ["go", "take", "open"]


def test_a_server_that_takes_no_tools_is_named_with_the_field(server):
    server.fault = lambda request: Reply(400, {"error": {"message": "Unrecognized request argument: tools"}})
    with pytest.raises(PolicyFailure) as caught:
        demonstrations(expert(server, style="tools"), TASKS[:1])
    assert "tools" in str(caught.value)


@pytest.mark.parametrize("text", ["hm", f"A.\n{as_call('go[west]')}\n{as_call('go[east]')}"])
def test_what_is_not_one_call_is_sent_as_text(server, text):
    server.answer = lambda request: text
    demonstrations(expert(server, style="tools", max_steps=2), TASKS[:1])
    last = server.requests[-1].body["messages"]
    assert last[-2] == {"role": "assistant", "content": text}
    assert last[-1]["role"] == "user"


def test_declared_tools_that_are_none_end_the_run_before_it_starts(server):
    class Wrong(Corridor):
        @property
        def tools(self):
            return [{"name": "go", "parameters": {"type": "string"}}]

    with pytest.raises(ConfigError) as caught:
        expert(server, style="tools").preflight(Wrong())
    assert (caught.value.code, caught.value.details) == ("bad-tools", {"environment": "corridor"})
    assert demonstrations(expert(server), TASKS[:1], Wrong())  # another style needs none


def test_an_expert_that_calls_the_tool_solves_tasks(server):
    server.answer = lambda request: f"East.\n{as_call(best_action(request.last_message))}"
    played = demonstrations(expert(server, style="tools"))
    assert {trajectory.reward for trajectory in played.values()} == {1.0}
    assert {step.response.thought for row in played.values() for step in row.steps} == {"East."}
    later = next(request.body["messages"] for request in server.requests if len(request.body["messages"]) > 2)
    assert (later[-2]["content"], later[-2]["tool_calls"][0]["function"]["name"]) == ("East.", "act")
    assert later[-1]["role"] == "tool"
