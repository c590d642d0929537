"""Fills the templates of HTML pages, and recognizes pages that were made from them."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import IO, Any

from eef_framework.errors import ConfigError, storage
from eef_framework.report.glossary import GLOSSARY, glossary_list
from eef_framework.report.html import Element, data_script, render, tag

GENERATOR = "eef-framework"
"""Name of the generator of pages that show trajectories."""

SCRIPTS = ("store.js", "list.js", "detail.js", "page.js", "save.js")


def write_page(page: Path, parts_with: Callable[[IO[str]], Mapping[str, str]]) -> None:
    """Write a page atomically.

    Args:
        page: its path.
        parts_with: writes the trajectories to a file, and returns the values of the template's placeholders.

    Raises:
        StorageError: it can't be written.
    """
    draft, chunk_file = page.with_name(f".{page.name}.tmp"), page.with_name(f".{page.name}.chunks.tmp")
    with storage(page, "writing"):
        try:
            with chunk_file.open("w", encoding="ascii") as file:
                parts = parts_with(file)
            with draft.open("w", encoding="utf-8", errors="replace") as out:
                _fill(out, parts, chunk_file)
            draft.replace(page)
        finally:
            draft.unlink(missing_ok=True)
            chunk_file.unlink(missing_ok=True)


def check_replaceable(page: Path, command: str, generator: str = GENERATOR) -> None:
    """Refuse to replace a file that isn't a page written here.

    Args:
        page: the file; it need not exist.
        command: the command that writes such pages, for the message.
        generator: the name that `head` is given for them.

    Raises:
        ConfigError: it is another file (`output-exists`).
        StorageError: it can't be read.
    """
    if page.exists() and not _is_page(page, generator):
        raise ConfigError(
            f"{str(page)!r} exists, and isn't a page that `{command}` wrote: it would be lost",
            "Choose another name.",
            code="output-exists",
            path=str(page),
        )


def _is_page(page: Path, generator: str) -> bool:
    start = "".join(fill(asset("head.html").partition("{{policy}}")[0], {"generator": generator})).encode()
    if not page.is_file():
        return False
    with storage(page, "reading"), page.open("rb") as file:
        return file.read(len(start)) == start


def head(title: str, script: str, generator: str) -> str:
    """Return the head of a page, with its style and a security policy that allows its own script and style only.

    Args:
        title: the title of the page.
        script: the script of the page.
        generator: what writes pages of this kind; `check_replaceable` recognizes them by it.
    """
    style = asset("page.css")
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    parts = {"generator": generator, "policy": policy, "title": render(tag("title", title)), "style": style}
    return "".join(fill(asset("head.html").rstrip(), parts))


def script_of(names: Sequence[str]) -> str:
    """Return several files as one script, whose names aren't visible outside it."""
    return "(() => {\n" + "\n".join(map(asset, names)) + "\n})();"


def page_parts(heading: Element, body: Iterable[Element], data: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of the template's placeholders.

    Args:
        heading: the title of the page.
        body: the sections of its first view.
        data: the index of the trajectories.
    """
    script = script_of(SCRIPTS)
    return {
        "head": head("".join(heading.itertext()), script, GENERATOR),
        "heading": render(heading),
        "results": "\n".join(map(render, body)),
        "glossary": render(glossary_list()),
        "data": data_script("data", {**data, "glossary": GLOSSARY}),
        "script": script,
    }


def _fill(out: IO[str], parts: Mapping[str, str], chunk_file: Path) -> None:
    """Write the page; its trajectories are copied from a file."""
    before, _, after = asset("page.html").partition("{{chunks}}")
    out.writelines(fill(before, parts))
    with chunk_file.open(encoding="ascii") as file:
        shutil.copyfileobj(file, out)
    out.writelines(fill(after, parts))


def fill(template: str, parts: Mapping[str, str]) -> Iterator[str]:
    """Yield a template with its placeholders replaced. Placeholders within the values are left alone."""
    for number, part in enumerate(re.split(r"\{\{(\w+)\}\}", template)):
        yield part if number % 2 == 0 else parts[part]


def asset(name: str) -> str:
    """Return one of the files next to this module."""
    return files("eef_framework.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Return the hash with which the page's security policy allows its own script and style, and no others."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
