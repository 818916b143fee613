"""How much memory this process may use."""

from __future__ import annotations

from pathlib import Path


def main_memory() -> int:
    """Bytes of memory that this process may use: the limit of its control group, or what the machine has."""
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    sizes = [int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemTotal:")]
    groups = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    limits = (file.read_text().strip() for file in groups if file.is_file())
    return min([*sizes, *(int(limit) for limit in limits if limit.isdigit())], default=0)
