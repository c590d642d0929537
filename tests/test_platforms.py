"""Nothing needs what only some systems have: their names are taken away, and everything goes on without them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eef_framework.testing.small_run import small_settings

ROOT = Path(__file__).parents[1]
PACKAGES = [ROOT / "eef_framework", *(ROOT / "plugins").glob("*/eef_*")]

LINUX_ONLY = """
import os, signal, sys, time
for name in dir(os):
    if name.startswith(("sched_", "SCHED_", "pidfd_", "PIDFD_", "posix_f", "eventfd", "EFD_", "memfd_", "MFD_",
                        "splice", "SPLICE_", "getrandom", "GRND_", "copy_file_range", "setns", "unshare", "O_DIRECT",
                        "O_PATH", "O_TMPFILE", "getxattr", "setxattr", "listxattr", "process_cpu_count", "timerfd")):
        delattr(os, name)
for name in ("pidfd_send_signal", "SIGPWR", "SIGSTKFLT", "SIGRTMIN", "SIGRTMAX", "SIGPOLL", "SIGCLD", "sigtimedwait"):
    if hasattr(signal, name):
        delattr(signal, name)
def refuse(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(2, "No such file or directory", arguments[0])
sys.addaudithook(refuse)
"""
"""What macOS lacks."""

POSIX_ONLY = """
import builtins, os, signal
original = builtins.__import__
gone = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "readline", "curses"}
class Without:
    def __init__(self, module, names):
        self.__dict__.update({name: value for name, value in vars(module).items() if name not in names})
POSIX = {"sched_getaffinity", "pread", "pwrite", "fork", "forkpty", "setsid", "killpg", "getuid", "geteuid", "getpgid",
         "uname", "statvfs", "getloadavg", "mkfifo", "nice", "sysconf", "posix_fadvise", "fchmod", "chown", "wait4"}
SIGNALS = {"SIGKILL", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "setitimer", "alarm", "pause"}
less = {"os": Without(os, POSIX), "signal": Without(signal, SIGNALS)}
def without(name, globals=None, locals=None, fromlist=(), level=0):
    if str((globals or {}).get("__name__")).startswith("eef_"):
        if name in gone:
            raise ModuleNotFoundError(f"No module named {name!r}")
        if name in less:
            return less[name]
    return original(name, globals, locals, fromlist, level)
builtins.__import__ = without
"""
"""What Windows lacks, hidden from our modules alone."""

NEED_AN_EXTRA = {"eef_serve.verifiers_taskset"}
"""Modules that import what the tests' environment doesn't have."""

ALL = "import importlib\nfor name in {names!r}: importlib.import_module(name)\n"


def modules():
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            parts = path.relative_to(package.parent).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run(code, *arguments, **options):
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("system", [LINUX_ONLY, POSIX_ONLY], ids=["as on macOS", "as on Windows"])
def test_every_module_imports_without_names_of_other_systems(system):
    run(system + ALL.format(names=sorted(set(modules()) - NEED_AN_EXTRA)))


@pytest.mark.parametrize("system", [LINUX_ONLY, POSIX_ONLY], ids=["as on macOS", "as on Windows"])
def test_a_run_and_a_store_need_no_names_of_other_systems(system, tmp_path):
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(small_settings(4, 2)))
    env = os.environ | {"EEF_PLUGINS": "eef_framework.testing.plugin"}
    run(f"{system}\nfrom eef_framework.cli.run import main\nmain()", "own.yaml", cwd=tmp_path, env=env)
    assert (tmp_path / "runs/own/report.html").exists()
    (tmp_path / "file").write_bytes(b"abcdef")
    used = """
import os
from pathlib import Path
from eef_webshop.data.reading import read_at
from eef_webshop.data.staging import staging_folder
from eef_webshop.data.workers import default_jobs
os.truncate("file", 30_000_000)
assert default_jobs(Path("file")) >= 1
with staging_folder(Path("store")) as folder, open("file", "rb") as file:
    assert read_at(file.fileno(), 3, 2) == b"cde"
assert not folder.exists()
"""
    run(system + used, cwd=tmp_path)
