import pytest
from eef_attribution.controls import AllAttributor, NoneAttributor, RandomAttributor
from eef_attribution.interval import IntervalAttributor
from pydantic import ValidationError


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
    assert verdicts.count("harmful") == pytest.approx(500, abs=60)
    assert verdicts.count("neutral") == 0


def test_random_shares_don_t_depend_on_one_another(tried):
    verdicts = tried(RandomAttributor(beneficial=0.6, harmful=0.2), [0.5] * 1000).verdicts
    assert verdicts.count("beneficial") == pytest.approx(600, abs=60)
    assert verdicts.count("harmful") == pytest.approx(200, abs=50)


def test_chances_of_more_than_one_are_refused():
    given = {"beneficial": 0.7, "harmful": 0.4}
    with pytest.raises(ValidationError) as caught:
        RandomAttributor(**given)
    (error,) = caught.value.errors()
    assert (error["type"], error["ctx"]) == ("chances-above-one", given)


@pytest.mark.parametrize("beneficial", [0.0, 0.1, 0.3, 0.7, 0.9, 1.0])
def test_chances_may_add_up_to_one(tried, beneficial):
    assert "neutral" not in tried(RandomAttributor(beneficial=beneficial, harmful=1 - beneficial), [0.5] * 200).verdicts


def test_random_verdicts_depend_on_the_seed_alone(tried):
    first, again, other = (tried(RandomAttributor(seed=seed), [0.5] * 50).verdicts for seed in (1, 1, 2))
    assert first == again != other
