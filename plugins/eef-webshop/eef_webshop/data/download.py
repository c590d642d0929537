"""Downloads the official files from Google Drive or a mirror, or copies them from a folder.

No checksums of the official files were published. Therefore those of downloaded files are recorded in a file
`SHA256SUMS`, and if a folder or mirror has such a file, its files are checked against it. Sizes are checked against
those that the server announces.
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
"""Called with the progress of a download: its name, bytes so far, total bytes (0 if unknown)."""


class DownloadError(EefError):
    """A file that couldn't be downloaded, or has unexpected content."""


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """A downloaded file."""

    path: Path
    """Where it is."""
    size: int
    """Its size in bytes."""
    sha256: str
    """Its SHA-256."""
    new: bool
    """Whether it was downloaded now; otherwise it existed before."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """An open file or response."""

    stream: Any
    total: int
    """Total bytes; 0 if unknown."""

    def chunks(self) -> Iterator[bytes]:
        """Yield its content in chunks, and close it."""
        with self.stream:
            try:
                while chunk := self.stream.read(CHUNK):
                    yield chunk
            except _NETWORK as cause:
                raise DownloadError(
                    f"the connection was lost: {cause}", "Run the command again.", code="connection-lost"
                ) from cause


def download(
    variant: str, to: Path, origin: str | None = None, progress: Progress | None = None
) -> list[DownloadedFile]:
    """Download the files of the small or the full shop.

    Args:
        variant: `small` or `full`.
        to: the target folder. Existing files are kept.
        origin: a folder, or the URL of a mirror; by default Google Drive. Files may be compressed (`.gz`).
        progress: called with the progress of each file.

    Returns:
        The files, in the order of `VARIANTS`.

    Raises:
        DownloadError: a file couldn't be downloaded, is truncated, or has another checksum than announced.
        StorageError: it can't be written.
    """
    with storage(to, "writing into"):
        to.mkdir(parents=True, exist_ok=True)
    source, files = _source(origin), VARIANTS[variant]
    sums = source.sums() | read_sums(to / SUMS)
    try:
        fetched = [_fetch(file, to, source, sums, progress or _silent) for file in files]
    except _NETWORK as cause:
        raise DownloadError(
            f"the files couldn't be downloaded from {source}: {cause}",
            manual_download(files),
            code="download-failed",
            origin=str(source),
        ) from cause
    _record_sums(to / SUMS, fetched)
    return fetched


def _record_sums(path: Path, fetched: list[DownloadedFile]) -> None:
    """Append checksums to a file, whose existing lines stay unchanged."""
    known = read_sums(path)
    lines = [f"{file.sha256}  {file.path.name}\n" for file in fetched if file.path.name not in known]
    if lines:
        with storage(path, "reading"):
            before = path.read_bytes() if path.is_file() else b""
        separator = b"\n" if before and not before.endswith(b"\n") else b""
        write_bytes(path, before + separator + "".join(sorted(lines)).encode())


def read_sums(path: Path) -> dict[str, str]:
    """Return the checksums in a file of `sha256sum`, by name; none if there is no file."""
    return _parsed_sums(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else {}


def _fetch(file: OfficialFile, to: Path, source: _Source, sums: dict[str, str], progress: Progress) -> DownloadedFile:
    there = next((path for path in (to / file.name, to / f"{file.name}.gz") if path.is_file()), None)
    if there:
        digest = _digest(there)
        _check(there.name, digest, sums)
        return DownloadedFile(there, there.stat().st_size, digest, new=False)
    name, opened = source.open(file)
    return _received(name, opened, to, sums, progress)


def manual_download(files: Iterable[OfficialFile]) -> str:
    """Return instructions for hosts without internet access."""
    pages = "; ".join(f"{file.name}: {file.page}" for file in files)
    return f"On a host with internet access, save these files into a folder and name it with --from FOLDER. {pages}"


def _received(name: str, opened: _Stream, to: Path, sums: dict[str, str], progress: Progress) -> DownloadedFile:
    """Write a stream to a file, which gets its name when it is complete and checked."""
    part, digest, size = to / f"{name}.part", hashlib.sha256(), 0
    with storage(part, "writing"), part.open("wb") as out:
        for chunk in opened.chunks():
            out.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            progress(name, size, opened.total)
    if opened.total and size != opened.total:
        raise DownloadError(
            f"{name} is truncated: {size:,} of {opened.total:,} bytes",
            "Run the command again.",
            code="download-truncated",
            file=name,
            size=size,
            expected=opened.total,
        )
    _check(name, digest.hexdigest(), sums)
    _check_content(part, name)
    part.rename(to / name)
    return DownloadedFile(to / name, size, digest.hexdigest(), new=True)


def _check(name: str, digest: str, sums: dict[str, str]) -> None:
    expected = sums.get(name, digest)
    if expected != digest:
        raise DownloadError(
            f"{name} has the SHA-256 {digest}; {SUMS} says {expected}",
            f"Remove the file (or {SUMS}, if that is wrong) and run the command again.",
            code="wrong-checksum",
            file=name,
            sha256=digest,
            expected=expected,
        )


def _check_content(path: Path, name: str) -> None:
    """Check that it isn't a web page with an error message."""
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    if not start.startswith((b"\x1f\x8b",) if name.endswith(".gz") else (b"[", b"{")):
        raise DownloadError(
            f"the download of {name} isn't {'gzip' if name.endswith('.gz') else 'JSON'}: it begins with {start[:40]!r}",
            "Run the command again later, or name a mirror or folder with --from.",
            code="not-the-file",
            file=name,
            start=start[:40].decode("utf-8", "replace"),
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
    """An origin of files."""

    def sums(self) -> dict[str, str]:
        """Return the announced checksums, by name."""

    def open(self, file: OfficialFile) -> tuple[str, _Stream]:
        """Open a file; return its name there, which may end in `.gz`, and the stream."""


class _Folder:
    """A local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise DownloadError(
                f"there is no folder {str(folder)!r}",
                "Name a folder, or a URL that begins with https://.",
                code="no-such-folder",
                path=str(folder),
            )

    def __str__(self) -> str:
        return repr(str(self.folder))

    def sums(self) -> dict[str, str]:
        """Return the announced checksums, by name."""
        return read_sums(self.folder / SUMS)

    def open(self, file: OfficialFile) -> tuple[str, _Stream]:
        """Open a file; return its name there and the stream."""
        for name in (file.name, f"{file.name}.gz"):
            if (path := self.folder / name).is_file():
                with storage(path, "reading"):
                    return name, _Stream(path.open("rb"), path.stat().st_size)
        raise DownloadError(
            f"{str(self.folder)!r} has neither {file.name} nor {file.name}.gz",
            "Put the file there.",
            code="no-official-file",
            path=str(self.folder),
            file=file.name,
        )


class _Mirror:
    """A web server with the files under their names."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __str__(self) -> str:
        return self.address

    def sums(self) -> dict[str, str]:
        """Return the announced checksums, by name; none if the server has no such file."""
        try:
            with _get(f"{self.address}/{SUMS}") as answer:
                return _parsed_sums(answer.read(CHUNK).decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException):
            return {}

    def open(self, file: OfficialFile) -> tuple[str, _Stream]:
        """Open a file; return its name there and the stream."""
        try:
            return file.name, _opened(_get(f"{self.address}/{file.name}"))
        except urllib.error.HTTPError as cause:
            if cause.code != 404:
                raise
            return f"{file.name}.gz", _opened(_get(f"{self.address}/{file.name}.gz"))


class _Drive:
    """Google Drive, which asks for confirmation before it sends a large file."""

    def __str__(self) -> str:
        return "Google Drive"

    def sums(self) -> dict[str, str]:
        """Return the announced checksums, by name."""
        return {}

    def open(self, file: OfficialFile) -> tuple[str, _Stream]:
        """Open a file; return its name there and the stream."""
        asked = {"id": file.drive_id, "export": "download", "confirm": "t"}
        answer = _get(f"{DRIVE}?{urllib.parse.urlencode(asked)}")
        if _is_page(answer):
            form = _Form.of(answer)
            answer = _get(f"{form.action or DRIVE}?{urllib.parse.urlencode(asked | form.fields)}")
        if _is_page(answer):
            answer.close()
            raise DownloadError(
                f"Google Drive refuses to send {file.name} (its daily quota may be exceeded)",
                f"Run the command again tomorrow, or save {file.page} in a browser and name its folder with --from.",
                code="drive-refused",
                file=file.name,
            )
        return file.name, _opened(answer)


class _Form(HTMLParser):
    """The form of the confirmation page."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}

    @classmethod
    def of(cls, answer: Any) -> _Form:
        """Return the form of a page."""
        form = cls()
        with answer:
            form.feed(answer.read(CHUNK).decode("utf-8", "replace"))
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the form's address and its hidden fields."""
        found = dict(attrs)
        if tag == "form":
            self.action = found.get("action") or ""
        elif tag == "input" and found.get("type") == "hidden" and found.get("name"):
            self.fields[str(found["name"])] = found.get("value") or ""


def _get(address: str) -> Any:
    request = urllib.request.Request(address, headers={"User-Agent": "eef-webshop"})
    return urllib.request.urlopen(request, timeout=TIMEOUT_S)


def _opened(answer: Any) -> _Stream:
    return _Stream(answer, int(answer.headers.get("Content-Length") or 0))


def _is_page(answer: Any) -> bool:
    return bool(answer.headers.get_content_type() == "text/html")


def _parsed_sums(text: str) -> dict[str, str]:
    pairs = [line.split(maxsplit=1) for line in text.splitlines()]
    return {pair[1].lstrip("*"): pair[0].lower() for pair in pairs if len(pair) == 2 and len(pair[0]) == 64}


def _silent(name: str, done: int, total: int) -> None:
    pass
