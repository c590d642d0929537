"""Sharded training: weights, gradients and optimiser state are divided among the processes (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Sharding:
    """Divides a model among the processes of a training. All methods are called by all processes.

    Args:
        device: the device of this process.
        processes: number of processes.
        bfloat16: whether matrices are multiplied in bfloat16. Weights, gradients and optimiser state stay in float32.
    """

    def __init__(self, device: Any, processes: int, bfloat16: bool) -> None:
        import torch
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import MixedPrecisionPolicy

        self._device = device
        self._mesh = init_device_mesh(device.type, (processes,))
        self._precision = MixedPrecisionPolicy(param_dtype=torch.bfloat16 if bfloat16 else None)

    def shard(self, model: Any) -> Any:
        """Shard a model in place: each of its layers, then the rest.

        A layer's weights are gathered from all processes while it computes.

        Args:
            model: the model, on the CPU. Create the optimiser afterwards.
        """
        from torch.distributed.fsdp import fully_shard

        model.to(self._device)
        for layer in layers(model):
            fully_shard(layer, mesh=self._mesh, mp_policy=self._precision)
        return fully_shard(model, mesh=self._mesh, mp_policy=self._precision)

    @contextmanager
    def no_sync(self, model: Any) -> Iterator[None]:
        """Keep gradients in each process; they are exchanged in the next backward pass."""
        model.set_requires_gradient_sync(False)
        try:
            yield
        finally:
            model.set_requires_gradient_sync(True)

    def whole_state(self, model: Any) -> dict[str, Any]:
        """Return all weights on the CPU, in the first process; an empty dictionary in the others."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

        return dict(get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True)))

    def save(self, folder: Path, model: Any, optimizer: Any, others: dict[str, Any]) -> None:
        """Save a training's state, of which each process writes its part.

        Args:
            folder: folder to write to.
            model: the model.
            optimizer: its optimiser.
            others: further states of this process.
        """
        import torch
        from torch.distributed.checkpoint.state_dict import get_state_dict
        from torch.distributed.checkpoint.state_dict_saver import save

        weights, moments = get_state_dict(model, optimizer)
        save({"model": weights, "optimizer": moments}, checkpoint_id=str(folder))
        own = others | {"rng": torch.random.get_rng_state()}
        torch.save(own, folder / f"process-{self._mesh.get_rank()}.pt")
        torch.distributed.barrier()

    def load(self, folder: Path, model: Any, optimizer: Any) -> dict[str, Any]:
        """Restore a saved state, and return the further states of this process."""
        import torch
        from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
        from torch.distributed.checkpoint.state_dict_loader import load

        weights, moments = get_state_dict(model, optimizer)
        state: dict[str, Any] = {"model": weights, "optimizer": moments}
        load(state, checkpoint_id=str(folder))
        set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
        own: dict[str, Any] = torch.load(folder / f"process-{self._mesh.get_rank()}.pt", weights_only=True)
        torch.random.set_rng_state(own.pop("rng"))
        return own


def layers(model: Any) -> list[Any]:
    """Return the layers of a transformers model, which its authors name as units that stay on one device."""
    names = set()
    for module in model.modules():  # models wrapped by peft hold the transformers model
        names |= set(getattr(module, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]
