import pytest
from eef_attribution.controls import AllAttributor, NoneAttributor, RandomAttributor
from eef_attribution.interval import IntervalAttributor


def test_none_knows_nothing_and_all_likes_everything(tried):
    assert tried(NoneAttributor(), [0.5] * 4).verdicts == ["unknown"] * 4
    assert tried(AllAttributor(), [0.5] * 4).verdicts == ["beneficial"] * 4


@pytest.mark.parametrize("control", [NoneAttributor, AllAttributor, RandomAttributor])
def test_controls_can_play_the_simulations_that_interval_plays(tried, control):
    assert tried(control(), [0.5] * 20).played == {}
    same = tried(IntervalAttributor(simulations=2, probes=3), [0.5] * 20).played
    assert tried(control(simulations=2, probes=3), [0.5] * 20).played == same


def test_random_verdicts_have_the_given_shares(tried):
    verdicts = tried(RandomAttributor(beneficial=0.5, harmful=0.5, seed=1), [0.5] * 1000).verdicts
    assert verdicts.count("beneficial") == pytest.approx(500, abs=60)
    assert verdicts.count("harmful") == pytest.approx(250, abs=60)


def test_random_verdicts_depend_on_the_seed_alone(tried):
    first, again, other = (tried(RandomAttributor(seed=seed), [0.5] * 50).verdicts for seed in (1, 1, 2))
    assert first == again != other
