"""Each rule is tested against a filter that breaks it in a line."""

import itertools
import random
from typing import Any

import pytest

from eef_framework.filters import CapPerTask, Deduplicate
from eef_framework.interfaces import Filter
from eef_framework.testing.conformance import Nonconformance, Violation, check_filter, filter_violations

counter = itertools.count()


def violations(apply: Any) -> list[Violation]:
    return filter_violations(made(apply))


def violation(code: str, apply: Any) -> Violation:
    """Return the violation with this code."""
    (found,) = (each for each in violations(apply) if each.code == code)
    return found


def made(apply: Any) -> Filter:
    class Made(Filter):
        """Does what it is told."""

        def apply(self, examples, seed):
            return apply(examples, seed)

    return Made()


@pytest.mark.parametrize("filter_", [CapPerTask(), CapPerTask(trajectories=1), Deduplicate()], ids=repr)
def test_the_cores_filters_keep_their_contract(filter_):
    check_filter(filter_)


def test_weights_may_be_changed():
    def halve(examples, seed):
        halved = []
        for example in examples:
            messages = tuple(message.changed(weight=message.weight / 2) for message in example.messages)
            halved.append(example.changed(messages=messages))
        return halved

    assert violations(halve) == []


def test_something_else_than_examples_is_reported():
    found = violations(lambda examples, seed: [example.id for example in examples])[0]
    assert (found.code, found.expected) == ("kept-are-examples", "an Example")
    assert found.actual.startswith("str 'expert/made-up/")


def test_what_an_example_loses_on_disk_is_named():
    found = violations(lambda examples, seed: [example.changed(info={"when": (1, 2)}) for example in examples])[0]
    assert found.code == "kept-are-examples"
    assert (found.expected.startswith("info {'when': [1, 2]}"), found.actual) == (True, "info {'when': (1, 2)}")


class Hashed(Filter):
    """Keeps what hash() says."""

    def apply(self, examples, seed):
        return [example for example in examples if hash((seed, example.id)) % 2]


def test_a_choice_by_hash_is_reported():
    assert [found.code for found in filter_violations(Hashed())] == ["choices-are-the-same-in-another-process"]


def test_a_weight_that_is_not_a_weight_is_reported():
    def negative(examples, seed):
        first = examples[0] if examples else None
        return (
            [first.changed(messages=tuple(message.changed(weight=-1.0) for message in first.messages))] if first else []
        )

    assert violation("kept-are-examples", negative).actual.startswith("messages.0.weight: ")


def test_an_example_that_was_never_given_is_reported():
    found = violations(lambda examples, seed: [example.changed(id=f"{example.id}!") for example in examples])[0]
    assert found.code == "nothing-is-made-up"
    assert found.actual.endswith("!'")


def test_other_words_are_reported():
    def shout(examples, seed):
        return [
            each.changed(messages=tuple(m.changed(content=m.content.upper()) for m in each.messages))
            for each in examples
        ]

    assert violation("nothing-is-made-up", shout)


@pytest.mark.parametrize(
    "apply", [lambda examples, seed: examples[::-1], lambda examples, seed: [*examples, *examples]]
)
def test_another_order_or_a_repetition_is_reported(apply):
    found = violations(apply)[0]
    assert found.code == "order-is-kept"
    assert "[0, 1" in found.expected


def test_a_choice_that_does_not_come_from_the_seed_is_reported():
    def moody(examples, seed):
        draw = random.Random(next(counter))
        return [example for example in examples if draw.random() < 0.5]

    assert violations(moody)[0].code == "choices-depend-on-the-seed-alone"


def test_a_failure_without_examples_is_reported():
    found = violation(
        "nothing-in-nothing-out",
        lambda examples, seed: [example for example in examples if example.task == examples[0].task][:1] or 1 / 0,
    )
    assert found.actual.startswith("ZeroDivisionError")


def test_something_out_of_nothing_is_reported():
    from eef_framework.testing.conformance.examples import examples as made_up

    found = violation("nothing-in-nothing-out", lambda examples, seed: list(examples) or made_up()[:1])
    assert found.actual == "1 examples"


def test_a_list_that_is_changed_is_reported():
    def emptied(examples, seed):
        kept = list(examples)
        if isinstance(examples, list):
            examples.clear()
        return kept

    assert violation("what-was-given-stays-as-it-is", emptied)


def test_a_filter_that_takes_lists_only_is_reported():
    found = violation("what-was-given-stays-as-it-is", lambda examples, seed: examples.copy())
    assert found.actual == "AttributeError: 'tuple' object has no attribute 'copy'"


def test_a_violation_is_raised_with_the_filters_name():
    with pytest.raises(Nonconformance, match=r"^filter '.*Made'") as caught:
        check_filter(made(lambda examples, seed: examples[::-1]))
    assert [found.code for found in caught.value.violations] == ["order-is-kept"]
