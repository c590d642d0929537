"""Applies filters to training examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from eef_framework.errors import FilterFailure, boundary
from eef_framework.interfaces import Filter
from eef_framework.records import Example
from eef_framework.seeds import derive


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
        FilterFailure: one raised, or made an example up.
    """
    found = Filtered(list(examples))
    for number, filter_ in enumerate(filters):
        name = filter_.component_name()
        with boundary(FilterFailure, f"filter {name!r}", f"choosing among {len(found.kept)} examples"):
            chosen = list(filter_.apply(found.kept, derive(seed, "filter", number)))
        known = {example.id for example in found.kept}
        strangers = [example.id for example in chosen if example.id not in known]
        if strangers:
            raise FilterFailure(
                f"filter {name!r} returned an example it wasn't given: {strangers[0]!r}",
                "Filters may drop and reweight examples, but not create new ones.",
                code="made-up-example",
                example=strangers[0],
            )
        found.dropped[name] = found.dropped.get(name, 0) + len(found.kept) - len(chosen)
        gone = {example.trajectory for example in found.kept}.difference(example.trajectory for example in chosen)
        found.dropped_by |= dict.fromkeys(gone, name)
        found.kept = chosen
    return found
