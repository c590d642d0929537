"""Benchmarks can't rot: each has a quick form that fails with words. CI runs all of them (`make bench-quick`)."""

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from eef_framework import load_config

FOLDER = Path(__file__).parents[1] / "benchmarks"
BENCHMARKS = sorted(path for path in FOLDER.glob("*.py") if path.name != "common.py")


@pytest.fixture
def common(monkeypatch):
    spec = importlib.util.spec_from_file_location("benchmarks_common", FOLDER / "common.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parsed(common, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def parse(*words):
        monkeypatch.setattr(sys, "argv", ["benchmarks/some.py", *words])
        return common.arguments("What?", {"rounds": 1}, rounds=(7, "how many"), sizes=([1, 4], "which"))

    return parse


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_every_benchmark_has_a_quick_form_and_ends_with_its_checks(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id: node for node in ast.walk(tree) if isinstance(node, ast.Call) and hasattr(node.func, "id")}
    assert {"arguments", "finish"} <= called.keys()
    quick = called["arguments"].args[1]
    assert not (isinstance(quick, ast.Dict) and not quick.keys), "--quick changes nothing"
    assert ast.get_docstring(tree).partition("\n")[0].count("?"), "its first line asks the question"


def test_quick_changes_what_is_not_given(parsed):
    assert (parsed().rounds, parsed("--quick").rounds, parsed("--quick", "--rounds", "3").rounds) == (7, 1, 3)
    assert parsed("--sizes", "2", "8").sizes == [2, 8]


def test_quick_results_do_not_replace_full_ones(parsed):
    assert parsed("--quick").out != parsed().out


def test_a_failed_check_is_named_and_fails(common, parsed, capsys):
    args = parsed("--quick", "--out", "result.json")
    with pytest.raises(SystemExit) as ended:
        common.finish(args, {"figure": 1}, "table", {"all is well": True, "equal losses": False})
    assert "equal losses" in ended.value.code
    assert "all is well" not in ended.value.code
    written = json.loads(Path("result.json").read_text())
    assert written == {"figure": 1, "quick": True, "checks": {"all is well": True, "equal losses": False}}


def test_passed_checks_end_with_status_0(common, parsed):
    with pytest.raises(SystemExit) as ended:
        common.finish(parsed(), {}, "table", {"all is well": True})
    assert ended.value.code == 0


@pytest.mark.parametrize(("required", "status"), [("", 0), ("1", 1)])
def test_absent_data_skips_unless_they_are_required(required, status):
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import common; common.shared_data('no-such-data')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"EEF_REQUIRE_DATA": required}, capture_output=True, text=True
    )
    assert done.returncode == status
    assert "no-such-data" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changed", "equal"),
    [
        ({}, True),
        ({"seconds": 9.0, "finished": 2.0}, True),
        ({"logprob": -1.00001}, True),
        ({"logprob": -1.001}, False),
        ({"logprob": None}, False),
        ({"reward": 1}, False),
        ({"reward": 0.99999}, False),
        ({"steps": [{"action": "a"}, {"action": "b"}]}, False),
        ({"more": 1}, False),
    ],
)
def test_resumed_results_may_differ_in_times_and_in_what_batches_do_to_log_probabilities(monkeypatch, changed, equal):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("benchmarks_resume", FOLDER / "resume.py")
    resume = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, resume)
    spec.loader.exec_module(resume)
    row = {"reward": 1.0, "seconds": 1.0, "finished": 1.0, "logprob": -1.0, "steps": [{"action": "a"}]}
    assert resume.compared([row], [row | changed], 0.0)[0] is equal


def test_true_verdicts_are_given_for_the_states_and_the_world_of_the_run(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("benchmarks_worlds", FOLDER / "worlds.py")
    worlds = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worlds)
    given = ["attributor.probes=7", "attributor.simulations=2", "environment.products=60"]
    config = load_config(FOLDER / "worlds/shop.yaml", given, {})
    oracle = worlds.bounds(config, *worlds.WORLDS["shop"][:2])["true"]["attributor"]
    assert (oracle["name"], oracle["probes"], oracle["simulations"]) == ("oracle:Oracle", 7, 2)
    assert oracle["environment"] == dict(config.environment)
    assert oracle["environment"]["products"] == 60
