"""Parts of trl's DPOTrainer that aren't public: tokenized pairs in a given order, without trackers."""

from __future__ import annotations

from typing import Any

OVERRIDDEN = (
    "_prepare_dataset",
    "_get_train_sampler",
    "_send_telemetry",
    "create_model_card",
    "_issue_warnings_after_load",
)
"""Methods of DPOTrainer that `dpo_trainer_class` overrides."""


def dpo_trainer_class() -> Any:
    """Return trl's DPOTrainer, changed to take a data set and its order as they are."""
    from torch.utils.data import SequentialSampler
    from trl.trainer.dpo_trainer import DPOTrainer

    class OrderedDPOTrainer(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # it is tokenized already

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return SequentialSampler(self.train_dataset)

        def _send_telemetry(self) -> None:
            pass

        def create_model_card(self, *_: Any, **__: Any) -> None:
            pass  # it would describe a state that is deleted

        def _issue_warnings_after_load(self, *_: Any, **__: Any) -> None:
            pass  # of tied weights, which a state holds only once

    return OrderedDPOTrainer


def use_one_device(arguments: Any) -> None:
    """Make a training use at most one GPU: with more, it would train a copy on each, which DPOTrainer doesn't support.

    Args:
        arguments: trl's DPOConfig.
    """
    arguments._n_gpu = min(arguments.n_gpu, 1)
