"""The part of an executor that runs in a worker process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from eef_framework.chat.format import ChatFormat
from eef_framework.interfaces import Environment, PlayEpisode, Sampling
from eef_framework.plugins import Registry
from eef_framework.records import Checkpoint
from eef_framework.rollout.episode import PLAIN, EpisodeRunner


@contextmanager
def open_portable(
    data: Mapping[str, Any], threads: int | None = None, environment: Environment | None = None
) -> Iterator[PlayEpisode]:
    """Build components from the result of `EpisodeSetup.portable()`, and provide what plays episodes with them.

    For worker processes of an executor. The components are closed on exit.

    Args:
        data: the result of `portable()`.
        threads: maximum number of threads for blocking steps; see `EpisodeSetup.open`.
        environment: an environment that was built from the same settings before. It isn't closed. None to build it.

    Raises:
        ConfigError: a component can't be built here.
    """
    registry = Registry()
    with ExitStack() as stack:
        policy = registry.build("policy", data["policy"])
        stack.callback(policy.close)
        if environment is None:
            environment = stack.enter_context(registry.build("environment", data["environment"]))
        runner = EpisodeRunner(
            environment=environment,
            policy=policy,
            checkpoint=Checkpoint.model_validate(data["checkpoint"]) if data["checkpoint"] else None,
            format=ChatFormat.model_validate(data["format"]),
            sampling=Sampling.model_validate(data["sampling"]),
            **{name: data[name] for name in PLAIN},
        )
        yield stack.enter_context(runner.open(threads))
