"""A page of any file of trajectories or examples."""

import base64
import gzip
import json
from pathlib import Path

import pytest

from eef_framework.errors import ConfigError, CorruptFile
from eef_framework.records import Attribution, Example, Message, SuccessRule
from eef_framework.report.view import build_view
from eef_framework.runs import write_rows

RULE = SuccessRule()
REAL = Path(__file__).parents[3] / "shared" / "data" / "react-webshop" / "episodes.jsonl.gz"


def row(id_, reward=None, **turn):
    conversation = [
        {"from": "human", "value": "Shop.", "loss": None},
        {"from": "gpt", "value": "OK.", "loss": False},
        {"from": "human", "value": "a page", "loss": None},
        {"from": "gpt", "value": "Thought: hm\nAction: click[x]", "loss": True},
        {"from": "human", "value": "another page", "loss": None},
        {"from": "gpt", "value": "Action: click[buy now]", "loss": False, **turn},
    ]
    return {"item_id": id_, "conversations": conversation} | ({} if reward is None else {"reward": reward})


def shown(page, page_class):
    return page_class(page.read_text())


def test_imported_episodes_are_shown_with_their_outcomes(tmp_path, page_class):
    (tmp_path / "logs.json").write_text(json.dumps([row("a", 1.0), row("b", 0.5), row("c")]))
    assert build_view(tmp_path / "logs.json", tmp_path / "page.html", RULE) == 3
    page = shown(tmp_path / "page.html", page_class)
    assert page.data["rows"]["outcome"] == [1, 0, 3]
    assert page.data["rows"]["steps"] == [2, 2, 2]
    links = [attrs["href"] for name, attrs in page.tags if name == "a" and "outcome=" in attrs.get("href", "")]
    assert links == [f"#trajectories?outcome={outcome}" for outcome in (1, 0, 3)]
    assert "mean reward 0.750" in page.text


def test_examples_are_shown_with_what_is_learned(tmp_path, page_class):
    example = Example(
        id="e",
        messages=(
            Message(role="system", content="rules"),
            Message(role="user", content="?"),
            Message(role="assistant", content="Action: a"),
            Message(role="user", content="!"),
            Message(role="assistant", content="Action: b", weight=1.0),
        ),
        source="expert",
    )
    write_rows(tmp_path / "examples.jsonl", [example])
    assert build_view(tmp_path / "examples.jsonl", tmp_path / "page.html", RULE) == 1
    page = shown(tmp_path / "page.html", page_class)
    assert page.data["rows"]["learned"] == [1]
    links = json.loads(gzip.decompress(base64.b64decode(page.scripts["links-0"])))
    assert links["0"]["learned"] == [["this file", "expert", [1]]]


@pytest.mark.skipif(not REAL.is_file(), reason="needs ../shared/data/react-webshop")
def test_the_real_episodes_are_shown(tmp_path, page_class):
    assert build_view(REAL, tmp_path / "page.html", RULE) == 500
    outcomes = shown(tmp_path / "page.html", page_class).data["rows"]["outcome"]
    assert outcomes.count(0) == 321


def test_a_file_that_is_not_a_page_is_not_replaced(tmp_path):
    (tmp_path / "logs.json").write_text(json.dumps([row("a")]))
    with pytest.raises(ConfigError) as caught:
        build_view(tmp_path / "logs.json", tmp_path / "logs.json", RULE)
    assert caught.value.code == "output-exists"


def test_a_page_is_replaced_only_if_it_was_written_here(tmp_path):
    (tmp_path / "logs.json").write_text(json.dumps([row("a")]))
    page = tmp_path / "page.html"
    assert build_view(tmp_path / "logs.json", page, RULE) == build_view(tmp_path / "logs.json", page, RULE) == 1
    page.write_text("<!DOCTYPE html>\n<html>mine</html>")
    with pytest.raises(ConfigError) as caught:
        build_view(tmp_path / "logs.json", page, RULE)
    assert caught.value.code == "output-exists"
    assert page.read_text() == "<!DOCTYPE html>\n<html>mine</html>"


def test_attributions_have_nothing_to_show(tmp_path):
    write_rows(tmp_path / "a.jsonl", [Attribution(trajectory="t", length=1)])
    with pytest.raises(ConfigError) as caught:
        build_view(tmp_path / "a.jsonl", tmp_path / "page.html", RULE)
    assert caught.value.code == "wrong-kind"


def test_a_file_without_rows_is_told(tmp_path):
    (tmp_path / "x.json").write_text('[{"conversations": [{"from": "gpt", "value": "first"}]}]')
    with pytest.raises(CorruptFile) as caught:
        build_view(tmp_path / "x.json", tmp_path / "page.html", RULE)
    assert caught.value.code == "no-rows"
    assert not (tmp_path / "page.html").exists()
