from __future__ import annotations

import gzip
import hashlib
import json

import pytest
from eef_webshop.data import stream
from eef_webshop.data.stream import JsonStream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eef_framework.errors import CorruptFile, StorageError

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
quick = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@pytest.fixture(params=[1, 7, 1 << 22], ids=["bytewise", "small chunks", "one chunk"])
def chunked(request, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", request.param)


@quick
@given(items=st.lists(values, max_size=6), indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_an_array_is_read_as_json_loads_reads_it(tmp_path, chunked, items, indent, ascii_only):
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only)
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "replace"))
    assert list(JsonStream(tmp_path / "a.json").items()) == json.loads((tmp_path / "a.json").read_text("utf-8"))


@quick
@given(members=st.dictionaries(st.text(), values, max_size=6))
def test_an_object_is_read_as_json_loads_reads_it(tmp_path, chunked, members):
    (tmp_path / "a.json").write_text(json.dumps(members))
    assert dict(JsonStream(tmp_path / "a.json").members()) == members


def test_numbers_are_not_cut_where_a_chunk_ends(tmp_path, chunked):
    (tmp_path / "a.json").write_text("[12345678901234567890, -1.5e10]")
    assert list(JsonStream(tmp_path / "a.json").items()) == [12345678901234567890, -1.5e10]


def test_compressed_files_read_the_same_and_have_the_same_checksum(tmp_path):
    text = json.dumps([{"a": "ü"}] * 100).encode()
    (tmp_path / "a.json").write_bytes(text)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text))
    plain, packed = JsonStream(tmp_path / "a.json"), JsonStream(tmp_path / "a.json.gz")
    assert list(plain.items()) == list(packed.items())
    assert plain.sha256 == packed.sha256 == hashlib.sha256(text).hexdigest()
    assert plain.size == packed.size == len(text)


@quick
@given(items=st.lists(values, min_size=1, max_size=4), data=st.data())
def test_a_truncated_array_is_an_error_and_never_a_shorter_array(tmp_path, chunked, items, data):
    text = json.dumps(items)
    (tmp_path / "a.json").write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.raises(CorruptFile):
        list(JsonStream(tmp_path / "a.json").items())


@quick
@given(text=st.text(alphabet='[]{}",:0 \n\\ua1', max_size=20))
def test_any_text_is_read_as_json_loads_reads_it_or_refused(tmp_path, chunked, text):
    (tmp_path / "a.json").write_text(text)
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    if isinstance(expected, list):
        assert list(JsonStream(tmp_path / "a.json").items()) == expected
    else:
        with pytest.raises(CorruptFile):
            list(JsonStream(tmp_path / "a.json").items())


def test_the_error_names_the_entry_that_is_broken(tmp_path):
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": 2}, {"a": ')
    with pytest.raises(CorruptFile) as caught:
        list(JsonStream(tmp_path / "a.json").items())
    assert (caught.value.code, caught.value.details["entry"], caught.value.details["bytes"]) == ("broken-json", 3, 27)


def test_what_comes_before_the_break_is_delivered(tmp_path):
    (tmp_path / "a.json").write_text("[1, 2, oops]")
    items = JsonStream(tmp_path / "a.json").items()
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(CorruptFile):
        next(items)


def test_a_compressed_file_that_is_cut_off_is_an_error(tmp_path):
    whole = gzip.compress(json.dumps(list(range(10_000))).encode())
    (tmp_path / "a.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptFile) as caught:
        list(JsonStream(tmp_path / "a.json.gz").items())
    assert caught.value.code == "broken-json"
    assert isinstance(caught.value.__cause__, EOFError | gzip.BadGzipFile)


def test_a_file_that_is_not_compressed_in_spite_of_its_name_is_an_error(tmp_path):
    (tmp_path / "a.json.gz").write_text("[1]")
    with pytest.raises(CorruptFile) as caught:
        list(JsonStream(tmp_path / "a.json.gz").items())
    assert caught.value.code == "broken-json"
    assert isinstance(caught.value.__cause__, EOFError | gzip.BadGzipFile)


def test_bytes_that_are_not_utf8_are_an_error(tmp_path):
    (tmp_path / "a.json").write_bytes(b'["\xff"]')
    with pytest.raises(CorruptFile) as caught:
        list(JsonStream(tmp_path / "a.json").items())
    assert isinstance(caught.value.__cause__, UnicodeDecodeError)


def test_an_endless_entry_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 1000)
    monkeypatch.setattr(stream, "MAX_ENTRY_LENGTH", 5000)
    (tmp_path / "a.json").write_text('["' + "x" * 100_000 + '"]')
    reader = JsonStream(tmp_path / "a.json")
    with pytest.raises(CorruptFile):
        list(reader.items())
    assert reader.size < 10_000


def test_a_missing_file_is_explained(tmp_path):
    with pytest.raises(StorageError) as caught:
        list(JsonStream(tmp_path / "a.json").items())
    assert caught.value.code == "no-such-file"


def test_progress_adds_up_to_the_size_of_the_file(tmp_path, chunked):
    (tmp_path / "a.json").write_text(json.dumps(list(range(50))))
    steps = []
    list(JsonStream(tmp_path / "a.json", steps.append).items())
    assert sum(steps) == (tmp_path / "a.json").stat().st_size
