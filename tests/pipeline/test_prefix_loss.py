import pytest
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.config.schema import Select
from eef_framework.pipeline.prefix_loss import Outcomes, prefix_weights, probability_higher
from eef_framework.records import Attribution, Probe, Segment, StateValue, Verdict

RULES = ("beneficial", "not-harmful", "all", "none", "credit", "confidence")
B, H, N = Verdict.BENEFICIAL, Verdict.HARMFUL, Verdict.NEUTRAL


def weights(attribution: Attribution, rule: str, length: int | None = None) -> tuple[float, ...]:
    return prefix_weights(attribution, length or attribution.length, Select(prefix_loss=rule))  # type: ignore[arg-type]


def probe(state: int, successes: int, n: int = 4) -> Probe:
    return Probe(state=state, simulations=tuple(map(str, range(n))), successes=successes)


segment = st.builds(
    Segment,
    start=st.just(0),
    end=st.integers(1, 6),
    verdict=st.sampled_from(list(Verdict)),
    credit=st.none() | st.floats(-1.0, 1.0),
)


@st.composite
def attributions(draw: st.DrawFn) -> Attribution:
    states, counts, rates = st.integers(0, 6), st.integers(1, 9), st.floats(0.0, 1.0)
    value = st.builds(StateValue, state=states, mean=rates, low=st.just(0.0), high=st.just(1.0), n=st.integers(0, 9))
    probes = st.lists(st.tuples(states, counts, rates), max_size=4)
    return Attribution(
        trajectory="d",
        length=6,
        segments=tuple(draw(st.lists(segment, max_size=1))),
        probes=tuple(probe(state, int(share * n), n) for state, n, share in draw(probes)),
        values=tuple(draw(st.lists(value, max_size=4))),
    )


@given(attributions(), st.sampled_from(RULES), st.integers(0, 6))
def test_each_action_of_the_prefix_has_a_weight_between_0_and_1(
    attribution: Attribution, rule: str, length: int
) -> None:
    found = prefix_weights(attribution, length, Select(prefix_loss=rule))  # type: ignore[arg-type]
    assert len(found) == length
    assert all(0.0 <= weight <= 1.0 for weight in found)


def test_by_credit_an_action_weighs_as_much_as_it_raised_the_chance() -> None:
    segments = (
        Segment(start=0, end=1, verdict=B, credit=0.25),
        Segment(start=1, end=2, verdict=H, credit=-0.5),
        Segment(start=2, end=4, verdict=N),
    )
    found = Attribution(trajectory="d", length=5, segments=segments, probes=(probe(2, 1), probe(4, 3)))
    assert weights(found, "credit") == (0.25, 0.0, 0.5, 0.5, 0.0)


def test_by_confidence_the_same_difference_weighs_more_with_more_simulations() -> None:
    def found(n: int) -> tuple[float, ...]:
        segments = (Segment(start=0, end=1, verdict=B),)
        return weights(
            Attribution(trajectory="d", length=1, segments=segments, probes=(probe(0, 0, n), probe(1, n, n))),
            "confidence",
        )

    one, four = found(1)[0], found(4)[0]
    assert one == pytest.approx(2 * 5 / 6 - 1)  # one failure before, one success after
    assert one < four < 1.0


@given(successes=st.integers(0, 12), n=st.integers(1, 12))
def test_by_confidence_equal_outcomes_on_both_sides_weigh_nothing(successes: int, n: int) -> None:
    probes = (probe(0, min(successes, n), n), probe(1, min(successes, n), n))
    found = Attribution(trajectory="d", length=1, segments=(Segment(start=0, end=1, verdict=N),), probes=probes)
    assert weights(found, "confidence") == (0.0,)


def test_the_strategys_own_values_count_before_the_simulations() -> None:
    segments = (Segment(start=0, end=1, verdict=N),)
    values = tuple(StateValue(state=state, mean=mean, low=0, high=1, n=10) for state, mean in ((0, 0.2), (1, 0.7)))
    given_ = Attribution(trajectory="d", length=1, segments=segments, probes=(probe(0, 4), probe(1, 0)), values=values)
    assert weights(given_, "credit") == pytest.approx((0.5,))


@pytest.mark.parametrize("rule", ["credit", "confidence"])
def test_without_evidence_the_verdict_decides(rule: str) -> None:
    segments = (Segment(start=0, end=1, verdict=B), Segment(start=1, end=2, verdict=N))
    assert weights(Attribution(trajectory="d", length=3, segments=segments), rule) == (1.0, 0.0, 0.0)


def test_simulations_from_changed_states_are_no_evidence_for_the_trajectory() -> None:
    other = probe(1, 4).changed(inserted=("look",))
    segments = (Segment(start=0, end=1, verdict=N),)
    found = Attribution(trajectory="d", length=1, segments=segments, probes=(probe(0, 0), other))
    assert weights(found, "credit") == (0.0,)


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
def test_one_of_two_rates_is_the_higher_one(wins: int, losses: int, others: int, failures: int) -> None:
    first, second = Outcomes(wins, wins + losses), Outcomes(others, others + failures)
    p = probability_higher(first, second)
    assert 0.0 <= p <= 1.0
    assert p + probability_higher(second, first) == pytest.approx(1.0)


@pytest.mark.parametrize(("first", "second", "expected"), [((0, 0), (0, 0), 1 / 2), ((1, 1), (0, 1), 5 / 6)])
def test_probabilities_are_those_of_uniform_priors(
    first: tuple[int, int], second: tuple[int, int], expected: float
) -> None:
    assert probability_higher(Outcomes(*first), Outcomes(*second)) == pytest.approx(expected)
