"""Violations of a contract, and their report."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from eef_framework.errors import EefError, author_line
from eef_framework.validation_messages import reason

Context = TypeVar("Context")

SHOWN = 120
"""Maximum length of a value in a report, in characters."""


@dataclass(frozen=True)
class Violation:
    """One way in which a component doesn't keep its contract.

    Attributes:
        rule: the rule of the contract.
        where: the task, action or trajectory.
        expected: the expected behaviour.
        actual: the actual behaviour.
        fix: how to fix it.
        code: identifies the check, such as `plans-are-kept`.
    """

    rule: str
    where: str
    expected: str
    actual: str
    fix: str
    code: str = ""

    def __str__(self) -> str:
        where = f" ({self.where})" if self.where else ""
        return f"{self.rule}{where}\n  expected: {self.expected}\n  actual:   {self.actual}\n  fix:      {self.fix}"


class Nonconformance(EefError):
    """A component doesn't keep its contract.

    Attributes:
        violations: all violations.
    """

    default_code = "nonconformance"

    def __init__(self, who: str, violations: list[Violation]) -> None:
        self.violations = violations
        report = "\n".join(f"{number}. {violation}" for number, violation in enumerate(violations, 1))
        rules = f"{len(violations)} rule{'s' * (len(violations) > 1)}"
        super().__init__(f"{who} breaks {rules} of its contract\n{report}")


Check = Callable[[Context], Violation | None]
"""Returns the first violation of a rule in its context. The docstring of the check is the rule."""


def run_checks(checks: Iterable[Check[Context]], context: Context, known: Iterable[Violation] = ()) -> list[Violation]:
    """Run checks in order, and return their violations.

    An exception in a check is a violation, too. The same violation is reported only once, and known ones aren't.
    """
    violations: list[Violation] = []
    reported = {(violation.where, violation.actual) for violation in known}
    for check in checks:
        violation = _guarded(check, context)
        if violation and (violation.where, violation.actual) not in reported:
            reported.add((violation.where, violation.actual))
            violations.append(replace(violation, code=check.__name__.replace("_", "-")))
    return violations


def require(who: str, violations: list[Violation]) -> None:
    """Raise an error if there are violations.

    Raises:
        Nonconformance: there are violations.
    """
    if violations:
        raise Nonconformance(who, violations)


def rule_of(check: Callable[..., object]) -> str:
    """Return the rule of a check."""
    return (check.__doc__ or check.__name__).strip().split("\n")[0].rstrip(".")


def quoted(value: object) -> str:
    """Return a value for a report, shortened."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}...{text[-SHOWN // 2 :]}"


def _guarded(check: Check[Context], context: Context) -> Violation | None:
    try:
        return check(context)
    except (Exception, SystemExit) as error:
        where, actual = author_line(error), ", ".join([reason(error), *getattr(error, "__notes__", ())])
        if isinstance(error, EefError) and error.fix:  # it explains itself
            actual = f"{type(error).__name__}: {error.message}"
            return Violation(rule_of(check), where, "no exception", actual, error.fix)
        fix = "Fix this line." if where else "Compare the method's arguments and what it returns with its base class's."
        return Violation(rule_of(check), where or _last_line(error), "no exception", actual, fix)


def _last_line(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}, line {frame.lineno}"
