import importlib.util
import re
from pathlib import Path

import pytest

from eef_framework.config.schema import RunConfig

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
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("plugins/*/*.md"))]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


THIRD_PARTY = ROOT / "tests" / "third_party" / "eef-thirdparty"


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("name", ["environment", "expert", "attributor", "plugin"])
def test_the_tutorial_shows_the_code_that_the_tests_install(name):
    source = (THIRD_PARTY / "eef_thirdparty" / f"{name}.py").read_text(encoding="utf-8")
    assert f"# eef_thirdparty/{name}.py\n{source}" in blocks(ROOT / "docs" / "plugins.md", "python")


def test_the_page_on_training_shows_the_trainer_that_the_tests_install():
    source = (THIRD_PARTY / "eef_thirdparty" / "trainer.py").read_text(encoding="utf-8")
    assert f"# my_trainer.py\n{source}" in blocks(ROOT / "docs" / "training.md", "python")


def test_the_tutorial_shows_the_project_file_that_the_tests_install():
    source = (THIRD_PARTY / "pyproject.toml").read_text(encoding="utf-8")
    assert f"# pyproject.toml\n{source}" in blocks(ROOT / "docs" / "plugins.md", "toml")


def test_the_readme_shows_the_attributor_that_the_tests_install():
    source = (THIRD_PARTY / "eef_thirdparty" / "attributor.py").read_text(encoding="utf-8")
    _, _, code = source.partition("\n\n")
    assert f"# my_ideas.py\n{code}" in blocks(ROOT / "README.md", "python")
    body = code.partition("class ")[2].splitlines()
    assert len([line for line in body if line.strip()]) == 8


def test_every_recipe_is_documented():
    text = (ROOT / "docs" / "running.md").read_text(encoding="utf-8")
    for path in (ROOT / "eef_framework" / "recipes").glob("*.yaml"):
        assert f"| `{path.stem}` |" in text


def test_every_package_and_layer_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in (ROOT / "eef_framework").iterdir():
        if path.suffix == ".py" and path.stem != "__init__":
            assert f"  {path.name} " in text
        elif path.is_dir() and (path / "__init__.py").exists():
            assert f"  {path.name}/ " in text
