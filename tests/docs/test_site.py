"""The pages of the documentation site are the files of the repository, with links that lead somewhere."""

import importlib.util
from pathlib import Path

import pytest

import eef_framework

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs/build_site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(site):
    pages = {file: page for page, file in site.sources().items()}
    return lambda text, file="docs/agent.md": site.with_links_of_the_site(text, file, pages)


def test_links_between_files_lead_to_pages(page):
    assert page("[a](training.md#a-trainer)") == "[a](training.md#a-trainer)"
    assert page("[a](../README.md)") == "[a](index.md)"
    assert page("[a](../plugins/eef-serve/README.md)") == "[a](distributions/eef-serve.md)"
    assert page("[a](../../docs/agent.md)", "plugins/eef-serve/README.md") == "[a](../agent.md)"
    assert page("![a](docs/report.png)", "README.md") == "![a](report.png)"


def test_links_to_code_lead_to_the_repository_and_others_stay(page, site):
    assert page("[a](../pyproject.toml)") == f"[a]({site.CODE}pyproject.toml)"
    for text in ("[a](https://x.org/a.md)", "[a](#here)", "```text\n[a](nowhere.md)\n```\n"):
        assert page(text) == text


@pytest.mark.parametrize("target", ["nowhere.md", "../../../etc/hosts", "../plugins/nowhere/README.md"])
def test_a_link_that_leads_nowhere_is_an_error(page, site, target):
    with pytest.raises(site.BrokenLink):
        page(f"[a]({target})")


def test_all_pages_are_in_the_navigation_and_missing_ones_are_an_error(site, monkeypatch, tmp_path):
    monkeypatch.setattr(site, "PAGES", tmp_path / "pages")
    site.write_pages()
    written = {path.relative_to(site.PAGES).as_posix() for path in site.PAGES.rglob("*.md")}
    nav = site.navigation([{"Start": ["index.md"]}, {"Distributions": "distributions/"}])
    assert nav[0] == {"Start": ["index.md"]}
    assert "distributions/eef-serve.md" in nav[1]["Distributions"]
    assert {"index.md", *nav[1]["Distributions"], *nav[2]["More"]} == written
    with pytest.raises(site.BrokenLink):
        site.navigation(["nowhere.md"])


def test_the_reference_documents_each_public_name_once(site):
    text = "".join(text for _, text in site.references())
    for name in eef_framework.__all__:
        assert text.count(f"::: eef_framework.{name}\n") == 1
