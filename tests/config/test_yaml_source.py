import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.config.yaml_source import parse_value, parse_yaml, read_yaml
from eef_framework.errors import ConfigError, StorageError

words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=12)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(words, plain, max_size=4))
def test_json_is_read_as_it_is(data):
    assert parse_yaml(json.dumps(data, ensure_ascii=False), "x").data == data


@given(st.text(max_size=60) | st.text("{}[]:,-&*!|>'\"%@ \n\tab", max_size=30))
def test_any_text_is_read_or_explained(text):
    try:
        explanation = f"x{parse_yaml(text, 'x').data}"
    except ConfigError as error:
        explanation = str(error)
    assert explanation.startswith("x")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("true", True),
        ("null", None),
        ("", None),
        ("1e-5", 1e-5),
        ("2.5E3", 2500.0),
        ("-.5", -0.5),
        (".inf", math.inf),
        ("010", "010"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("-3", -3),
        ("my_module:Class", "my_module:Class"),
        ("a/b-c.d", "a/b-c.d"),
        ("[1, two]", [1, "two"]),
        ("{a: 1}", {"a": 1}),
        ("'1'", "1"),
    ],
)
def test_values_are_those_of_yaml_1_2(text, value):
    read = parse_value(text, "--set")
    assert read == value
    assert type(read) is type(value)


def test_every_key_knows_its_line():
    document = parse_yaml("a: 1\nb:\n  c: 2\n  d:\n    - e: 3\n", "file.yaml")
    assert document.origins[("a",)] == "file.yaml, line 1"
    assert document.origins[("b", "c")] == "file.yaml, line 3"
    assert document.origins[("b", "d", 0, "e")] == "file.yaml, line 5"


def test_an_empty_file_holds_no_settings():
    assert parse_yaml("# nothing yet\n", "x").data == {}


@pytest.mark.parametrize(
    ("text", "place", "words", "fix"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3", "'a' stands twice; first in x, line 1", "Remove"),
        ("a:\n  b: 1\n  b: 2\n", "line 3", "'b' stands twice; first in x, line 2", "Remove"),
        ("a:\n\tb: 1\n", "line 2, column 1", "not YAML", "spaces, not tabs"),
        ("a: b: c\n", "line 1, column 5", "not YAML", "in quotes"),
        ("a: 'open\n", "line 2", "not YAML", "Close the quotes"),
        ("a: *b\n", "line 1, column 4", "undefined alias", "begins with `*`"),
        ("a: @b\n", "line 1, column 4", "not YAML", "special character in quotes"),
        ("a: !python/name:os.system\n", "line 1, column 4", "not YAML", "Remove the tag"),
        ("a: !thing {b: 1}\n", "line 1, column 4", "not YAML", "Remove the tag"),
        ("a: [1, 2\nb: 3\n", "line 2", "not YAML", ""),
        ("3: a\n", "line 1", "key 3 is no word", "quotes"),
        ("- a\n", "x holds ['a']", "expected settings", "key: value"),
        ("just words\n", "x holds 'just words'", "expected settings", "key: value"),
        ("a: &x [*x]\n", "x", "refers to itself", ""),
        ("a: \x00\n", "x", "not YAML", "UTF-8"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_a_hint(text, place, words, fix):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x")
    assert place in caught.value.message
    assert words in caught.value.message
    assert fix in caught.value.fix


def test_a_missing_file_is_told_by_its_path(tmp_path):
    with pytest.raises(StorageError, match=r"nowhere\.yaml"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "weights.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        read_yaml(tmp_path / "weights.yaml")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "windows.yaml").write_bytes(b"\xef\xbb\xbfseed: 1\n")
    assert read_yaml(tmp_path / "windows.yaml").data == {"seed": 1}
