"""The oracle of `benchmarks/worlds.py` judges actions by what a perfect expert still has to do."""

import importlib.util
import sys
from pathlib import Path

import pytest

from eef_framework.plugins import load_plugins
from eef_framework.records import Verdict

FOLDER = Path(__file__).parents[1] / "benchmarks/worlds"
B, H, N = Verdict.BENEFICIAL, Verdict.HARMFUL, Verdict.NEUTRAL


def module(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    yield loaded
    del sys.modules[name]


@pytest.fixture(scope="module")
def oracle():
    yield from module("oracle")


@pytest.fixture(scope="module")
def sciworld_oracle(oracle):
    yield from module("sciworld_oracle")


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


def test_an_expert_that_is_asked_in_every_state_finds_looking_at_products_useful(oracle):
    registry = load_plugins()
    shop = {"name": "shop", "products": 60}
    asked = registry.build(
        "attributor", {"name": "oracle:ContinuingOracle", "environment": shop, "gold": "perfect-shopper"}
    )
    environment = registry.build("environment", shop)
    looking = 0
    for task in environment.tasks("train")[:60]:
        if solution := asked.solve(task):
            assert asked.distances(task, solution) == list(range(len(solution), -1, -1))
            looking += "click[< prev]" in solution
    assert looking  # where the solution looks at a product and leaves it, both actions shorten the way


def test_there_is_no_verdict_on_the_end_if_it_is_not_known_to_be_lost(oracle):
    assert [segment.end for segment in oracle.verdicts([4, 3, None, None], lost=False)] == [1]


def test_walks_through_the_house_are_shortest(sciworld_oracle):
    assert sciworld_oracle.walk("bathroom", "greenhouse") in (
        ("kitchen", "hallway", "greenhouse"),
        ("kitchen", "outside", "greenhouse"),
    )
    assert sciworld_oracle.walk("kitchen", "kitchen") == ()
    assert sciworld_oracle.walk("nowhere", "kitchen") is None
    for room, others in sciworld_oracle.DOORS.items():
        assert all(room in sciworld_oracle.DOORS[other] for other in others)


@pytest.mark.slow
def test_a_walk_back_to_the_solution_has_its_length_in_scienceworld(sciworld_oracle):
    environment = {"name": "sciworld", "types": ["find-living-thing", "find-non-living-thing"], "mode": "compact"}
    settings = {"name": "sciworld_oracle:SciWorldOracle", "environment": {**environment, "slots": 2}}
    registry = load_plugins()
    judge = registry.build("attributor", settings | {"gold": {"name": "sciworld-gold", "brief": True}})
    world = registry.build("environment", settings["environment"])
    try:
        tasks = {task.id: task for task in world.tasks("train")}
        task = tasks["find-non-living-thing-75"]
        solution = judge.solve(task)
        assert judge.distances(task, solution) == list(range(len(solution), -1, -1))
        first, *rest = solution
        assert first == "go to hallway"
        left = ["go to art studio", "go to hallway"]
        distances = judge.distances(task, [first, *left, *rest])
        assert distances[1:4] == [len(rest), len(rest) + 1, len(rest)]
        assert judge.distances(task, ["go to the moon"]) == [len(solution)] * 2
        with world.open(task) as session:
            session.step("focus on air")  # the solution leads nowhere any more, but the task hasn't ended
            assert not session.done
        assert judge.distances(task, ["focus on air"]) == [len(solution), None]
        for task in (tasks["find-living-thing-46"], tasks["find-living-thing-100"]):
            with world.open(task) as session:
                session.step("focus on air")
                assert session.done  # air isn't alive: the task is lost
                assert session.steps[-1].terminated
            assert judge.distances(task, ["focus on air"])[1] is None
    finally:
        judge.close()
        world.close()
