import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eef_framework.policies.sampling import SamplingRequest, sample, uniform

logits = st.lists(st.floats(min_value=-30, max_value=30, width=32), min_size=2, max_size=8)


def one(row, allowed=None, temperature=1.0, u=0.5):
    (sampled,) = sample(torch.tensor([row]), [SamplingRequest(allowed, temperature, u)])
    return sampled


@pytest.mark.parametrize("allowed", [None, (0, 1, 2)])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_sampling_follows_the_distribution(allowed, temperature):
    row = [temperature * math.log(p) for p in (0.2, 0.5, 0.3)]
    requests = [SamplingRequest(allowed, temperature, uniform(7, position)) for position in range(20000)]
    samples = sample(torch.tensor([row]).expand(20000, 3), requests)
    shares = [sum(sampled.token == token for sampled in samples) / 20000 for token in range(3)]
    assert shares == pytest.approx([0.2, 0.5, 0.3], abs=0.015)


def log_odds(p):
    return math.log(p / (1 - p))


def test_the_margin_is_the_distance_to_the_nearest_other_choice():
    row = [math.log(p) for p in (0.2, 0.5, 0.3)]
    for u, token, bound in ((0.1, 0, 0.2), (0.25, 1, 0.2), (0.6, 1, 0.7), (0.9, 2, 0.7)):
        for temperature in (1.0, 2.0):
            scaled = [logit * temperature for logit in row]
            sampled = one(scaled, (0, 1, 2), u=u, temperature=temperature)
            distance = abs(log_odds(u) - log_odds(bound)) * temperature / 2
            assert (sampled.token, sampled.margin) == (token, pytest.approx(distance, abs=1e-5))


def test_the_likeliest_token_is_chosen_at_temperature_zero():
    sampled = one([1.0, 3.0, 2.5], temperature=0)
    assert (sampled.token, sampled.margin) == (1, pytest.approx(0.25))


@given(
    row=logits,
    noise=st.lists(st.floats(min_value=-1, max_value=1), min_size=8, max_size=8),
    size=st.sampled_from([1e-4, 1e-2, 0.3, 2.0]),
    temperature=st.sampled_from([0.0, 0.2, 1.0, 3.0]),
    u=st.floats(min_value=1e-6, max_value=1 - 1e-6),
    listed=st.booleans(),
)
def test_no_change_of_logits_within_the_margin_changes_the_choice(row, noise, size, temperature, u, listed):
    allowed = tuple(range(len(row))) if listed else None
    sampled = one(row, allowed, temperature, u)
    changed = one([logit + size * off for logit, off in zip(row, noise, strict=False)], allowed, temperature, u)
    assert changed.token == sampled.token or sampled.margin < size * 1.001 + 1e-5


def test_temperature_sharpens_and_flattens():
    assert one([0.0, 1.0], (0, 1), temperature=0.01, u=0.01).token == 1
    assert one([0.0, 1.0], (0, 1), temperature=100.0, u=0.49).token == 0


def test_choices_from_a_large_vocabulary_are_seldom_close():
    """With the inverse of the cumulative distribution, about one in ten is."""
    row = torch.randn(1, 20000, generator=torch.Generator().manual_seed(0)) * 3
    samples = sample(row.expand(200, -1), [SamplingRequest(None, 1.0, uniform(3, position)) for position in range(200)])
    listed = sample(row.expand(200, -1), [SamplingRequest(tuple(range(20000)), 1.0, uniform(3, p)) for p in range(200)])
    assert sum(sampled.margin < 1e-4 for sampled in samples) <= 2
    assert sum(sampled.margin < 1e-4 for sampled in listed) >= 20


@pytest.mark.parametrize("allowed", [None, (0, 1, 2), torch.tensor([True, True, True, False])])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_the_probability_is_the_one_the_token_had(allowed, temperature):
    row = [0.3, -1.2, 2.0, 1.0]
    kept = row if allowed is None else row[:3]
    scaled = [math.exp(logit / (temperature or 1.0)) for logit in kept]
    for u in (0.1, 0.5, 0.9):
        sampled = one(row, allowed, temperature, u)
        assert math.exp(sampled.logprob) == pytest.approx(scaled[sampled.token] / sum(scaled), rel=1e-5)


@given(row=logits, u=st.floats(min_value=1e-9, max_value=1 - 1e-9), data=st.data())
def test_only_allowed_tokens_are_chosen(row, u, data):
    some = data.draw(st.sets(st.integers(0, len(row) - 1), min_size=2))
    mask = torch.tensor([token in some for token in range(len(row))])
    for temperature in (0.0, 0.1, 1.0):
        listed = one(row, tuple(sorted(some)), temperature, u)
        masked = one(row, mask, temperature, u)
        assert listed.token in some
        assert masked.token in some


@given(rows=st.lists(st.tuples(logits, st.booleans(), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=6))
def test_mixed_rows_are_chosen_as_if_each_were_alone(rows):
    table = torch.tensor([(row + [-5.0] * 8)[:8] for row, _, _ in rows])
    requests = [
        SamplingRequest((1, 3, 6) if listed else None, temperature, uniform(1, index))
        for index, (_, listed, temperature) in enumerate(rows)
    ]
    together = sample(table.clone(), requests)
    alone = [sample(table[index : index + 1].clone(), [request])[0] for index, request in enumerate(requests)]
    assert [sampled.token for sampled in together] == [sampled.token for sampled in alone]


def test_tokens_without_probability_are_never_chosen():
    row = [-math.inf, 0.0, -math.inf, 0.0, -math.inf]
    every = tuple(range(5))
    assert [one(row, every, u=u).token for u in (1e-12, 0.49, 0.51, 1 - 1e-12)] == [1, 1, 3, 3]
    assert one(row, every, u=1e-12).margin == pytest.approx(-log_odds(1e-12) / 2)  # nothing lies below the first
    assert {one(row, u=uniform(0, position)).token for position in range(50)} == {1, 3}


def test_logits_that_are_not_numbers_have_no_margin():
    assert math.isnan(one([math.nan, 0.0]).margin)


@given(st.integers(min_value=0, max_value=2**63 - 1), st.integers(min_value=0, max_value=10000))
def test_uniform_numbers_lie_strictly_between_0_and_1(seed, position):
    assert 0 < uniform(seed, position) < 1
    assert uniform(seed, position) == uniform(seed, position)
    assert uniform(seed, position) != uniform(seed, position + 1)
