"""`eef webshop`: downloads the real WebShop's products, and prepares them."""

from __future__ import annotations

import typer

from eef_webshop.commands.download import download
from eef_webshop.commands.prepare import prepare

webshop = typer.Typer(name="webshop", help="Download and prepare the real WebShop's products.", no_args_is_help=True)
webshop.command("prepare")(prepare)
webshop.command("download")(download)

__all__ = ["webshop"]
