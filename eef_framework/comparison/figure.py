"""A figure of a comparison: success rates with both intervals, as SVG, PDF or PNG."""

from __future__ import annotations

import hashlib
import math
from io import BytesIO
from pathlib import Path

from eef_framework.comparison.result import Comparison
from eef_framework.comparison.tables import title
from eef_framework.errors import EefError, storage
from eef_framework.records import Estimate
from eef_framework.runs import write_bytes

CREATOR = "eef-framework"
"""Names the program in a figure's metadata."""

DIGEST = b"eef-framework digest "
"""Begins the mark at the end of a figure's file, after which follows a digest of everything before it."""
MARKS = {"svg": b"<!-- %s -->\n", "pdf": b"%%%s\n", "png": b"%s"}
"""How the mark is written in each format, so that the file can still be read: viewers ignore what follows the end of
an image or a PDF."""

METADATA = {
    "svg": {"Creator": CREATOR, "Date": None},
    "pdf": {"Creator": CREATOR, "CreationDate": None},
    "png": {"Software": CREATOR},
}
"""Without dates, so that the same numbers give the same file."""


def check_figure(path: Path) -> None:
    """Refuse a figure that can't be drawn, or that would replace a file that isn't a figure of ours.

    Raises:
        EefError: `unknown-figure-format`, `foreign-file` or `matplotlib-missing`.
        StorageError: the existing file can't be read.
    """
    kind = _kind(path)
    if kind not in METADATA:
        raise EefError(
            f"a figure can't be written as {path.suffix or 'a file without a suffix'!r}: {str(path)!r}",
            f"Use one of {', '.join(f'.{kind}' for kind in METADATA)}.",
            code="unknown-figure-format",
            path=str(path),
        )
    with storage(path, "reading"):
        foreign = path.exists() and not _is_own(path.read_bytes(), kind)
    if foreign:
        raise EefError(
            f"{str(path)!r} exists, and isn't a figure that `eef compare` wrote: it would be lost",
            "Choose another name, or remove the file.",
            code="foreign-file",
            path=str(path),
        )
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError as cause:
        raise EefError(
            "figures need matplotlib, which isn't installed",
            "pip install 'eef-framework[figures]'",
            code="matplotlib-missing",
        ) from cause


def draw(comparison: Comparison, path: Path) -> None:
    """Draw the success rates. A thick bar is the interval over seeds, a thin one the interval over tasks.

    Args:
        comparison: what to draw.
        path: the file to write; its suffix gives the format.

    Raises:
        EefError: `unknown-figure-format`, or `matplotlib-missing`.
        StorageError: the file can't be written.
    """
    check_figure(path)
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = list(reversed(comparison.rows))
    with rc_context({"svg.hashsalt": "eef", "svg.fonttype": "none", "pdf.fonttype": 42, "font.size": 9}):
        figure = Figure(figsize=(6.0, 1.1 + 0.32 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for height, row in enumerate(rows):
            # The thin bar may be the shorter one: it is drawn over the thick one, which is pale.
            _bar(axes, height, row.success_over_seeds, width=5.0, color="#8fbbd9")
            _bar(axes, height, row.success_over_tasks, width=1.2, color="0.25")
            axes.plot(100 * row.success_over_tasks.mean, height, "o", color="C0", markersize=5)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("success, % (thick: 95 % interval over seeds; thin: over tasks)")
        axes.set_title(title(comparison), fontsize=8)
        axes.grid(axis="x", alpha=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        kind, drawn = _kind(path), BytesIO()
        figure.savefig(drawn, format=kind, dpi=200, metadata=METADATA[kind])
        data = drawn.getvalue()
        write_bytes(path, data + _mark(data, kind))


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")


def _mark(content: bytes, kind: str) -> bytes:
    return MARKS[kind] % (DIGEST + hashlib.blake2b(content, digest_size=16).hexdigest().encode())


def _is_own(data: bytes, kind: str) -> bool:
    """Return whether a file is a figure that was drawn here, and not edited since."""
    length = len(_mark(b"", kind))
    return data[-length:] == _mark(data[:-length], kind)


def _bar(axes: object, height: int, estimate: Estimate, width: float, color: str) -> None:
    if math.isfinite(estimate.low):
        axes.plot(  # type: ignore[attr-defined]
            [100 * estimate.low, 100 * estimate.high], [height, height], linewidth=width, color=color
        )
