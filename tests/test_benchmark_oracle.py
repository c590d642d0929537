"""The oracle of `benchmarks/worlds.py` judges actions by what a perfect expert still has to do."""

import importlib.util
import sys
from pathlib import Path

import pytest

from eef_framework.plugins import load_plugins
from eef_framework.records import Verdict

FILE = Path(__file__).parents[1] / "benchmarks/worlds/oracle.py"
B, H, N = Verdict.BENEFICIAL, Verdict.HARMFUL, Verdict.NEUTRAL


@pytest.fixture(scope="module")
def oracle():
    spec = importlib.util.spec_from_file_location("oracle", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["oracle"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["oracle"]


def marks(oracle, distances):
    return [segment.verdict for segment in oracle.verdicts(distances) for _ in range(segment.start, segment.end)]


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([3, 2, 1, 0], [B, B, B]),
        ([3, 3, 4, 2], [N, H, B]),
        ([5, None, 5, 4], [N, N, B]),  # a detour
        ([4, 3, None, None], [B, H, H]),
        ([3], []),
        ([None, None], []),  # nothing is known
    ],
)
def test_verdicts_follow_the_distance_to_success(oracle, distances, expected):
    assert marks(oracle, distances) == expected


def test_distances_are_counted_by_playing_the_ends_of_a_solution(oracle):
    registry = load_plugins()
    settings = {"name": "oracle:Oracle", "environment": {"name": "shop", "products": 60}, "gold": "perfect-shopper"}
    judge = registry.build("attributor", settings)
    environment = registry.build("environment", settings["environment"])
    solutions = [(task, judge.solve(task)) for task in environment.tasks("train")[:20]]
    direct = [(task, found) for task, found in solutions if not {"click[next >]", "click[< prev]"} & set(found)]
    assert direct
    for task, solution in direct:
        assert judge.distances(task, solution) == list(range(len(solution), -1, -1))
        assert judge.distances(task, [*solution[:1], "click[back to search]"])[2] == len(solution)
