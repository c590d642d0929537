"""An error about one of many examples says which: file, line and id."""

import json

import pytest

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import ConfigError, CorruptFile, EefError
from eef_framework.policies.loading import load_tokenizer
from eef_framework.records import Example
from eef_framework.training.dataset import TokenizedDataset
from eef_framework.training.example_files import check_ids, rows_named
from eef_framework.training.preferences import tokenize_pairs

TURNS = [{"role": "user", "content": "copy word1"}, {"role": "assistant", "content": "word1", "weight": 1.0}]
REFUSES = "{% for m in messages %}{% if 'bad' in m['content'] %}{{ raise_exception('no') }}{% endif %}"


@pytest.fixture
def chat(start):
    tokens = ChatTokenizer(load_tokenizer(start.path))
    tokens.tokenizer.chat_template = REFUSES + "{% endfor %}" + tokens.tokenizer.chat_template
    return tokens


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(name, **fields):
    return {"id": name, "messages": TURNS, **fields}


BAD = [{"role": "user", "content": "bad"}, TURNS[1]]


def test_an_example_that_the_template_refuses_is_named(chat, tmp_path):
    rows = [row("a"), row("b", messages=BAD), row("c")]
    path = written(tmp_path / "examples.jsonl", *rows)
    with pytest.raises(ConfigError) as caught, rows_named(path):
        TokenizedDataset.from_examples([Example.model_validate(each) for each in rows], chat, 100)
    assert caught.value.code == "template-failed"
    assert caught.value.details == {"id": "b", "line": 2, "path": str(path)}
    assert {"'b'", f"{path},"} <= set(str(caught.value).replace(":", "").split())


def test_a_pair_that_the_template_refuses_is_named_with_its_side(chat, tmp_path):
    rows = [row("a", rejected=TURNS), row("b", rejected=BAD)]
    path = written(tmp_path / "pairs.jsonl", *rows)
    with pytest.raises(ConfigError) as caught, rows_named(path):
        tokenize_pairs([Example.model_validate(each) for each in rows], chat, 100)
    assert caught.value.details == {"id": "b", "side": "rejected", "line": 2, "path": str(path)}


def test_a_line_is_named_by_its_id(tmp_path):
    path = written(tmp_path / "examples.jsonl", row("a"), row("b"))
    with pytest.raises(CorruptFile) as caught, rows_named(path):
        raise CorruptFile("line 2 is bad", path=str(path), line=2)
    assert caught.value.details == {"id": "b", "line": 2, "path": str(path)}


@pytest.mark.parametrize("details", [{}, {"id": "unknown"}, {"line": 9}, {"line": 2}, {"id": "a", "line": 1}])
def test_an_error_about_no_example_of_the_file_stays_as_it_is(tmp_path, details):
    path = tmp_path / "examples.jsonl"
    path.write_text('{"id": "a"}\nnot JSON\n')
    with pytest.raises(EefError) as caught, rows_named(path):
        raise EefError("something else", **details)
    assert (caught.value.message, caught.value.details) == ("something else", details)


def test_two_examples_of_one_id_are_refused(tmp_path):
    path = written(tmp_path / "examples.jsonl", row("a"), row("b"), row("a"))
    with pytest.raises(CorruptFile) as caught:
        check_ids(path)
    assert caught.value.code == "duplicate-id"
    assert caught.value.details == {"path": str(path), "line": 3, "first_line": 1, "id": "a"}
    check_ids(written(path, row("a"), row("b")))
