import codecs
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
    ("text", "code", "line", "column", "fix"),
    [
        ("a: 1\nb: 2\na: 3\n", "duplicate-key", 3, 1, "Remove"),
        ("a:\n  b: 1\n  b: 2\n", "duplicate-key", 3, 3, "Remove"),
        ("a:\n\tb: 1\n", "yaml-tab", 2, 1, "spaces, not tabs"),
        ("a:\n  b: 1\n\tc: 2\n", "yaml-tab", 3, 1, "spaces, not tabs"),
        ("a: b: c\n", "yaml-syntax", 1, 5, "in quotes"),
        ("a: 'open\n", "yaml-syntax", 2, 1, "Close the quotes"),
        ("a: *b\n", "yaml-syntax", 1, 4, "begins with `*`"),
        ("a: @b\n", "yaml-syntax", 1, 4, "special character in quotes"),
        ("a: !python/name:os.system\n", "yaml-syntax", 1, 4, "Remove the tag"),
        ("a: !thing {b: 1}\n", "yaml-syntax", 1, 4, "Remove the tag"),
        ("a: [1, 2\nb: 3\n", "yaml-syntax", 2, 2, ""),
        ("3: a\n", "key-not-text", 1, 1, "quotes"),
        ("- a\n", "not-settings", None, None, "key: value"),
        ("just words\n", "not-settings", None, None, "key: value"),
        ("a: &x [*x]\n", "yaml-too-deep", None, None, ""),
        ("a: 1\nb: \x00\n", "yaml-syntax", 2, 4, "UTF-8"),
    ],
)
def test_an_error_has_a_code_a_place_and_a_fix(text, code, line, column, fix):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x")
    details = caught.value.details
    assert (caught.value.code, details["path"], details.get("line"), details.get("column")) == (code, "x", line, column)
    assert fix in caught.value.fix


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_file_in_another_unicode_encoding_is_named_with_the_command_that_converts_it(tmp_path, encoding):
    path = tmp_path / "notepad.yaml"
    path.write_bytes("seed: 1\niterations: 2\n".encode(encoding))
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert (caught.value.code, caught.value.details["path"]) == ("not-utf8", str(path))
    assert codecs.lookup(caught.value.details["encoding"]).name == encoding
    assert "iconv -f" in caught.value.fix


def test_a_file_in_an_older_encoding_is_named_with_the_line(tmp_path):
    (tmp_path / "old.yaml").write_bytes("seed: 1\n# für\n".encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "old.yaml")
    assert (caught.value.code, caught.value.details["line"], caught.value.details["column"]) == ("not-utf8", 2, 4)


def test_a_missing_file_is_told_by_its_path(tmp_path):
    with pytest.raises(StorageError) as caught:
        read_yaml(tmp_path / "nowhere.yaml")
    assert (caught.value.code, caught.value.details["path"]) == ("no-such-file", str(tmp_path / "nowhere.yaml"))


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "weights.yaml").write_bytes(b"\x00\x9f\x92\x96")
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "weights.yaml")
    assert caught.value.code == "not-utf8"


def test_a_byte_order_mark_is_not_part_of_the_first_key(tmp_path):
    (tmp_path / "windows.yaml").write_bytes(b"\xef\xbb\xbfseed: 1\n")
    assert read_yaml(tmp_path / "windows.yaml").data == {"seed": 1}
