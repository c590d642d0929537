from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from eef_ray.cluster import temporary_folder
from eef_ray.executor import RayExecutor


class TwoNodes:
    """A cluster of two nodes on this machine, with one CPU each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        arguments = {"num_cpus": 1, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=arguments)
        self.second = self._cluster.add_node(num_cpus=1)

    @property
    def address(self) -> str:
        return self._cluster.address

    def kill_second(self) -> None:
        """Kill all processes of the second node."""
        self._cluster.remove_node(self.second, allow_graceful=False)

    def restore(self) -> None:
        """Add a node, if there is only one."""
        if not self._cluster.worker_nodes:
            self.second = self._cluster.add_node(num_cpus=1)

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[TwoNodes]:
    # A folder with a short path, as that of a socket may have 107 characters; pytest's may be longer.
    with temporary_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)  # for `ray_components`
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_TMPDIR", str(folder))
        nodes = TwoNodes()
        yield nodes
        nodes.close()


@pytest.fixture(scope="module")
def shared_executor(two_nodes: TwoNodes) -> Iterator[RayExecutor]:
    with RayExecutor(address=two_nodes.address) as executor:
        yield executor


@pytest.fixture
def ray_executor(shared_executor: RayExecutor, two_nodes: TwoNodes) -> RayExecutor:
    """An executor with a worker on each of two nodes. Tests share it, as workers take seconds to import torch."""
    two_nodes.restore()
    return shared_executor
