"""Any installed policy as an expert."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr, field_validator, model_validator

from eef_experts.policy_expert import PolicyExpert
from eef_framework.errors import ConfigError
from eef_framework.interfaces import Environment, Policy, TrainablePolicy
from eef_framework.paths import UserPathOrName
from eef_framework.plugins import current_registry
from eef_framework.records import Checkpoint


class LocalExpert(PolicyExpert):
    """A policy as the expert, such as a transformers model that is too large to train."""

    name: ClassVar[str] = "local"

    policy: dict[str, Any]
    """Name and settings of the policy: `{name: transformers, model: Qwen/Qwen3-8B}`."""
    checkpoint: UserPathOrName = ""
    """Folder of its weights; empty for those in its own settings."""

    _built: Policy | TrainablePolicy = PrivateAttr()

    @field_validator("policy", mode="before")
    @classmethod
    def _named(cls, policy: Any) -> Any:
        return {"name": policy} if isinstance(policy, str) else policy

    @model_validator(mode="after")
    def _build(self) -> Self:
        # Built immediately, to find misspelt settings before anything starts, and to record all settings.
        self._built = current_registry().build("policy", self.policy)
        self.policy = {**self._built.settings(), "name": self.policy["name"]}
        return self

    def free_settings(self) -> Collection[str]:
        """Return those of episodes, and those of the policy."""
        return (*super().free_settings(), *(f"policy.{name}" for name in self._built.free_settings()))

    def preflight(self, environment: Environment | None = None) -> None:
        """Check that the policy can run here, and that the folder of its weights exists.

        Raises:
            ConfigError: it can't run, or the folder doesn't exist.
        """
        super().preflight(environment)
        if self.checkpoint and not Path(self.checkpoint).is_dir():
            raise ConfigError(
                f"expert 'local' has checkpoint {self.checkpoint!r}, and there is no such folder",
                "Name the folder of a model's weights, or leave it empty to use the policy's own.",
                code="no-such-checkpoint",
                path=self.checkpoint,
            )
        self._built.preflight()

    @contextmanager
    def open_policy(self) -> Iterator[Policy]:
        """Provide the policy, with its weights loaded if it has any."""
        policy = self._built
        if isinstance(policy, Policy):
            yield policy
            return
        with TemporaryDirectory() as folder, policy.load(self._weights(policy, Path(folder))) as loaded:
            yield loaded

    def close(self) -> None:
        """Release the policy's resources."""
        self._built.close()

    def _weights(self, policy: TrainablePolicy, folder: Path) -> Checkpoint:
        if self.checkpoint:
            return Checkpoint(path=Path(self.checkpoint))
        return policy.initial_checkpoint((), folder, 0)
