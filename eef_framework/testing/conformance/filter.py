"""Does a filter keep its contract?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from eef_framework.interfaces import Filter
from eef_framework.records import Example
from eef_framework.testing.conformance.examples import examples
from eef_framework.testing.conformance.violation import Violation, quoted, require, rule_of, run_checks


@dataclass(frozen=True)
class FilterContext:
    """What the checks of a filter look at.

    Attributes:
        filter: the filter under test.
        examples: what it chooses from.
        seed: for its choices.
    """

    filter: Filter
    examples: Sequence[Example] = field(default_factory=lambda: _examples())
    seed: int = 0

    def kept(self) -> list[Any]:
        """Apply it."""
        return list(self.filter.apply(list(self.examples), self.seed))


def check_filter(filter_: Filter, examples: Sequence[Example] = (), seed: int = 0) -> None:
    """Check that a filter keeps its contract.

    Args:
        filter_: what to check.
        examples: what it chooses from; made-up ones, some of them alike, by default.
        seed: for its choices.

    Raises:
        Nonconformance: it doesn't; the message is a report of all violations.
    """
    require(f"filter {filter_.component_name()!r}", filter_violations(filter_, examples, seed))


def filter_violations(filter_: Filter, examples: Sequence[Example] = (), seed: int = 0) -> list[Violation]:
    """Return in which ways a filter doesn't keep its contract; see `check_filter`."""
    context = FilterContext(filter_, examples or _examples(), seed)
    violations = run_checks([kept_are_examples], context)
    return violations or run_checks(CHECKS, context)


def kept_are_examples(context: FilterContext) -> Violation | None:
    """What is kept are valid examples."""
    for each in context.kept():
        try:
            if isinstance(each, Example) and Example.model_validate_json(each.model_dump_json()) == each:
                continue
            actual = quoted(each)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            actual = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        fix = "Return examples that were given; `example.changed(...)` makes one with other weights."
        return Violation(rule_of(kept_are_examples), "", "an Example", actual, fix)
    return None


def nothing_is_made_up(context: FilterContext) -> Violation | None:
    """What is kept was given, with the same words; only weights may change."""
    given = {example.id: example for example in context.examples}
    for each in context.kept():
        if each.id not in given:
            expected, actual = "the id of an example that was given", quoted(each.id)
        elif _weightless(each) != _weightless(given[each.id]):
            expected, actual = f"{quoted(each.id)} as it was given", "other words, turns or origin"
        else:
            continue
        fix = "Choose examples and reweight them; what is learned is made by selection, not by filters."
        return Violation(rule_of(nothing_is_made_up), "", expected, actual, fix)
    return None


def order_is_kept(context: FilterContext) -> Violation | None:
    """What is kept is kept once, in the order it was given."""
    places = {example.id: place for place, example in enumerate(context.examples)}
    kept = [places[each.id] for each in context.kept() if each.id in places]
    if kept == sorted(set(kept)):
        return None
    return Violation(
        rule_of(order_is_kept),
        "",
        f"places {quoted(sorted(set(kept)))}",
        f"places {quoted(kept)}",
        "Go through the examples in order; raise a weight instead of repeating an example.",
    )


def choices_depend_on_the_seed_alone(context: FilterContext) -> Violation | None:
    """The same examples and the same seed give the same choice."""
    first = context.kept()
    for _ in range(3):
        if (again := context.kept()) != first:
            return Violation(
                rule_of(choices_depend_on_the_seed_alone),
                f"seed {context.seed}",
                f"{len(first)} examples: {quoted([each.id for each in first])}",
                f"{len(again)} examples: {quoted([each.id for each in again])}",
                "Draw from random.Random(seed), sort sets, and keep nothing between calls.",
            )
    return None


def nothing_in_nothing_out(context: FilterContext) -> Violation | None:
    """Without examples there is nothing to keep, and no reason to fail."""
    kept = list(context.filter.apply([], context.seed))
    if not kept:
        return None
    return Violation(
        rule_of(nothing_in_nothing_out), "", "no examples", f"{len(kept)} examples", "Return what was given, at most."
    )


def what_was_given_stays_as_it_is(context: FilterContext) -> Violation | None:
    """The list it is given stays as it is; it may be any sequence."""
    given = list(context.examples)
    context.filter.apply(given, context.seed)
    context.filter.apply(tuple(context.examples), context.seed)
    if given == list(context.examples):
        return None
    return Violation(
        rule_of(what_was_given_stays_as_it_is),
        "",
        f"{len(context.examples)} examples in their order",
        f"{len(given)} examples, or others, or in another order",
        "Make a new list instead of sorting or emptying the one that was given.",
    )


CHECKS = (
    nothing_is_made_up,
    order_is_kept,
    choices_depend_on_the_seed_alone,
    nothing_in_nothing_out,
    what_was_given_stays_as_it_is,
)


def _examples() -> list[Example]:
    """Return examples of several tasks, some of which are alike, and some of which have no weight."""
    found = examples()
    alike = [example.changed(id=f"{example.id}/again", trajectory=f"{example.trajectory}/again") for example in found]
    masked = [example.changed(id=f"{example.id}/masked") for example in examples(weight=0.0)[:3]]
    return [*found, *alike, *masked]


def _weightless(example: Example) -> Example:
    messages, rejected = (
        tuple(message.changed(weight=0.0) for message in side) for side in (example.messages, example.rejected)
    )
    bare: Example = example.changed(messages=messages, rejected=rejected, info={})
    return bare
