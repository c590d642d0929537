"""Notebooks run from top to bottom, and show what their stored outputs show."""

import ast
import asyncio
import contextlib
import importlib.util
import io
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SIZE = re.compile(r'("(?:count|steps)": )\d+')
SMALL = 10


def code_cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_of_one_run_from_top_to_bottom(path):
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell["outputs"] if output["output_type"] == "error"]
    assert all(cell["outputs"] for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_cells_run_and_show_what_is_stored(path, tmp_path, monkeypatch):
    """The cells run in this process, where a loop runs as in Jupyter, with fewer tasks and steps of training."""
    monkeypatch.chdir(tmp_path)
    asyncio.run(_run(code_cells(path)))


async def _run(cells):
    names = {}
    for cell in cells:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            shown = _value(SIZE.sub(rf"\g<1>{SMALL}", "".join(cell["source"])), names)
        stored = {kind for output in cell["outputs"] for kind in output.get("data", {"printed": ""})}
        assert bool(printed.getvalue()) == ("printed" in stored)
        assert (shown is not None) == ("text/plain" in stored)
        assert (hasattr(shown, "_repr_html_") and "<table" in shown._repr_html_()) == ("text/html" in stored)


def _value(source, names):
    """Run a cell, and return the value of its last line, if it is an expression."""
    body = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_a_notebook_is_a_page_of_the_site_with_its_outputs():
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs/build_site.py")
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "Text."]},
        {
            "cell_type": "code",
            "source": ["x"],
            "outputs": [
                {"output_type": "stream", "text": ["printed\n"]},
                {
                    "data": {
                        "text/html": ["<style>\n\n</style>", '<table border="1"><td>1</td></table>'],
                        "text/plain": "1",
                    }
                },
                {"data": {"text/plain": ["2"]}},
            ],
        },
    ]
    assert site.notebook_page(json.dumps({"cells": cells})) == (
        "# Title\nText.\n\n```python\nx\n```\n\n```text\nprinted\n```\n\n"
        "<div><table><td>1</td></table></div>\n\n```text\n2\n```\n"
    )
    assert site.sources()["notebooks/first-run.md"] == "docs/notebooks/first-run.ipynb"
