import io

import pytest
from rich.console import Console

from eef_framework.pipeline.progress import ConsoleProgress


def shown(*updates):
    """Return what a phase with these updates leaves in a log file."""
    file = io.StringIO()
    with ConsoleProgress(Console(file=file, width=100)).phase("explore") as update:
        for done, total in updates:
            update(done, total, f"{done} successes")
    return file.getvalue()


@pytest.mark.parametrize(("updates", "count"), [([], "1/1"), ([(0, 8), (8, 8)], "8/8"), ([(0, 8)], "0/8")])
def test_a_phase_ends_with_what_was_counted_or_as_done_where_nothing_is(updates, count):
    assert shown(*updates).split()[0] == "explore"
    assert f" {count} " in shown(*updates)
