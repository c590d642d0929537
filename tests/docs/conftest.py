from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def pages():
    """The module beside this one, which no package holds."""
    return _load("docs_pages", Path(__file__).with_name("pages.py"))


@pytest.fixture
def run_page(pages, tmp_path, monkeypatch, subtests):
    """Run every block of a page, each as a subtest."""

    def run_page(path):
        page = pages.Page(path, tmp_path)
        for name, value in page.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(page.work)
        monkeypatch.syspath_prepend(str(page.work))
        before = set(sys.modules)
        for example in page.document:
            with subtests.test(line=example.line):
                kind, what = pages.mark(page.document, example.region)
                if kind == "needs" and not (pages.DATA / what).is_dir():
                    require = os.environ.get("EEF_REQUIRE_DATA") == "1"
                    (pytest.fail if require else pytest.skip)(f"needs ../shared/data/{what}")
                example.evaluate()
        for name in set(sys.modules) - before:  # a page's own modules: another page has some of the same name
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]

    return run_page


def _load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
