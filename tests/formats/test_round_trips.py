"""Whatever is written in a format and read back is what it was; what a format can't hold is said."""

import gzip
import json
import warnings

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from eef_framework.errors import EefWarning
from eef_framework.formats import FORMATS, convert, episodes, read_records, training_examples
from eef_framework.formats.tool_calls import with_reasoning
from eef_framework.records import Attribution, Example, Message, Observation, Step, Task, Trajectory
from eef_framework.runs import read_rows, write_rows
from eef_framework.testing import strategies

FEW = settings(max_examples=25)
SPECIAL = st.sampled_from(
    [
        "Thought: buy it\nAction: click[buy now]",
        "Action: look",
        'x\n<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>',
        '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name":"g"}\n</tool_call>',
        "<tool_response>\nred\n</tool_response>",
        "<think>\nhm\n</think>\n\nAction: go",
        "think[no]",
        "OK",
        "",
    ]
)
"""Texts that formats give a meaning to."""


def _has_own_steps(trajectory):
    return trajectory.prefix_length < len(trajectory.steps)


@st.composite
def trajectories(draw):
    """Draw trajectories with steps, some of them with special texts."""
    drawn = draw(strategies.trajectories(max_steps=3).filter(_has_own_steps))
    steps = []
    for step in drawn.steps:
        if step.response is not None and draw(st.booleans()):
            step = step.changed(response=step.response.changed(text=draw(SPECIAL)))
        if draw(st.booleans()):
            step = step.changed(observation=step.observation.changed(text=draw(SPECIAL)))
        steps.append(step)
    return drawn.changed(steps=tuple(steps))


@st.composite
def examples(draw):
    """Draw examples, some of them with special texts."""
    drawn = draw(strategies.examples().filter(lambda example: example.trained_turns))
    messages = [m.changed(content=draw(SPECIAL)) if draw(st.booleans()) else m for m in drawn.messages]
    return drawn.changed(messages=tuple(messages))


TRAJECTORY = trajectories()
EXAMPLE = examples().map(lambda example: example.changed(rejected=()))


def through(name, dialogue):
    """Write a dialogue in a format, as JSON, and read the conversation that the rows hold."""
    rows = [json.loads(json.dumps(row)) for row in FORMATS[name].write(dialogue)]
    if (split := FORMATS[name].conversations) is not None:
        rows = [part for row in rows for _, part in split(row)]
    found = [each for row in rows if (each := FORMATS[name].read(row)) is not None]
    return found[-1].ordered()


@pytest.mark.parametrize("name", FORMATS)
@FEW
@given(trajectory=TRAJECTORY)
def test_a_trajectory_comes_back_unchanged(name, trajectory):
    assume(name != "react" or not any(action.startswith("think") for action in trajectory.actions))
    assert episodes.trajectory_of(through(name, episodes.dialogue_of(trajectory))) == trajectory


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "react"])
@FEW
@given(example=EXAMPLE)
def test_an_example_comes_back_unchanged(name, example):
    assert training_examples.example_of(through(name, training_examples.dialogue_of(example))) == example


@pytest.mark.parametrize("name", ["sharegpt", "trl"])
@FEW
@given(example=EXAMPLE, other=EXAMPLE)
def test_a_pair_comes_back_unchanged(name, example, other):
    pair = example.changed(rejected=other.messages)
    assert training_examples.example_of(through(name, training_examples.dialogue_of(pair))) == pair


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("react", "trl")])
@FEW
@given(example=EXAMPLE)
def test_without_our_record_the_conversation_is_the_same(name, example):
    dialogue = training_examples.dialogue_of(example, with_record=False)
    found = training_examples.example_of(through(name, dialogue))
    assert [(m.role, m.content) for m in found.messages] == [(m.role, m.content) for m in example.messages]


@FEW
@given(example=EXAMPLE)
def test_without_our_record_weights_of_messages_are_exact(example):
    found = training_examples.example_of(through("messages", training_examples.dialogue_of(example, False)))
    assert [m.weight for m in found.messages] == [m.weight for m in example.messages]


@pytest.mark.parametrize("name", ["agenttraj", "atif", "verifiers"])
@FEW
@given(example=EXAMPLE)
def test_without_our_record_it_is_kept_which_answers_are_trained(name, example):
    found = training_examples.example_of(through(name, training_examples.dialogue_of(example, False)))
    assert [m.weight > 0 for m in found.messages] == [m.weight > 0 for m in example.messages]


@FEW
@given(example=EXAMPLE)
def test_a_completion_is_one_trained_answer_with_all_that_precedes_it(example):
    rows = list(FORMATS["trl"].write(training_examples.dialogue_of(example, False)))
    found = [training_examples.example_of(FORMATS["trl"].read(row).ordered()) for row in rows]
    shown = [[(m.role, m.content) for m in each.messages] for each in found]
    whole = [(m.role, m.content) for m in example.messages]
    trained = [place for place, message in enumerate(example.messages) if message.weight > 0]
    assert shown == [whole[: place + 1] for place in trained]
    assert [each.trained_turns for each in found] == [1] * len(trained)


@FEW
@given(trajectory=TRAJECTORY)
def test_without_our_record_an_episode_has_the_same_texts_and_reward(trajectory):
    for name in ("sharegpt", "agenttraj", "messages", "atif", "inspect", "verifiers"):
        given_ = episodes.dialogue_of(trajectory, with_record=False)
        found = through(name, given_)
        apart = name in ("messages", "atif", "inspect", "verifiers")  # where reasoning has a field
        assert [turn.content for turn in found.turns] == [
            with_reasoning(turn.reasoning, turn.content) if apart else turn.content for turn in given_.turns
        ]
        assert found.reward == trajectory.reward
        assert found.task == trajectory.task.id


def lost(source, out, to, **options):
    """Convert, and return what was reported as lost."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        convert(source, out, to, **options)
    found = [each.message for each in said if isinstance(each.message, EefWarning) and each.message.code == "not-kept"]
    return found[0].details["lost"] if found else {}


def example(*weights, **fields):
    turns = [
        message
        for weight in weights
        for message in (
            Message(role="user", content="?"),
            Message(role="assistant", content="an answer", weight=weight, **fields),
        )
    ]
    return Example(id="e", messages=tuple(turns))


@pytest.mark.parametrize(
    ("to", "made", "expected"),
    [
        ("messages", example(0.5), {}),
        ("agenttraj", example(0.0, 1.0), {}),
        ("agenttraj", example(0.5), {"weights": 1}),
        ("atif", example(0.5), {"weights": 1}),
        ("verifiers", example(0.0, 1.0), {}),
        ("verifiers", example(0.5), {"weights": 1}),
        ("sharegpt", example(1.0, 1.0), {}),
        ("sharegpt", example(0.0, 1.0), {"weights": 1}),
        ("inspect", example(0.0, 1.0), {"weights": 1}),
        ("messages", example(1.0, unweighted_prefix_chars=2), {"spans": 1}),
        ("trl", example(1.0, unweighted_suffix_chars=2), {"spans": 1}),
        ("messages", example(1.0).changed(rejected=example(1.0).messages), {"pairs": 1}),
        ("trl", example(1.0).changed(rejected=example(1.0).messages), {}),
    ],
)
def test_what_a_format_cannot_express_is_said(tmp_path, to, made, expected):
    write_rows(tmp_path / "e.jsonl", [made])
    assert lost(tmp_path / "e.jsonl", tmp_path / ("o.json" if to == "inspect" else "o.jsonl"), to) == expected


CONTAINERS = [
    ("sharegpt", "o.jsonl"),
    ("sharegpt", "o.json"),
    ("agenttraj", "o.json.gz"),
    ("messages", "o.parquet"),
    ("messages", "o"),
    ("trl", "o.parquet"),
    ("trl", "dataset"),
    ("atif", "o.jsonl"),
    ("atif", "folder"),
    ("inspect", "o.eval"),
    ("inspect", "o.json"),
    ("verifiers", "o.jsonl"),
    ("verifiers", "run"),
    ("react", "o.jsonl.gz"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("to", "name"), CONTAINERS)
def test_the_real_episodes_go_through_every_format_and_container(tmp_path, real_episodes, to, name):
    given = read_records(real_episodes, Trajectory)
    assert len(given) == 500
    assert sum(each.reward < 1 for each in given) == 321
    write_rows(tmp_path / "given.jsonl", given)
    convert(tmp_path / "given.jsonl", tmp_path / name, to)
    convert(tmp_path / name, tmp_path / "back.jsonl", "trajectories")
    assert list(read_rows(tmp_path / "back.jsonl", Trajectory)) == given


def test_the_real_log_is_written_as_it_was_read(tmp_path, real_episodes):
    convert(real_episodes, tmp_path / "ours.jsonl", "trajectories")
    assert lost(tmp_path / "ours.jsonl", tmp_path / "log.jsonl.gz", "react", plain=True) == {}
    before, after = (gzip.decompress(path.read_bytes()) for path in (real_episodes, tmp_path / "log.jsonl.gz"))
    assert list(map(json.loads, before.splitlines())) == list(map(json.loads, after.splitlines()))


@FEW
@given(trajectory=TRAJECTORY)
def test_thoughts_of_a_react_log_are_steps_of_it(trajectory):
    (row,) = FORMATS["react"].write(episodes.dialogue_of(trajectory, with_record=False))
    actions = [step["action"] for step in row["steps"] if not step["action"].startswith(("think[", "reset"))]
    assert actions == [a for a in trajectory.actions if not a.startswith(("think[", "reset"))]


def test_the_folder_of_an_exploration_is_read_as_its_episodes(tmp_path, recwarn):
    task = Task(id="t", environment="e")
    steps = (Step(action="go", observation=Observation(text="there")),)
    played = Trajectory(id="agent/1", task=task, actor="agent/x", initial=Observation(text="here"), steps=steps)
    write_rows(tmp_path / "simulations.jsonl", [played])
    write_rows(tmp_path / "attributions.jsonl", [Attribution(trajectory="expert/1", length=1)])
    write_rows(tmp_path / "advice.jsonl", [played.changed(id="expert/2")])
    assert read_records(tmp_path, Trajectory) == [played]
    write_rows(tmp_path / "more.jsonl", [played.changed(id="agent/2")])  # a file of the user's isn't left out
    assert [row.id for row in read_records(tmp_path, Trajectory)] == ["agent/2", "agent/1"]
    assert not [each for each in recwarn.list if isinstance(each.message, EefWarning)]
