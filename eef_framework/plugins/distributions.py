"""Finds the distribution that provides a missing name, for the fix in an error message."""

from __future__ import annotations

DISTRIBUTIONS: dict[str, frozenset[str]] = {
    "eef-attribution": frozenset(
        {
            "all",
            "anchor",
            "bisect",
            "entropy",
            "first-error",
            "interval",
            "judge",
            "likelihood",
            "montecarlo",
            "none",
            "propose-verify",
            "random",
            "score",
            "sequential",
            "substitute",
        }
    ),
    "eef-experts": frozenset({"best-of-n", "local", "mixture", "openai", "recording"}),
    "eef-ray": frozenset({"ray"}),
    "eef-sciworld": frozenset({"sciworld", "sciworld-gold", "sciworld-fallible"}),
    "eef-serve": frozenset({"remote"}),
    "eef-textworld": frozenset({"textworld", "textworld-walkthrough", "textworld-fallible", "textworld-demo"}),
    "eef-vllm": frozenset({"vllm"}),
    "eef-webshop": frozenset(
        {"shop", "webshop", "shopper", "perfect-shopper", "webshop-shopper", "webshop-perfect"},
    ),
}
"""Our own distributions, and the names they register."""


def distribution_of(name: str) -> str | None:
    """Return the distribution to install for a component's or plugin's name, if it is one of ours."""
    return next((each for each, names in DISTRIBUTIONS.items() if name in names or each == f"eef-{name}"), None)
