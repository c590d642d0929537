"""Reasoning in messages of other programs is kept apart from the action, and written as it was read."""

import json

import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.formats import convert, read_records
from eef_framework.records import Example, Observation, Response, Step, Task, Trajectory

CALL = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
ACTIONS = ("go east", "go", "go")
CALLED = '<tool_call>\n{"name": "search", "arguments": {}}\n</tool_call>'


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(**answer):
    return {"messages": [{"role": "user", "content": "shop"}, {"role": "assistant", "content": "go east", **answer}]}


def step(tmp_path, given):
    (found,) = read_records(lines(tmp_path / "rows.jsonl", given), Trajectory)
    return found.steps[0]


@pytest.mark.parametrize(
    "answer",
    [
        {"reasoning_content": "East is right."},  # DeepSeek, Qwen, SGLang
        {"reasoning": "East is right.", "reasoning_content": None},  # vLLM, OpenRouter
        {"thinking": "East is right."},  # Ollama
        {"reasoning_details": [{"type": "reasoning.text", "text": "East is right."}, {"type": "reasoning.encrypted"}]},
        {"content": [{"type": "thinking", "thinking": "East is right."}, {"type": "text", "text": "go east"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "East is right."}]},
                {"type": "text", "text": "go east"},
            ],
            "reasoning": None,
        },
        {"content": "<think>\nEast is right.\n</think>\n\ngo east"},
    ],
)
def test_every_notation_of_reasoning_is_a_thought_and_no_part_of_the_action(tmp_path, answer):
    found = step(tmp_path, row(**answer))
    assert (found.action, found.response.thought) == ("go east", "East is right.")
    assert found.response.text == "<think>\nEast is right.\n</think>\n\ngo east"


@pytest.mark.parametrize("answer", [{"reasoning": None}, {"reasoning": {"effort": "high"}}, {"reasoning_content": ""}])
def test_fields_without_reasoning_change_nothing(tmp_path, answer):
    found = step(tmp_path, row(**answer))
    assert (found.action, found.response.thought, found.response.text) == ("go east", "", "go east")


@pytest.mark.parametrize(
    "part", [{"type": "redacted_thinking", "data": "xyz"}, {"type": "reasoning", "reasoning": "xyz", "redacted": True}]
)
def test_encrypted_reasoning_is_left_out(tmp_path, part):
    parts = [part, {"type": "text", "text": "go east"}]
    assert step(tmp_path, row(content=parts)).response.text == "go east"


def test_a_thought_in_the_answer_has_priority_over_reasoning(tmp_path):
    found = step(tmp_path, row(content="Thought: east\nAction: go", reasoning_content="Long reasoning."))
    assert (found.action, found.response.thought) == ("go", "east")
    found = step(tmp_path, row(content="I search.", reasoning_content="Long reasoning.", tool_calls=[CALL]))
    assert (found.action, found.response.thought) == (CALLED, "I search.")


def test_reasoning_without_a_thought_before_a_call_is_the_thought(tmp_path):
    found = step(tmp_path, row(content=None, reasoning_content="Search first.", tool_calls=[CALL]))
    assert (found.action, found.response.thought) == (CALLED, "Search first.")


@pytest.mark.parametrize(("to", "name"), [("messages", "o.jsonl"), ("messages", "o.parquet"), ("inspect", "o.json")])
@pytest.mark.parametrize(
    "answer", [{}, {"content": None, "tool_calls": [CALL]}, {"content": "I go.", "tool_calls": [CALL]}]
)
def test_reasoning_is_written_apart_and_read_again(tmp_path, to, name, answer):
    given = lines(tmp_path / "rows.jsonl", row(reasoning_content="East is right.", **answer))
    convert(given, tmp_path / name, to, plain=True)
    (before,), (after,) = read_records(given, Trajectory), read_records(tmp_path / name, Trajectory)
    assert after.steps == before.steps
    if name == "o.jsonl":
        message = json.loads((tmp_path / name).read_text())["messages"][1]
        assert message["reasoning_content"] == "East is right."
        assert message["content"] == (answer.get("content", "go east") or "")
    if to == "inspect":
        part = json.loads((tmp_path / name).read_text())["samples"][0]["messages"][1]["content"][0]
        assert part == {"type": "reasoning", "reasoning": "East is right."}


@pytest.mark.parametrize(
    ("reasoning", "shown", "trained"),
    [
        ("keep", "<think>\nEast is right.\n</think>\n\nAction: go", "Action: go"),
        ("train", "<think>\nEast is right.\n</think>\n\nAction: go", "<think>\nEast is right.\n</think>\n\nAction: go"),
        ("drop", "Action: go", "Action: go"),
    ],
)
def test_the_setting_of_a_format_applies_to_imported_reasoning(tmp_path, reasoning, shown, trained):
    (found,) = read_records(
        lines(tmp_path / "r.jsonl", row(content="Action: go", reasoning="East is right.")), Trajectory
    )
    (made,) = ChatFormat(reasoning=reasoning).examples(found, [1.0], "", "expert")
    answer = made.messages[-1]
    end = len(answer.content) - answer.unweighted_suffix_chars
    assert (answer.content, answer.content[answer.unweighted_prefix_chars : end]) == (shown, trained)


def test_examples_keep_reasoning_in_the_answer(tmp_path):
    (found,) = read_records(lines(tmp_path / "r.jsonl", row(reasoning="East is right.")), Example)
    assert found.messages[-1].content == "<think>\nEast is right.\n</think>\n\ngo east"


@pytest.mark.parametrize(
    ("to", "name"), [("messages", "o.jsonl"), ("atif", "o.jsonl"), ("verifiers", "o.jsonl"), ("inspect", "o.json")]
)
def test_reasoning_that_a_server_returned_apart_is_written_apart_and_comes_back_as_it_was(tmp_path, to, name):
    seen = Observation(text="shop")
    answers = [
        Response(text="go east", thought="East is right."),
        Response(text="Thought: in the text\nAction: go", thought="in the text"),
        Response(text="<think>\nshort\n</think>\n\ngo", thought="A long thought."),
    ]
    steps = [
        Step(action=action, observation=seen, response=answer) for action, answer in zip(ACTIONS, answers, strict=True)
    ]
    task = Task(id="t", environment="shop")
    given = Trajectory(id="a", task=task, actor="expert/openai", initial=seen, steps=tuple(steps), reward=1.0)
    path = lines(tmp_path / "rows.jsonl", json.loads(given.model_dump_json()))
    convert(path, tmp_path / name, to)
    assert list(read_records(tmp_path / name, Trajectory)) == [given]
    if to == "messages":
        said = [each for each in json.loads((tmp_path / name).read_text())["messages"] if each["role"] == "assistant"]
        assert [each.get("reasoning_content") for each in said] == ["East is right.", None, "A long thought."]
        assert said[0]["content"] == "go east"
