"""Does a run that is killed at any moment, and started again, end with the result of one that wasn't?

Runs a small configuration once without interruption. Then, again and again in fresh folders, it starts the same
command, kills its whole process group with SIGKILL at random moments (one to three times a run), and repeats the
command to its end. Compared with the uninterrupted run, to the byte or to the value:

* `metrics.json`, every stage's manifest and every row of every data set, wall-clock times left out;
* all files of all checkpoints, weights included.

Prints a table, writes JSON, and exits with 1 unless every run was the same.

    python benchmarks/resume.py --kills 20
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CONFIG = Path(__file__).parent / "configs" / "smoke.yaml"
WALL_CLOCK = {"seconds"}
"""Fields that no two runs have in common."""
KILLS_PER_RUN = (1, 1, 1, 2, 2, 3)
"""How often a run is killed: one of these numbers, all equally likely."""


@dataclass
class Kill:
    """One kill."""

    after_s: float
    """Seconds from the start of the process."""
    stages_done: int
    rows: int
    """Rows of data sets that were on disk."""


@dataclass
class Trial:
    """One run that was killed and started again."""

    number: int
    kills: list[Kill] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    """What is not as in the uninterrupted run."""
    leftovers: list[str] = field(default_factory=list)
    """Files that the uninterrupted run doesn't have."""

    @property
    def same(self) -> bool:
        """Whether the result is that of the uninterrupted run."""
        return not self.differences


def main() -> None:
    arguments = parsed()
    # The runs are in sessions of their own: ended by SIGTERM, this process has to end the one under way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    whole = arguments.out / "uninterrupted"
    shutil.rmtree(whole, ignore_errors=True)
    began = time.monotonic()
    finish(arguments, whole)
    duration = time.monotonic() - began
    expected = results(whole)
    rows = count_rows(whole)
    print(f"uninterrupted: {duration:.1f} s, {len(expected)} files to compare, {rows} rows", flush=True)
    print(HEAD, flush=True)
    draw = random.Random(arguments.seed)
    trials = []
    for number in range(1, arguments.kills + 1):
        trials.append(interrupted(number, arguments, duration, expected, draw))
        print(as_line(trials[-1]), flush=True)
    same = sum(trial.same for trial in trials)
    kills = sum(len(trial.kills) for trial in trials)
    report = {
        "config": arguments.config.name,
        "seed": arguments.seed,
        "uninterrupted_s": round(duration, 1),
        "files_compared": len(expected),
        "rows": rows,
        "kills": kills,
        "same": same,
        "runs": [{**asdict(trial), "same": trial.same} for trial in trials],
    }
    (arguments.out / "resume.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"{same} of {len(trials)} runs, killed {kills} times, end with the result of the uninterrupted one")
    sys.exit(same < len(trials))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how many runs to kill, each once or several times")
    parser.add_argument("--config", type=Path, default=CONFIG, help="what to run; a recipe or YAML file of eef-run")
    parser.add_argument("--seed", type=int, default=0, help="for the moments of the kills")
    parser.add_argument("--threads", type=int, default=1, help="OMP_NUM_THREADS of the runs")
    parser.add_argument("--out", type=Path, default=Path("runs/resume"), help="folder for the runs and resume.json")
    return parser.parse_args()


def interrupted(
    number: int, arguments: argparse.Namespace, duration: float, expected: dict[str, str], draw: random.Random
) -> Trial:
    """Run, kill, repeat, compare. The folder is kept if anything differs."""
    trial = Trial(number)
    folder = arguments.out / f"killed-{number:02d}"
    shutil.rmtree(folder, ignore_errors=True)
    wanted = draw.choice(KILLS_PER_RUN)
    while len(trial.kills) < wanted:
        moment = draw.uniform(0, duration)
        if run_until(arguments, folder, moment):
            trial.kills.append(Kill(round(moment, 2), len(list(folder.rglob("stage.json"))), count_rows(folder)))
        elif trial.kills:
            break  # it finished before its next kill
        else:
            shutil.rmtree(folder)  # it finished before it was killed at all: once more
    try:
        finish(arguments, folder)
    except subprocess.CalledProcessError as failure:
        trial.differences.append(f"exit status {failure.returncode}: {failure.stderr.strip()[-500:]}")
        return trial
    found = results(folder)
    trial.differences += sorted(name for name in expected if found.get(name) != expected[name])
    trial.leftovers += sorted(found.keys() - expected.keys())
    if trial.same and not trial.leftovers:
        shutil.rmtree(folder)
    return trial


def command(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return how to start the run."""
    code = "from eef_framework.cli.run import main; main()"
    return {
        "args": [sys.executable, "-c", code, str(arguments.config), "--out", str(folder)],
        "env": {**os.environ, "OMP_NUM_THREADS": str(arguments.threads)},
        "stdout": subprocess.DEVNULL,
    }


def run_until(arguments: argparse.Namespace, folder: Path, moment: float) -> bool:
    """Start the run and kill it after so many seconds; tell whether it was still going on."""
    process = subprocess.Popen(**command(arguments, folder), stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(timeout=moment)
        return False
    except subprocess.TimeoutExpired:
        return True
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def finish(arguments: argparse.Namespace, folder: Path) -> None:
    """Run to the end."""
    subprocess.run(**command(arguments, folder), stderr=subprocess.PIPE, text=True, check=True)


def results(folder: Path) -> dict[str, str]:
    """Return a digest of every file that is a result, by its path within the run."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(content).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (content := comparable(path)) is not None
    }


def comparable(path: Path) -> bytes | None:
    """Return what two equal runs have in common of a file; None for files that tell of one run alone."""
    if path.name in ("run.json", ".lock") or path.suffix == ".html":
        return None
    if path.suffix == ".jsonl":
        return b"\n".join(without_times(line) for line in path.read_bytes().splitlines())
    if path.name in ("metrics.json", "stage.json"):
        return without_times(path.read_bytes())
    return path.read_bytes()


def without_times(text: bytes) -> bytes:
    """Return a JSON text without its wall-clock fields."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(inner) for key, inner in value.items() if key not in WALL_CLOCK}
        return [strip(inner) for inner in value] if isinstance(value, list) else value

    return json.dumps(strip(json.loads(text)), sort_keys=True).encode()


def count_rows(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl"))


HEAD = f"{'run':>4}  {'killed after s (stages done, rows on disk)':<58} result"


def as_line(trial: Trial) -> str:
    kills = ", ".join(f"{kill.after_s:.1f} ({kill.stages_done}, {kill.rows})" for kill in trial.kills)
    return f"{trial.number:>4}  {kills:<58} {'; '.join(problems(trial)) or 'same'}"


def problems(trial: Trial) -> Iterator[str]:
    if trial.differences:
        yield f"differs: {shortened(trial.differences)}"
    if trial.leftovers:
        yield f"left over: {shortened(trial.leftovers)}"


def shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


if __name__ == "__main__":
    main()
