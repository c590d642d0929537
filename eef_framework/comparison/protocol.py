"""The protocol of a run: what has to be equal for its numbers to be comparable with another run's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from eef_framework.errors import EefError, UnknownName

PARTS = ("environment", "evaluate.tasks", "limits.steps", "success")
"""The parts of the configuration that define the world, the tasks, the step limit and the success rule."""
TASKS = "evaluate.tasks"
"""The part that defines which tasks are played. Where it differs, rows can't be paired by task."""


def protocol_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that define how a run was measured: dotted key -> value.

    Args:
        config: the run's resolved configuration.
    """
    flat = dict(flattened(config))
    return {key: value for key, value in flat.items() if any(within(key, part) for part in PARTS)}


def check_protocols(protocols: Mapping[str, Mapping[str, Any]], allow: Iterable[str] = ()) -> dict[str, Any]:
    """Return what all protocols have in common.

    Args:
        protocols: name of the run -> its protocol.
        allow: keys that may differ, such as `environment.catalogue_seed`; a section such as `limits` stands for all
            keys in it.

    Raises:
        EefError: `protocols-differ`; the details name the keys and the values in each run.
    """
    keys = {key: None for protocol in protocols.values() for key in protocol}
    values = {key: {name: protocol.get(key) for name, protocol in protocols.items()} for key in keys}
    differing = {key: found for key, found in values.items() if len({repr(value) for value in found.values()}) > 1}
    refused = {key: found for key, found in differing.items() if not any(within(key, part) for part in allow)}
    if refused:
        key, found = next(iter(refused.items()))
        first = next(iter(found.items()))
        other = next(pair for pair in found.items() if repr(pair[1]) != repr(first[1]))
        more = f". These differ, too: {', '.join(list(refused)[1:])}" if len(refused) > 1 else ""
        other_tasks = any(within(key, TASKS) for key in refused)
        raise EefError(
            f"these runs weren't measured in the same way: {key} is {first[1]!r} in {first[0]} and {other[1]!r} in "
            f"{other[0]}{more}",
            f"Compare runs with the same {TASKS}: rows are compared on the same tasks."
            if other_tasks
            else f"Compare runs with the same protocol, or allow the difference: --allow {' --allow '.join(refused)}",
            code="protocols-differ",
            keys=list(refused),
            values=refused,
        )
    return {key: next(iter(found.values())) for key, found in values.items() if key not in differing}


def check_allowed(allow: Iterable[str], configs: Iterable[Mapping[str, Any]]) -> None:
    """Check that the settings that may differ exist.

    Raises:
        UnknownName: none of the configurations has such a setting or section.
    """
    keys = {key for config in configs for key, _ in flattened(config)}
    known = keys | {key[:end] for key in keys for end, character in enumerate(key) if character == "."}
    for part in allow:
        if part not in known:
            raise UnknownName.of("setting", part, sorted(known), where="in the configurations of these runs")


def flattened(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each setting."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def within(key: str, part: str) -> bool:
    """Return whether a dotted key is `part` or lies in it."""
    return key == part or key.startswith(f"{part}.")
