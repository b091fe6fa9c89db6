"""What may still be used: the machine's count, and the limits of control groups."""

import pytest

from vitreous.distributed.memory import available_bytes

MACHINE = "MemTotal: 1000 kB\nMemFree: 10 kB\nMemAvailable:      800 kB\n"


@pytest.fixture
def machine(tmp_path):
    def write(**files):
        for name, text in {"proc/meminfo": MACHINE, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def group(folder, limit, used, stat=""):
    return {
        f"sys/fs/cgroup/{folder}memory.max": f"{limit}\n",
        f"sys/fs/cgroup/{folder}memory.current": f"{used}\n",
        f"sys/fs/cgroup/{folder}memory.stat": stat,
    }


def test_without_groups_the_machine_decides(machine):
    assert available_bytes(machine()) == 800 * 1024


def test_a_smaller_limit_of_the_group_decides_and_cached_files_count_as_free(machine):
    stat = "anon 1\ninactive_file 50000\n"
    files = {"proc/self/cgroup": "0::/job/7\n", **group("job/7/", 400000, 150000, stat)}
    assert available_bytes(machine(**files)) == 300000


def test_an_outer_group_counts_too(machine):
    files = {"proc/self/cgroup": "0::/job/7\n", **group("job/7/", "max", 1), **group("job/", 9, 4)}
    assert available_bytes(machine(**files)) == 5


def test_in_a_container_the_path_of_the_host_is_not_there(machine):
    files = {"proc/self/cgroup": "0::/of/the/host\n", **group("", 1000, 400)}
    assert available_bytes(machine(**files)) == 600


def test_groups_of_the_first_version(machine):
    folder = "sys/fs/cgroup/memory/job/"
    files = {
        "proc/self/cgroup": "5:cpu:/job\n4:memory:/job\n0::/\n",
        f"{folder}memory.limit_in_bytes": "7000\n",
        f"{folder}memory.usage_in_bytes": "3000\n",
        f"{folder}memory.stat": "total_inactive_file 1000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    assert available_bytes(machine(**files)) == 5000


def test_more_used_than_allowed_leaves_nothing(machine):
    files = {"proc/self/cgroup": "0::/\n", **group("", 1000, 4000)}
    assert available_bytes(machine(**files)) == 0


def test_this_machine_has_memory():
    assert available_bytes() > 1 << 20
