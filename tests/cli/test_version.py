import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECTS = [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize("name", ["eef", "eef-run"])
def test_both_commands_print_the_version_that_is_installed(command, name):
    done = command(name, "--version")
    assert (done.code, done.out) == (0, f"eef-framework {metadata.version('eef-framework')}\n")


def test_all_distributions_have_one_version_licence_and_set_of_urls():
    assert len(PROJECTS) > 5
    for key in ("version", "license", "urls", "requires-python"):
        assert len({str(project(folder)[key]) for folder in PROJECTS}) == 1, key


def test_every_distribution_ships_the_licence_and_needs_the_framework_of_its_version():
    version = project(ROOT)["version"]
    minor = ".".join(version.split(".")[:2])
    for folder in PROJECTS:
        assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
        if folder != ROOT:
            assert any(
                each.startswith("eef-framework") and f">={minor}" in each for each in project(folder)["dependencies"]
            )
