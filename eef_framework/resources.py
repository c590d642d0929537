"""Memory and cores that this process may use, limits of containers included.

Limits of control groups (cgroups, versions 1 and 2) are read for the process's own group and for all groups above it;
the lowest one applies. Limits that can't be read (on macOS, on Windows, with a hidden `/proc`) are ignored.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

UNKNOWN_MEMORY = 4 << 30
"""Amount of memory to assume if it is unknown, in bytes."""

_SYSTEM = Path("/")


def available_memory(system: Path = _SYSTEM) -> int:
    """Return how much more memory this process may allocate, in bytes.

    Args:
        system: root of the file system that the limits are read from.
    """
    limits = [*_machine_memory(), *_group_memory(system), *_address_space()]
    return max(0, min(limits, default=UNKNOWN_MEMORY))


def available_cores(system: Path = _SYSTEM) -> int:
    """Return how many cores this process may use, at least 1. A fraction of a core counts as one.

    Args:
        system: root of the file system that the limits are read from.
    """
    return max(1, min(_scheduled_cores(), *(ceil(quota) for quota in _group_quotas(system)), 1 << 16))


def limit_threads() -> None:
    """Limit the threads of libraries that are loaded later to the available cores.

    Otherwise they use all cores of the machine, even in a container with fewer. A number set by the user is kept.
    """
    if (cores := available_cores()) < _scheduled_cores():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def _scheduled_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _machine_memory() -> Iterator[int]:
    import psutil  # type: ignore[import-untyped]  # its annotations are a distribution of their own

    try:
        yield int(psutil.virtual_memory().available)
    except (OSError, RuntimeError, psutil.Error):  # a hidden /proc
        return


def _address_space() -> Iterator[int]:
    """Yield what the limit of `ulimit -v` leaves, in bytes."""
    try:
        import resource
    except ImportError:  # on Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        import psutil

        yield limit - int(psutil.Process().memory_info().vms)


def _group_memory(system: Path) -> Iterator[int]:
    """Yield what each memory limit of a control group leaves, in bytes.

    The kernel reclaims file pages that weren't used lately, so they count as free.
    """
    for group in _groups(system, "memory"):
        for limit, used, reclaimable in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.high", "memory.current", "inactive_file"),  # above it a process is slowed down
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            maximum, current = _number(group / limit), _number(group / used)
            if maximum is not None and current is not None:
                yield maximum - current + _statistic(group / "memory.stat", reclaimable)


def _group_quotas(system: Path) -> Iterator[float]:
    """Yield how many cores each control group may use."""
    for group in _groups(system, "cpu"):
        quota, _, period = _read(group / "cpu.max").partition(" ")
        for quota_us, period_us in (
            (_as_number(quota), _as_number(period)),
            (_number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")),
        ):
            if quota_us is not None and quota_us > 0 and period_us:
                yield quota_us / period_us


def _groups(system: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups, each followed by those above it."""
    paths = {}  # controller ("" for version 2) -> path of this process's group in that hierarchy
    for line in _read(system / "proc/self/cgroup").splitlines():
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        paths.update(dict.fromkeys(controllers.split(","), path))
    for mount in _mounts(system):
        kind = "" if mount["type"] == "cgroup2" else controller
        if kind not in paths or (kind and kind not in mount["options"].split(",")):
            continue
        top = system / mount["point"].lstrip("/")
        # A container may see its own group, or a part of the tree, instead of the tree's root.
        inside, root = paths[kind].rstrip("/"), mount["root"].rstrip("/")
        below = inside[len(root) :].lstrip("/") if f"{inside}/".startswith(f"{root}/") else ""
        group = top / below if ".." not in below.split("/") and (top / below).is_dir() else top
        while True:
            yield group
            if group == top:
                break
            group = group.parent


def _mounts(system: Path) -> Iterator[dict[str, Any]]:
    """Yield where hierarchies of control groups are mounted."""
    for line in _read(system / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if len(left) > 4 and len(right) > 2 and right[0] in ("cgroup", "cgroup2"):
            root, point = (re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path) for path in left[3:5])
            yield {"type": right[0], "root": root, "point": point, "options": right[2]}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    return _as_number(_read(path))


def _as_number(text: str) -> int | None:
    """Return a limit; None for `max` and anything else that isn't a number."""
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _statistic(path: Path, name: str) -> int:
    return next((int(v) for k, v in re.findall(r"^(\w+) (\d+)$", _read(path), re.MULTILINE) if k == name), 0)
