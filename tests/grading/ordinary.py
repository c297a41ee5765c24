"""Run a command as a user who is nobody: no rights, no name, no control groups.

Used by root's tests as ``python ordinary.py UID COMMAND...``. Where Python lies in a folder that only
root may enter, a private view of the file system lets others pass through to it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from coursekit.grading import linux
from coursekit.grading.sandbox import interpreter_paths


def closed_parent(path: Path) -> Path | None:
    """The uppermost folder above a path that others may not pass."""
    return next((p for p in reversed(path.parents) if p.is_dir() and not p.stat().st_mode & 1), None)


def open_ways(paths: list[Path]) -> None:
    """Show paths in this process's own view of the file system, and nothing else of closed folders."""
    linux.unshare(linux.NEWNS)
    linux.mount("none", "/", "", linux.REC | linux.PRIVATE)
    ways = [(path, closed) for path in paths if (closed := closed_parent(path)) is not None]
    held = {path: os.open(path, os.O_PATH) for path, _ in ways}
    for closed in {closed for _, closed in ways}:
        linux.mount("tmpfs", str(closed), "tmpfs", 0, "mode=755,size=1m")
    for path, descriptor in held.items():
        path.mkdir(parents=True)
        linux.mount(f"/proc/self/fd/{descriptor}", str(path), "", linux.BIND | linux.REC)
        os.close(descriptor)


def main(uid: int, command: list[str]) -> None:
    open_ways([*interpreter_paths(), Path(__file__).resolve().parents[2]])
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
