"""The exception hierarchy.

    EefError
    ├── ConfigError              the configuration is wrong; nothing was started
    │   └── UnknownName          no such plugin, component, recipe, key; carries suggestions
    ├── PluginError              a plugin can't be loaded or registers something wrong
    ├── StorageError             the disk: full, read-only, no permission
    │   └── CorruptFile          a file that isn't what it was written as; says which line
    ├── RunConflict              a run directory belongs to another configuration, or is in use
    ├── NothingToTrain           a training set without a single weighted token
    └── ComponentFailure         code of a component raised (see `boundary`)
        ├── EnvironmentFailure
        │   └── ReplayDivergence a replayed prefix of actions gave another result
        ├── ExpertFailure
        ├── PolicyFailure        concerns every episode: the run stops, and can be resumed
        │   └── AnswerFailure    concerns one answer: its episode is lost, the run continues
        ├── AttributorFailure
        ├── FilterFailure
        ├── TrainerFailure
        └── ExecutorFailure
            └── WorkerLost       a worker process ended: its episodes are submitted again

Every message says what was given, what was expected and how to fix it. The command line prints it without a
traceback; anything that is not an `EefError` is a defect of ours and keeps its traceback.

Programs and tests should use `error.code` and `error.details`. The wording may change; a code doesn't.
"""

from __future__ import annotations

import errno
import functools
import os
import sys
import sysconfig
import traceback
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from eef_framework.redaction import redact, redacted
from eef_framework.validation_messages import nearest, reason

T = TypeVar("T")


class EefError(Exception):
    """Base class of all errors with an explanation for the user.

    Args:
        message: what happened, what was given and what was expected.
        fix: how to fix it, as a separate sentence; shown on a separate line.
        code: identifies the error for programs: lower case, words joined by hyphens. Default: the class's code.
        details: values for programs, such as `path=` and `line=`.

    Attributes:
        code: identifies the error. Independent of the wording.
        details: the values in the message, by name.
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, fix: str = "", *, code: str | None = None, **details: Any) -> None:
        # Messages of servers and libraries may contain keys and passwords, and errors go to terminals and into records.
        self.message = redact(message)
        super().__init__(self.message)
        self.fix = redact(fix)
        self.code = code or self.default_code
        self.details: dict[str, Any] = redacted(details)

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.fix}" if self.fix else self.message


class EefWarning(UserWarning):
    """A warning for the user. The command line prints it on a separate line.

    Args:
        message: the warning.
        code: identifies the warning, as for errors.
        details: values for programs.
    """

    def __init__(self, message: str = "", *, code: str = "warning", **details: Any) -> None:
        super().__init__(redact(message))
        self.code = code
        self.details: dict[str, Any] = redacted(details)


class ConfigError(EefError):
    """The configuration is wrong. Raised before anything starts."""

    default_code = "config"


class UnknownName(ConfigError):
    """A name that isn't registered or defined."""

    default_code = "unknown-name"

    @classmethod
    def of(cls, what: str, given: str, known: Iterable[str], fix: str = "", where: str = "") -> UnknownName:
        """Build the error for a misspelt name.

        Args:
            what: kind of the name, such as `environment` or `setting`.
            given: the name that was given.
            known: all existing names; the nearest become suggestions.
            fix: another way to fix it, for example the package to install.
            where: where it was looked for, such as `in environment 'shop'`; if not everywhere.
        """
        names, place = tuple(known), f" {where}" if where else ""
        message = f"there is no {what} {given!r}{place}; {nearest(given, names)}"
        return cls(message, fix, what=what, given=given, known=names)


class PluginError(EefError):
    """A plugin can't be loaded, or registers something that isn't what it says."""

    default_code = "plugin"


class StorageError(EefError):
    """Reading or writing a file failed: disk full, no permission, gone."""

    default_code = "storage"


class CorruptFile(StorageError):
    """A file that doesn't hold what was written to it."""

    default_code = "corrupt-file"


class RunConflict(EefError):
    """A run directory that belongs to another configuration, or that another process is writing to."""

    default_code = "run-conflict"


class NothingToTrain(EefError):
    """A training set in which no token has a weight."""

    default_code = "nothing-to-train"


class ComponentFailure(EefError):
    """Code of a component raised another exception; the cause is chained."""

    default_code = "component-failed"
    kind: ClassVar[str] = "component"
    """The kind of the component, as named in messages."""


class EnvironmentFailure(ComponentFailure):
    """An environment or session failed: infrastructure, never evidence about an action."""

    default_code = "environment-failed"
    kind = "environment"


class ReplayDivergence(EnvironmentFailure):
    """Replaying a prefix of actions led to a different observation than the recorded one."""

    default_code = "replay-diverged"


class ExpertFailure(ComponentFailure):
    """An expert failed to demonstrate."""

    default_code = "expert-failed"
    kind = "expert"


class PolicyFailure(ComponentFailure):
    """A policy can't answer any request: the run stops, and can be resumed."""

    default_code = "policy-failed"
    kind = "policy"


class AnswerFailure(PolicyFailure):
    """One answer was lost, but later ones may succeed: the episode is recorded as an error, and the run continues."""

    default_code = "answer-lost"


class AttributorFailure(ComponentFailure):
    """An attributor failed, or returned something that isn't an attribution of the trajectory."""

    default_code = "attributor-failed"
    kind = "attributor"


class FilterFailure(ComponentFailure):
    """A filter failed, or returned something that isn't examples."""

    default_code = "filter-failed"
    kind = "filter"


class TrainerFailure(ComponentFailure):
    """A trainer failed."""

    default_code = "trainer-failed"
    kind = "trainer"


class ExecutorFailure(ComponentFailure):
    """An executor failed, or returned something other than the episodes that it was given."""

    default_code = "executor-failed"
    kind = "executor"


class WorkerLost(ExecutorFailure):
    """A worker process or its host ended. The episodes that it played are submitted again."""

    default_code = "worker-lost"


class Named(Protocol):
    """A component, as far as messages name it."""

    @classmethod
    def component_name(cls) -> str:
        """Return its registered name."""


@contextmanager
def boundary(failure: type[ComponentFailure], who: Named | str, doing: str) -> Iterator[None]:
    """Turn any exception from plugin code into the failure of its interface.

    Errors of the hierarchy above pass unchanged: they already have an explanation. So do `KeyboardInterrupt` and
    cancellation, but not `SystemExit`: a component doesn't end the process.

    Args:
        failure: the class for this interface.
        who: the component, of the kind that the failure is about; or how messages name it (`environment 'shop'`).
        doing: the operation, with its task or trajectory.

    Raises:
        ComponentFailure: of the given class, with the original exception as its cause.
    """
    try:
        yield
    except EefError:
        raise
    except (Exception, SystemExit) as cause:
        where, named = author_line(cause), who if isinstance(who, str) else f"{failure.kind} {who.component_name()!r}"
        at = f" ({where})" if where else ""
        raise failure(f"{named} failed while {doing}: {reason(cause)}{at}", where=where) from cause


def awaitable(result: Awaitable[T], component: object, method: str, failure: type[ComponentFailure]) -> Awaitable[T]:
    """Return what a method of plugin code returned, to be awaited.

    Raises:
        ComponentFailure: of the given class, if the method isn't a coroutine (`not-a-coroutine`).
    """
    if not isinstance(result, Awaitable):
        name = f"{type(component).__qualname__}.{method}"
        raise failure(
            f"{name}() isn't a coroutine: it returned an object of type {type(result).__name__}",
            f"Write `async def {method}(self, ...)` in {type(component).__qualname__}.",
            code="not-a-coroutine",
            method=name,
        )
    return result


def author_line(cause: BaseException) -> str:
    """Return `file, line N` of the line that the author of a plugin can fix.

    That is the innermost line outside the framework and installed libraries. Where the plugin is itself installed, it
    is the outermost one outside the framework and Python. Empty where there is neither.
    """
    if isinstance(cause, SyntaxError) and cause.filename:
        return f"{cause.filename}, line {cause.lineno}"
    ours = (f"{Path(__file__).parent}{os.sep}", "<")
    python = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
    installed = _folders_of_libraries(tuple(sys.path))
    frames = [frame for frame in traceback.extract_tb(cause.__traceback__) if not frame.filename.startswith(ours)]
    plugin = [each for each in frames if each.filename.startswith(installed) or not each.filename.startswith(python)]
    own = [each for each in plugin if not each.filename.startswith(installed)]
    frame = own[-1] if own else plugin[0] if plugin else None
    return f"{frame.filename}, line {frame.lineno}" if frame else ""


@functools.cache
def _folders_of_libraries(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the folders that pip installed into: those of this Python, of users, of other environments, `--target`."""
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    folders |= {each for each in paths if each and next(Path(each).glob("*.dist-info"), None)}
    return tuple(f"{each.rstrip(os.sep)}{os.sep}" for each in folders)


@contextmanager
def storage(path: object, doing: str) -> Iterator[None]:
    """Turn an `OSError` into a message with the path and a fix.

    Raises:
        StorageError: with the operating system's reason.
    """
    try:
        yield
    except OSError as cause:
        raise storage_error(cause, path, doing) from cause


def storage_error(cause: OSError, path: object, doing: str) -> StorageError:
    """Return the explained form of an operating system's error."""
    reason = cause.strerror or str(cause)
    code, fix = STORAGE_CODES.get(cause.errno or 0, ("storage", "Fix the cause and run the command again."))
    return StorageError(f"{doing} {str(path)!r} failed: {reason}", fix, code=code, path=str(path))


STORAGE_CODES = {
    errno.ENOSPC: ("disk-full", "Free some space and run the command again: what was completed is kept."),
    errno.EDQUOT: ("disk-full", "Free some space and run the command again: what was completed is kept."),
    errno.EFBIG: ("disk-full", "A limit on the size of files was reached (ulimit -f, or the file system's own)."),
    errno.EPERM: ("no-permission", "Choose another path: this folder doesn't accept new files."),
    errno.EACCES: ("no-permission", "Choose another path, or change its permissions."),
    errno.EROFS: ("read-only", "The file system is read-only: choose another path."),
    errno.ENOENT: ("no-such-file", "Check the path."),
    errno.ENOTDIR: ("not-a-folder", "Part of the path is a file, not a folder: choose another path."),
    errno.ENAMETOOLONG: ("name-too-long", "Choose a shorter path."),
    errno.EISDIR: ("not-a-file", "The path is a folder: name a file."),
}
"""Number of an operating system's error -> code, and how to fix it."""
