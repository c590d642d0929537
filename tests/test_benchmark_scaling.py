"""The simulation of `benchmarks/scaling.py` agrees with formulas where there are any."""

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "benchmarks/simulation/events.py"


@pytest.fixture(scope="module")
def events():
    spec = importlib.util.spec_from_file_location("scaling_events", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scaling_events"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["scaling_events"]


@pytest.mark.parametrize(("batch", "waves", "turns"), [(1, 1, 1), (1, 5, 3), (8, 3, 4), (16, 2, 1)])
def test_equal_episodes_take_as_long_as_the_formula_says(events, batch, waves, turns):
    speed = events.Speed(base=0.01, each=0.002, prompt=0.0001, batch=batch)
    episodes = [events.Episode([200] * turns, [50] * turns)] * (waves * batch)
    played = events.simulate(episodes, speed, 1, 1, batch, 0.0, 0.0)
    assert played.end == pytest.approx(waves * turns * (batch * 200 * 0.0001 + 50 * (0.01 + 0.002 * batch)))
    assert played.end == pytest.approx(events.closed_formula(speed, waves, turns, 200, 50))


def test_one_worker_steps_one_episode_at_a_time(events):
    instant = events.Speed(base=0.0, each=1e-12, prompt=0.0, batch=8)
    played = events.simulate([events.Episode([1] * 3, [1] * 3, replayed=2)] * 8, instant, 1, 1, 8, 0.5, 2.0)
    assert played.end == pytest.approx(8 * (2.0 + 5 * 0.5))
    assert played.worked == pytest.approx(played.end)


@pytest.mark.parametrize("in_flight", [3, 10])
def test_no_work_is_lost_or_done_twice(events, in_flight):
    each_alike = events.Speed(base=0.0, each=0.001, prompt=0.0002, batch=4)
    episodes = [events.Episode([100 + i] * (i % 5 + 1), [10 + i] * (i % 5 + 1)) for i in range(40)]
    played = events.simulate(episodes, each_alike, 2, 2, in_flight, 0.01, 0.1)
    tokens = sum(sum(episode.answers) for episode in episodes)
    assert played.tokens == pytest.approx(tokens)
    assert played.busy == pytest.approx(tokens * 0.001 + sum(sum(e.prompts) for e in episodes) * 0.0002)
    assert played.worked == pytest.approx(sum(len(e.answers) for e in episodes) * 0.01 + 40 * 0.1)
    assert played.begun < played.end


def test_a_long_episode_keeps_one_server_busy_to_the_end(events):
    speed = events.Speed(base=0.01, each=0.0, prompt=0.0, batch=4)
    episodes = [events.Episode([0] * turns, [100] * turns) for turns in (1, 1, 1, 20)]
    for servers in (1, 4):
        assert events.simulate(episodes, speed, servers, 4, 4, 0.0, 0.0).end == pytest.approx(20 * 100 * 0.01)
