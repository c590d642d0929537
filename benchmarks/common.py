"""What the benchmarks share: arguments, data that may be absent, tables, and a result that is written and checked."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

# Threads that spin while they wait for one another slow everything down on a busy machine. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).parents[1]


def arguments(doc: str, quick: Mapping[str, Any], /, **options: tuple[Any, ...]) -> Any:
    """Parse the command line.

    Args:
        doc: the benchmark's docstring.
        quick: what `--quick` sets, by option. An option that is given as well wins.
        options: name -> default, help, and the type where the default doesn't tell it. A list takes several values.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    name = Path(sys.argv[0]).stem
    for option, (default, help_text, *given) in options.items():
        several = isinstance(default, list)
        kind = given[0] if given else type(default[0] if several else default)
        how = {"action": "store_true"} if kind is bool else {"type": kind, "nargs": "+" if several else None}
        parser.add_argument(f"--{option.replace('_', '-')}", default=default, help=f"{help_text} ({default})", **how)
    parser.add_argument("--quick", action="store_true", help="in seconds, as CI does; checks all but sizes and times")
    parser.add_argument("--out", type=Path, help=f"JSON file to write (runs/benchmarks/{name}.json)")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**quick)
    args = parser.parse_args()
    args.out = args.out or Path("runs/benchmarks", "quick" if args.quick else "", f"{name}.json")
    args.folder = args.out.with_suffix("")  # for what a benchmark writes beside its result
    args.out.parent.mkdir(parents=True, exist_ok=True)
    return args


def shared_data(name: str) -> Path:
    """Return a folder of `../shared/data`. Where it is absent, end as `skip` does."""
    folder = ROOT.parent / "shared" / "data" / name
    if not folder.is_dir():
        skip(f"{folder} is absent (no part of the project); give another folder with --data")
    return folder


def skip(why: str) -> NoReturn:
    """End as skipped; with EEF_REQUIRE_DATA=1, as failed."""
    if os.environ.get("EEF_REQUIRE_DATA") == "1":
        sys.exit(f"failed, as EEF_REQUIRE_DATA=1 is set: {why}")
    print(f"skipped: {why}")
    sys.exit(0)


def finish(args: Any, report: dict[str, Any], text: str, checks: Mapping[str, bool]) -> NoReturn:
    """Print the table, write the JSON file, and end: with status 1 and the failed checks' names if any failed.

    Args:
        args: what `arguments` returned.
        report: what was measured; the checks are added.
        text: the same for reading.
        checks: claim -> whether it holds.
    """
    args.out.write_text(json.dumps(report | {"quick": args.quick, "checks": dict(checks)}, indent=2) + "\n")
    print(text, "", *(f"{'ok' if holds else 'FAILED':6} {claim}" for claim, holds in checks.items()), sep="\n")
    print(f"written to {args.out}")
    if failed := [claim for claim, holds in checks.items() if not holds]:
        sys.exit(f"failed: {'; '.join(failed)}")
    sys.exit(0)


def eef(*command: object, log: Path | None = None, threads: int | None = None, program: str = "eef") -> None:
    """Run `eef`, or `eef-run`, in a process of its own, and end if it fails."""
    environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    with (log or Path(os.devnull)).open("a") as file:
        done = subprocess.run(eef_command(*command, program=program), env=environment, stdout=file, stderr=file)
    if done.returncode:
        sys.exit(f"{program} {' '.join(map(str, command))} failed; see {log}")


def eef_command(*command: object, program: str = "eef-run") -> list[str]:
    """Return how to start one of the two programs with this Python, whether its scripts are on the PATH or not."""
    module = {"eef": "main", "eef-run": "run"}[program]
    return [sys.executable, "-c", f"from eef_framework.cli.{module} import main; main()", *map(str, command)]


def settings(values: Iterable[str]) -> list[str]:
    """Return settings as options of `eef` and `eef-run`."""
    return [word for value in values for word in ("--set", value)]


def read_json(path: Path) -> Any:
    """Read JSON, plain or compressed; of a file of JSON lines, a list."""
    try:
        content = path.read_bytes()
    except OSError as cause:
        sys.exit(f"{path} can't be read: {cause.strerror}")
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if ".jsonl" in path.name:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return json.loads(text)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def interval(estimate: Mapping[str, float], digits: int = 1, sign: str = "", scale: float = 1.0) -> str:
    """Write a mean with its interval."""
    mean, low, high = (f"{scale * estimate[name]:{sign}.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table with aligned columns; floats get three significant digits, or no decimals."""
    cells = [[str(cell) if not isinstance(cell, float) else number(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def number(value: float) -> str:
    """Write a number with three significant digits, or more in front of the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
