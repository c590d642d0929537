"""What a worker does, without Ray."""

from __future__ import annotations

import asyncio
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eef_ray.worker import Reply, Worker, framework_version, require_folder, require_version

from eef_framework.chat.format import ChatFormat
from eef_framework.errors import ConfigError, EefWarning, ExecutorFailure
from eef_framework.interfaces import EpisodeSpec, Sampling
from eef_framework.records import State
from eef_framework.rollout import EpisodeRunner
from eef_framework.testing.corridor import Corridor
from eef_framework.testing.queue_policy import ScriptedPolicy


class CountedCorridor(Corridor):
    """Counts how many are open."""

    name: ClassVar[str] = "counted"
    opened: ClassVar[list[str]] = []

    def model_post_init(self, context: Any) -> None:
        """Count."""
        self.opened.append("opened")

    def close(self) -> None:
        """Count."""
        self.opened.append("closed")


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker in this process."""
    CountedCorridor.opened.clear()
    with warnings.catch_warnings():
        yield Worker(os.getcwd(), sys.path)


def data_of(environment: Any, policy: Any = None) -> dict[str, Any]:
    policy = policy or ScriptedPolicy()
    data = EpisodeRunner(Corridor(), policy, "agent/test", ChatFormat(), Sampling()).portable()
    return data | {"environment": {"name": f"{__name__}:CountedCorridor", "rooms": environment}}


def opened(worker: Worker, phase: str, data: dict[str, Any], version: str | None = None) -> Reply:
    return asyncio.run(worker.open(phase, data, version or framework_version()))


def test_an_environment_stays_open_for_the_next_phase(worker: Worker) -> None:
    for phase in ("one", "two"):
        assert opened(worker, phase, data_of(5)).error is None
        asyncio.run(worker.release(phase))
    assert CountedCorridor.opened == ["opened"]
    opened(worker, "three", data_of(6))
    assert CountedCorridor.opened == ["opened", "closed", "opened"]
    opened(worker, "four", data_of(5))  # three is still playing
    assert CountedCorridor.opened == ["opened", "closed", "opened", "opened"]
    asyncio.run(worker.close())
    assert CountedCorridor.opened[-2:] == ["closed", "closed"]


def test_an_exception_is_a_failure_of_the_executor(worker: Worker) -> None:
    spec = EpisodeSpec(id="x", start=State(task=Corridor().tasks("train")[0]), seed=0)
    reply = asyncio.run(worker.play("unknown", spec))
    assert isinstance(reply.error, ExecutorFailure)
    with pytest.raises(ExecutorFailure):
        reply.unpack()


def test_warnings_come_with_the_next_reply(worker: Worker) -> None:
    warnings.warn(EefWarning("careful", code="careful"), stacklevel=1)
    reply = opened(worker, "one", data_of(5))
    assert [each.code for each in reply.warnings] == ["careful"]
    assert worker.take_warnings() == ()


def test_another_version_of_the_framework_is_refused(worker: Worker) -> None:
    require_version(framework_version())
    reply = opened(worker, "one", data_of(5), "0.0.0")
    assert isinstance(reply.error, ConfigError)
    assert (reply.error.code, reply.error.details["expected"]) == ("other-version", "0.0.0")


def test_weights_that_another_host_does_not_see_are_an_error(tmp_path: Path) -> None:
    require_folder(tmp_path)
    with pytest.raises(ConfigError) as caught:
        require_folder(tmp_path / "elsewhere")
    assert caught.value.code == "checkpoint-not-shared"
