"""Preference training on pairs of trajectories with the library trl."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

from eef_framework.chat.tokens import ChatTokenizer
from eef_framework.errors import storage
from eef_framework.interfaces import ProgressCallback
from eef_framework.memory import release_memory
from eef_framework.models.libraries import require_installed
from eef_framework.models.progress_bars import without_progress_bars
from eef_framework.models.saving import new_checkpoint
from eef_framework.policies.loading import load_model, load_tokenizer
from eef_framework.records import Checkpoint, Example, TrainResult
from eef_framework.runs.file_names import INTERRUPTED, PREPARATION, TRAINING_LOG
from eef_framework.training.batches import number_of_steps, shuffled_batches
from eef_framework.training.distributed import single_process
from eef_framework.training.loop import final_model, isolated_rng, require_finite
from eef_framework.training.preferences import TokenizedPair, TokenizedPairs, tokenize_pairs
from eef_framework.training.resume import SavePoint, continued, losses_before, training_key
from eef_framework.training.settings import PreferenceSettings
from eef_framework.training.trl_dpo import run_steps, trl_trainer


class DpoTrainer(PreferenceSettings):
    """Direct preference optimisation (arXiv 2305.18290) on pairs of a better and a worse trajectory, as in ETO.

    Minimises -log sigmoid(beta * (r(preferred) - r(rejected))), where r is the log-probability of a trajectory's turns
    under the model minus that under the checkpoint it starts from, plus `sft_weight` times the mean negative
    log-likelihood of the preferred turns' tokens. Observations of the environment have no loss. It
    learns from examples with a `rejected` conversation; the weight of a turn must be 0 or 1. The steps are run by trl's
    DPOTrainer on our tokens and masks; nothing is reported to trackers.

    Weights and optimiser are kept in float32, on one device; dropout is off. The same examples, settings and seed give
    the same weights on the same kind of machine. Defaults are those of ETO's first iteration (arXiv 2403.02502 and its
    run_eto.sh; later ones take 5e-7 and a beta of 0.5).
    """

    name: ClassVar[str] = "dpo"
    needs_pairs: ClassVar[bool] = True

    def preflight(self) -> None:
        """Check that the device and the libraries are available.

        Raises:
            ConfigError: one is missing.
        """
        super().preflight()
        self._require_trl()

    def _require_trl(self) -> None:
        require_installed("trl", "eef-framework[dpo]", f"the trainer {self.component_name()!r}")

    def train(
        self, examples: Sequence[Example], start: Checkpoint, output: Path, seed: int, progress: ProgressCallback
    ) -> TrainResult:
        """Train from a checkpoint and write the result.

        Writes model and tokenizer, `training.jsonl` (a row per step) and `preparation.json` (examples that were left
        out). A row's `margin` is the mean of beta * (r(preferred) - r(rejected)) over the pairs of the step, its
        `accuracy` the share of pairs with a margin above 0. Tokens are counted once per step; those processed by the
        reference model are not counted.

        Raises:
            NothingToTrain: no pair is left to learn from.
            ConfigError: a turn has a weight other than 0 or 1, or the settings don't fit the model.
            TrainerFailure: the loss isn't a number any more.
        """
        self._require_trl()
        with storage(output, "writing the checkpoint"):
            output.mkdir(parents=True, exist_ok=True)
            tokenizer = load_tokenizer(start.path, self.trust_remote_code)
            data = tokenize_pairs(examples, ChatTokenizer(tokenizer), self.max_tokens)
            (output / PREPARATION).write_text(_summary(data), encoding="utf-8")
            with isolated_rng(seed), single_process(self.device):
                result = _train(self, data.pairs, start, output, seed, progress, tokenizer)
            release_memory()
        return result


def _train(
    settings: PreferenceSettings,
    pairs: Sequence[TokenizedPair],
    start: Checkpoint,
    output: Path,
    seed: int,
    progress: ProgressCallback,
    tokenizer: Any,
) -> TrainResult:
    """Run all steps and write the model."""
    steps = number_of_steps(len(pairs), settings.batch_size, settings.epochs, settings.steps)
    # Sorted by length within a step: the step is the same, with less padding in its micro-batches.
    shuffled = shuffled_batches(pairs, settings.batch_size, steps, seed)
    order = [sorted(batch, key=lambda pair: (pair.longest, pair.id)) for batch in shuffled]
    model = load_model(start.path, "auto", "cpu", settings.trust_remote_code)
    saved_dtype = model.dtype
    tokens = list(accumulate(sum(pair.tokens for pair in batch) for batch in order))
    save_point = SavePoint(output / INTERRUPTED, training_key(settings, pairs, start, seed), settings.save_every_s)
    state = save_point.latest()
    done = state.step if state else 0
    losses = losses_before(output / TRAINING_LOG, done)
    with continued(output / TRAINING_LOG, done) as file:

        def log(step: int, values: dict[str, float]) -> None:
            row = _row(step, values, order[step - 1]) | {"tokens": tokens[step - 1]}
            file.write(json.dumps(row) + "\n")
            losses.append(row["loss"])
            progress(step, steps, f"loss {row['loss']:.4f}, margin {row['margin']:.3f}")

        with without_progress_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # deprecations that trl has to fix for the next transformers
            trainer = trl_trainer(settings, model, order, start, seed, log, save_point)
            run_steps(trainer, save_point, state)
            with new_checkpoint(output) as folder:
                trained = final_model(start, settings, trainer.model.state_dict(), folder)
                trained.to(saved_dtype).save_pretrained(folder)
                tokenizer.save_pretrained(folder)
    save_point.remove()
    return TrainResult(steps=steps, trained_tokens=tokens[-1], losses=tuple(losses))


def _row(step: int, values: dict[str, float], pairs: Sequence[TokenizedPair]) -> dict[str, float]:
    """Return a step's row of the log, given trl's values and its pairs.

    Raises:
        TrainerFailure: the loss isn't a number.
    """
    loss, norm = values["loss"], values["grad_norm"]
    require_finite(loss, norm, {pair.id for pair in pairs})
    return {
        "step": step,
        "loss": loss,
        "lr": values["learning_rate"],
        "grad_norm": norm,
        "margin": values["rewards/margins"],
        "accuracy": values["rewards/accuracies"],
        "preferred": values["logps/chosen"],
        "rejected": values["logps/rejected"],
    }


def _summary(data: TokenizedPairs) -> str:
    """Return counts of the training set, as JSON."""
    sides = [side for pair in data.pairs for side in (pair.preferred, pair.rejected)]
    counts = {
        "examples": len(data.pairs),
        "tokens": sum(len(side.token_ids) for side in sides),
        "tokens_with_loss": sum(weight > 0 for side in sides for weight in side.loss_weights),
    }
    return json.dumps(counts | {key: ids for key, ids in data._asdict().items() if key != "pairs"}, indent=2)
