"""What runs in a worker process. Doesn't import Ray."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import sys
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TextIO

from eef_framework import open_portable
from eef_framework.errors import ConfigError, EefError, EefWarning, ExecutorFailure, boundary
from eef_framework.interfaces import Environment, EpisodeSpec, PlayEpisode, ScoreActions
from eef_framework.plugins import Registry
from eef_framework.records import State, Task

P = ParamSpec("P")


@dataclass(frozen=True)
class Reply:
    """What a worker returns. Errors are values, so that they arrive with their class, code and details.

    Attributes:
        result: the result.
        error: what was raised instead.
        warnings: warnings since the previous reply.
    """

    result: Any = None
    error: EefError | None = None
    warnings: tuple[EefWarning, ...] = ()

    def unpack(self) -> Any:
        """Repeat the warnings here, and return the result.

        Raises:
            EefError: what the worker raised.
        """
        for each in self.warnings:
            warnings.warn(each, stacklevel=2)
        if self.error is not None:
            raise self.error
        return self.result


@dataclass
class _Phase:
    environment: str
    play: PlayEpisode
    stack: ExitStack


def _replying(
    method: Callable[Concatenate[Worker, P], Coroutine[Any, Any, Any]],
) -> Callable[Concatenate[Worker, P], Coroutine[Any, Any, Reply]]:
    """Return the result, or the error, as a `Reply`."""

    @functools.wraps(method)
    async def call(self: Worker, /, *args: P.args, **kwargs: P.kwargs) -> Reply:
        try:
            with _errors():
                result = await method(self, *args, **kwargs)
        except EefError as error:
            return Reply(error=error, warnings=self.take_warnings())
        return Reply(result, warnings=self.take_warnings())

    return call


@contextmanager
def _errors() -> Iterator[None]:
    with boundary(ExecutorFailure, "executor 'ray'", f"working on host {platform.node()!r}"):
        yield


class Worker:
    """Holds an environment, and the policy of each phase. All methods run in the event loop of the worker process.

    Environments stay open between phases, as they may be expensive to build.

    Args:
        folder: working directory of the calling process; this process changes to it if it exists here.
        paths: `sys.path` of the calling process.
    """

    def __init__(self, folder: str, paths: Sequence[str]) -> None:
        with suppress(OSError):
            os.chdir(folder)
        sys.path.extend(path for path in paths if path not in sys.path)
        self._environments: dict[str, Environment] = {}
        self._phases: dict[str, _Phase] = {}
        self._warnings: list[EefWarning] = []
        warnings.simplefilter("always", EefWarning)
        warnings.showwarning = functools.partial(self._keep, warnings.showwarning)

    @_replying
    async def open(self, phase: str, data: Mapping[str, Any], version: str) -> None:
        """Build what a phase plays with.

        Args:
            phase: id of the phase.
            data: the result of `EpisodeSetup.portable()`.
            version: the framework's version in the calling process.
        """
        require_version(version)
        if data["checkpoint"]:
            require_folder(Path(data["checkpoint"]["path"]))
        environment = self._environment(data["environment"])
        with ExitStack() as stack:
            play = stack.enter_context(open_portable(data, environment=environment))
            self._phases[phase] = _Phase(_key(data["environment"]), play, stack.pop_all())

    @_replying
    async def play(self, phase: str, episode: EpisodeSpec) -> Any:
        """Play an episode."""
        return await self._phases[phase].play(episode)

    @_replying
    async def score(self, phase: str, state: State, actions: Sequence[str], thought: str) -> Any:
        """Return the answers that take actions in a state; see `ScoreActions`."""
        play = self._phases[phase].play
        assert isinstance(play, ScoreActions)
        return await play.score(state, actions, thought)

    async def demonstrate(
        self, expert: Mapping[str, Any], environment: Mapping[str, Any], tasks: Sequence[Task], seed: int
    ) -> AsyncIterator[Reply]:
        """Yield an expert's demonstrations as they end, each as a reply.

        Args:
            expert: the expert, as `portable` describes it.
            environment: the environment.
            tasks: the tasks to demonstrate.
            seed: see `Expert.demonstrate`.
        """
        try:
            with _errors(), Registry().build("expert", dict(expert)) as one:
                async for each in one.demonstrate(self._environment(environment), tasks, seed):
                    yield Reply(each, warnings=self.take_warnings())
        except EefError as error:
            yield Reply(error=error, warnings=self.take_warnings())

    @_replying
    async def release(self, phase: str) -> None:
        """Release the policy of a phase."""
        if found := self._phases.pop(phase, None):
            found.stack.close()

    @_replying
    async def close(self) -> None:
        """Release everything."""
        with ExitStack() as stack:
            for environment in self._environments.values():
                stack.callback(environment.close)
            for phase in self._phases.values():
                stack.push(phase.stack)
        self._environments, self._phases = {}, {}

    def take_warnings(self) -> tuple[EefWarning, ...]:
        """Return the warnings since the last call."""
        found, self._warnings = self._warnings, []
        return tuple(found)

    def _environment(self, data: Mapping[str, Any]) -> Environment:
        """Return an environment: one that is open, or else a new one in place of those that no phase uses."""
        key = _key(data)
        if key not in self._environments:
            for unused in self._environments.keys() - {phase.environment for phase in self._phases.values()}:
                self._environments.pop(unused).close()
            self._environments[key] = Registry().build("environment", dict(data))
        return self._environments[key]

    def _keep(
        self,
        show: Callable[..., None],
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Keep warnings for the user; others go to the log of the worker."""
        if isinstance(message, EefWarning):
            self._warnings.append(message)
        else:
            show(message, category, filename, lineno, file, line)


def framework_version() -> str:
    """Return the version of the framework in this process."""
    return importlib.metadata.version("eef-framework")


def require_version(version: str) -> None:
    """Check that the calling process has the same version of the framework as this one.

    Raises:
        ConfigError: it has another one (`other-version`).
    """
    if version != framework_version():
        raise ConfigError(
            f"host {platform.node()!r} has version {framework_version()} of eef-framework, the run {version}",
            "Install the same version on all hosts of the cluster.",
            code="other-version",
            host=platform.node(),
            given=framework_version(),
            expected=version,
        )


def require_folder(path: Path) -> None:
    """Check that a checkpoint can be seen from this host.

    Raises:
        ConfigError: it can't (`checkpoint-not-shared`).
    """
    if not path.exists():
        raise ConfigError(
            f"host {platform.node()!r} doesn't have {str(path)!r}, the folder of the weights to load",
            "Put the run directory (--out) on a disk that all hosts share, under the same path.",
            code="checkpoint-not-shared",
            host=platform.node(),
            path=str(path),
        )


def _key(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True)
