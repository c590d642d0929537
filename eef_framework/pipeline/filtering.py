"""Applies filters to training examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from eef_framework.errors import FilterFailure, boundary
from eef_framework.interfaces import Filter
from eef_framework.records import Example
from eef_framework.seeds import derive
from eef_framework.validation_messages import reason


@dataclass
class Filtered:
    """Result of the filters.

    Attributes:
        kept: the examples that passed all of them.
        dropped: number of examples that each dropped, by name.
        dropped_by: id of each trajectory without an example any more -> the filter that dropped the last one.
    """

    kept: list[Example]
    dropped: dict[str, int] = field(default_factory=dict)
    dropped_by: dict[str, str] = field(default_factory=dict)


def filtered(examples: Sequence[Example], filters: Sequence[Filter], seed: int) -> Filtered:
    """Apply filters one after the other.

    Raises:
        FilterFailure: one raised, made an example up, changed more than weights, or returned something else.
    """
    found = Filtered(list(examples))
    for number, filter_ in enumerate(filters):
        name = filter_.component_name()
        with boundary(FilterFailure, filter_, f"choosing among {len(found.kept)} examples"):
            chosen = filter_.apply(list(found.kept), derive(seed, "filter", number))
        chosen = list(chosen) if isinstance(chosen, Iterable) else [chosen]
        _check(name, found.kept, chosen)
        found.dropped[name] = found.dropped.get(name, 0) + len(found.kept) - len(chosen)
        gone = {example.trajectory for example in found.kept}.difference(example.trajectory for example in chosen)
        found.dropped_by |= dict.fromkeys(gone, name)
        found.kept = chosen
    return found


def _check(name: str, given: Sequence[Example], chosen: Sequence[Any]) -> None:
    """Check that a filter returned given examples, in which only weights differ.

    Raises:
        FilterFailure: with the code `not-examples`, `made-up-example`, `repeated-example` or `changed-example`.
    """
    known = {example.id: example for example in given}
    chosen_ids: set[str] = set()
    for each in chosen:
        if not isinstance(each, Example):
            raise FilterFailure(
                f"filter {name!r} returned {each!r:.200}, expected examples",
                "Return a list of the examples to keep.",
                code="not-examples",
            )
        if each.id not in known:
            raise FilterFailure(
                f"filter {name!r} returned an example it wasn't given: {each.id!r}",
                "Filters may drop and reweight examples, but not create new ones.",
                code="made-up-example",
                example=each.id,
            )
        if each.id in chosen_ids:
            raise FilterFailure(
                f"filter {name!r} returned example {each.id!r} twice",
                "Return each example once. To learn one more often, raise its weights.",
                code="repeated-example",
                example=each.id,
            )
        chosen_ids.add(each.id)
        if each is known[each.id]:
            continue
        try:
            Example.model_validate(each.model_dump())
        except ValidationError as cause:
            change = reason(cause)
        else:
            same = each.unweighted() == known[each.id].unweighted()
            change = "" if same else "it has other messages, or another origin"
        if change:
            raise FilterFailure(
                f"filter {name!r} changed example {each.id!r}: {change}",
                "Filters may drop examples and change weights, which are 0 or more. `eef check` tries a filter.",
                code="changed-example",
                example=each.id,
            )
