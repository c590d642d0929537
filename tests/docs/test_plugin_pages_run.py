from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("path", sorted(ROOT.glob("plugins/*/README.md")), ids=lambda path: path.parent.name)
def test_a_plugins_page_runs_as_it_is_printed(path, run_page):
    run_page(path)
