"""Episodes of verifiers: a file that the library wrote is read, and the library reads ours.

The file in `data` was written by verifiers 0.4.0. The first two episodes were played by its agent against a local
server; the others were built from its classes. Folders and addresses of that machine were removed.
"""

import json
from pathlib import Path

import pytest

from eef_framework.errors import CorruptFile, EefWarning
from eef_framework.formats import convert, read_records
from eef_framework.records import Example, Trajectory
from eef_framework.runs import write_rows

RECORDED = Path(__file__).parent / "data" / "verifiers-0.4.0-traces.jsonl"


@pytest.fixture
def episodes(recwarn):
    return {each.id: each for each in read_records(RECORDED, Trajectory)}


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def episode(*nodes, **trace):
    return {"id": "e", "task": {"type": "T", "data": {}}, "traces": [{"id": "t", "nodes": list(nodes), **trace}]}


USER = {"message": {"role": "user", "content": "shop"}}
ANSWER = {"parent": 0, "message": {"role": "assistant", "content": "go"}, "sampled": True}


def test_what_its_agent_played_is_read(episodes):
    first, second = list(episodes.values())[:2]
    assert (first.task.id, first.reward, first.actor, first.ending) == ("shop-0", 1.0, "toy", "terminated")
    assert (second.task.id, second.reward) == ("shop-1", 0.0)
    assert first.initial.text == "Find a red chair. [Search]"
    assert first.actions == ("search[red chair]", "click[buy now]")
    assert first.steps[0].observation.text == "[Red Chair] [Blue Chair]"
    assert first.steps[0].response.text == "<think>\nI search for it.\n</think>\n\nAction: search[red chair]"
    assert first.info["preamble"] == [["system", "You are web shopping."]]


def test_every_agent_and_every_path_of_messages_is_a_conversation(episodes):
    assert list(episodes)[2:] == [
        "solver-trace",
        "judge-trace",
        "rewritten-trace-5",
        "rewritten-trace-7",
    ]
    assert episodes["rewritten-trace-7"].initial.text == "Summary: I searched."
    assert episodes["rewritten-trace-7"].ending == "step-limit"


def test_calls_of_tools_and_their_results_are_steps(episodes):
    solver = episodes["solver-trace"]
    assert [action.count("<tool_call>") for action in solver.actions] == [2, 0]
    assert solver.steps[0].observation.text == (
        "<tool_response>\na red chair\n</tool_response>\n<tool_response>\na chair\n</tool_response>"
    )


def test_the_reward_is_the_weighted_sum_of_those_that_were_given(episodes):
    assert episodes["solver-trace"].reward == 0.75 * 1.0 + 0.5 * 0.5
    assert not episodes["judge-trace"].info["imported"]["reward"]


def test_only_what_the_library_trains_on_has_loss():
    with pytest.warns(EefWarning):
        found = {each.id: each for each in read_records(RECORDED, Example)}
    weights = {
        id_: [message.weight for message in each.messages if message.role == "assistant"] for id_, each in found.items()
    }
    assert weights["solver-trace"] == [1.0, 1.0]
    assert weights["judge-trace"] == [0.0]  # of an agent that isn't trained
    assert weights["rewritten-trace-5"] == [0.0, 0.0, 0.0]  # a summary that wasn't continued from
    assert weights["rewritten-trace-7"] == [1.0]


def test_a_trace_without_an_answer_is_left_out_and_named():
    with pytest.warns(EefWarning) as said:
        assert len(read_records(RECORDED, Trajectory)) == 6
    (left,) = said.pop(EefWarning).message.details["left_out"]
    assert left["row"] == "line 3, trace 2"


def test_what_a_trace_has_besides_messages_is_written_again(tmp_path, recwarn):
    convert(RECORDED, tmp_path / "ours.jsonl", "trajectories")
    convert(tmp_path / "ours.jsonl", tmp_path / "run", "verifiers", plain=True)
    given = [json.loads(line) for line in RECORDED.read_text().splitlines()]
    found = [json.loads(line) for line in (tmp_path / "run" / "traces.jsonl").read_text().splitlines()]
    before, after = given[2]["traces"][0], found[2]["traces"][0]
    same = ("id", "task", "rewards", "metrics", "info", "stop_condition", "ok", "errors")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}
    assert found[2]["env"] == given[2]["env"]
    assert [each["message"]["role"] for each in after["nodes"]] == [each["message"]["role"] for each in before["nodes"]]
    called = after["nodes"][2]["message"]
    assert (called["content"], called["reasoning_content"]) == (None, "Two searches.")
    assert [json.loads(call["arguments"]) for call in called["tool_calls"]] == [{"query": "red"}, {"query": "chair"}]
    assert [each["sampled"] for each in after["nodes"]] == [each["sampled"] for each in before["nodes"]]
    assert found[3]["traces"][0]["agent"]["trainable"] is False


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "e", "traces": []},
        {"id": "e", "traces": ["x"]},
        episode(),
        episode(USER, {**ANSWER, "parent": 1}),
        episode(USER, {**ANSWER, "parent": "0"}),
        episode(USER, {**ANSWER, "message": None}),
        episode(USER, {**ANSWER, "message": {"role": "alien", "content": ""}}),
        episode(USER),
    ],
)
def test_malformed_episodes_are_named_and_good_ones_are_kept(tmp_path, bad):
    good = episode(USER, ANSWER)
    with pytest.warns(EefWarning) as said:
        (kept,) = read_records(lines(tmp_path / "rows.jsonl", bad, good), Trajectory)
    assert kept.actions == ("go",)
    assert [each["row"] for each in said.pop(EefWarning).message.details["left_out"]] == ["line 1"]
    with pytest.raises(CorruptFile) as caught:
        read_records(lines(tmp_path / "bad.jsonl", bad), Trajectory)
    assert caught.value.code == "no-rows"


def test_a_trace_of_version_0_2_is_read(tmp_path):
    trace = {
        "id": "t",
        "task": {"type": "T", "data": {"idx": 3}},
        "nodes": [USER, ANSWER],
        "rewards": {"a": 1.0, "b": 1},
    }
    (found,) = read_records(lines(tmp_path / "traces.jsonl", trace), Trajectory)
    assert (found.id, found.task.id, found.reward, found.actions) == ("t", "3", 2.0, ("go",))


def test_results_of_version_0_1_are_read_as_prompt_and_completion(tmp_path):
    row = {
        "example_id": 4,
        "prompt": [{"role": "system", "content": "You shop."}, {"role": "user", "content": "Find a lamp."}],
        "completion": [
            {"role": "assistant", "content": "search[lamp]", "reasoning_content": "Look."},
            {"role": "user", "content": "[Lamp]"},
            {"role": "assistant", "content": "click[lamp]"},
        ],
        "reward": 0.5,
        "metrics": {"turns": 2.0},
    }
    (found,) = read_records(lines(tmp_path / "results.jsonl", row), Trajectory)
    assert (found.task.id, found.reward, len(found.steps)) == ("4", 0.5, 2)
    (trained,) = read_records(lines(tmp_path / "more.jsonl", {**row, "reward": 1.0}), Example)
    assert [message.weight for message in trained.messages if message.role == "assistant"] == [1.0, 1.0]


def test_a_run_folder_is_read_without_its_configurations(tmp_path):
    (tmp_path / "run" / "configs").mkdir(parents=True)
    (tmp_path / "run" / "configs" / "eval.json").write_text('{"model": "toy"}')
    lines(tmp_path / "run" / "traces.jsonl", episode(USER, ANSWER))
    assert len(read_records(tmp_path / "run", Trajectory)) == 1


def test_the_library_reads_ours(tmp_path, recwarn):
    store = pytest.importorskip("verifiers.v1.utils.trace_store", reason="needs verifiers")
    from verifiers.v1 import WireTrace

    given = read_records(RECORDED, Trajectory)
    write_rows(tmp_path / "given.jsonl", given)
    convert(tmp_path / "given.jsonl", tmp_path / "run", "verifiers")
    read = store.read_episodes(tmp_path / "run", WireTrace)
    assert [each.traces[0].reward for each in read] == [each.reward for each in given]
    assert [each.traces[0].num_branches for each in read] == [1] * len(given)
    (tmp_path / "again").mkdir()
    for each in read:
        store.write_episode(tmp_path / "again", each)
    assert read_records(tmp_path / "again", Trajectory) == given
