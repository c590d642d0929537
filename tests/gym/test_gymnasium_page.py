"""The page on Gymnasium says what works."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from eef_framework.testing.corridor import Corridor

PAGE = Path(__file__).parents[2] / "docs" / "gymnasium.md"
RUN = "from eef_framework.cli.run import main; main()"
EEF = "from eef_framework.cli.main import main; main()"
FAST = {
    "policy": "memory",
    "clone.trainer": "memory",
    "tune.trainer": "memory",
    "collect.tasks.count": 40,
    "evaluate.tasks.count": 20,
    "iterations": 1,
    "baselines": "[]",
}
"""What makes the page's configuration a run of seconds, without a model."""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def python(tmp_path):
    """Run Python code in a folder with the page's files."""
    (tmp_path / "lake.py").write_text(blocks("python")[0])
    (tmp_path / "lake.yaml").write_text(blocks("yaml")[0])

    def python(code, *arguments):
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return python


def test_its_lake_and_its_skater_keep_their_contracts(python):
    done = python(EEF, "check", "lake:Lake", "lake:Skater", "--env", "lake:Lake", "--cycles", "10")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("keeps its contract") == 2


def test_its_configuration_is_a_run(python, tmp_path):
    changes = [word for key, value in FAST.items() for word in ("--set", f"{key}={value}")]
    plugins = "attribution,eef_framework.testing.plugin"
    done = python(RUN, "lake.yaml", "--plugins", plugins, "--out", "out", *changes)
    assert done.returncode == 0, done.stderr
    assert "eef 1" in done.stdout
    assert (tmp_path / "out" / "report.html").is_file()


def test_its_configuration_is_in_order_as_it_stands(python):
    done = python(RUN, "lake.yaml", "--plugins", "attribution", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "success_rate: 0.9" in done.stdout


def test_its_examples_of_the_other_way_work():
    scope = {"shop": Corridor()}
    exec(blocks("python")[1], scope)
    assert isinstance(scope["env"], gymnasium.Env)
    assert scope["info"]["valid"]
    exec(blocks("python")[2], scope)
    assert scope["envs"].num_envs == 8
