"""Memory of this process, as Linux tells it."""

from pathlib import Path

_PROCESS = Path("/proc/self")


def resident_megabytes() -> float:
    """What it holds now, pages of mapped files included."""
    return _status("VmRSS")


def peak_megabytes() -> float:
    """The most that it held since `forget_peak`, or since its start."""
    return _status("VmHWM")


def forget_peak() -> None:
    """Let the peak count from now on.

    Raises
    ------
    OSError
        The system does not let a process do that.
    """
    (_PROCESS / "clear_refs").write_text("5")


def _status(field: str) -> float:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))
