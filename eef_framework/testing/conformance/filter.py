"""Checks of filters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from eef_framework.interfaces import Filter
from eef_framework.records import Example
from eef_framework.testing.conformance.examples import examples
from eef_framework.testing.conformance.processes import differs_in_another_process
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks


@dataclass(frozen=True)
class FilterContext:
    """Input of the checks of a filter.

    Attributes:
        filter: the filter under test.
        examples: the examples to filter.
        seed: of its choices.
    """

    filter: Filter
    examples: Sequence[Example] = field(default_factory=lambda: _examples())
    seed: int = 0

    def kept(self) -> list[Any]:
        """Return the examples that the filter keeps."""
        kept: Any = self.filter.apply(list(self.examples), self.seed)
        return list(kept) if isinstance(kept, Iterable) else [kept]


def check_filter(filter_: Filter, examples: Sequence[Example] = (), seed: int = 0) -> None:
    """Check that a filter keeps its contract.

    Args:
        filter_: the component to check.
        examples: the examples to filter; by default made-up ones, some of which are duplicates.
        seed: of its choices.

    Raises:
        Nonconformance: it doesn't. The message lists all violations.
    """
    require(f"filter {filter_.component_name()!r}", filter_violations(filter_, examples, seed))


def filter_violations(filter_: Filter, examples: Sequence[Example] = (), seed: int = 0) -> list[Violation]:
    """Return the violations of a filter's contract; see `check_filter`."""
    context = FilterContext(filter_, examples or _examples(), seed)
    violations = run_checks([kept_are_examples], context)
    return violations or run_checks(CHECKS, context)


def kept_are_examples(context: FilterContext) -> Violation | None:
    """apply() returns valid examples."""
    for each in context.kept():
        try:
            if not isinstance(each, Example):
                expected, actual = "an Example", f"{type(each).__name__} {quoted(each)}"
            elif (read := Example.model_validate_json(each.model_dump_json())) != each:
                names = [name for name in Example.model_fields if getattr(read, name) != getattr(each, name)]
                expected = f"{names[0]} {quoted(getattr(read, names[0]))} after writing and reading {each.id!r}"
                actual = f"{names[0]} {quoted(getattr(each, names[0]))}"
            else:
                continue
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            expected, actual = "a valid Example", f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        fix = "Return the given examples; `example.changed(...)` makes a copy with other weights."
        return Violation(rule_of(kept_are_examples), "", expected, actual, fix)
    return None


def nothing_is_made_up(context: FilterContext) -> Violation | None:
    """apply() returns only given examples, in which only weights may change."""
    given = {example.id: example for example in context.examples}
    for each in context.kept():
        if each.id not in given:
            expected, actual = "the id of a given example", quoted(each.id)
        elif each.unweighted() != given[each.id].unweighted():
            expected, actual = f"{quoted(each.id)} unchanged", "other messages or another origin"
        else:
            continue
        fix = "Filters choose examples and change weights; examples are made by the selection."
        return Violation(rule_of(nothing_is_made_up), "", expected, actual, fix)
    return None


def order_is_kept(context: FilterContext) -> Violation | None:
    """apply() returns each example at most once, in the given order."""
    places = {example.id: place for place, example in enumerate(context.examples)}
    kept = [places[each.id] for each in context.kept() if each.id in places]
    if kept == sorted(set(kept)):
        return None
    return Violation(
        rule_of(order_is_kept),
        "",
        f"positions {quoted(sorted(set(kept)))}",
        f"positions {quoted(kept)}",
        "Keep the order of the examples; raise a weight instead of repeating an example.",
    )


def choices_depend_on_the_seed_alone(context: FilterContext) -> Violation | None:
    """The result depends only on the examples and the seed."""
    first = context.kept()
    for _ in range(3):
        if (again := context.kept()) != first:
            return Violation(
                rule_of(choices_depend_on_the_seed_alone),
                f"seed {context.seed}",
                f"{len(first)} examples: {quoted([each.id for each in first])}",
                f"{len(again)} examples: {quoted([each.id for each in again])}",
                "Draw from random.Random(seed), sort sets, and keep no state between calls.",
            )
    return None


def choices_are_the_same_in_another_process(context: FilterContext) -> Violation | None:
    """The result is the same in another process."""
    given = {"examples": [each.model_dump(mode="json") for each in context.examples], "seed": context.seed}
    return differs_in_another_process(choices_are_the_same_in_another_process, context.filter, _kept, given)


def nothing_in_nothing_out(context: FilterContext) -> Violation | None:
    """apply() returns nothing if there are no examples, without an error."""
    kept = list(context.filter.apply([], context.seed))
    if not kept:
        return None
    return Violation(
        rule_of(nothing_in_nothing_out), "", "no examples", f"{len(kept)} examples", "Return only given examples."
    )


def what_was_given_stays_as_it_is(context: FilterContext) -> Violation | None:
    """apply() accepts any sequence and doesn't change it."""
    given = list(context.examples)
    context.filter.apply(given, context.seed)
    context.filter.apply(tuple(context.examples), context.seed)
    if given == list(context.examples):
        return None
    return Violation(
        rule_of(what_was_given_stays_as_it_is),
        "",
        f"{len(context.examples)} examples in their order",
        f"{len(given)} examples, changed or in another order",
        "Make a new list instead of changing the given one.",
    )


CHECKS = (
    nothing_is_made_up,
    order_is_kept,
    choices_depend_on_the_seed_alone,
    choices_are_the_same_in_another_process,
    nothing_in_nothing_out,
    what_was_given_stays_as_it_is,
)


def _kept(filter_: Filter, given: Any) -> list[list[Any]]:
    """Return id and weights of the examples that a filter keeps."""
    kept = filter_.apply([Example.model_validate(each) for each in given["examples"]], given["seed"])
    return [[each.id, [message.weight for message in (*each.messages, *each.rejected)]] for each in kept]


def _examples() -> list[Example]:
    """Return examples of several tasks, some of which are duplicates, and some of which have no weight."""
    found = examples()
    alike = [example.changed(id=f"{example.id}/again", trajectory=f"{example.trajectory}/again") for example in found]
    masked = [example.changed(id=f"{example.id}/masked") for example in examples(weight=0.0)[:3]]
    return [*found, *alike, *masked]
