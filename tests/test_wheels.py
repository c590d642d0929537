"""What people install is built, and works with the source out of reach."""

import importlib.util
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = ("attribution", "experts", "ray", "sciworld", "serve", "textworld", "vllm", "webshop")
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


def release():
    """Return the script that `make release` runs."""
    spec = importlib.util.spec_from_file_location("tools_release", ROOT / "tools" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All distributions: an sdist of each, and the wheel made from it."""
    return release().build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheels(built) -> list[Path]:
    return [path for path in built if path.suffix == ".whl"]


@pytest.mark.slow
def test_what_is_released_works_in_an_environment_of_its_own(built, wheels, tmp_path):
    assert len(built) == 2 * len(wheels) == 2 * len(PROJECTS)
    release().check(release().install(wheels, tmp_path / "venv"))


@pytest.mark.slow
def test_wheels_hold_everything_that_is_not_python(wheels: list[Path]) -> None:
    names = {path.name.split("-")[0]: zipfile.ZipFile(path).namelist() for path in wheels}
    assert set(names) == {"eef_framework", *(f"eef_{name}" for name in PLUGINS)}
    for package, files in names.items():
        assert f"{package}/py.typed" in files
        assert not [name for name in files if name.startswith(("tests/", "benchmarks/"))]
    for wanted in ("recipes/demo.yaml", "recipes/eef.yaml", "report/page.html", "report/page.css", "report/page.js"):
        assert f"eef_framework/{wanted}" in names["eef_framework"]
    assert any(name.endswith("licenses/LICENSE") for name in names["eef_framework"])


@pytest.mark.slow
def test_installed_wheels_run_the_demo_with_the_source_out_of_reach(wheels: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, *map(str, wheels)], check=True, capture_output=True)
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
