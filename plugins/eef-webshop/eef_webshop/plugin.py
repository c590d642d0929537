"""Registers the shops, their experts, recipes and commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eef_framework.plugins import hookimpl
from eef_webshop.generated.shop import Shop
from eef_webshop.generated.shopper import PerfectShopper, Shopper
from eef_webshop.site.environment import WebShop
from eef_webshop.site.shopper import WebShopPerfect, WebShopShopper

if TYPE_CHECKING:
    import typer


@hookimpl
def register_environments(register: Callable[[type[Any]], None]) -> None:
    """Register the shops."""
    register(Shop)
    register(WebShop)


@hookimpl
def register_experts(register: Callable[[type[Any]], None]) -> None:
    """Register the experts for them."""
    register(Shopper)
    register(PerfectShopper)
    register(WebShopShopper)
    register(WebShopPerfect)


@hookimpl
def register_recipes(register: Callable[[Path | Mapping[str, Path]], None]) -> None:
    """Register the recipes."""
    register(Path(str(resources.files("eef_webshop") / "recipes")))


@hookimpl
def register_commands(cli: typer.Typer) -> None:
    """Add `eef webshop`."""
    from eef_webshop.commands import webshop

    cli.add_typer(webshop)
