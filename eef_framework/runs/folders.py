"""Output folders of commands: must be empty, or written by such a command before."""

from __future__ import annotations

from pathlib import Path

from eef_framework.errors import ConfigError, storage
from eef_framework.runs.atomic import MARK, write_text
from eef_framework.runs.jsonl import check_not_input
from eef_framework.runs.places import run_of


def claim_folder(path: Path, *inputs: Path | None) -> None:
    """Create a folder to write a model to, or check that an existing one may be used.

    Args:
        path: the folder.
        inputs: folders and files that are read.

    Raises:
        ConfigError: it contains files that aren't ours (`not-ours`), or is one of the inputs (`output-is-input`).
        StorageError: it is a file, or can't be written to.
    """
    check_not_input(path, *inputs)
    with storage(path, "making the folder"):
        path.mkdir(parents=True, exist_ok=True)
        strangers = sorted(entry.name for entry in path.iterdir())
    if strangers and MARK not in strangers and run_of(path) is None:
        raise ConfigError(
            f"{str(path)!r} isn't empty, and eef-framework didn't make it: it holds {', '.join(strangers[:5])}",
            "Choose another folder with --out.",
            code="not-ours",
            path=str(path),
            found=strangers,
        )
    if not strangers:
        write_text(path / MARK, "Made by eef-framework: what is in this folder may be replaced by it.\n")
