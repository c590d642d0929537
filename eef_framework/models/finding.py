"""Resolves the name of a model: a folder, a GGUF file, a fetched model, or a name on the hub."""

from __future__ import annotations

from pathlib import Path

from eef_framework.errors import ConfigError, UnknownName
from eef_framework.models.adapter import base_of, is_adapter
from eef_framework.models.inspection import check_config, check_model, check_weights, read_json
from eef_framework.models.known import KNOWN
from eef_framework.models.store import resolve
from eef_framework.paths import expand
from eef_framework.validation_messages import nearest

HUB_TIMEOUT_S = 5.0
"""Timeout of each request to the hub, in seconds."""

_WAYS = (
    "Give 'tiny', a folder that holds config.json, model weights and a tokenizer, a folder of adapters, a GGUF file, a "
    "name that `eef models list` knows, or a name on the hub."
)


def find_model(model: str, trust_remote_code: bool = False) -> Path:
    """Return where to load a model from, after checking that it can be loaded.

    A name on the hub is returned unchanged. The hub is asked for a few seconds at most, unless the model is on
    this machine.

    Args:
        model: a folder, a folder of adapters, a GGUF file, a name that `eef models list` knows, or a name on the hub.
        trust_remote_code: whether Python code that comes with the model may run.

    Raises:
        ConfigError: the model doesn't exist, or its files are broken or of another kind; see `error.code`.
    """
    where = expand(resolve(model))
    if where.exists():
        check_model(where, trust_remote_code)
        if where.is_dir() and is_adapter(where):
            _find_base(where, trust_remote_code)
        return where
    # A folder such as 'models/mine' has the form of a name on the hub, so it is looked for there.
    if model.startswith((".", "/", "~", "$")) or model.count("/") > 1 or where.suffix.lower() == ".gguf":
        raise ConfigError(
            f"there is no folder or GGUF file {model!r}",
            "Check the path.",
            code="no-such-model",
            model=model,
        )
    _find_on_hub(model, trust_remote_code)
    return where


def _find_base(adapters: Path, trust_remote_code: bool) -> None:
    base = base_of(adapters)
    try:
        if base != str(adapters):
            find_model(base, trust_remote_code)
            return
    except ConfigError as error:
        raise ConfigError(
            f"the adapters in {str(adapters)!r} belong to a model that can't be loaded: {error.message}",
            error.fix or "Put its folder or name into adapter_config.json as base_model_name_or_path.",
            code="no-adapter-base" if error.code == "no-such-model" else error.code,
            **{**error.details, "adapters": str(adapters), "base": base},
        ) from error
    raise ConfigError(
        f"the adapters in {str(adapters)!r} name themselves as their model",
        "Put its folder or name into adapter_config.json as base_model_name_or_path.",
        code="no-adapter-base",
        adapters=str(adapters),
        base=base,
    )


def _find_on_hub(name: str, trust_remote_code: bool) -> None:
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    names = ("config.json", "adapter_config.json")
    try:
        cached = [Path(found) for file in names if isinstance(found := try_to_load_from_cache(name, file), str)]
    except HFValidationError as cause:
        raise _unknown(name) from cause
    if cached:
        if cached[0].name == "config.json":
            check_config(read_json(cached[0]), name, trust_remote_code)
            if any(cached[0].parent.glob("*.safetensors*")):  # otherwise they will be downloaded
                check_weights(cached[0].parent)
        return
    if "/" not in name and nearest(name, [*KNOWN, "tiny"]).startswith("did you mean"):
        raise _unknown(name)
    if constants.is_offline_mode():
        raise ConfigError(
            f"the model {name!r} isn't on this machine, and HF_HUB_OFFLINE is set, so the hub isn't asked",
            _WAYS if "/" not in name else f"Unset HF_HUB_OFFLINE, or download it first: hf download {name}",
            code="model-not-cached" if "/" in name else "no-such-model",
            model=name,
        )
    _ask_hub(name, names)


def _ask_hub(name: str, files: tuple[str, ...]) -> None:
    """Ask the hub once whether it has one of the files of a model."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    for file in files:
        try:
            get_hf_file_metadata(hf_hub_url(name, file), timeout=HUB_TIMEOUT_S)
            return
        except EntryNotFoundError:
            continue
        except GatedRepoError as cause:
            raise ConfigError(
                f"access to the model {name!r} on the hub is restricted",
                f"Request access on the model's page, then: hf auth login, and: hf download {name}",
                code="model-gated",
                model=name,
            ) from cause
        except RepositoryNotFoundError as cause:
            raise _unknown(name) from cause
        except Exception as cause:  # httpx's, the hub's, the operating system's
            raise ConfigError(
                f"the model {name!r} isn't on this machine, and the hub can't be reached: "
                f"{type(cause).__name__}: {cause}",
                f"If {name!r} should be a folder, check the path. Otherwise check the network (HF_ENDPOINT, proxies), "
                "or download the model elsewhere and give its folder.",
                code="hub-unreachable",
                model=name,
            ) from cause
    raise ConfigError(
        f"{name!r} on the hub isn't a model in the layout of transformers: it has no {files[0]}",
        "Choose another one. For GGUF files: download one and give its path.",
        code="model-incomplete",
        model=name,
        missing=[files[0]],
    )


def _unknown(name: str) -> UnknownName:
    known = [*KNOWN, "tiny"]
    return UnknownName(
        f"there is no model {name!r}: no such folder here, and no such name on the hub; {nearest(name, known)}",
        _WAYS,
        code="no-such-model",
        model=name,
        known=known,
    )
