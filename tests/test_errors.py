import asyncio
import errno
import os

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


def test_an_error_shows_how_to_go_on_on_a_line_of_its_own():
    assert str(EefError("the disk is full", "Buy another.")) == "the disk is full\n  -> Buy another."
    assert str(EefError("the disk is full")) == "the disk is full"


def test_a_misspelt_name_is_told_its_nearest_neighbours():
    error = UnknownName.of("environment", "webshp", ["sciworld", "webshop", "textworld"], "pip install eef-webshop")
    assert str(error) == "there is no environment 'webshp'; did you mean 'webshop'?\n  -> pip install eef-webshop"
    assert isinstance(error, ConfigError)


def test_a_name_like_nothing_else_is_told_all_there_are():
    assert UnknownName.of("filter", "zzz", ["b", "a"]).message == "there is no filter 'zzz'; known: a, b"
    assert UnknownName.of("filter", "zzz", []).message == "there is no filter 'zzz'; known: none"


def test_the_boundary_turns_what_plugin_code_raises_into_the_failure_of_its_interface():
    with (
        pytest.raises(EnvironmentFailure) as caught,
        boundary(EnvironmentFailure, "environment 'shop'", "opening 'g-1'"),
    ):
        {}["price"]
    assert caught.value.message == "environment 'shop' failed while opening 'g-1': KeyError: 'price'"
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("error", [ReplayDivergence("left"), ConfigError("wrong"), CorruptFile("torn")])
def test_the_boundary_lets_errors_pass_that_are_explained_already(error):
    with pytest.raises(type(error)) as caught, boundary(AttributorFailure, "attributor 'x'", "working"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("exception", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_the_boundary_lets_interruptions_pass(exception):
    with pytest.raises(exception), boundary(AttributorFailure, "attributor 'x'", "working"):
        raise exception


def test_the_boundary_is_silent_where_nothing_goes_wrong():
    with boundary(AttributorFailure, "attributor 'x'", "working"):
        result = 1
    assert result == 1


def test_failures_of_components_can_be_caught_together():
    assert issubclass(ReplayDivergence, EnvironmentFailure)
    assert issubclass(EnvironmentFailure, ComponentFailure)
    assert not issubclass(StorageError, ComponentFailure)


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "read-only"),
        (errno.ENOENT, "Check the path"),
        (errno.ENOTDIR, "file, not a folder"),
        (errno.EIO, "Mend the cause"),
    ],
)
def test_a_storage_error_names_the_path_the_reason_and_what_to_do(number, fix):
    with pytest.raises(StorageError) as caught, storage("runs/a b", "writing"):
        raise OSError(number, os.strerror(number))
    assert caught.value.message == f"writing 'runs/a b' failed: {os.strerror(number)}"
    assert fix in caught.value.fix


def test_a_file_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="No such file"), storage(tmp_path / "x", "reading"):
        (tmp_path / "x").read_text()


def test_what_is_no_matter_of_the_disk_passes_through_storage():
    with pytest.raises(ValueError, match="not a number"), storage("x", "reading"):
        raise ValueError("not a number")
