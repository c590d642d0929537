"""What this distribution registers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eef_framework import hookimpl
from eef_thirdparty.attributor import LastGood
from eef_thirdparty.environment import Doubling
from eef_thirdparty.expert import Hasty

if TYPE_CHECKING:
    import typer


@hookimpl
def register_components(register: Any) -> None:
    """Register the game, its expert and the strategy."""
    register(Doubling, Hasty, LastGood)


@hookimpl
def register_commands(cli: typer.Typer) -> None:
    """Add `eef doubling`."""

    @cli.command("doubling")
    def doubling(number: int) -> None:
        """Double a number."""
        print(2 * number)
