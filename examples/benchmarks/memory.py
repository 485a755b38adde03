"""Memory of this process or of another one, as Linux tells it."""

from pathlib import Path

_PROCESS = Path("/proc/self")


def resident_megabytes() -> float:
    """What it holds now, pages of mapped files included."""
    return _status("VmRSS")


def peak_megabytes() -> float:
    """The most that it held since `forget_peak`, or since its start."""
    return _status("VmHWM")


def anonymous_megabytes(process: int) -> float:
    """What another process holds now without the pages of mapped files; zero where it has gone.

    Parameters
    ----------
    process : int
        Its number.
    """
    try:
        return _status("RssAnon", Path(f"/proc/{process}"))
    except (OSError, StopIteration):
        return 0.0


def forget_peak() -> None:
    """Let the peak count from now on.

    Raises
    ------
    OSError
        The system does not let a process do that.
    """
    (_PROCESS / "clear_refs").write_text("5")


def _status(field: str, process: Path = _PROCESS) -> float:
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))
