"""Policy on vLLM servers: settings, and how weights get to the servers."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from eef_framework.chat import ChatTokenizer
from eef_framework.errors import ConfigError, EefWarning
from eef_framework.event_loop import run_coroutine
from eef_framework.interfaces import Policy, Sampling, TrainablePolicy
from eef_framework.models import adapter_chain, find_model, stack_adapters
from eef_framework.paths import UserPathOrName
from eef_framework.policies import TransformersPolicy, load_tokenizer
from eef_framework.policies.chat_completions import address
from eef_framework.records import Checkpoint, Conversation, Observation, Response
from eef_vllm.loaded_policy import LoadedVllmPolicy
from eef_vllm.managed_server import HOW_TO_INSTALL, ManagedServer, check_python, is_cpu_build
from eef_vllm.replica import ServedWeights, Waits
from eef_vllm.replicas import Replicas
from eef_vllm.temporary_folder import TemporaryFolder
from eef_vllm.verification import ALIKE, ANSWER_TOKENS, KnownToken, compare, conversations, known_token

MAX_LORA_RANK = 32
"""Maximum rank of adapters on managed servers with a GPU, if it isn't set."""


class _Served(NamedTuple):
    """How a checkpoint is served: a base model, and adapters of it."""

    base: Path
    adapter: Path | None


class VllmPolicy(TrainablePolicy):
    """A model on vLLM servers, which get the weights of each checkpoint.

    With `python`, it starts the servers on this machine, restarts those that fail, and ends them. With `base_urls`, it
    uses servers that run. Checkpoints of trainings with adapters (`lora`) are loaded as adapters of the model that
    training began with. For other checkpoints, managed servers are started again with the complete weights.

    After each load, and after each restart of a server, the log-probabilities of known tokens are compared with those
    of the weights; if they are nearer to the weights before, the run stops (`wrong-weights`).
    """

    name: ClassVar[str] = "vllm"

    model: UserPathOrName
    """The model that training starts from: a folder, a name that `eef models list` shows, or a name on the hub."""
    python: Path | None = None
    """Interpreter of an environment with vLLM, such as `~/vllm-env/bin/python`: servers are started with it."""
    replicas: int = Field(default=1, gt=0)
    """Number of servers to start."""
    arguments: tuple[str, ...] = ()
    """Further command-line arguments of the servers, such as `--gpu-memory-utilization=0.6`."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Further environment variables of the servers, such as `VLLM_CPU_KVCACHE_SPACE: "2"` (GiB)."""
    base_urls: tuple[str, ...] = ()
    """Addresses of running servers, in place of `python`. All serve `model`, with `--enable-lora`, and
    VLLM_ALLOW_RUNTIME_LORA_UPDATING=1."""
    api_key_env: str = "VLLM_API_KEY"
    """Environment variable with the key of running servers. The key itself is never a setting."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Data type for computation on managed servers; `auto` is the server's choice."""
    max_model_len: int | None = Field(default=None, gt=0)
    """Maximum length of prompt and answer on managed servers, in tokens; null for the model's context window."""
    max_lora_rank: int | None = Field(default=None, ge=0)
    """Maximum rank of adapters on managed servers. Ranks of trainings that continue each other add up. Checkpoints with
    a higher rank, and all checkpoints if it is 0, are served with their complete weights, and the servers are started
    again for each. null for 32, or for 0 with vLLM's build for CPUs: there, adapters take several times longer than the
    model itself, in proportion to this."""
    adapter_folder: Path | None = None
    """Folder for combined adapters, on a disk that running servers see at the same path; null for a temporary one."""
    max_prompt_tokens: int | None = Field(default=None, gt=0)
    """Maximum length of a prompt, in tokens. In longer conversations the oldest observations are dropped, in training
    as well. null for the server's maximum length minus the answer."""
    verify: int = Field(default=16, ge=0)
    """Number of known tokens by which weights are verified; 0 to trust the servers."""
    verify_device: str = "cpu"
    """Device on which the log-probabilities of known tokens are computed: the servers may fill the GPU."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Time limit for an answer, in seconds. A server that exceeds it is tested, and restarted if it is managed."""
    start_timeout_s: float = Field(default=900.0, gt=0)
    """Time limit for the start of a managed server, in seconds."""
    outage_s: float = Field(default=1800.0, gt=0)
    """How long to wait, in seconds, if no server answers, before the run stops."""

    _replicas: dict[str, Replicas] = PrivateAttr(default_factory=dict)
    _history: dict[str, Checkpoint] = PrivateAttr(default_factory=dict)
    _known: dict[tuple[str, Path, Path], Sequence[KnownToken]] = PrivateAttr(default_factory=dict)
    _folder: TemporaryFolder | None = PrivateAttr(default=None)

    @field_validator("base_urls")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(address(url).removesuffix("/v1") for url in urls)

    @model_validator(mode="after")
    def _one_kind_of_servers(self) -> Self:
        if (self.python is None) == (not self.base_urls):
            raise ConfigError(
                "policy vllm needs either python, to start servers, or base_urls, of servers that run",
                HOW_TO_INSTALL,
                code="vllm-servers",
            )
        if self.model == "tiny":
            raise ConfigError(
                "policy vllm can't serve the model 'tiny', whose vocabulary is made in each run",
                "Choose another model, such as smollm2-135m (`eef models get smollm2-135m`).",
                code="model-not-served",
                model=self.model,
            )
        return self

    def preflight(self) -> None:
        """Check that the model exists, and that the interpreter finds vLLM.

        Raises:
            ConfigError: something is missing; see `error.code`.
        """
        find_model(self.model)
        if self.python is not None:
            check_python(self.python, self.environment)

    def initial_checkpoint(self, conversations: Iterable[Conversation], output: Path, seed: int) -> Checkpoint:
        """Find the model.

        Raises:
            ConfigError: it doesn't exist, or its files can't be used.
        """
        return TransformersPolicy(model=self.model).initial_checkpoint(conversations, output, seed)

    def load(self, checkpoint: Checkpoint) -> LoadedVllmPolicy:
        """Load the weights of a checkpoint on every server, and verify that they answer with them.

        Raises:
            ConfigError: a server doesn't start, can't be reached, or can't load the weights.
            PolicyFailure: a server answers with other weights (`wrong-weights`).
        """
        served = self._served(checkpoint.path)
        replicas = self._opened(served.base)
        replicas.users += 1
        try:
            chat = ChatTokenizer(load_tokenizer(checkpoint.path))
            name = replicas.base if served.adapter is None else f"eef-{_digest(served.adapter)}"
            known = self._known_tokens(name, checkpoint, chat) if self.verify else ()
            replicas.add(ServedWeights(name, None if served.adapter is None else str(served.adapter.absolute()), known))
        except BaseException:
            replicas.users -= 1
            raise
        self._history.pop(name, None)
        self._history[name] = checkpoint  # the last one is the latest

        def release() -> None:
            replicas.remove(name)
            replicas.users -= 1

        return LoadedVllmPolicy(
            chat=chat, replicas=replicas, model=name, max_prompt_tokens=self.max_prompt_tokens, release=release
        )

    def close(self) -> None:
        """End the servers that were started here, and remove the temporary folder."""
        while self._replicas:
            self._replicas.popitem()[1].close()
        self._history = {}
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    @functools.cached_property
    def _max_rank(self) -> int:
        """Maximum rank of adapters on managed servers."""
        if self.max_lora_rank is not None:
            return self.max_lora_rank
        assert self.python is not None
        return 0 if is_cpu_build(self.python, self.environment) else MAX_LORA_RANK

    def _served(self, path: Path) -> _Served:
        """Return how to serve a checkpoint: as adapters of the model that training began with, if possible."""
        chain = adapter_chain(path)
        try:
            base = Path(find_model(chain.base))
        except ConfigError:
            # The run directory was moved, and adapters name their base by its former place.
            if self.python is None or not (path / "config.json").is_file():
                raise
            return _Served(path, None)
        if self.base_urls and base != Path(find_model(self.model)):
            raise ConfigError(
                f"the checkpoint {str(path)!r} isn't {self.model!r} with adapters, and running servers can't load "
                "other complete weights",
                "Train with adapters (trainer setting lora), or let this policy start the servers (python).",
                code="complete-weights",
                checkpoint=str(path),
            )
        if not chain.adapters:
            return _Served(base, None)
        adapter = self._combined(chain.adapters)
        if self.python is None or (adapter is not None and _rank(adapter) <= self._max_rank):
            return _Served(base, adapter)
        if (path / "config.json").is_file():
            return _Served(path, None)
        raise ConfigError(
            f"the adapters in {str(path)!r} have rank {_rank(path)}, and max_lora_rank is {self._max_rank}",
            "Raise max_lora_rank.",
            code="adapter-rank",
            adapters=str(path),
            max_lora_rank=self._max_rank,
        )

    def _combined(self, adapters: Sequence[Path]) -> Path | None:
        """Return a folder with one adapter for several; None if they can't be combined and needn't be."""
        if len(adapters) == 1:
            return adapters[0]
        folder = self.adapter_folder
        if folder is None:
            self._folder = self._folder or TemporaryFolder("eef-vllm-adapters-")
            folder = self._folder.path
        output = folder / hashlib.sha256("".join(map(_digest, adapters)).encode()).hexdigest()[:16]
        try:
            if not (output / "adapter_config.json").is_file():  # written last
                stack_adapters(adapters, output)
        except ConfigError:
            if self.python is None:
                raise
            return None
        return output

    def _opened(self, base: Path) -> Replicas:
        """Return servers with a base model. Others that nobody uses are ended."""
        key = f"{base} {_stamp(base)}"
        if key in self._replicas:
            return self._replicas[key]
        for other in [other for other, each in self._replicas.items() if not each.users]:
            self._replicas.pop(other).close()
        waits = Waits(self.timeout_s, self.start_timeout_s, self.outage_s)
        if self.python is None:
            replicas = Replicas(None, self.base_urls, 0, "", os.environ.get(self.api_key_env, ""), waits)
        else:
            name = f"base-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
            launch = functools.partial(self._launch, base, name)
            replicas = Replicas(launch, (), self.replicas, name, "", waits)
        try:
            replicas.open()
        except BaseException:
            replicas.close()
            raise
        self._replicas[key] = replicas
        return replicas

    def _launch(self, base: Path, name: str) -> ManagedServer:
        assert self.python is not None
        lora = ("--enable-lora", "--max-lora-rank", str(self._max_rank), "--max-loras", "2")
        return ManagedServer(
            self.python,
            [
                *("--model", str(base.absolute()), "--served-model-name", name, "--dtype", self.dtype),
                *("--generation-config", "vllm"),
                *(lora if self._max_rank else ()),
                *(("--max-model-len", str(self.max_model_len)) if self.max_model_len else ()),
                *self.arguments,
            ],
            self.environment,
        )

    def _known_tokens(self, name: str, checkpoint: Checkpoint, chat: ChatTokenizer) -> Sequence[KnownToken]:
        """Return tokens of answers of a checkpoint, with their log-probabilities under its weights and former ones."""
        others = [each for other, each in self._history.items() if other != name]
        former = others[-1] if others else Checkpoint(path=Path(find_model(self.model)))
        key = (name, checkpoint.path, former.path)
        if key not in self._known:
            self._known[key] = self._new_known_tokens(checkpoint, former, chat)
        return self._known[key]

    def _new_known_tokens(
        self, checkpoint: Checkpoint, former: Checkpoint, chat: ChatTokenizer
    ) -> Sequence[KnownToken]:
        asked = conversations(self.verify)
        with self._in_process(checkpoint) as policy:
            answers = run_coroutine(_answers(policy, asked))
            wanted = run_coroutine(_logprobs(policy, asked, answers))
        before: Sequence[Sequence[float] | None] = [None] * len(asked)
        if former.path != checkpoint.path:
            with self._in_process(former) as policy:
                before = run_coroutine(_logprobs(policy, asked, answers))
        known = [
            known_token(chat.prompt(conversation).ids, answer.token_ids or (), new, old)
            for conversation, answer, new, old in zip(asked, answers, wanted, before, strict=True)
        ]
        if former.path != checkpoint.path and not compare(known, [each.wanted for each in known]).decidable:
            warnings.warn(
                EefWarning(
                    f"the weights of {str(checkpoint.path)!r} and {str(former.path)!r} are so alike (log-probabilities "
                    f"differ by less than {ALIKE}) that a server with the wrong ones can't be recognized",
                    code="weights-alike",
                    checkpoint=str(checkpoint.path),
                    former=str(former.path),
                ),
                stacklevel=3,
            )
        return known

    def _in_process(self, checkpoint: Checkpoint) -> Policy:
        """Load a checkpoint in this process, as a trainer would."""
        settings = TransformersPolicy(model=self.model, device=self.verify_device, kv_cache_mb=0, logits_cache_mb=0)
        return settings.load(checkpoint)


_SAMPLING = Sampling(temperature=1.0, max_tokens=ANSWER_TOKENS)
_NOTHING = Observation(text="")


async def _answers(policy: Policy, asked: Sequence[Conversation]) -> list[Response]:
    """Return an answer to each of several conversations."""
    answers = (policy.act(each, _NOTHING, _SAMPLING, seed) for seed, each in enumerate(asked))
    return await asyncio.gather(*answers)


async def _logprobs(
    policy: Policy, asked: Sequence[Conversation], answers: Sequence[Response]
) -> list[Sequence[float]]:
    """Return the log-probability of each token of some answers."""
    scoring = (
        policy.score(conversation, _NOTHING, _SAMPLING, [answer])
        for conversation, answer in zip(asked, answers, strict=True)
    )
    return [scores[0].logprobs or () for scores in await asyncio.gather(*scoring)]


def _stamp(folder: Path) -> str:
    """Return what changes if the weights in a folder are replaced."""
    files = sorted(folder.glob("*.safetensors"))
    return " ".join(f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files)


def _digest(adapter: Path) -> str:
    """Return what identifies an adapter's content."""
    digest = hashlib.sha256()
    for file in sorted(adapter.glob("adapter_*")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _rank(adapter: Path) -> int:
    return int(json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["r"])
