"""Settings in YAML files that the framework wrote: those of a run, and those of a file of rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from eef_framework.errors import CorruptFile, storage
from eef_framework.paths import expand_text
from eef_framework.runs.atomic import write_text

BASELINES_HEADER = "# Written by eef-framework: what defines the methods of this run's baselines, resolved.\n"
FREE_SETTINGS = ("limits.concurrency", "baselines", "executor", "trackers")
"""Settings that don't change existing results, so that a run may be resumed with different ones."""


@dataclass(frozen=True)
class Leeway:
    """How recorded settings may differ from the current ones.

    Attributes:
        renamed: current path of each setting that was recorded under another path, such as `policy.cache_mb`.
        free: paths of settings that may differ, in addition to `FREE_SETTINGS`.
        defaults: default of each setting, by its path. A setting that is newer than the record may have its default.
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    free: Collection[str] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def within(self, section: str) -> Leeway:
        """Return it for settings that are recorded without the name of their section, such as `tune`."""

        def inner(path: str) -> str:
            return path.removeprefix(f"{section}.")

        return Leeway(
            {inner(old): inner(new) for old, new in self.renamed.items()},
            {inner(path) for path in self.free},
            {inner(path): default for path, default in self.defaults.items()},
        )


class Recorded(NamedTuple):
    """Settings as they are recorded."""

    settings: Mapping[str, Any]
    """Plain data."""
    leeway: Leeway = Leeway()
    """How earlier records may differ from them."""


def write_settings_file(path: Path, settings: Mapping[str, Any], header: str) -> None:
    """Write settings, atomically.

    Args:
        path: the file.
        settings: plain data.
        header: first line, a comment that says what they are. It identifies the file as ours.
    """
    write_text(path, header + yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True))


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read settings that the framework wrote.

    Raises:
        CorruptFile: the file isn't YAML in UTF-8 with a mapping (`corrupt-settings`); with `path`, and `line` if it is
            known.
        StorageError: it can't be read.
    """
    with storage(path, "reading"):
        data = path.read_bytes()
    line = None
    try:
        found = yaml.safe_load(data.decode("utf-8"))
    except yaml.MarkedYAMLError as cause:
        reason: str | None = cause.problem
        line = cause.problem_mark.line + 1 if cause.problem_mark else None
    except (ValueError, yaml.YAMLError, RecursionError) as cause:
        reason = str(cause)
    else:
        if isinstance(found, dict):
            return found
        reason = f"it contains {found!r:.60}, expected settings"
    raise CorruptFile(
        f"{path}{f', line {line}' if line else ''} can't be parsed: {reason}",
        "Restore the file.",
        code="corrupt-settings",
        path=str(path),
        line=line,
    )


def is_baselines_file(path: Path) -> bool:
    """Return whether a file is a run's record of baselines, and not one that a user named like it.

    Raises:
        StorageError: it can't be read.
    """
    with storage(path, "reading"):
        return path.is_file() and path.read_bytes().startswith(BASELINES_HEADER.encode())


def differences(old: Any, new: Any, leeway: Leeway | None = None, path: str = "") -> Iterator[str]:
    """Yield a line for every setting in which two configurations differ: `key: old -> new`.

    Args:
        old: the settings as recorded.
        new: the settings now.
        leeway: which differences don't count.
        path: path of these settings, such as `policy`.
    """
    leeway = leeway or Leeway()
    if path in FREE_SETTINGS or path in leeway.free:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        old = {_new_key(key, path, leeway.renamed): value for key, value in old.items()}
        for key in [*old, *(k for k in new if k not in old)]:
            place = _joined(path, key)
            before = old[key] if key in old else leeway.defaults.get(place)
            yield from differences(before, new.get(key), leeway, place)
    elif _holds_sections(old) and _holds_sections(new) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, leeway, _joined(path, str(index)))
    elif _plain(old) != _plain(new):
        yield f"{path}: {old!r} -> {new!r}"


def listed(changes: list[str]) -> str:
    """Return the first differences as lines of a message."""
    return "".join(f"\n    {change}" for change in changes[:12])


def _holds_sections(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value)


def _new_key(key: str, path: str, renamed: Mapping[str, str]) -> str:
    return renamed.get(_joined(path, key), key).rpartition(".")[2]


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return expand_text(value)  # earlier versions recorded paths as given
    return list(value) if isinstance(value, tuple) else value
