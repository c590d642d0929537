"""Base class of the strategies that use another strategy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar, Self

from pydantic import PrivateAttr, model_validator

from eef_framework.interfaces import Attributor
from eef_framework.plugins import current_registry
from eef_framework.records import Cost, Observation


class WrappingAttributor(Attributor):
    """Builds another strategy from its name and settings, and needs what it needs."""

    wrapped: ClassVar[str]
    """The field of the subclass that has the other strategy's name and settings."""

    _built: Attributor = PrivateAttr()

    @model_validator(mode="after")
    def _build(self) -> Self:
        # Built immediately, to find misspelt settings before anything starts, and to record all settings.
        spec = getattr(self, self.wrapped)
        self._built = current_registry().build("attributor", spec)
        setattr(self, self.wrapped, {**self._built.settings(), "name": spec["name"]})
        return self

    def wrapped_strategies(self) -> Iterator[Attributor]:
        """Yield the other strategy, the one that this one uses, and so on."""
        yield self._built
        if isinstance(self._built, WrappingAttributor):
            yield from self._built.wrapped_strategies()

    @property
    def needs_scores(self) -> bool:
        """Whether the other strategy does."""
        return self._built.needs_scores

    def free_settings(self) -> Collection[str]:
        """Return those of the other strategy."""
        return [f"{self.wrapped}.{name}" for name in self._built.free_settings()]

    def preflight(self) -> None:
        """Check the other strategy's settings."""
        self._built.preflight()

    def close(self) -> None:
        """Release the other strategy's resources."""
        self._built.close()

    def expected_cost(self, initial: Sequence[Observation], lengths: Sequence[int]) -> Cost | None:
        """Return the other strategy's estimate."""
        return self._built.expected_cost(initial, lengths)
