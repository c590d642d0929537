"""Which distribution brings a name that isn't there: for the advice in an error, nothing else."""

from __future__ import annotations

DISTRIBUTIONS: dict[str, frozenset[str]] = {
    "eef-attribution": frozenset({"interval"}),
    "eef-experts": frozenset({"openai", "local", "recording", "scripted"}),
    "eef-sciworld": frozenset({"sciworld", "scienceworld"}),
    "eef-textworld": frozenset({"textworld"}),
    "eef-webshop": frozenset({"shop", "webshop", "shopper", "perfect-shopper"}),
}
"""Our own distributions, and the names they register."""


def distribution_of(name: str) -> str | None:
    """Return the distribution to install for a component's or plugin's name, if it is one of ours."""
    return next((each for each, names in DISTRIBUTIONS.items() if name in names or each == f"eef-{name}"), None)
