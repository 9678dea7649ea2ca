"""Processes that tests look at without being their parents."""

from pathlib import Path

import psutil


def has_ended(pid: int) -> bool:
    """Whether it is gone, or dead and not yet collected: who is not its parent cannot say when that happens."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def command_line_of(process: psutil.Process) -> str:
    """Its words; none where it ended meanwhile or is not ours."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_asleep(pid: int) -> bool:
    """Whether none of its threads has anything to do: what it was sent so far, it has read (Linux only)."""
    try:
        states = [stat.read_text().rpartition(")")[2].split()[0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # a thread ended meanwhile
        return False
    return set(states) == {"S"}
