import importlib.util
import re
from pathlib import Path

import pytest

from eef_framework.config.tree import RunConfig

ROOT = Path(__file__).parents[1]


def generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = generator().PAGES


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_generated_page_is_up_to_date(name):
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "run `make docs`"


def test_the_reference_has_every_setting_of_a_run():
    for name in RunConfig.model_fields:
        assert f"| `{name}` |" in PAGES["configuration.md"]()


def test_the_reference_shows_a_sections_defaults_where_it_stands():
    _, _, evaluation = PAGES["configuration.md"]().partition("## `evaluate.sampling`")
    assert "| `temperature` | float | `0.0` |" in evaluation.partition("## ")[0]


def pages():
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []
