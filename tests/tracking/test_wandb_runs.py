"""W&B offline holds the curves of a run. It has no reader for its files; they are read with its own message types."""

import json
import os
from pathlib import Path

import pytest

from eef_framework.errors import ConfigError
from eef_framework.models import libraries
from eef_framework.runs import RunLayout
from eef_framework.testing.conformance import check_tracker
from eef_framework.tracking import WandbTracker

pytest.importorskip("wandb")
BLOCK = 32768
HEADER = 7


@pytest.fixture(autouse=True)
def _no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing answers there


def records(path):
    """Yield the records of a .wandb file: LevelDB's log format, with wandb's own messages in it."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # padding
            at += BLOCK - at % BLOCK
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def curves(folder):
    """Return (name, step) -> value of all offline runs in a folder."""
    found = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for record in records(path):
            row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            found |= {(name, row["step"]): v for name, v in row.items() if name != "step" and not name.startswith("_")}
    return found


@pytest.mark.slow
def test_wandb_holds_the_curves_of_a_run_its_settings_and_its_report(tracked, figures_of):
    folder = tracked(WandbTracker(project="mine"))
    assert curves(folder) == pytest.approx(figures_of(folder))
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    found = next(record.run for record in records(path) if record.HasField("run"))
    assert (found.project, found.display_name, found.run_group) == ("mine", "seed-0", "seeds")
    assert found.run_id == json.loads(RunLayout(folder).manifest.read_text())["id"]
    settings = {item.key: json.loads(item.value_json) for item in found.config.update}
    assert settings["iterations"] == 1
    assert (path.parent / "files/report.html").read_bytes() == (folder / "report.html").read_bytes()
    assert not (path.parent / "files/report.html").is_symlink()


@pytest.mark.slow
def test_wandb_keeps_the_contract(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_tracker(WandbTracker())


def test_wandb_is_online_with_a_key_and_offline_without_one(monkeypatch, tmp_path):
    assert WandbTracker()._mode() == "offline"
    Path(os.environ["NETRC"]).write_text("machine api.wandb.ai login user password x\n")
    assert WandbTracker()._mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert WandbTracker()._mode() == "offline"
    assert WandbTracker(mode="online")._mode() == "online"


def test_a_missing_key_is_found_before_anything_starts():
    with pytest.raises(ConfigError) as caught:
        WandbTracker(mode="online").preflight()
    assert (caught.value.code, caught.value.details["variable"]) == ("no-key", "WANDB_API_KEY")


def test_a_missing_library_is_found_before_anything_starts(monkeypatch):
    monkeypatch.setattr(libraries, "installed", lambda module: False)
    with pytest.raises(ConfigError) as caught:
        WandbTracker().preflight()
    assert (caught.value.code, caught.value.fix) == ("missing-extra", "pip install 'eef-framework[wandb]'")
    with pytest.raises(ConfigError):
        check_tracker(WandbTracker())
