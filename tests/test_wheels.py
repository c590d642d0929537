"""What people install is built, and works with the source out of reach."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = ("attribution", "experts", "sciworld", "textworld", "webshop")
PROJECTS = (ROOT, *(ROOT / f"plugins/eef-{name}" for name in PLUGINS))

# Without `site`, editable installations of the source aren't found; the libraries are added by hand.
PROGRAM = """
import sys
sys.path[:0] = [{wheels!r}, {libraries!r}]
import importlib
for name in ("eef_framework", *{plugins!r}):
    package = importlib.import_module(name)
    assert package.__file__.startswith({wheels!r}), package.__file__
from eef_framework.cli.run import main
sys.argv[1:] = {arguments!r}
main()
"""

SMALLEST = {
    "collect.tasks.count": 12,
    "evaluate.tasks.count": 6,
    "iterations": 1,
    "attributor.probes": 1,
    "clone.trainer.steps": 3,
    "tune.trainer.steps": 2,
}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build all distributions from copies of their folders, as building leaves traces in them."""
    folder = tmp_path_factory.mktemp("wheels")
    ignore = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    copy = folder / "source"
    for name in subprocess.run(ignore, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    for project in PROJECTS:
        source = str(copy / project.relative_to(ROOT))
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
        subprocess.run([*command, source], check=True, capture_output=True)
    return folder


@pytest.mark.slow
def test_wheels_hold_everything_that_is_not_python(wheels: Path) -> None:
    names = {path.name.split("-")[0]: zipfile.ZipFile(path).namelist() for path in wheels.glob("*.whl")}
    assert set(names) == {"eef_framework", *(f"eef_{name}" for name in PLUGINS)}
    for package, files in names.items():
        assert f"{package}/py.typed" in files
        assert not [name for name in files if name.startswith(("tests/", "benchmarks/"))]
    for wanted in ("recipes/demo.yaml", "recipes/eef.yaml", "report/page.html", "report/page.css", "report/page.js"):
        assert f"eef_framework/{wanted}" in names["eef_framework"]
    assert any(name.endswith("licenses/LICENSE") for name in names["eef_framework"])


@pytest.mark.slow
def test_installed_wheels_run_the_demo_with_the_source_out_of_reach(wheels: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    built = [str(path) for path in wheels.glob("*.whl")]
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, *built], check=True, capture_output=True)
    arguments = ["--out", str(tmp_path / "run")]
    for key, value in SMALLEST.items():
        arguments += ["--set", f"{key}={value}"]
    plugins = [f"eef_{name}" for name in PLUGINS]
    libraries = sysconfig.get_path("purelib")
    program = PROGRAM.format(wheels=str(target), libraries=libraries, plugins=plugins, arguments=arguments)
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "rft-matched 1" in done.stdout
    assert (tmp_path / "run/report.html").stat().st_size > 10_000
