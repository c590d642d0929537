"""Any policy that is installed, as an expert: a large model run here teaches a small one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr, field_validator, model_validator

from eef_experts.playing import PlayingExpert
from eef_framework.interfaces import Policy, TrainablePolicy
from eef_framework.plugins import Registry, current_registry
from eef_framework.records import Checkpoint


class LocalExpert(PlayingExpert):
    """A policy plays as the expert, such as a model of transformers that is too large to train."""

    name: ClassVar[str] = "local"

    policy: dict[str, Any]
    """Name and settings of the policy: `{name: transformers, model: Qwen/Qwen3-8B}`."""
    checkpoint: str = ""
    """Folder of its weights; what its own settings name, where it is empty."""

    _registry: Registry = PrivateAttr(default_factory=current_registry)

    @field_validator("policy", mode="before")
    @classmethod
    def _named(cls, policy: Any) -> Any:
        return {"name": policy} if isinstance(policy, str) else policy

    @model_validator(mode="after")
    def _known(self) -> Self:
        # Built once to find what is misspelt before anything starts, and so that the record holds all settings.
        with self._registry.build("policy", self.policy) as policy:
            self.policy = {**policy.settings(), "name": self.policy["name"]}
        return self

    @contextmanager
    def player(self) -> Iterator[Policy]:
        """Build the policy, and load its weights if it has any."""
        with self._registry.build("policy", self.policy) as policy:
            if not isinstance(policy, TrainablePolicy):
                yield policy
                return
            with TemporaryDirectory() as folder, policy.load(self._weights(policy, Path(folder))) as loaded:
                yield loaded

    def _weights(self, policy: TrainablePolicy, folder: Path) -> Checkpoint:
        if self.checkpoint:
            return Checkpoint(path=Path(self.checkpoint).expanduser())
        return policy.base((), folder, 0)
