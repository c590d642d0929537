"""README.md's configuration with eef-serve, eef-ray and eef-vllm, beside a world that is really served."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from eef_serve.app import create_app
from eef_serve.testing import running

from eef_framework.plugins import load_plugins
from eef_framework.policies import TinyModel
from eef_framework.records import Message

README = Path(__file__).parents[2] / "README.md"
TOKEN = "a-token-of-the-tests"
RUN = [sys.executable, "-c", "from eef_framework.cli.run import main; main()"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the configuration as it is printed, and a model in place of one that has to be fetched."""
    (block,) = re.findall(r"^```yaml\n(# scaled\.yaml\n.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "scaled.yaml").write_text(block, encoding="utf-8")
    words = (Message(role="user", content="buy it"),)
    TinyModel(hidden=8, layers=1, feed_forward=8).build([words], tmp_path / "model", seed=0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EEF_SERVE_TOKEN", TOKEN)
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("EEF__COLLECT__TASKS__COUNT", "EEF__ITERATIONS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.slow
def test_a_hundred_tasks_of_a_served_world_are_planned(folder):
    with load_plugins().build("environment", "shop") as shop, running(create_app(shop, {"tests": TOKEN})) as server:
        (folder / "demonstrations.jsonl").touch()
        changes = [f"environment.url={server.url}", "policy.model=./model"]
        options = [word for change in changes for word in ("--set", change)]
        done = subprocess.run([*RUN, "scaled.yaml", "--dry-run", *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for kept in ("name: remote", "name: ray", "name: vllm", "name: recording"):
        assert kept in done.stdout
    plan = dict(re.findall(r"^(.+?)  +(?:at most )?([\d,]+)  +at most", done.stderr, re.MULTILINE))
    assert plan["expert demonstrates"] == plan["sft on test tasks"] == "100"
