"""Builds the documentation site: `make docs-site`.

The pages are the Markdown files of the repository, which are also read as files: docs/, the READMEs, the log, and the
notebooks with their outputs. They are
copied to build/site-pages with links that fit there, and pages with the reference from the code are added. Zensical
makes the site of them.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "site-pages"
CODE = "https://github.com/eef-framework/eef-framework/blob/main/"
PLACES = {"README.md": "index.md", "benchmarks/LOG.md": "log.md", "docs/decisions/README.md": "decisions/index.md"}
"""File -> page, for those that have another name or folder on the site."""
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"^ *(```|~~~)")
STYLE = re.compile(r"<style.*?</style>|(?<=<table) [^>]*", re.DOTALL)
"""Styles of data frames, in place of those of the site."""

REFERENCE = {
    "contracts": ("Contracts", "eef_framework", "eef_framework.interfaces"),
    "records": ("Records", "eef_framework", "eef_framework.records"),
    "framework": ("Runs, configuration, plugins", "eef_framework", ""),
    "checks": ("Checks of the contracts", "eef_framework.testing.conformance", ""),
    "comparison": ("Comparisons", "eef_framework.comparison", ""),
}
"""Page -> title, package whose public names it documents, and where they are imported from (empty: anywhere else)."""


class BrokenLink(Exception):
    """A page, or the navigation, links to a file that doesn't exist."""


def sources() -> dict[str, str]:
    """Return page -> file, both as paths with slashes, for all Markdown files, notebooks and images of the site."""
    files = [*ROOT.glob("*.md"), ROOT / "benchmarks/LOG.md", *ROOT.glob("plugins/*/README.md")]
    files += [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".md", ".ipynb", ".png", ".svg")]
    return {_page_of(path): path.relative_to(ROOT).as_posix() for path in sorted(files)}


def with_links_of_the_site(text: str, file: str, pages: dict[str, str]) -> str:
    """Return a file's text with its relative links as they are on the site. Links to code lead to the repository.

    Args:
        text: the text.
        file: the file's path in the repository.
        pages: file -> page.

    Raises:
        BrokenLink: a link leads nowhere.
    """

    def changed(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(ROOT / Path(file).parent / found[2]))
        name = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
        if name in pages:
            here = Path(pages[file]).parent
            return found[1] + Path(os.path.relpath(pages[name], here)).as_posix() + found[3]
        if not name or not target.exists():
            raise BrokenLink(f"{file}: {found[2]}")
        return found[1] + CODE + name + found[3]

    lines, fence = [], ""
    for line in text.splitlines(keepends=True):
        mark = FENCE.match(line)
        if mark:
            fence = "" if fence == mark[1] else fence or mark[1]
        lines.append(line if fence else LINK.sub(changed, line))
    return "".join(lines)


def notebook_page(text: str) -> str:
    """Return a notebook as Markdown, with its outputs.

    Args:
        text: the notebook's file.
    """
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_output(output) for output in cell.get("outputs", ())]
    return "\n\n".join(parts) + "\n"


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return f"<div>{STYLE.sub('', ''.join(data['text/html']))}</div>"
    return f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```"


def references() -> Iterator[tuple[str, str]]:
    """Yield page and text of the reference from the code, which mkdocstrings fills in."""
    for page, (title, module, source) in REFERENCE.items():
        taken = {entry[2] for entry in REFERENCE.values() if entry[1] == module} - {source}
        names = [
            name
            for name, origin in sorted(public_names(module).items())
            if (origin == source if source else origin not in taken)
        ]
        yield f"reference/{page}.md", "\n\n".join([f"# {title}", *(f"::: {module}.{name}" for name in names)]) + "\n"


def public_names(module: str) -> dict[str, str]:
    """Return name -> module that it is imported from, for the names in a package's `__all__`."""
    tree = ast.parse((ROOT / module.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    origins = {
        alias.name: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    exported = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return {name: origins[name] for name in exported}


def write_pages() -> None:
    """Write all pages of the site.

    Raises:
        BrokenLink: a link leads nowhere.
    """
    shutil.rmtree(PAGES, ignore_errors=True)
    files = sources()
    pages = {file: page for page, file in files.items()}
    for page, file in files.items():
        target = PAGES / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.suffix == ".md":
            text = (ROOT / file).read_text(encoding="utf-8")
            if file.endswith(".ipynb"):
                text = notebook_page(text)
            target.write_text(with_links_of_the_site(text, file, pages), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / file, target)
    for page, text in references():
        (PAGES / page).parent.mkdir(exist_ok=True)
        (PAGES / page).write_text(text, encoding="utf-8")


def navigation(entries: Any) -> Any:
    """Return the navigation of mkdocs.yml, with the pages of each folder in it, and all others in a last section.

    Raises:
        BrokenLink: a page doesn't exist.
    """
    written = sorted(path.relative_to(PAGES).as_posix() for path in PAGES.rglob("*.md"))
    named: set[str] = set()

    def filled(entry: Any) -> Any:
        if isinstance(entry, dict):
            return {title: filled(part) for title, part in entry.items()}
        if isinstance(entry, list):
            return [filled(part) for part in entry]
        found = [page for page in written if page == entry or (entry.endswith("/") and page.startswith(entry))]
        if not found:
            raise BrokenLink(f"mkdocs.yml: {entry}")
        named.update(found)
        return found if entry.endswith("/") else entry

    known = filled(entries)
    others = [page for page in written if page not in named]
    return [*known, *([{"More": others}] if others else [])]


def _page_of(path: Path) -> str:
    file = path.relative_to(ROOT).as_posix()
    if file in PLACES:
        return PLACES[file]
    if path.parent.parent == ROOT / "plugins":
        return f"distributions/{path.parent.name}.md"
    file = re.sub(r"\.ipynb$", ".md", file)
    return file.removeprefix("docs/") if "/" in file else f"project/{path.name.lower()}"


def main() -> None:
    """Write the pages, and let Zensical build the site in build/site. Warnings are errors."""
    write_pages()
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    settings |= {"nav": navigation(settings["nav"]), "docs_dir": PAGES.name, "site_dir": "site"}
    config = PAGES.with_name("mkdocs.yml")
    config.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", str(config)]
    raise SystemExit(subprocess.run(command, cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
