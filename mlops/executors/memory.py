"""Memory: what Linux tells of a worker's memory, so that one that is killed for it says so."""

from __future__ import annotations

from pathlib import Path

_KIB = 1024


def resident(pid: int) -> int:
    """Return the most memory that the process ever held, in bytes; 0 where it is gone."""
    return _field(pid, "VmHWM:")


def data(pid: int) -> int:
    """Return what the process holds of the memory that `Allotment.memory` limits, in bytes; 0 where it is gone."""
    return _field(pid, "VmData:")


def kills() -> int:
    """Return how many processes this machine has killed, since it was started, because memory was short."""
    return _number("/proc/vmstat", "oom_kill")


def _field(pid: int, name: str) -> int:
    return _number(f"/proc/{pid}/status", name) * _KIB


def _number(file: str, name: str) -> int:
    try:
        lines = Path(file).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}") and line.split()[0] == name), 0)
