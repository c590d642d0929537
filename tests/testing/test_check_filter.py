"""Each rule is tested against a filter that breaks it in a line, with the report it gets."""

import itertools
import random
from typing import Any

import pytest

from eef_framework.filters import CapPerTask, Deduplicate
from eef_framework.interfaces import Filter
from eef_framework.testing.conformance import Nonconformance, check_filter, filter_violations

counter = itertools.count()


def report(apply: Any) -> str:
    return "\n".join(map(str, filter_violations(made(apply))))


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

    assert report(halve) == ""


def test_something_else_than_examples_is_told():
    text = report(lambda examples, seed: [example.id for example in examples])
    assert text.startswith("What is kept are valid examples\n  expected: an Example\n  actual:   'expert/made-up/")


def test_a_weight_that_is_no_weight_is_told():
    def negative(examples, seed):
        first = examples[0] if examples else None
        return (
            [first.changed(messages=tuple(message.changed(weight=-1.0) for message in first.messages))] if first else []
        )

    assert "  actual:   messages.0.weight: Input should be greater than or equal to 0\n" in report(negative)


def test_an_example_that_was_never_given_is_told():
    text = report(lambda examples, seed: [example.changed(id=f"{example.id}!") for example in examples])
    assert text.startswith(
        "What is kept was given, with the same words; only weights may change\n"
        "  expected: the id of an example that was given\n"
    )


def test_other_words_are_told():
    def shout(examples, seed):
        return [
            each.changed(messages=tuple(m.changed(content=m.content.upper()) for m in each.messages))
            for each in examples
        ]

    assert "  actual:   other words, turns or origin\n" in report(shout)


@pytest.mark.parametrize(
    "apply", [lambda examples, seed: examples[::-1], lambda examples, seed: [*examples, *examples]]
)
def test_another_order_or_a_repetition_is_told(apply):
    assert report(apply).startswith("What is kept is kept once, in the order it was given\n  expected: places [0, 1")


def test_a_choice_that_does_not_come_from_the_seed_is_told():
    def moody(examples, seed):
        draw = random.Random(next(counter))
        return [example for example in examples if draw.random() < 0.5]

    assert report(moody).startswith("The same examples and the same seed give the same choice (seed 0)\n")


def test_a_failure_without_examples_is_told():
    text = report(
        lambda examples, seed: [example for example in examples if example.task == examples[0].task][:1] or 1 / 0
    )
    assert "Without examples there is nothing to keep, and no reason to fail" in text
    assert "ZeroDivisionError" in text


def test_something_out_of_nothing_is_told():
    from eef_framework.testing.conformance.examples import examples as made_up

    text = report(lambda examples, seed: list(examples) or made_up()[:1])
    assert "  expected: no examples\n  actual:   1 examples\n" in text


def test_a_list_that_is_changed_is_told():
    def emptied(examples, seed):
        kept = list(examples)
        if isinstance(examples, list):
            examples.clear()
        return kept

    assert "The list it is given stays as it is; it may be any sequence" in report(emptied)


def test_a_filter_that_takes_lists_only_is_told():
    text = report(lambda examples, seed: examples.copy())
    assert "AttributeError: 'tuple' object has no attribute 'copy'" in text


def test_a_violation_is_raised_with_the_filters_name():
    with pytest.raises(Nonconformance, match="Made' breaks 1 of the rules"):
        check_filter(made(lambda examples, seed: examples[::-1]))
