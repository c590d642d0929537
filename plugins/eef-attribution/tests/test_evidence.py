import pytest
from eef_attribution.evidence import Outcome, fisher
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("table", "p"),
    [
        # Fisher's tea-tasting experiment: all eight cups right, six of eight right.
        ((4, 4, 0, 4), 2 / 70),
        ((3, 4, 1, 4), 34 / 70),
        ((0, 5, 5, 5), 2 / 252),
        # Worked by hand: 8 good of 15; only the tables 7|1 and 0|8 of 6435 are as rare as 7 of 7 against 1 of 8.
        ((7, 7, 1, 8), 9 / 6435),
        ((2, 2, 2, 2), 1.0),
        ((0, 0, 3, 4), 1.0),
        ((0, 0, 0, 0), 1.0),
    ],
)
def test_fishers_test_gives_known_values(table, p):
    assert fisher(*table) == pytest.approx(p)


counts = st.integers(0, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(first=counts, second=counts)
def test_fishers_test_is_symmetric(first, second):
    (a, n), (b, m) = first, second
    assert fisher(a, n, b, m) == fisher(b, m, a, n) == fisher(n - a, n, m - b, m)
    assert 0 < fisher(a, n, b, m) <= 1


def test_an_outcome_is_open_only_while_lost_simulations_could_decide_it():
    assert Outcome(asked=3, found=2, successes=0).solved("any") is None
    assert Outcome(asked=3, found=2, successes=1).solved("any") is True
    assert Outcome(asked=3, found=2, successes=0).solved("majority") is False
    assert Outcome(asked=3, found=2, successes=1).solved("majority") is None
    assert Outcome(asked=3, found=3, successes=0).solved("any") is False
