from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")} - {ROOT / "CHANGELOG.md"})
SLOW = ("README.md", "docs/plugins.md", "docs/gymnasium.md", "docs/training.md")


def parameter(path):
    name = path.relative_to(ROOT).as_posix()
    return pytest.param(path, id=name, marks=[pytest.mark.slow] if name in SLOW else [])


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("path", [parameter(path) for path in PAGES])
def test_a_page_runs_as_it_is_printed(path, run_page):
    run_page(path)
