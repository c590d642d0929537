import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from eef_framework.resources import UNKNOWN_MEMORY, available_cores, available_memory

MB = 1 << 20
V2 = "30 23 0:26 / {point} rw - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "36 31 0:32 {root} {point} rw - cgroup cgroup rw,{controllers}\n"


@pytest.fixture(autouse=True)
def a_large_machine(monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 64 << 30})())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)


def machine(root, cgroup, mounts, groups):
    """Write a system's files: the process's groups, the mounts, and each group's files."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(cgroup)
    (root / "proc/self/mountinfo").write_text("23 1 0:2 / / rw - ext4 /dev/sda rw\n" + mounts)
    for folder, files in groups.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (root / folder / name).write_text(f"{text}\n")
    return root


def used(most, now, cached=0, **more):
    return {"memory.max": most, "memory.current": now, "memory.stat": f"file 1\ninactive_file {cached}", **more}


def test_a_limit_of_version_2_leaves_what_is_not_used_and_what_only_caches_files(tmp_path):
    groups = {"sys/fs/cgroup/job": used(1500 * MB, 900 * MB, 200 * MB) | {"cpu.max": "150000 100000"}}
    system = machine(tmp_path, "0::/job\n", V2.format(point="/sys/fs/cgroup"), groups)
    assert available_memory(system) == 800 * MB
    assert available_cores(system) == 2


def test_the_tightest_of_nested_groups_holds(tmp_path):
    groups = {
        "sys/fs/cgroup/pod": used(1000 * MB, 900 * MB) | {"cpu.max": "300000 100000"},
        "sys/fs/cgroup/pod/job": used("max", 500 * MB) | {"cpu.max": "max 100000"},
        "sys/fs/cgroup/pod/job/step": used(2000 * MB, 500 * MB) | {"cpu.max": "800000 100000"},
    }
    system = machine(tmp_path, "0::/pod/job/step\n", V2.format(point="/sys/fs/cgroup"), groups)
    assert available_memory(system) == 100 * MB
    assert available_cores(system) == 3


def test_above_memory_high_a_process_is_slowed_down_so_it_is_a_limit(tmp_path):
    groups = {"sys/fs/cgroup/job": used("max", 100 * MB, **{"memory.high": 300 * MB})}
    assert available_memory(machine(tmp_path, "0::/job\n", V2.format(point="/sys/fs/cgroup"), groups)) == 200 * MB


def test_a_limit_that_is_used_up_leaves_nothing(tmp_path):
    groups = {"sys/fs/cgroup/job": used(100 * MB, 101 * MB)}
    assert available_memory(machine(tmp_path, "0::/job\n", V2.format(point="/sys/fs/cgroup"), groups)) == 0


def test_no_limit_leaves_the_machines_memory_and_cores(tmp_path):
    groups = {"sys/fs/cgroup/job": used("max", 100 * MB) | {"cpu.max": "max 100000"}}
    system = machine(tmp_path, "0::/job\n", V2.format(point="/sys/fs/cgroup"), groups)
    assert available_memory(system) == 64 << 30
    assert available_cores(system) == 64


def test_limits_of_version_1(tmp_path):
    memory = {
        "memory.limit_in_bytes": 700 * MB,
        "memory.usage_in_bytes": 300 * MB,
        "memory.stat": f"inactive_file 1\ntotal_inactive_file {50 * MB}",
    }
    unlimited = {"memory.limit_in_bytes": 9223372036854771712, "memory.usage_in_bytes": 300 * MB}
    groups = {
        "sys/fs/cgroup/memory": unlimited,
        "sys/fs/cgroup/memory/a/b": memory,
        "sys/fs/cgroup/cpu,cpuacct/a": {"cpu.cfs_quota_us": 50000, "cpu.cfs_period_us": 100000},
        "sys/fs/cgroup/cpu,cpuacct/a/c": {"cpu.cfs_quota_us": -1, "cpu.cfs_period_us": 100000},
    }
    mounts = "".join(
        V1.format(root="/", point=f"/sys/fs/cgroup/{name}", controllers=name) for name in ("memory", "cpu,cpuacct")
    )
    cgroup = "12:memory:/a/b\n11:cpu,cpuacct:/a/c\n10:cpuset:/\n1:name=systemd:/x\n0::/\n"
    system = machine(tmp_path, cgroup, mounts, groups)
    assert available_memory(system) == 450 * MB
    assert available_cores(system) == 1


@pytest.mark.parametrize("path", ["/docker/abc", "/", "/../../other", "/gone"])
def test_a_container_sees_its_own_group_in_place_of_the_root(tmp_path, path):
    groups = {"sys/fs/cgroup/memory": {"memory.limit_in_bytes": 700 * MB, "memory.usage_in_bytes": 300 * MB}}
    mounts = V1.format(root="/docker/abc", point="/sys/fs/cgroup/memory", controllers="memory")
    assert available_memory(machine(tmp_path, f"4:memory:{path}\n", mounts, groups)) == 400 * MB


def test_hierarchies_are_found_where_they_are_mounted(tmp_path):
    groups = {"my groups/job": used(10 * MB, 4 * MB)}
    assert available_memory(machine(tmp_path, "0::/job\n", V2.format(point=r"/my\040groups"), groups)) == 6 * MB


@pytest.mark.parametrize(
    "files", [{}, {"memory.max": ""}, {"memory.max": "many", "memory.current": "1"}, {"memory.max": 5, "cpu.max": "1"}]
)
def test_what_does_not_read_limits_nothing(tmp_path, files):
    system = machine(tmp_path, "nonsense\n0::/job\n", "nonsense\n" + V2.format(point="/g"), {"g/job": files})
    assert (available_memory(system), available_cores(system)) == (64 << 30, 64)


def test_a_system_without_control_groups_affinity_or_proc(tmp_path, monkeypatch):
    def hidden():
        raise FileNotFoundError("/proc/meminfo")

    monkeypatch.setattr(psutil, "virtual_memory", hidden)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert (available_memory(tmp_path), available_cores(tmp_path)) == (UNKNOWN_MEMORY, 1)


def test_a_limit_of_the_address_space_holds():
    pytest.importorskip("resource", reason="needs ulimit")
    code = (
        "import resource, psutil; from eef_framework.resources import available_memory\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + {300 * MB},) * 2)\n"
        "print(available_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 200 * MB < int(done.stdout) <= 300 * MB


def test_the_limit_of_a_real_group_holds():
    """In a group of its own below this process's, where the system lets us make one."""
    found = (
        [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        if sys.platform == "linux"
        else []
    )
    paths = {controllers: path for _, controllers, path in found}
    if "memory" in paths:
        parent, limit, join = Path("/sys/fs/cgroup/memory" + paths["memory"]), "memory.limit_in_bytes", "tasks"
    else:
        parent, limit, join = Path("/sys/fs/cgroup" + paths.get("", "/")), "memory.max", "cgroup.procs"
    group = parent / f"eef-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if not (group / limit).exists():
            pytest.skip("the memory of a new control group can't be limited here")
        (group / limit).write_text(str(500 * MB))
        code = "from eef_framework.resources import available_memory; print(available_memory())"
        shell = f"echo $$ > '{group / join}' && exec '{sys.executable}' -c '{code}'"
        done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
        assert 300 * MB < int(done.stdout) < 500 * MB
    finally:
        group.rmdir()
