"""Does a run that is killed at any moment, and started again, end with the result of one that wasn't?

Runs a small configuration once without interruption. Then, again and again in fresh folders, it starts the same
command, kills its whole process group with SIGKILL at random moments (one to three times a run), and repeats the
command to its end. What has to be equal is the result, and nothing of it may be missing or left over:

* `metrics.json`, every stage's manifest and every row of every data set, wall-clock times left out, log-probabilities
  within 5e-5: they are sums of float32 numbers that change in the last digits with what else is in the batch, and an
  exploration that is taken up has other batches (`rounding.py` measures by how much). The largest difference is
  reported;
* all files of all checkpoints, weights included, byte for byte.

What a tracker writes for people to look at (TensorBoard's events, with host and time in it) isn't part of the result.

    python benchmarks/resume.py --kills 20
"""

from __future__ import annotations

import hashlib
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

from common import arguments, eef_command, finish, read_json, settings, table

CONFIG = Path(__file__).parent / "configs" / "smoke.yaml"
NOT_COMPARED = {"seconds", "finished", "date", "digests"}
"""Fields that no two runs have in common: times, and digests of files that contain log-probabilities."""
LOGPROB_TOLERANCE = 5e-5
"""How much the log-probability of an answer may depend on the batch; what the engine allows a logit."""
KILLS_PER_RUN = (1, 1, 1, 2, 2, 3)
"""How often a run is killed: one of these numbers, all equally likely."""
TINY = ["collect.tasks.count=20", "clone.trainer.steps=20", "tune.trainer.steps=4", "evaluate.tasks.count=8"]


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

    logprobs_differ_by: float = 0.0

    @property
    def same(self) -> bool:
        """Whether the result is that of the uninterrupted run."""
        return not self.differences and not self.leftovers


def main() -> None:
    args = arguments(
        __doc__,
        {"kills": 1, "set": [*TINY, "policy.tiny.hidden=32", "policy.tiny.layers=1"]},
        kills=(20, "how many runs to kill, each once or several times"),
        config=(str(CONFIG), "what to run; a recipe or YAML file of eef-run"),
        set=([], "settings, as for eef-run", str),
        seed=(0, "for the moments of the kills"),
        threads=(1, "OMP_NUM_THREADS of the runs"),
    )
    # The runs are in sessions of their own: ended by SIGTERM, this process has to end the one under way.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    whole = args.folder / "uninterrupted"
    shutil.rmtree(whole, ignore_errors=True)
    began = time.monotonic()
    run(args, whole)
    duration = time.monotonic() - began
    expected = results(whole)
    rows = count_rows(whole)
    print(f"uninterrupted: {duration:.1f} s, {len(expected)} files to compare, {rows} rows", flush=True)
    draw = random.Random(args.seed)
    trials = []
    for number in range(1, args.kills + 1):
        trials.append(interrupted(number, args, duration, expected, draw))
        print(*as_row(trials[-1]), sep="  ", flush=True)
    same = sum(trial.same for trial in trials)
    kills = sum(len(trial.kills) for trial in trials)
    report = {
        "config": Path(args.config).name,
        "seed": args.seed,
        "uninterrupted_s": round(duration, 1),
        "files_compared": len(expected),
        "rows": rows,
        "kills": kills,
        "same": same,
        "largest_difference_of_a_logprob": max(trial.logprobs_differ_by for trial in trials),
        "runs": [{**asdict(trial), "same": trial.same} for trial in trials],
    }
    text = table(["run", "killed after s (stages done, rows on disk)", "result"], map(as_row, trials))
    text += f"\n\nlog-probabilities differ by {report['largest_difference_of_a_logprob']:.0e} at most"
    claim = f"{same} of {len(trials)} runs, killed {kills} times, end with the result of the uninterrupted one"
    finish(args, report, text, {claim: same == len(trials)})


def interrupted(number: int, args: Any, duration: float, expected: dict[str, Any], draw: random.Random) -> Trial:
    """Run, kill, repeat, compare. The folder is kept if anything differs."""
    trial = Trial(number)
    folder = args.folder / f"killed-{number:02d}"
    shutil.rmtree(folder, ignore_errors=True)
    wanted = draw.choice(KILLS_PER_RUN)
    while len(trial.kills) < wanted:
        moment = draw.uniform(0, duration)
        if run_until(args, folder, moment):
            trial.kills.append(Kill(round(moment, 2), len(list(folder.rglob("stage.json"))), count_rows(folder)))
        elif trial.kills:
            break  # it finished before its next kill
        else:
            shutil.rmtree(folder)  # it finished before it was killed at all: once more
    try:
        run(args, folder)
    except subprocess.CalledProcessError as failure:
        trial.differences.append(f"exit status {failure.returncode}: {failure.stderr.strip()[-500:]}")
        return trial
    found = results(folder)
    for name, content in expected.items():
        equal, trial.logprobs_differ_by = compared(content, found.get(name), trial.logprobs_differ_by)
        trial.differences += [] if equal else [name]
    trial.leftovers += sorted(found.keys() - expected.keys())
    if trial.same:
        shutil.rmtree(folder)
    return trial


def command(args: Any, folder: Path) -> dict[str, Any]:
    """Return how to start the run."""
    return {
        "args": eef_command(args.config, "--out", folder, *settings(args.set)),
        "env": {**os.environ, "OMP_NUM_THREADS": str(args.threads)},
        "stdout": subprocess.DEVNULL,
    }


def run_until(args: Any, folder: Path, moment: float) -> bool:
    """Start the run and kill it after so many seconds; tell whether it was still going on."""
    process = subprocess.Popen(**command(args, folder), stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait(timeout=moment)
        return False
    except subprocess.TimeoutExpired:
        return True
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run(args: Any, folder: Path) -> None:
    """Run to the end."""
    subprocess.run(**command(args, folder), stderr=subprocess.PIPE, text=True, check=True)


def results(folder: Path) -> dict[str, Any]:
    """Return every file that is a result, by its path within the run: JSON as values, of others a digest."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        of_one_run = name.name in ("run.json", ".lock") or name.suffix == ".html"
        of_a_tracker = "training" in name.parts[:-1] or name.name == "figures.jsonl"  # has times
        if not of_one_run and not of_a_tracker:
            is_json = name.suffix in (".json", ".jsonl")
            found[str(name)] = read_json(path) if is_json else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def compared(a: Any, b: Any, worst: float, key: str = "") -> tuple[bool, float]:
    """Compare values, without `NOT_COMPARED`.

    Args:
        a: a value.
        b: another.
        worst: the largest difference so far.
        key: under which the values stand.

    Returns:
        Whether they are equal, and the largest difference of log-probabilities.
    """
    if key in NOT_COMPARED:
        return True, worst
    if isinstance(a, dict) and isinstance(b, dict):
        pairs = [(a[name], b[name], name) for name in a] if a.keys() == b.keys() else None
    elif isinstance(a, list) and isinstance(b, list):
        pairs = [(x, y, key) for x, y in zip(a, b, strict=True)] if len(a) == len(b) else None
    elif key in ("logprob", "logprobs") and isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= LOGPROB_TOLERANCE, max(worst, abs(a - b))
    else:
        return type(a) is type(b) and a == b, worst
    if pairs is None:
        return False, worst
    equal = True
    for x, y, name in pairs:
        same, worst = compared(x, y, worst, name)
        equal = equal and same
    return equal, worst


def count_rows(folder: Path) -> int:
    """Count the rows of all files below a folder."""
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("*.jsonl"))


def as_row(trial: Trial) -> tuple[str, str, str]:
    """Return a trial as a row of the table."""
    kills = ", ".join(f"{kill.after_s:.1f} ({kill.stages_done}, {kill.rows})" for kill in trial.kills)
    return str(trial.number), kills, "; ".join(problems(trial)) or "same"


def problems(trial: Trial) -> Iterator[str]:
    """Yield what is wrong with a trial's result."""
    if trial.differences:
        yield f"differs: {shortened(trial.differences)}"
    if trial.leftovers:
        yield f"left over: {shortened(trial.leftovers)}"


def shortened(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


if __name__ == "__main__":
    main()
