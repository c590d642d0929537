"""`eef-run --seeds N`: the same run with several seeds, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from eef_framework.cli.options import say
from eef_framework.errors import ConfigError, EefError, storage
from eef_framework.resources import available_cores
from eef_framework.runs import is_run

LOG_START = b"# eef-run --seeds\n"
"""First line of a log; a file that begins otherwise isn't ours."""
INTERRUPT_WAIT_S = 30.0
"""How long a process may take to end after it was interrupted."""


@dataclass
class SeedRuns:
    """Runs of one configuration with different seeds. Repeating the command resumes each of them.

    Args:
        options: command-line options of `eef-run` that all have in common.
        seeds: the seeds.
        per_seed: settings that get the seed as their value.
        folder: gets a run directory and a log for each seed.
        jobs: how many processes run at a time; they share the cores.
    """

    options: Sequence[str]
    seeds: Sequence[int]
    per_seed: Sequence[str]
    folder: Path
    jobs: int
    _stopping: Event = field(default_factory=Event)

    def run(self) -> list[Path]:
        """Run all seeds, and return their run directories.

        Raises:
            ConfigError: the folder is itself a run directory (`is-a-run`); nothing was started.
            EefError: `foreign-file`: a log's name is taken; nothing was started. `seeds-failed`: at least one failed;
                all others were completed.
        """
        self.check_folder()
        with storage(self.folder, "creating"):
            self.folder.mkdir(parents=True, exist_ok=True)
        for seed in self.seeds:
            self._check_log(seed)
        with ThreadPoolExecutor(self.jobs) as pool:
            started = {seed: pool.submit(self._one, seed) for seed in self.seeds}
            try:
                failed = {seed: code for seed, future in started.items() if (code := future.result())}
            except BaseException:
                self._stopping.set()
                raise
        if failed:
            names = ", ".join(map(str, failed))
            logs = ", ".join(str(self._log(seed)) for seed in failed)
            raise EefError(
                f"{len(failed)} of {len(self.seeds)} runs failed (seed {names}); the others are complete",
                f"The reason is at the end of {logs}. Repeat the command to resume the runs that failed.",
                code="seeds-failed",
                seeds=list(failed),
                logs=[str(self._log(seed)) for seed in failed],
            )
        return [self.run_folder(seed) for seed in self.seeds]

    def check_folder(self) -> None:
        """Reject a folder that is itself a run directory: its runs would become part of that one.

        Raises:
            ConfigError: with the code `is-a-run`.
        """
        if is_run(self.folder):
            raise ConfigError(
                f"{str(self.folder)!r} is a run directory, and --seeds needs a folder for several of them",
                "Choose another folder with --out.",
                code="is-a-run",
                path=str(self.folder),
            )

    def run_folder(self, seed: int) -> Path:
        """Return the run directory of a seed."""
        return self.folder / f"seed-{seed}"

    def settings(self, seed: int) -> list[str]:
        """Return the settings of a seed's run that get the seed as their value, each as `KEY=VALUE`."""
        return [f"{key}={seed}" for key in self.per_seed]

    def _log(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}.log"

    def _check_log(self, seed: int) -> None:
        """Refuse to append to a file that isn't a log of ours."""
        path = self._log(seed)
        with storage(path, "reading"):
            start = path.open("rb").read(len(LOG_START)) if path.exists() else b""
        if start not in (b"", LOG_START):
            raise EefError(
                f"{str(path)!r} exists, and isn't a log of `eef-run --seeds`",
                "Choose another folder with --out, or move the file.",
                code="foreign-file",
                path=str(path),
            )

    def _one(self, seed: int) -> int:
        """Do one run in a process of its own, and return its exit code."""
        if self._stopping.is_set():
            return 1
        settings = [word for each in self.settings(seed) for word in ("--set", each)]
        threads = str(max(1, available_cores() // self.jobs))
        command = "from eef_framework.cli.run import main; main()"
        out = ["--seed", str(seed), "--out", str(self.run_folder(seed))]
        with storage(self._log(seed), "writing"), self._log(seed).open("ab") as log:
            if log.tell() == 0:
                log.write(LOG_START)
                log.flush()
            process = subprocess.Popen(
                [sys.executable, "-c", command, *self.options, *settings, *out],
                env={"OMP_NUM_THREADS": threads, **os.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        say(f"seed {seed}: started, log in {self._log(seed)}")
        code = self._wait(process)
        say(f"seed {seed}: {'done' if code == 0 else f'failed with exit code {code}'}")
        return code

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        while True:
            try:
                return process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if not self._stopping.is_set():
                    continue
            process.terminate()  # it completes the rows under way; it may ignore Ctrl-C, as background jobs do
            try:
                return process.wait(timeout=INTERRUPT_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()
