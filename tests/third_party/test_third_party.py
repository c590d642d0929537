"""A stranger's distribution, and one that is broken, installed by pip as anyone would."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eef_framework.testing.small_run import small_settings

HERE = Path(__file__).parent
EEF = "from eef_framework.cli.main import main; main()"
EEF_RUN = "from eef_framework.cli.run import main; main()"

CONFIG = yaml.safe_dump(small_settings(10, environment="doubling", expert="hasty"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with both distributions installed in it."""
    folder = tmp_path_factory.mktemp("site")
    sources = tmp_path_factory.mktemp("sources")  # a build writes files to it
    for name in ("eef-thirdparty", "eef-brokenparty"):
        shutil.copytree(HERE / name, sources / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", folder, *sources.iterdir()], check=True, capture_output=True)
    return folder


@pytest.fixture
def python(site, tmp_path):
    """Run Python code with the distributions installed, in an empty folder."""

    def python(code, *arguments):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EEF")}
        environment |= {"PYTHONPATH": str(site), "COLUMNS": "200"}
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    return python


@pytest.mark.slow
def test_its_entry_point_and_metadata_are_found(python):
    done = python(
        "import json; from eef_framework import load_plugins;"
        "print(json.dumps({p.name: [p.distribution, p.version, p.error is None] for p in load_plugins().plugins}))"
    )
    found = json.loads(done.stdout)
    assert found["thirdparty"] == ["eef-thirdparty", "0.3", True]
    assert found["brokenparty"] == ["eef-brokenparty", "0.0.7", False]


def test_eef_plugins_lists_its_parts_and_the_broken_ones_cause(python):
    done = python(EEF, "plugins")
    assert done.returncode == 0, done.stderr
    rows = {tuple(line.split()[:4]) for line in done.stdout.splitlines()}
    assert ("environment", "doubling", "eef-thirdparty", "0.3") in rows
    assert ("expert", "hasty", "eef-thirdparty", "0.3") in rows
    assert ("attributor", "last-good", "eef-thirdparty", "0.3") in rows
    assert ("plugin", "brokenparty", "eef-brokenparty", "0.0.7") in rows
    assert "this plugin needs a newer moon" in done.stdout


def test_eef_plugins_shows_settings_with_type_default_and_meaning(python):
    done = python(EEF, "plugins", "doubling")
    line = next(line for line in done.stdout.splitlines() if line.startswith("largest"))
    assert line.split()[:3] == ["largest", "int", "60"]
    assert "Largest number to reach." in line


def test_asking_for_the_broken_plugin_raises_its_cause(python):
    done = python(EEF, "plugins", "brokenparty")
    assert done.returncode == 1
    assert "plugin 'brokenparty' (eef-brokenparty 0.0.7) can't be loaded: RuntimeError" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_adds_a_command(python):
    assert python(EEF, "doubling", "21").stdout == "42\n"


@pytest.mark.parametrize("attributor", ["last-good", "eef_thirdparty.attributor:LastGood"])
def test_a_whole_run_uses_its_attributor(python, tmp_path, attributor):
    (tmp_path / "own.yaml").write_text(CONFIG)
    plugins = "thirdparty,eef_framework.testing.plugin"
    done = python(EEF_RUN, "own.yaml", "--plugins", plugins, "--set", f"attributor={attributor}", "--out", "out")
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").glob("methods/*/1/explore/attributions.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == 10
    assert {row["method"] for row in rows} == {"last-good"}
    assert any(segment["verdict"] == "beneficial" for row in rows for segment in row["segments"])


def test_its_parts_keep_their_contracts(python):
    done = python(
        "from eef_framework.testing.conformance import check_attributor, check_environment\n"
        "from eef_thirdparty.attributor import LastGood\n"
        "from eef_thirdparty.environment import Doubling\n"
        "check_environment(Doubling())\n"
        "check_attributor(LastGood())\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_its_trainer_keeps_its_contract(python):
    done = python(
        "from eef_framework.policies import TinyModel, TransformersPolicy\n"
        "from eef_framework.testing.conformance import check_trainer\n"
        "from eef_thirdparty.trainer import PlainTrainer\n"
        "tiny = TinyModel(hidden=32, layers=1, heads=2, feed_forward=32)\n"
        "check_trainer(PlainTrainer(steps=4, batch_size=4), TransformersPolicy(tiny=tiny))\n"
    )
    assert done.returncode == 0, done.stderr


def test_its_expert_fails_now_and_then_and_knows_better(python):
    done = python(
        "import asyncio\n"
        "from eef_thirdparty.environment import Doubling\n"
        "from eef_thirdparty.expert import Hasty\n"
        "async def rate(patience):\n"
        "    game = Doubling()\n"
        "    played = [t.reward async for t in Hasty(patience=patience).demonstrate(game, game.tasks('train'), 0)]\n"
        "    return sum(played) / len(played)\n"
        "print(asyncio.run(rate(1.0)), asyncio.run(rate(0.8)))\n"
    )
    best, usual = map(float, done.stdout.split())
    assert best == 1.0
    assert 0.3 < usual < 1.0
