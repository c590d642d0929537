import asyncio
import errno
import importlib
import json
import os
import sys

import pytest

from eef_framework.errors import (
    AttributorFailure,
    ComponentFailure,
    ConfigError,
    CorruptFile,
    EefError,
    EnvironmentFailure,
    ReplayDivergence,
    StorageError,
    UnknownName,
    boundary,
    storage,
)
from eef_framework.records import Segment
from eef_framework.testing.corridor import Corridor


def test_an_error_shows_how_to_go_on_on_a_line_of_its_own():
    assert str(EefError("the disk is full", "Buy another.")) == "the disk is full\n  -> Buy another."
    assert str(EefError("the disk is full")) == "the disk is full"


def test_a_misspelt_name_is_told_its_nearest_neighbours():
    error = UnknownName.of("environment", "webshp", ["sciworld", "webshop", "textworld"], "pip install eef-webshop")
    assert str(error) == "there is no environment 'webshp'; did you mean 'webshop'?\n  -> pip install eef-webshop"
    assert isinstance(error, ConfigError)


def test_where_a_name_was_looked_for_stands_after_it():
    error = UnknownName.of("split", "trian", ["train", "test"], where="in environment 'shop'")
    assert error.message == "there is no split 'trian' in environment 'shop'; did you mean 'train'?"
    assert (error.details["what"], error.details["given"]) == ("split", "trian")


def test_a_name_like_nothing_else_is_told_all_there_are():
    assert UnknownName.of("filter", "zzz", ["b", "a"]).message == "there is no filter 'zzz'; known: a, b"


def test_of_settings_in_sections_only_the_sections_are_told():
    error = UnknownName.of("setting", "zzz", ["seed", "tune", "tune.trainer", "tune.trainer.steps"])
    assert "tune" in error.message
    assert "trainer" not in error.message
    assert error.details["known"] == ("seed", "tune", "tune.trainer", "tune.trainer.steps")
    assert UnknownName.of("filter", "zzz", []).message == "there is no filter 'zzz'; known: none"


def test_the_boundary_turns_what_plugin_code_raises_into_the_failure_of_its_interface():
    with (
        pytest.raises(EnvironmentFailure) as caught,
        boundary(EnvironmentFailure, "environment 'shop'", "opening 'g-1'"),
    ):
        {}["price"]
    assert caught.value.message.startswith("environment 'shop' failed while opening 'g-1': KeyError: 'price'")
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.code == "environment-failed"


def test_the_boundary_names_a_component_by_its_kind_and_its_name():
    with pytest.raises(EnvironmentFailure) as caught, boundary(EnvironmentFailure, Corridor(), "opening 'g-1'"):
        raise ValueError
    assert caught.value.message.startswith("environment 'corridor' failed while opening 'g-1'")


def test_the_boundary_names_the_authors_own_line_and_not_the_librarys():
    with pytest.raises(EnvironmentFailure) as caught, boundary(EnvironmentFailure, "environment 'shop'", "opening"):
        json.loads("{")  # raises in the standard library
    line = sys._getframe().f_lineno - 1
    assert caught.value.details["where"] == f"{__file__}, line {line}"
    assert f"line {line}" in caught.value.message


def test_the_authors_own_line_is_named_wherever_libraries_are_installed(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    (folder / "a_library-1.0.dist-info").mkdir(parents=True)
    (folder / "a_library_elsewhere.py").write_text("def load():\n    raise OSError('no weights')\n")
    monkeypatch.syspath_prepend(folder)
    module = importlib.import_module("a_library_elsewhere")
    with pytest.raises(EnvironmentFailure) as caught, boundary(EnvironmentFailure, "environment 'shop'", "opening"):
        module.load()
    line = sys._getframe().f_lineno - 1
    assert caught.value.details["where"] == f"{__file__}, line {line}"


def test_an_invalid_record_is_explained_with_field_given_and_expected():
    with pytest.raises(AttributorFailure) as caught, boundary(AttributorFailure, "attributor 'mine'", "attributing"):
        Segment(start="one", end=2, verdict="good", credits=1)
    message = caught.value.message
    for part in (
        "'start' of Segment",
        "'one'",
        "'verdict' of Segment",
        "'good'",
        "'credits'",
        "did you mean 'credit'?",
    ):
        assert part in message
    assert "pydantic" not in message
    assert "\n" not in message


def test_an_error_has_the_code_of_its_class_unless_it_has_one_of_its_own():
    assert ConfigError("wrong").code == "config"
    error = ConfigError("wrong", code="no-such-split", split="tets")
    assert (error.code, error.details) == ("no-such-split", {"split": "tets"})


def test_every_class_of_errors_has_a_code_of_its_own():
    def below(cls):
        return [cls, *(each for sub in cls.__subclasses__() if sub.__module__ == cls.__module__ for each in below(sub))]

    codes = [cls.default_code for cls in below(EefError)]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", [ReplayDivergence("left"), ConfigError("wrong"), CorruptFile("torn")])
def test_the_boundary_lets_errors_pass_that_are_explained_already(error):
    with pytest.raises(type(error)) as caught, boundary(AttributorFailure, "attributor 'x'", "working"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("exception", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_the_boundary_lets_interruptions_pass(exception):
    with pytest.raises(exception), boundary(AttributorFailure, "attributor 'x'", "working"):
        raise exception


def test_a_component_that_ends_the_process_has_failed():
    with pytest.raises(AttributorFailure) as caught, boundary(AttributorFailure, "attributor 'x'", "working"):
        sys.exit("usage: x")
    assert isinstance(caught.value.__cause__, SystemExit)
    assert "usage: x" in caught.value.message


def test_the_boundary_is_silent_where_nothing_goes_wrong():
    with boundary(AttributorFailure, "attributor 'x'", "working"):
        result = 1
    assert result == 1


def test_failures_of_components_can_be_caught_together():
    assert issubclass(ReplayDivergence, EnvironmentFailure)
    assert issubclass(EnvironmentFailure, ComponentFailure)
    assert not issubclass(StorageError, ComponentFailure)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EACCES, "no-permission"),
        (errno.EROFS, "read-only"),
        (errno.ENOENT, "no-such-file"),
        (errno.ENOTDIR, "not-a-folder"),
        (errno.EISDIR, "not-a-file"),
        (errno.EIO, "storage"),
    ],
)
def test_a_storage_error_names_the_path_the_reason_and_what_to_do(number, code):
    with pytest.raises(StorageError) as caught, storage("runs/a b", "writing"):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"writing 'runs/a b' failed: {os.strerror(number)}"
    assert (caught.value.code, caught.value.details["path"]) == (code, "runs/a b")
    assert caught.value.fix


def test_a_file_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError) as caught, storage(tmp_path / "x", "reading"):
        (tmp_path / "x").read_text()
    assert caught.value.code == "no-such-file"


def test_what_is_not_about_the_disk_passes_through_storage():
    with pytest.raises(ValueError, match="not a number"), storage("x", "reading"):
        raise ValueError("not a number")
