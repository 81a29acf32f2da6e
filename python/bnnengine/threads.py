"""How many threads a call may use when nobody says."""

from __future__ import annotations

import math
import os


def _text(root: str | os.PathLike[str], *names: str) -> str:
    with open(os.path.join(root, *names)) as file:
        return file.read()


def _cgroup_cpus(root: str | os.PathLike[str] = "/sys/fs/cgroup") -> float:
    """CPUs that a container's quota allows (cgroup v2 cpu.max, v1 cpu.cfs_quota_us); infinity where there is none."""
    try:
        quota, period = _text(root, "cpu.max").split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit = int(_text(root, "cpu", "cpu.cfs_quota_us"))
        every = int(_text(root, "cpu", "cpu.cfs_period_us"))
        return limit / every if limit > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


def default_num_threads() -> int:
    """BNNENGINE_NUM_THREADS, or else the lesser of the CPUs this process may run on and its container's quota.

    Raises:
        ValueError: the variable is set, but is not a whole number from 1 to 256.
    """
    text = os.environ.get("BNNENGINE_NUM_THREADS")
    if text:
        if not text.isdecimal() or not 1 <= int(text) <= 256:
            raise ValueError(f"BNNENGINE_NUM_THREADS: got {text!r}, wanted a whole number from 1 to 256")
        return int(text)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus, 256, math.floor(_cgroup_cpus()) if math.isfinite(_cgroup_cpus()) else 256))
