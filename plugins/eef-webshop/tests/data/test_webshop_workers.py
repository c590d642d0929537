from __future__ import annotations

import pytest
from eef_webshop.data.workers import MAX_PENDING, map_in_order


def double(number: int) -> int:
    return 2 * number


def test_one_process_works_here_and_only_as_fast_as_results_are_taken():
    taken = []

    def numbers():
        for number in range(5):
            taken.append(number)
            yield number

    results = map_in_order(double, numbers(), jobs=1)
    assert next(results) == 0
    assert taken == [0]


def test_several_processes_keep_the_order_and_do_not_read_far_ahead():
    taken = []

    def numbers():
        for number in range(40):
            taken.append(number)
            yield number

    results = map_in_order(abs, numbers(), jobs=2)
    assert next(results) == 0
    assert len(taken) <= MAX_PENDING * 2
    assert list(results) == list(range(1, 40))


def test_a_failure_in_another_process_is_raised_here():
    with pytest.raises(ValueError, match="invalid literal"):
        list(map_in_order(int, ["1", "x", "2"], jobs=2))
