"""`eef webshop prepare`: converts the official files to a store."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eef_webshop.commands.progress_bars import progress_bars
from eef_webshop.data.manifest import Manifest


class Tagger(StrEnum):
    """Tagger that finds the nouns of names."""

    SPACY = "spacy"
    NONE = "none"


def prepare(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder with the official files, or its items_shuffle file.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="STORE", help="The store to write; default: FOLDER/store.")
    ] = None,
    nouns: Annotated[
        Tagger, typer.Option("--nouns", help="`none` needs no spaCy, but rewards then differ from the reference's.")
    ] = Tagger.SPACY,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; default: one for each core.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing store.")] = False,
) -> None:
    """Convert the official files to a store. Takes seconds for 1,000 products, and long for all 1.18 million."""
    from eef_webshop.data.prepare import prepare as work

    store = out or (source if source.is_dir() else source.parent) / "store"
    with progress_bars() as progress:
        summary = work(source, store, progress, nouns=nouns.value, jobs=jobs, overwrite=overwrite)
    console = Console(highlight=False)
    for line in described(summary.manifest):
        console.print(line, soft_wrap=True, markup=False)
    console.print(f"{summary.folder} is ready after {summary.seconds:,.0f} s:", soft_wrap=True, markup=False)
    command = f"eef-run webshop-demo --set environment.data={shlex.quote(str(summary.folder))}"
    console.print(f"  {command}", soft_wrap=True, markup=False)


def described(manifest: Manifest) -> list[str]:
    """Return the lines that describe a store and the records that were skipped."""
    lines = [
        f"{manifest.products:,} products, {manifest.human_instructions:,} human instructions, nouns: {manifest.tagger}"
    ]
    for entry in manifest.skipped:
        lines.append(f"{entry.count:,} skipped: {entry.reason}")
        lines += [f"    {example}" for example in entry.examples]
        if entry.count > len(entry.examples):
            lines.append(f"    and {entry.count - len(entry.examples):,} more")
    return lines
