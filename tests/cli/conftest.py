import sys
from dataclasses import dataclass, field

import pytest
import yaml

from eef_framework.cli import check, errors, main, run
from eef_framework.errors import EefError
from eef_framework.testing.small_run import small_settings


@dataclass
class Done:
    """What a command did."""

    code: int
    """Its exit code."""
    out: str
    err: str
    errors: list[EefError] = field(default_factory=list)
    """The errors that it printed."""

    @property
    def error(self):
        (error,) = self.errors
        return error


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder with a configuration that takes milliseconds, own.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("EEF_PLUGINS", "eef_framework.testing.plugin")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(small_settings()))
    return tmp_path


@pytest.fixture
def command(folder, monkeypatch, capsys):
    """Run `eef ...` or `eef-run ...` in this process."""

    printed = []
    show = errors.show

    def record(error):
        printed.append(error)
        show(error)

    monkeypatch.setattr(errors, "show", record)
    monkeypatch.setattr(check, "show", record)

    def command(name, *arguments):
        printed.clear()
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            {"eef": main, "eef-run": run}[name].main()
        return Done(left.value.code or 0, *capsys.readouterr(), list(printed))

    return command
