"""What filters may do to examples."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest

from eef_framework.errors import FilterFailure
from eef_framework.interfaces import Filter
from eef_framework.pipeline.filtering import filtered
from eef_framework.records import Example, Message
from eef_framework.testing.conformance.filter import filter_violations

EXAMPLES = [
    Example(
        id=f"e{number}",
        messages=(
            Message(role="user", content=f"room {number}"),
            Message(role="assistant", content="Action: go", weight=1.0),
        ),
        trajectory=f"t{number}",
    )
    for number in range(3)
]


class Changing(Filter):
    """Changes each answer."""

    name: ClassVar[str] = "changing"

    change: Callable[[Message], Message]
    """What becomes of an answer."""

    def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
        """Change the answers."""
        return [each.changed(messages=(each.messages[0], self.change(each.messages[1]))) for each in examples]


def test_weights_may_change() -> None:
    halved = filtered(EXAMPLES, [Changing(change=lambda answer: answer.changed(weight=0.5))], 0)
    assert [each.messages[1].weight for each in halved.kept] == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("change", [{"content": "Action: stay"}, {"weight": -1.0}, {"weight": float("nan")}])
def test_a_filter_that_changes_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FilterFailure) as refused:
        filtered(EXAMPLES, [Changing(change=lambda answer: answer.changed(**change))], 0)
    assert (refused.value.code, refused.value.details["example"]) == ("changed-example", "e0")


@pytest.mark.parametrize("twice", [lambda each: each, lambda each: each.changed(info={"seen": 2})])
def test_a_filter_that_returns_an_example_twice_is_refused(twice: Callable[[Example], Example]) -> None:
    class Repeating(Changing):
        """Returns the second example twice."""

        def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
            """Repeat it."""
            return [*examples, twice(examples[1])]

    with pytest.raises(FilterFailure) as refused:
        filtered(EXAMPLES, [Repeating(change=lambda answer: answer)], 0)
    assert (refused.value.code, refused.value.details["example"]) == ("repeated-example", "e1")


def test_a_filter_that_makes_an_example_up_is_refused() -> None:
    class MakingUp(Changing):
        """Renames examples."""

        def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
            """Rename them."""
            return [each.changed(id="new") for each in examples]

    with pytest.raises(FilterFailure) as refused:
        filtered(EXAMPLES, [MakingUp(change=lambda answer: answer)], 0)
    assert refused.value.code == "made-up-example"


@pytest.mark.parametrize("result", [None, 3, ["e0"]])
def test_a_filter_that_returns_something_else_is_refused(result: Any) -> None:
    class Odd(Changing):
        """Returns no examples."""

        def apply(self, examples: Sequence[Example], seed: int) -> Any:
            """Return it."""
            return result

    with pytest.raises(FilterFailure) as refused:
        filtered(EXAMPLES, [Odd(change=lambda answer: answer)], 0)
    assert refused.value.code == "not-examples"
    assert [each.code for each in filter_violations(Odd(change=lambda answer: answer))] == ["kept-are-examples"]


def test_a_filter_that_empties_the_list_it_gets_has_dropped_them() -> None:
    class Emptying(Changing):
        """Takes the first example out of the list."""

        def apply(self, examples: Sequence[Example], seed: int) -> Sequence[Example]:
            """Remove it."""
            assert isinstance(examples, list)
            del examples[0]
            return examples

    found = filtered(EXAMPLES, [Emptying(change=lambda answer: answer)], 0)
    assert [each.id for each in found.kept] == ["e1", "e2"]
    assert (found.dropped, found.dropped_by) == ({"changing": 1}, {"t0": "changing"})
