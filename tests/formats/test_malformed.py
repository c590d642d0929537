"""Malformed files: each bad row is named with file, place and reason, and all good ones are kept."""

import gzip
import json
import subprocess
import sys
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eef_framework.errors import ConfigError, CorruptFile, EefWarning, UnknownName
from eef_framework.formats import convert, json_rows, read_records
from eef_framework.records import Example, Trajectory


def row(id_="a", **changes):
    return {
        "id": id_,
        "conversations": [{"from": "human", "value": "a page"}, {"from": "gpt", "value": "Action: click[x]"}],
        **changes,
    }


def read(path, record=Trajectory):
    """Return the ids of the rows that were kept, and the places and reasons of those left out."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kept = [each.id for each in read_records(path, record)]
    left = [w.message.details["left_out"] for w in said if getattr(w.message, "code", "") == "rows-left-out"]
    return kept, [(each["row"], each["reason"]) for each in (left[0] if left else [])]


def lines(path, *rows):
    """Write JSON lines; bytes are written as they are."""
    path.write_bytes(
        b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in rows)
    )
    return path


UNUSABLE = (float("nan"), float("-inf"), 1e308, 10**400, "great", "", "nan", "1e400", [1.0], {"value": 1.0})
BAD = [
    (b'{"id": "torn", "conversations": [{"from": "hum', "not valid JSON"),
    (b"not JSON", "not valid JSON"),
    (json.dumps(row("ü"), ensure_ascii=False).encode("latin-1"), "not in UTF-8"),
    ([1, 2], "a JSON list"),
    ({"a": 1}, "of no known format"),
    (row(conversations=[]), "of no known format"),
    (row(conversations=[{"from": "gpt", "value": "first"}]), "the first message is an answer"),
    (row(conversations=[{"from": "human", "value": "alone"}]), "no message is an answer"),
    (row(conversations=[{"from": "alien", "value": "x"}]), "from 'alien'"),
    (row(conversations=[{"from": "human", "value": "x"}, {"from": "gpt"}]), "has no 'value'"),
    (row(conversations=[{"from": "human", "value": 3}]), "expected text"),
    (
        row(conversations=[{"from": "human", "value": "x"}, {"from": "system", "value": "late"}]),
        "only the first may be",
    ),
    (
        row(conversations=[{"from": "human", "value": "x"}, {"from": "gpt", "value": "y", "loss": "yes"}]),
        "expected true or false",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]}, "only text"),
    ({"messages": [{"role": "user", "content": "x"}, {"role": "assistant"}]}, "has no 'content'"),
    ({"steps": [{"action": "look", "observation": "x"}]}, "no initial observation"),
    (
        {"task_id": "r", "steps": [{"action": "reset", "observation": "x"}, {"action": 4, "observation": "x"}]},
        "expected text",
    ),
    ({"schema_version": "ATIF-v1.6", "steps": [{"source": "ghost", "message": "x"}]}, "source 'ghost'"),
    ({"prompt": "x", "completion": None}, "missing"),
    *[(row(reward=reward), "the reward isn't") for reward in UNUSABLE],
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_a_bad_row_is_named_and_the_others_are_kept(tmp_path, bad, reason):
    path = lines(tmp_path / "rows.jsonl", row("first"), bad, row("last"))
    kept, left = read(path)
    assert kept == ["first", "last"]
    ((place, why),) = left
    assert place == "line 2"
    assert reason in why


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_a_bad_first_row_does_not_hide_the_others(tmp_path, bad, reason):
    kept, left = read(lines(tmp_path / "rows.jsonl", bad, row("second"), row("third")))
    assert kept == ["second", "third"] or isinstance(bad, list)
    assert [place for place, _ in left] == ["line 1"] or isinstance(bad, list)


@pytest.mark.parametrize(
    ("given", "reward"), [("1.0", 1.0), ("-2", -2.0), (" 5e-1 ", 0.5), (1, 1.0), (True, 1.0), (None, 0.0)]
)
def test_a_reward_written_as_text_is_that_number(tmp_path, given, reward):
    (found,) = read_records(lines(tmp_path / "rows.jsonl", row(reward=given)), Trajectory)
    assert (found.reward, found.info["imported"]["reward"]) == (reward, given is not None)


def test_a_file_of_bad_rows_names_them(tmp_path):
    path = lines(tmp_path / "rows.jsonl", *[row(conversations=[{"from": "gpt", "value": "x"}])] * 3)
    with pytest.raises(CorruptFile) as caught:
        read_records(path, Trajectory)
    assert caught.value.code == "no-rows"
    assert [each["row"] for each in caught.value.details["left_out"]] == ["line 1", "line 2", "line 3"]


def test_a_file_of_something_else_is_told_what_it_looks_like(tmp_path):
    (tmp_path / "x").write_text("dear diary\n")
    with pytest.raises(CorruptFile) as caught:
        read_records(tmp_path / "x", Trajectory)
    assert caught.value.code == "foreign-file"


def test_repeated_ids_are_numbered_and_counted(tmp_path):
    path = lines(tmp_path / "rows.jsonl", row("a"), row("a"), row("b"), row("a#2"), row("a"), row(None), row(None))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = read_records(path, Example)
    ids = [each.id for each in found]
    assert ids[:3] == ["a", "a#2", "b"]
    assert len(set(ids)) == 7
    assert {each.task for each in found[:2]} == {"a"}
    assert [w.message.details["rows"] for w in said if getattr(w.message, "code", "") == "duplicate-ids"] == [3]


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_truncated_array_keeps_its_complete_rows(tmp_path, cut):
    text = json.dumps([row("a"), row("b"), row("c")], indent=1)
    (tmp_path / "rows.json").write_text(text[:-cut])
    kept, _ = read(tmp_path / "rows.json")
    assert kept == ["a", "b", "c"][: len(kept)]
    assert len(kept) == {1: 3, 40: 2, 200: 1}[cut]


def test_a_truncated_compressed_file_keeps_what_can_be_read(tmp_path):
    packed = gzip.compress(b"".join(json.dumps(row(str(n))).encode() + b"\n" for n in range(5000)))
    (tmp_path / "rows.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    kept, left = read(tmp_path / "rows.jsonl.gz")
    assert 0 < len(kept) < 5000
    assert "truncated" in left[-1][1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding_is_told(tmp_path, encoding):
    (tmp_path / "rows.jsonl").write_bytes(json.dumps(row()).encode(encoding))
    with pytest.raises(CorruptFile) as caught:
        read_records(tmp_path / "rows.jsonl", Trajectory)
    assert caught.value.code == "foreign-file"
    assert "iconv" in caught.value.fix


def test_a_line_that_is_too_long_is_named_and_the_others_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(json_rows, "MAX_LINE", 1000)
    long = row("long", more="x" * 5000)
    kept, left = read(lines(tmp_path / "rows.jsonl", row("a"), long, row("b")))
    assert (kept, [place for place, _ in left]) == (["a", "b"], ["line 2"])
    (tmp_path / "rows.json").write_text(json.dumps([row("a"), long, row("b")]))
    kept, left = read(tmp_path / "rows.json")
    assert (kept, [place for place, _ in left]) == (["a", "b"], ["row 1"])


@pytest.mark.slow
def test_a_line_of_a_gigabyte_takes_bounded_memory(tmp_path):
    path = tmp_path / "rows.jsonl"
    with path.open("wb") as file:
        file.write(json.dumps(row("a")).encode() + b'\n{"id": "')
        for _ in range(1024):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + json.dumps(row("b")).encode() + b"\n")
    code = (
        "import resource, sys, warnings; from pathlib import Path\n"
        "from eef_framework.formats.containers import read_container\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "bad = []; rows = [each.data['id'] for each in read_container(Path(sys.argv[1]), bad.append)]\n"
        "print(rows, [each.row for each in bad], (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=200)
    path.unlink()
    assert done.stdout.startswith("['a', 'b'] ['line 2'] "), done.stderr
    assert int(done.stdout.split()[-1]) < 800  # MB


def test_messages_of_one_role_in_a_row_are_joined(tmp_path):
    turns = [
        {"role": "system", "content": "one"},
        {"role": "system", "content": "two"},
        {"role": "user", "content": "three"},
        {"role": "user", "content": "four"},
        {"role": "assistant", "content": "five"},
        {"role": "assistant", "content": "six"},
    ]
    (found,) = read_records(lines(tmp_path / "rows.jsonl", {"messages": turns}), Example)
    assert [m.content for m in found.messages] == ["one\n\ntwo", "three\n\nfour", "five\n\nsix"]
    with pytest.warns(EefWarning) as said:
        convert(tmp_path / "rows.jsonl", tmp_path / "out.jsonl", "sharegpt")
    assert said.pop(EefWarning).message.details["lost"] == {"joined": 1}


KEYS = (
    *("messages", "role", "content", "tool_calls", "function", "name", "arguments", "weight"),
    *("conversations", "from", "value", "loss", "prompt", "completion", "chosen", "rejected"),
    *("steps", "action", "observation", "schema_version", "source", "message", "results", "extra"),
    *("epoch", "input", "metadata", "scores", "attachments", "eef", "kind", "reward", "id", "task", "initial"),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["user", "gpt", "human", "agent", "trajectory"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=15,
)


@settings(max_examples=100)
@given(data=ANYTHING)
def test_no_json_whatever_raises_anything_but_an_explained_error(tmp_path_factory, data):
    path = lines(tmp_path_factory.mktemp("any") / "rows.jsonl", row("good"), data)
    for record in (Trajectory, Example):
        assert "good" in read(path, record)[0]


@pytest.mark.parametrize(
    ("out", "to", "code"),
    [
        ("there.jsonl", "sharegpt", "output-exists"),
        ("rows.jsonl", "sharegpt", "output-exists"),
        ("o.parquet", "trajectories", "wrong-container"),
        ("o.eval", "sharegpt", "wrong-container"),
        ("o.jsonl", "inspect", "wrong-container"),
        ("o.csv", "sharegpt", "unknown-ending"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_written(tmp_path, out, to, code):
    lines(tmp_path / "rows.jsonl", row())
    (tmp_path / "there.jsonl").write_text("somebody's")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError) as caught:
        convert(tmp_path / "rows.jsonl", tmp_path / out, to)
    assert caught.value.code == code
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_format_that_does_not_exist_is_told_with_those_that_do(tmp_path):
    lines(tmp_path / "rows.jsonl", row())
    for options in ({"to": "sharegtp"}, {"to": "sharegpt", "format": "sharegtp"}):
        with pytest.raises(UnknownName) as caught:
            convert(tmp_path / "rows.jsonl", tmp_path / "o.jsonl", **options)
        assert "sharegpt" in caught.value.details["known"]
    assert not (tmp_path / "o.jsonl").exists()
