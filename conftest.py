"""What holds for the tests of all packages."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

# Tests don't time: on a busy machine any example can take long.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The examples of CI are the same each time, so that what turns it red is the change. `pytest` alone looks for new ones.
settings.register_profile("fixed", settings.get_profile("unhurried"), derandomize=True)
settings.load_profile("unhurried")


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: tiny models are slower on several, and much slower if other programs run, too."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With EEF_REQUIRE_DATA=1, a test that is skipped for want of the data in ../shared/data has failed."""
    report = yield
    if report.skipped and os.environ.get("EEF_REQUIRE_DATA") == "1" and "shared/data" in str(report.longrepr):
        report.outcome = "failed"
    return report
