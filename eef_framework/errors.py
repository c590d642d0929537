"""Everything that can go wrong, as one tree.

    EefError
    ├── ConfigError              the configuration is wrong; nothing was started
    │   └── UnknownName          no such plugin, component, recipe, key; carries suggestions
    ├── PluginError              a plugin can't be loaded or registers something wrong
    ├── StorageError             the disk: full, read-only, no permission
    │   └── CorruptFile          a file that isn't what it was written as; says which line
    ├── RunConflict              a run directory belongs to another configuration, or is in use
    ├── NothingToTrain           a training set without a single weighted token
    └── ComponentFailure         code behind an interface raised (see `boundary`)
        ├── EnvironmentFailure
        │   └── ReplayDivergence a replayed prefix of actions led somewhere else
        ├── ExpertFailure
        ├── PolicyFailure        concerns every episode: the run stops, and can be resumed
        │   └── AnswerFailure    concerns one answer: its episode is lost, the run goes on
        ├── AttributorFailure
        ├── FilterFailure
        └── TrainerFailure

Every message says what was given, what was expected and how to go on. The command line prints it without a
traceback; anything that is not an `EefError` is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class EefError(Exception):
    """Root of all errors that are explained to a person.

    Args:
        message: what happened, what was given and what was expected.
        fix: how to go on, as a sentence of its own; shown on a line of its own.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.fix}" if self.fix else self.message


class EefWarning(UserWarning):
    """What a person should know, though it is no error. The command line prints it on a line of its own."""


class ConfigError(EefError):
    """The configuration is wrong. Raised before anything starts."""


class UnknownName(ConfigError):
    """A name that nothing is registered or defined under."""

    @classmethod
    def of(cls, what: str, given: str, known: Iterable[str], fix: str = "") -> UnknownName:
        """Build the error for a misspelt name.

        Args:
            what: kind of thing looked for, such as `environment` or `setting`.
            given: the name that was given.
            known: all names there are; the nearest become suggestions.
            fix: how else to go on, for example the package to install.
        """
        return cls(f"there is no {what} {given!r}; {nearest(given, known)}", fix)


def nearest(given: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for a misspelt name, or the list of all there are."""
    names = sorted(known)
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(names) or 'none'}"


class PluginError(EefError):
    """A plugin can't be loaded, or registers something that isn't what it says."""


class StorageError(EefError):
    """Reading or writing a file failed: disk full, no permission, gone."""


class CorruptFile(StorageError):
    """A file that holds something else than what was written there."""


class RunConflict(EefError):
    """A run directory that belongs to another configuration, or that another process is writing to."""


class NothingToTrain(EefError):
    """A training set in which no token has a weight."""


class ComponentFailure(EefError):
    """Code behind an interface raised something of its own; the cause is chained."""


class EnvironmentFailure(ComponentFailure):
    """An environment or session failed: infrastructure, never evidence about an action."""


class ReplayDivergence(EnvironmentFailure):
    """Replaying a prefix of actions led to another observation than the recorded one."""


class ExpertFailure(ComponentFailure):
    """An expert failed to demonstrate."""


class PolicyFailure(ComponentFailure):
    """A policy can't answer, whoever asks: the run stops, and can be resumed."""


class AnswerFailure(PolicyFailure):
    """One answer was lost, and the next may come: the episode is recorded as an error, and the run goes on."""


class AttributorFailure(ComponentFailure):
    """An attributor failed, or returned something that is no attribution of the trajectory."""


class FilterFailure(ComponentFailure):
    """A filter failed, or returned something that isn't examples."""


class TrainerFailure(ComponentFailure):
    """A trainer failed."""


@contextmanager
def boundary(failure: type[ComponentFailure], who: str, doing: str) -> Iterator[None]:
    """Turn whatever plugin code raises into the failure of its interface.

    Errors of the tree above pass unchanged: they are explained already. So do `KeyboardInterrupt` and cancellation.

    Args:
        failure: the class for this interface.
        who: the component, as a person knows it (`environment 'shop'`).
        doing: what it was asked to do, with the task or trajectory concerned.

    Raises:
        ComponentFailure: of the given class, with the original exception as its cause.
    """
    try:
        yield
    except EefError:
        raise
    except Exception as cause:
        raise failure(f"{who} failed while {doing}: {type(cause).__name__}: {cause}") from cause


@contextmanager
def storage(path: object, doing: str) -> Iterator[None]:
    """Turn an `OSError` into a message that names the path and what to do about it.

    Raises:
        StorageError: with the operating system's reason.
    """
    try:
        yield
    except OSError as cause:
        reason = cause.strerror or str(cause)
        fix = {
            28: "Free some space (what was completed so far is kept) and repeat the command.",
            1: "Choose another folder with --out: this one does not accept new files.",
            13: "Choose another folder with --out, or change its permissions.",
            30: "The file system is read-only: choose another folder with --out.",
            2: "Check the path.",
            20: "Part of the path is a file, not a folder: choose another path.",
        }.get(cause.errno or 0, "Mend the cause and repeat the command: what was completed is kept.")
        raise StorageError(f"{doing} {str(path)!r} failed: {reason}", fix) from cause
