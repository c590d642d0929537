"""Files that other programs write are read, and ours are read by them."""

import json
import struct
import zipfile
from pathlib import Path

import pyarrow
import pytest

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import EefWarning
from eef_framework.formats import convert, read_records
from eef_framework.records import Example, Message, Observation, Provenance, Response, Step, Task, Tool, Trajectory
from eef_framework.runs import read_rows, write_rows

CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"query": "red"}'}}
TOOLS = [
    {"role": "system", "content": "You shop."},
    {"role": "user", "content": "Find a chair."},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "weight": 0},
    {"role": "tool", "tool_call_id": "c1", "content": "a red chair"},
    {"role": "assistant", "content": "I buy it.", "weight": 1},
]


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def example(*weights):
    turns = [
        message
        for number, weight in enumerate(weights)
        for message in (
            Message(role="user", content=f"question {number}"),
            Message(role="assistant", content=f"answer {number}", weight=weight),
        )
    ]
    return Example(id="e", messages=tuple(turns), task="t")


def test_calls_of_tools_are_actions_and_come_back_as_calls(tmp_path):
    lines(tmp_path / "rows.jsonl", {"messages": TOOLS})
    (episode,) = read_records(tmp_path / "rows.jsonl", Trajectory)
    assert episode.actions == (
        '<tool_call>\n{"name": "search", "arguments": {"query": "red"}}\n</tool_call>',
        "I buy it.",
    )
    assert episode.steps[0].observation.text == "<tool_response>\na red chair\n</tool_response>"
    (made,) = read_records(tmp_path / "rows.jsonl", Example)
    assert [m.weight for m in made.messages if m.role == "assistant"] == [0.0, 1.0]
    convert(tmp_path / "rows.jsonl", tmp_path / "back.jsonl", "messages")
    (back,) = map(json.loads, (tmp_path / "back.jsonl").read_text().splitlines())
    call = back["messages"][2]["tool_calls"][0]
    assert call["function"] == CALL["function"]
    assert back["messages"][3] == {"role": "tool", "tool_call_id": call["id"], "content": "a red chair"}
    assert [m.get("weight") for m in back["messages"]] == [None, None, 0, None, 1]


def test_calls_of_tools_go_to_every_format_that_has_them_and_back(tmp_path):
    unweighted = [{key: value for key, value in turn.items() if key != "weight"} for turn in TOOLS]
    lines(tmp_path / "rows.jsonl", {"id": "r", "messages": unweighted})
    (given,) = read_records(tmp_path / "rows.jsonl", Trajectory)
    for to, name in (("messages", "m.parquet"), ("atif", "a.jsonl"), ("inspect", "i.eval"), ("inspect", "i.json")):
        convert(tmp_path / "rows.jsonl", tmp_path / name, to)
        (found,) = read_records(tmp_path / name, Trajectory)
        assert (found.actions, [s.observation for s in found.steps]) == (
            given.actions,
            [s.observation for s in given.steps],
        )


DECLARED = (
    Tool(name="search", description="Search.", action="search[{query}]"),
    Tool(name="buy", action="buy", parameters={"type": "object", "properties": {"fast": {"type": "boolean"}}}),
)
TOLD = ChatFormat(style="tools", tools=DECLARED)


def told_example(instructions=""):
    step = Step(action="search[red]", observation=Observation(text="a red chair"))
    task = Task(id="t", environment="e")
    row = Trajectory(id="r", task=task, initial=Observation(text="Find a chair."), steps=(step, step))
    (example,) = TOLD.examples(row, [1.0, 1.0], instructions, "x")
    return example


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("instructions", ["", "You shop."])
@pytest.mark.parametrize(
    ("to", "name"),
    [("messages", "m.jsonl"), ("messages", "m.parquet"), ("trl", "t.parquet"), ("trl", "t.jsonl"), ("atif", "a.jsonl")],
)
def test_declared_tools_go_to_every_format_that_has_them_and_back(tmp_path, to, name, instructions, plain):
    example = told_example(instructions)
    write_rows(tmp_path / "rows.jsonl", [example])
    convert(tmp_path / "rows.jsonl", tmp_path / name, to, plain=plain)
    if name.endswith("l"):
        row = json.loads((tmp_path / name).read_text().splitlines()[-1])
        written = row["agent"]["tool_definitions"] if to == "atif" else row["tools"]
        assert written == [tool.function for tool in DECLARED]
        assert "".join(map(str, row.get("messages") or row.get("prompt") or row["steps"])).count("system") == bool(
            instructions
        )
    found = list(read_records(tmp_path / name, Example))
    if not plain:
        assert found == [example]
    first = found[-1].messages[0]
    assert (first.role, first.content) == ("system", instructions)
    assert [tool.function for tool in first.tools] == [tool.function for tool in DECLARED]


def test_rows_with_tools_that_are_none_are_named(tmp_path):
    rows = [{"messages": TOOLS, "tools": tools} for tools in ("[]", None, [{"name": "f"}], [3], {"a": 1}, [{"x": 1}])]
    with pytest.warns(EefWarning) as caught:
        found = read_records(lines(tmp_path / "rows.jsonl", *rows), Example)
    assert [[tool.name for tool in example.messages[0].tools] for example in found] == [[], [], ["f"]]
    (left_out,) = (each.message for each in caught if each.message.code == "rows-left-out")
    assert [each["row"] for each in left_out.details["left_out"]] == ["line 4", "line 5", "line 6"]


def test_demonstrations_are_written_with_the_tools_that_they_call(tmp_path):
    def row(id_, action, **fields):
        response = Response(text=TOLD.answer(action))
        step = Step(action=action, observation=Observation(text="a chair"), response=response)
        return Trajectory(
            id=id_, task=Task(id="t", environment="e"), initial=Observation(text="?"), steps=(step,), **fields
        )

    rows = [
        row("declared", "search[red]", provenance=Provenance(tools=DECLARED)),
        row("act", "look", provenance=Provenance()),
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    convert(tmp_path / "rows.jsonl", tmp_path / "m.jsonl", "messages")
    written = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert [[tool["function"]["name"] for tool in each["tools"]] for each in written] == [["search", "buy"], ["act"]]
    assert list(read_records(tmp_path / "m.jsonl", Trajectory)) == rows


def test_rows_of_llama_factory_with_calls_are_read(tmp_path):
    turns = [
        {"from": "human", "value": "Find a chair."},
        {"from": "function_call", "value": '{"name": "search", "arguments": {"query": "red"}}'},
        {"from": "observation", "value": "a red chair"},
        {"from": "gpt", "value": "Done."},
    ]
    (episode,) = read_records(lines(tmp_path / "rows.jsonl", {"conversations": turns}), Trajectory)
    assert episode.actions[0] == '<tool_call>\n{"name": "search", "arguments": {"query": "red"}}\n</tool_call>'
    assert episode.steps[0].observation.text == "<tool_response>\na red chair\n</tool_response>"


def test_what_eto_evaluates_is_read_with_its_reward(tmp_path):
    folder = tmp_path / "outputs"
    folder.mkdir()
    for number, reward in enumerate((1.0, None)):
        turns = [{"from": "human", "value": "shop"}, {"from": "gpt", "value": "Action: click[x]"}]
        row = {"meta": {"reward": reward, "steps": 1}, "conversations": turns}
        (folder / f"{number}.json").write_text(json.dumps(row, indent=4))
    found = read_records(folder, Trajectory)
    assert [each.reward for each in found] == [1.0, 0.0]
    assert [each.info["imported"]["reward"] for each in found] == [True, False]


def test_pairs_of_eto_are_read_and_written(tmp_path):
    pair = {
        "id": "identity_0",
        "prompt": [{"from": "human", "value": "Hello"}],
        "chosen": [{"from": "gpt", "value": "OK!"}],
        "rejected": [{"from": "gpt", "value": "No"}],
    }
    (tmp_path / "pairs.json").write_text(json.dumps([pair]))
    (found,) = read_records(tmp_path / "pairs.json", Example)
    assert [m.content for m in found.messages] == ["Hello", "OK!"]
    assert [m.content for m in found.rejected] == ["Hello", "No"]
    write_rows(tmp_path / "ours.jsonl", [found])
    convert(tmp_path / "ours.jsonl", tmp_path / "back.json", "sharegpt", plain=True)
    assert json.loads((tmp_path / "back.json").read_text()) == [{**pair}]


def test_datasets_reads_what_is_written_and_what_it_writes_is_read(tmp_path):
    import datasets

    write_rows(tmp_path / "e.jsonl", [example(1.0, 0.0, 1.0)])
    convert(tmp_path / "e.jsonl", tmp_path / "folder", "messages")
    loaded = datasets.load_from_disk(str(tmp_path / "folder"))
    assert [m["weight"] for m in loaded[0]["messages"] if m["role"] == "assistant"] == [1, 0, 1]
    both = datasets.DatasetDict({"train": loaded, "test": loaded})
    both.save_to_disk(str(tmp_path / "both"))
    with pytest.warns(EefWarning) as said:
        assert len(read_records(tmp_path / "both", Example)) == 2
    assert [each.message.code for each in said if isinstance(each.message, EefWarning)] == ["duplicate-ids"]
    loaded.to_parquet(str(tmp_path / "rows.parquet"))
    assert read_records(tmp_path / "rows.parquet", Example) == [example(1.0, 0.0, 1.0)]


def test_trl_has_loss_on_exactly_the_trained_answers(tmp_path):
    import datasets
    from transformers import PreTrainedTokenizerFast
    from trl.data_utils import apply_chat_template, is_conversational

    write_rows(tmp_path / "e.jsonl", [example(1.0, 0.0, 1.0)])
    convert(tmp_path / "e.jsonl", tmp_path / "rows.parquet", "trl", plain=True)
    rows = datasets.Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path / "cache"))
    assert all(is_conversational(row) for row in rows)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_one_token())
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }};{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    rendered = [apply_chat_template({key: row[key] for key in ("prompt", "completion")}, tokenizer) for row in rows]
    assert [row["completion"] for row in rendered] == ["answer 0;", "answer 2;"]
    assert rendered[1]["prompt"] == (
        "<user>question 0;<assistant>answer 0;<user>question 1;<assistant>answer 1;<user>question 2;<assistant>"
    )


def test_files_of_trl_are_read(tmp_path):
    import datasets
    from trl.data_utils import extract_prompt, unpair_preference_dataset

    turns = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "here"}]
    worse = [turns[0], {"role": "assistant", "content": "there"}]
    pairs = datasets.Dataset.from_list([{"chosen": turns, "rejected": worse}])
    pairs.to_parquet(str(tmp_path / "implicit.parquet"))
    explicit = pairs.map(extract_prompt)
    explicit.to_json(str(tmp_path / "explicit.jsonl"))
    for name in ("implicit.parquet", "explicit.jsonl"):
        (found,) = read_records(tmp_path / name, Example)
        assert [m.content for m in (*found.messages, *found.rejected)] == ["Where?", "here", "Where?", "there"]
        assert [m.weight for m in found.messages] == [0.0, 1.0]
    unpair_preference_dataset(explicit).to_parquet(str(tmp_path / "labels.parquet"))
    rated = read_records(tmp_path / "labels.parquet", Trajectory)
    assert [(each.actions, each.reward) for each in rated] == [(("here",), 1.0), (("there",), 0.0)]


def _one_token():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    return Tokenizer(WordLevel({"x": 0}, unk_token="x"))


SAMPLE = {
    "id": "shop-1",
    "epoch": 1,
    "input": "Find a red chair.",
    "target": "buy",
    "messages": [
        {"id": "m1", "content": "Find a red chair.", "source": "input", "role": "user"},
        {
            "content": [{"type": "reasoning", "reasoning": "Search."}, {"type": "text", "text": "attachment://long"}],
            "source": "generate",
            "role": "assistant",
            "tool_calls": [{"id": "t", "function": "search", "arguments": {"query": "red"}, "type": "function"}],
        },
        {"content": "a chair", "role": "tool", "tool_call_id": "t", "function": "search"},
        {"content": "Action: click[buy]", "role": "assistant"},
    ],
    "output": {"model": "mockllm"},
    "scores": {"includes": {"value": "C", "answer": "buy"}},
    "attachments": {"long": "I search."},
}


def _compressed_with_zstd(path: Path, name: str, data: bytes) -> None:
    """Write a zip archive as inspect_ai does with Python 3.14, or with a package for older ones."""
    packed = pyarrow.compress(data, codec="zstd", asbytes=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), packed)
    raw = bytearray(path.read_bytes())
    central = raw.index(b"PK\x01\x02")
    for at, size in ((8, 22), (central + 10, central + 24)):
        raw[at : at + 2] = struct.pack("<H", 93)
        raw[size : size + 4] = struct.pack("<I", len(data))
    path.write_bytes(raw)


def test_a_log_of_inspect_is_read_compressed_with_zstd_or_not(tmp_path):
    data = json.dumps(SAMPLE).encode()
    _compressed_with_zstd(tmp_path / "new.eval", "samples/shop-1_epoch_1.json", data)
    with zipfile.ZipFile(tmp_path / "old.eval", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples/shop-1_epoch_1.json", data)
    (tmp_path / "log.json").write_text(json.dumps({"version": 2, "eval": {}, "samples": [SAMPLE]}))
    for name in ("new.eval", "old.eval", "log.json"):
        (found,) = read_records(tmp_path / name, Trajectory)
        assert (found.task.id, found.reward, found.actor) == ("shop-1", 1.0, "mockllm")
        assert found.actions[1] == "click[buy]"
        assert found.steps[0].response.text.startswith("<think>\nSearch.\n</think>\n\nI search.\n<tool_call>")


@pytest.mark.parametrize(("score", "reward"), [({"value": 0.5}, 0.5), ({"value": "I"}, 0.0), (True, 1.0)])
def test_scores_of_inspect_that_are_no_numbers_are_passed_over(tmp_path, score, reward):
    others = {"judge": {"value": "well done"}, "parts": {"value": [1, 2]}, "none": {"value": None}}
    row = {**SAMPLE, "scores": {**others, "solved": score}}
    (found,) = read_records(lines(tmp_path / "rows.jsonl", row), Trajectory)
    assert (found.reward, found.info["imported"]["reward"]) == (reward, True)


def test_inspect_reads_our_logs(tmp_path):
    log = pytest.importorskip("inspect_ai.log", reason="needs inspect_ai")
    write_rows(tmp_path / "e.jsonl", [example(1.0, 1.0)])
    convert(tmp_path / "e.jsonl", tmp_path / "o.eval", "inspect")
    (sample,) = log.read_eval_log(str(tmp_path / "o.eval")).samples
    assert [m.content for m in sample.messages] == [m.content for m in example(1.0, 1.0).messages]


def test_harbors_models_accept_our_trajectories(tmp_path):
    models = pytest.importorskip("harbor.models.trajectories", reason="needs harbor")
    lines(tmp_path / "rows.jsonl", {"id": "r", "messages": TOOLS, "reward": 1.0})
    convert(tmp_path / "rows.jsonl", tmp_path / "a.jsonl", "atif")
    read = models.Trajectory.model_validate_json((tmp_path / "a.jsonl").read_text())
    assert [step.source for step in read.steps] == ["system", "user", "agent", "agent"]
    assert read.steps[2].tool_calls[0].arguments == {"query": "red"}


def test_a_trajectory_that_harbors_models_wrote_is_read():
    """The file was written by Harbor 0.26.0."""
    (found,) = read_records(Path(__file__).parent / "data" / "harbor-0.26.0-trajectory.json", Trajectory)
    assert (found.id, found.task.id, found.reward, found.actor) == ("shop-7", "task-7", 0.5, "toy-agent")
    assert found.initial.text == "Find a red chair."
    assert [step.info.get("weight") for step in found.steps] == [0.0, None, None]  # the first was copied
    searched, bought = found.steps[1:]
    assert (searched.action.count("<tool_call>"), searched.response.thought) == (2, "Two searches.")
    assert searched.observation.text == (
        "<tool_response>\na red chair\n</tool_response>\n<tool_response>\na chair\n</tool_response>"
    )
    assert bought.action == "I buy it."


def test_trials_of_harbor_are_read_with_their_tasks_and_rewards(tmp_path):
    for number, rewards in enumerate(({"reward": 1.0}, {"reward": 0.0})):
        trial = tmp_path / "job" / f"task-{number}__abc"
        (trial / "agent").mkdir(parents=True)
        steps = [
            {"step_id": 1, "source": "user", "message": "Fix it."},
            {
                "step_id": 2,
                "source": "agent",
                "message": "",
                "reasoning_content": "Look.",
                "tool_calls": [{"tool_call_id": "c", "function_name": "bash", "arguments": {"cmd": "ls"}}],
                "observation": {"results": [{"source_call_id": "c", "content": "a.py"}]},
            },
        ]
        row = {"schema_version": "ATIF-v1.6", "session_id": f"s{number}", "agent": {"name": "x", "version": "1"}}
        (trial / "agent" / "trajectory.json").write_text(json.dumps(row | {"steps": steps}, indent=2))
        result = {"task_name": f"task-{number}", "verifier_result": {"rewards": rewards}}
        (trial / "result.json").write_text(json.dumps(result))
    found = read_records(tmp_path / "job", Trajectory)
    assert [(each.task.id, each.reward) for each in found] == [("task-0", 1.0), ("task-1", 0.0)]
    assert found[0].steps[0].response.text.startswith("<think>\nLook.\n</think>")
    assert found[0].steps[0].observation.text == "<tool_response>\na.py\n</tool_response>"


def test_a_transcript_of_react_is_read(tmp_path):
    text = "Question: where?\nThought 1: look\nAction 1: Search[x]\nObservation 1: here\nAction 2: Finish[here]"
    (found,) = read_records(lines(tmp_path / "rows.jsonl", {"trajectory": text}), Trajectory)
    assert found.initial.text == "Question: where?"
    assert found.actions == ("Search[x]", "Finish[here]")
    assert found.steps[0].response.thought == "look"
    assert found.steps[0].observation.text == "here"


def test_imported_trajectories_are_our_own_afterwards(tmp_path):
    lines(tmp_path / "rows.jsonl", {"messages": TOOLS})
    convert(tmp_path / "rows.jsonl", tmp_path / "own.jsonl.gz", "trajectories")
    assert [each.id for each in read_rows(tmp_path / "own.jsonl.gz", Trajectory)] == ["rows-0"]


def test_messages_with_an_id_are_not_taken_for_our_examples(tmp_path):
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    (found,) = read_records(lines(tmp_path / "rows.jsonl", {"id": "r", "messages": turns}), Example)
    assert found.trained_turns == 1
    ours = {"version": 1, "id": "r", "messages": turns}
    (found,) = read_records(lines(tmp_path / "ours.jsonl", ours), Example)
    assert found.trained_turns == 0
    turns[1] |= {"weight": 1.0, "unweighted_prefix_chars": 1}
    (found,) = read_records(lines(tmp_path / "handmade.jsonl", {"id": "r", "messages": turns}), Example)
    assert found.messages[1].unweighted_prefix_chars == 1
