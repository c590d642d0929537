"""Builds sdists and wheels of all distributions, and checks the wheels in an environment of their own: `make release`.

Nothing is uploaded, and nothing is downloaded: dependencies are those of the environment that this runs in.

    python tools/release.py [OUT]    # OUT is dist by default
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def copy_sources(to: Path) -> None:
    """Copy what git tracks, or would track: building leaves traces in the folders it works on."""
    listing = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes((ROOT / name).read_bytes())


def build(out: Path) -> list[Path]:
    """Build an sdist of every distribution, and a wheel from it. Returns all files."""
    with tempfile.TemporaryDirectory() as folder:
        copy_sources(Path(folder))
        for project in PROJECTS:
            source = str(Path(folder) / project.relative_to(ROOT))
            command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), source]
            subprocess.run(command, check=True, capture_output=True)
    return sorted(path for path in out.iterdir() if path.name.endswith((".whl", ".tar.gz")))


def install(wheels: list[Path], folder: Path) -> Path:
    """Install wheels into a new environment that sees this one's libraries, but not its editable installations.

    Returns:
        Its folder of commands.
    """
    venv.create(folder, with_pip=True)
    (libraries,) = folder.glob("lib/python*/site-packages")
    command = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*command, *map(str, wheels)], check=True)
    # A plain path: `.pth` files in it, which editable installations consist of, aren't read.
    (libraries / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def check(bin_folder: Path) -> None:
    """Import every distribution and run both commands.

    Raises:
        SystemExit: a package isn't the installed one, or a command fails.
    """
    packages = ["eef_framework", *(project.name.replace("-", "_") for project in PROJECTS[1:])]
    code = (
        "import importlib, sys\n"
        f"for name in {packages!r}:\n"
        "    file = importlib.import_module(name).__file__\n"
        "    assert file.startswith(sys.prefix), f'{name} was imported from {file}'\n"
    )
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    with tempfile.TemporaryDirectory() as elsewhere:
        for command in (
            ["python", "-c", code],
            ["eef", "--version"],
            ["eef", "plugins"],
            ["eef-run", "demo", "--dry-run"],
        ):
            done = subprocess.run(
                [str(bin_folder / command[0]), *command[1:]],
                cwd=elsewhere,
                env={"PATH": str(bin_folder), "HOME": elsewhere},  # neither PYTHONPATH nor settings of the caller
                capture_output=True,
                text=True,
            )
            if done.returncode or (command[1] == "--version" and version not in done.stdout):
                sys.exit(f"{' '.join(command)} failed in the new environment:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Build, install and check all distributions."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    out.mkdir(parents=True, exist_ok=True)
    if old := [path for path in out.iterdir() if path.name.startswith("eef")]:
        sys.exit(f"{out} has files of an earlier build, such as {old[0].name}: remove them first (make clean)")
    files = build(out)
    wheels = [path for path in files if path.suffix == ".whl"]
    if len(files) != 2 * len(PROJECTS) or len(wheels) != len(PROJECTS):
        sys.exit(f"expected an sdist and a wheel of {len(PROJECTS)} distributions, built: {[f.name for f in files]}")
    with tempfile.TemporaryDirectory() as folder:
        check(install(wheels, Path(folder)))
    print("\n".join(str(path) for path in files))


if __name__ == "__main__":
    main()
