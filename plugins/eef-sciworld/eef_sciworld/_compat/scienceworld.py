"""Parts of ScienceWorld that aren't public: its jar, and names in it."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from eef_framework.errors import ConfigError

INTERFACE: Final = "scienceworld.runtime.pythonapi.PythonInterface"
"""The Java class that ScienceWorld's Python package calls. It is called directly here."""
SHARED: Final = ("scala/", "py4j/")
"""Packages of the jar that all simulators share, because they have no state."""
NOT_SHARED: Final = "scala/util/Random"
"""The exception: the random number generator, which the simulator seeds and draws from."""
NOT_UNDERSTOOD: Final = ("No known action matches that input.", "Unknown action.")
"""How answers to actions begin that the simulator doesn't understand."""
SEWER: Final = "sewer"
"""Object that is listed wherever there is a drain, although no action can name it."""


def simulator_version() -> str:
    """Return the version of the installed ScienceWorld."""
    return version("scienceworld")


def simulator_jar() -> Path:
    """Return ScienceWorld's jar.

    Raises:
        ConfigError: the package scienceworld isn't installed, or its jar is missing.
    """
    package = find_spec("scienceworld")
    jar = Path(package.origin or "").parent / "scienceworld.jar" if package else None
    if jar is None or not jar.is_file():
        raise ConfigError(
            f"the simulator's file scienceworld.jar is missing{f' from {str(jar.parent)!r}' if jar else ''}",
            "pip install --force-reinstall scienceworld",
            code="simulator-missing",
            path=str(jar) if jar else None,
        )
    return jar


def current_task_name(name: str) -> str:
    """Return the current name of a task type, for current and former names such as `task-3-find-plant`."""
    from scienceworld.utils import infer_task

    return str(infer_task(name))
