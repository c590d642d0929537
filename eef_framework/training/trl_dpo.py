"""Runs the steps of preference training with trl's DPOTrainer, on our tokens."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eef_framework._compat.trl import dpo_trainer_class, use_one_device
from eef_framework.errors import ConfigError
from eef_framework.models.saving import writing
from eef_framework.policies.loading import load_model, load_tokenizer, pick_device
from eef_framework.records import Checkpoint
from eef_framework.training.lora import lora_config, require_targets
from eef_framework.training.preferences import PairCollator, TokenizedPair
from eef_framework.training.resume import SavedState, SavePoint
from eef_framework.training.settings import PreferenceSettings, in_bfloat16, micro_batch_tokens

_WRITTEN = "checkpoint-"
"""Prefix of the folders that trl writes its states to."""


def trl_trainer(
    settings: PreferenceSettings,
    model: Any,
    order: Sequence[Sequence[TokenizedPair]],
    start: Checkpoint,
    seed: int,
    log: Callable[[int, dict[str, float]], None],
    save_point: SavePoint,
) -> Any:
    """Return trl's trainer for a model, which takes the pairs unchanged, step by step.

    Args:
        settings: our settings.
        model: the model to train.
        order: the pairs of each step.
        start: the initial checkpoint, which is the reference.
        seed: for all randomness.
        log: called with each step and its values.
        save_point: where its states are saved.

    Raises:
        ConfigError: trl rejects the settings.
    """
    from datasets import Dataset  # type: ignore[import-untyped]
    from transformers import PrinterCallback

    in_order = [pair for batch in order for pair in batch]
    adapters = settings.lora is not None
    if settings.lora is not None:
        require_targets(model, settings.lora)
    try:
        trainer = dpo_trainer_class()(
            model=model if adapters else model.float(),
            # With the adapters disabled, the model is the reference.
            ref_model=None if adapters else load_model(start.path, "auto", "cpu", settings.trust_remote_code).float(),
            args=_arguments(settings, in_order, len(order), save_point.folder, seed),
            data_collator=PairCollator(in_order),
            train_dataset=Dataset.from_dict({"index": list(range(len(in_order)))}),
            processing_class=load_tokenizer(start.path, settings.trust_remote_code),
            callbacks=[_callback(log, save_point)],
            peft_config=lora_config(settings.lora) if settings.lora is not None else None,
        )
    except ValueError as cause:
        raise ConfigError(
            f"trl can't train with these settings: {cause}", "`eef plugins dpo` lists them.", code="trl-settings"
        ) from cause
    trainer.remove_callback(PrinterCallback)
    return trainer


def run_steps(trainer: Any, save_point: SavePoint, state: SavedState | None) -> None:
    """Run the steps of a trainer, those after a saved state if there is one."""
    try:
        with writing(save_point.folder):
            trainer.train(resume_from_checkpoint=str(state.folder) if state else None)
    except BaseException:
        for incomplete in save_point.folder.glob(f"{_WRITTEN}*"):
            shutil.rmtree(incomplete, ignore_errors=True)  # it only takes space
        raise


def _callback(log: Callable[[int, dict[str, float]], None], save_point: SavePoint) -> Any:
    """Return the callback that calls `log` for each step, and saves states when it is time to."""
    from transformers import TrainerCallback

    class Steps(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs:  # the last one is a summary
                log(state.global_step, logs)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_save = save_point.due

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            written = save_point.folder / f"{_WRITTEN}{state.global_step}"

            def move(folder: Path) -> None:
                shutil.rmtree(folder, ignore_errors=True)  # it is of another training, or incomplete
                written.rename(folder)

            save_point.write(state.global_step, move)

    return Steps()


def _arguments(
    settings: PreferenceSettings, pairs: Sequence[TokenizedPair], steps: int, states: Path, seed: int
) -> Any:
    """Return the settings for trl."""
    from trl.trainer.dpo_config import DPOConfig

    device = pick_device(settings.device)
    longest = max(pair.longest for pair in pairs)
    size = _micro_batch_size(settings.batch_size, longest, micro_batch_tokens(settings, device))
    arguments = DPOConfig(
        output_dir=str(states),
        max_steps=steps,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=settings.batch_size // size,
        max_length=None,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=round(settings.warmup * steps),
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        beta=settings.beta,
        loss_type=["sigmoid", "sft"] if settings.sft_weight else ["sigmoid"],
        loss_weights=[1.0, settings.sft_weight] if settings.sft_weight else None,
        bf16=in_bfloat16(settings, device),
        use_cpu=device == "cpu",
        dataloader_pin_memory=device == "cuda",
        gradient_checkpointing=settings.gradient_checkpointing,
        remove_unused_columns=False,
        seed=seed % 2**32,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    use_one_device(arguments)
    return arguments


def _micro_batch_size(batch_size: int, longest: int, max_tokens: int) -> int:
    """Return the number of pairs in a micro-batch. All are equally large: trl averages over micro-batches."""
    fitting = max(1, max_tokens // (2 * longest))
    return max(size for size in range(1, min(batch_size, fitting) + 1) if batch_size % size == 0)
