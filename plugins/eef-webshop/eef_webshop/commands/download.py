"""`eef webshop download`: downloads the official files."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eef_webshop.commands.progress_bars import progress_bars


class Variant(StrEnum):
    """The size of the shop."""

    SMALL = "small"
    FULL = "full"


def download(
    variant: Annotated[Variant, typer.Argument(help="1,000 products, or all 1.18 million (5.2 GB).")],
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER_OR_URL",
            envvar="EEF_WEBSHOP_FILES",
            help="A folder or mirror that has the files, plain or .gz; default: EEF_WEBSHOP_FILES, or Google Drive.",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FOLDER", help="Target folder; default: webshop-small or -full.")
    ] = None,
) -> None:
    """Download the official files from Google Drive, or get them from a folder or mirror."""
    from eef_webshop.data.download import download as work

    folder = to or Path(f"webshop-{variant.value}")
    with progress_bars() as progress:
        fetched = work(variant.value, folder, origin, progress)
    console = Console(highlight=False)
    for file in fetched:
        state = "" if file.new else "  (already there)"
        console.print(f"{file.sha256}  {file.path}  {file.size:,} bytes{state}", soft_wrap=True, markup=False)
    console.print(f"Now: eef webshop prepare {shlex.quote(str(folder))}", soft_wrap=True, markup=False)
