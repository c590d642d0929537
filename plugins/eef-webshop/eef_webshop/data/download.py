"""Fetching the official files: from Google Drive, from a mirror, or from a folder that somebody else filled.

No checksums of the official files were ever published. What was fetched is therefore noted in a file `SHA256SUMS`, and
a folder or mirror that has one is held to it. Sizes are checked against what the server announces.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Protocol

from eef_framework.errors import EefError, storage
from eef_framework.paths import expand
from eef_framework.runs import write_bytes
from eef_webshop.data.official import VARIANTS, OfficialFile

DRIVE = "https://drive.usercontent.google.com/download"
SUMS = "SHA256SUMS"
CHUNK = 1 << 20
TIMEOUT_S = 60

_NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError)

Progress = Callable[[str, int, int], None]
"""Called with the progress of a download: its name, bytes so far, bytes in all (0 if that isn't known)."""


class DownloadError(EefError):
    """A file that could not be fetched, or isn't what it should be."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is there now."""

    path: Path
    size: int
    sha256: str
    new: bool
    """Whether it was fetched just now; otherwise it was there already."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """Something to read from."""

    stream: Any
    total: int
    """Bytes in all, 0 if that isn't known."""

    def chunks(self) -> Iterator[bytes]:
        """Read it to its end."""
        with self.stream:
            try:
                while chunk := self.stream.read(CHUNK):
                    yield chunk
            except _NETWORK as cause:
                raise DownloadError(f"the connection broke off: {cause}", "Repeat the command.") from cause


def download(variant: str, to: Path, origin: str | None = None, progress: Progress | None = None) -> list[Fetched]:
    """Fetch the files of the small or the full shop.

    Args:
        variant: `small` or `full`.
        to: the folder they go into. Files that are there already are kept.
        origin: a folder, or the address of a mirror; Google Drive if not given. Files may have `.gz` at their ends.
        progress: called with the progress of each file.

    Raises:
        DownloadError: a file could not be fetched, was cut off, or has another checksum than announced.
        StorageError: it can't be written.
    """
    with storage(to, "writing into"):
        to.mkdir(parents=True, exist_ok=True)
    source, files = _source(origin), VARIANTS[variant]
    sums = source.sums() | read_sums(to / SUMS)
    try:
        fetched = [_fetch(file, to, source, sums, progress or _silent) for file in files]
    except _NETWORK as cause:
        raise DownloadError(f"the files could not be fetched from {source}: {cause}", by_hand(files)) from cause
    _note_sums(to / SUMS, fetched)
    return fetched


def _note_sums(path: Path, fetched: list[Fetched]) -> None:
    """Add checksums to a file of them, which may be somebody else's: its lines stay as they are."""
    known = read_sums(path)
    lines = [f"{file.sha256}  {file.path.name}\n" for file in fetched if file.path.name not in known]
    if lines:
        with storage(path, "reading"):
            before = path.read_bytes() if path.is_file() else b""
        separator = b"\n" if before and not before.endswith(b"\n") else b""
        write_bytes(path, before + separator + "".join(sorted(lines)).encode())


def read_sums(path: Path) -> dict[str, str]:
    """Read a file of checksums, as `sha256sum` writes it; none if it isn't there."""
    return _parsed_sums(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else {}


def _fetch(file: OfficialFile, to: Path, source: _Source, sums: dict[str, str], progress: Progress) -> Fetched:
    there = next((path for path in (to / file.name, to / f"{file.name}.gz") if path.is_file()), None)
    if there:
        digest = _digest(there)
        _check(there.name, digest, sums)
        return Fetched(there, there.stat().st_size, digest, new=False)
    name, opened = source.open(file)
    return _received(name, opened, to, sums, progress)


def by_hand(files: Iterable[OfficialFile]) -> str:
    """Say how to get files onto a host without internet access."""
    pages = "; ".join(f"{file.name}: {file.page}" for file in files)
    return f"On a host with internet access, save these files into a folder and name it with --from FOLDER. {pages}"


def _received(name: str, opened: _Opened, to: Path, sums: dict[str, str], progress: Progress) -> Fetched:
    """Copy a stream into a file, which appears once it is complete and checked."""
    part, digest, size = to / f"{name}.part", hashlib.sha256(), 0
    with storage(part, "writing"), part.open("wb") as out:
        for chunk in opened.chunks():
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            progress(name, size, opened.total)
    if opened.total and size != opened.total:
        raise DownloadError(f"{name} was cut off after {size:,} of {opened.total:,} bytes", "Repeat the command.")
    _check(name, digest.hexdigest(), sums)
    _check_content(part, name)
    part.rename(to / name)
    return Fetched(to / name, size, digest.hexdigest(), new=True)


def _check(name: str, digest: str, sums: dict[str, str]) -> None:
    expected = sums.get(name, digest)
    if expected != digest:
        raise DownloadError(
            f"{name} has the SHA-256 {digest}; {SUMS} says {expected}",
            f"Remove the file (or {SUMS}, if it is the one that is wrong) and repeat the command.",
        )


def _check_content(path: Path, name: str) -> None:
    """Make sure that it isn't a web page that says why there is no file."""
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if not start.startswith((b"\x1f\x8b",) if name.endswith(".gz") else (b"[", b"{")):
        raise DownloadError(
            f"what came for {name} is no {'gzip' if name.endswith('.gz') else 'JSON'}: it begins with {start[:40]!r}",
            "Repeat the command later, or name a mirror or folder with --from.",
        )


def _digest(path: Path) -> str:
    with storage(path, "reading"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _source(origin: str | None) -> _Source:
    if origin is None:
        return _Drive()
    if origin.startswith(("http://", "https://")):
        return _Mirror(origin.rstrip("/"))
    return _Folder(expand(origin))


class _Source(Protocol):
    """Where files come from."""

    def sums(self) -> dict[str, str]:
        """Return the checksums that are announced there."""

    def open(self, file: OfficialFile) -> tuple[str, _Opened]:
        """Find a file; return its name there, which may end in `.gz`, and what to read from."""


class _Folder:
    """A folder of this host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise DownloadError(
                f"there is no folder {str(folder)!r}", "Name a folder, or an address that begins with https://."
            )

    def __str__(self) -> str:
        return repr(str(self.folder))

    def sums(self) -> dict[str, str]:
        return read_sums(self.folder / SUMS)

    def open(self, file: OfficialFile) -> tuple[str, _Opened]:
        for name in (file.name, f"{file.name}.gz"):
            if (path := self.folder / name).is_file():
                with storage(path, "reading"):
                    return name, _Opened(path.open("rb"), path.stat().st_size)
        raise DownloadError(f"{str(self.folder)!r} has neither {file.name} nor {file.name}.gz", "Put the file there.")


class _Mirror:
    """A web server that has the files under their names."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __str__(self) -> str:
        return self.address

    def sums(self) -> dict[str, str]:
        try:
            with _get(f"{self.address}/{SUMS}") as answer:
                return _parsed_sums(answer.read(CHUNK).decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException):
            return {}

    def open(self, file: OfficialFile) -> tuple[str, _Opened]:
        try:
            return file.name, _opened(_get(f"{self.address}/{file.name}"))
        except urllib.error.HTTPError as cause:
            if cause.code != 404:
                raise
            return f"{file.name}.gz", _opened(_get(f"{self.address}/{file.name}.gz"))


class _Drive:
    """Google Drive, which asks back before it hands out a large file."""

    def __str__(self) -> str:
        return "Google Drive"

    def sums(self) -> dict[str, str]:
        return {}

    def open(self, file: OfficialFile) -> tuple[str, _Opened]:
        asked = {"id": file.drive_id, "export": "download", "confirm": "t"}
        answer = _get(f"{DRIVE}?{urllib.parse.urlencode(asked)}")
        if _is_page(answer):
            form = _Form.of(answer)
            answer = _get(f"{form.action or DRIVE}?{urllib.parse.urlencode(asked | form.fields)}")
        if _is_page(answer):
            answer.close()
            raise DownloadError(
                f"Google Drive does not hand out {file.name} now (too many people may have fetched it today)",
                f"Repeat the command tomorrow, or save {file.page} in a browser and name its folder with --from.",
            )
        return file.name, _opened(answer)


class _Form(HTMLParser):
    """The form of the page that asks back."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    @classmethod
    def of(cls, answer: Any) -> _Form:
        form = cls()
        with answer:
            form.feed(answer.read(CHUNK).decode("utf-8", "replace"))
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form":
            self.action = found.get("action") or ""
        elif tag == "input" and found.get("type") == "hidden" and found.get("name"):
            self.fields[str(found["name"])] = found.get("value") or ""


def _get(address: str) -> Any:
    request = urllib.request.Request(address, headers={"User-Agent": "eef-webshop"})
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)


def _opened(answer: Any) -> _Opened:
    return _Opened(answer, int(answer.headers.get("Content-Length") or 0))


def _is_page(answer: Any) -> bool:
    return bool(answer.headers.get_content_type() == "text/html")


def _parsed_sums(text: str) -> dict[str, str]:
    pairs = [line.split(maxsplit=1) for line in text.splitlines()]
    return {pair[1].lstrip("*"): pair[0].lower() for pair in pairs if len(pair) == 2 and len(pair[0]) == 64}


def _silent(name: str, done: int, total: int) -> None:
    pass
