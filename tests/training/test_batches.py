from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from eef_framework.training.batches import micro_batches, number_of_steps, shuffled_batches
from eef_framework.training.collate import TokenizedExample


def examples(lengths):
    return [
        TokenizedExample(f"e{index}", [1] * length, [0.0] + [1.0] * (length - 1))
        for index, length in enumerate(lengths)
    ]


@given(count=st.integers(1, 20), size=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_example_is_seen_equally_often(count, size, seed):
    steps = number_of_steps(count, size, epochs=3, steps=None)
    seen = [example.id for batch in shuffled_batches(examples([5] * count), size, steps, seed) for example in batch]
    assert len(seen) == steps * size
    counts = Counter(seen[: 3 * count])
    assert set(counts.values()) == {3}
    assert len(seen) < 3 * count + size


def test_the_order_depends_on_the_seed_and_the_epoch():
    def order(seed):
        return [[e.id for e in batch] for batch in shuffled_batches(examples([5] * 30), 30, 2, seed)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[0] != order(1)[1]


def test_steps_override_epochs():
    assert number_of_steps(100, 10, epochs=3, steps=7) == 7
    assert number_of_steps(100, 64, epochs=3, steps=None) == 5
    assert number_of_steps(1, 64, epochs=0.1, steps=None) == 1


@given(st.lists(st.integers(2, 40), min_size=1, max_size=30), st.integers(1, 120))
def test_micro_batches_fit_and_hold_everything_once(lengths, room):
    found = micro_batches(examples(lengths), room)
    assert sorted(e.id for batch in found for e in batch) == sorted(e.id for e in examples(lengths))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(len(e.token_ids) for e in batch) <= room
