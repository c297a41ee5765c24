"""Control groups: count and cap what all processes of one box use together, where the system lets us.

Resource limits cap each process alone. A group caps the box as a whole (memory, processes),
gives every box the same share of the processors however many processes it has, and says
afterwards how much processor time it took and whether memory ran out. Both versions are
supported; where none may be written to, `groups` returns None and the limits of processes
remain.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_WANTED = ("memory", "pids", "cpu", "cpuacct")
_PREFIX = "coursekit-"
_number = itertools.count()


class Group:
    """One control group: a folder per controller (version 1), or one folder (version 2).

    Parameters
    ----------
    folders : dict
        Controller -> folder.
    """

    def __init__(self, folders: Mapping[str, Path]):
        self._folders = dict(folders)

    @property
    def members(self) -> list[Path]:
        """Files that a process id is written to."""
        return sorted({folder / "cgroup.procs" for folder in self._folders.values()})

    def add(self, pid: int) -> None:
        """Put a process into the group; its children will follow.

        Parameters
        ----------
        pid : int
            The process.

        Raises
        ------
        OSError
            If this is not allowed.
        """
        for file in self.members:
            file.write_text(str(pid))

    def cpu_s(self) -> float:
        """Return the processor time that the group has used, in seconds; 0 where nobody counts it."""
        with contextlib.suppress(OSError, ValueError):
            if "cpuacct" in self._folders:
                return int((self._folders["cpuacct"] / "cpuacct.usage").read_text()) / 1e9
            text = (self._folders["memory"] / "cpu.stat").read_text()
            found = re.search(r"^usage_usec (\d+)", text, re.MULTILINE)
            return int(found[1]) / 1e6 if found else 0.0
        return 0.0

    def out_of_memory(self) -> bool:
        """Whether a process was killed because the group had no memory left."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                text = (self._folders["memory"] / name).read_text()
                found = re.search(r"^oom_kill (\d+)", text, re.MULTILINE)
                return found is not None and int(found[1]) > 0
        return False

    def close(self) -> None:
        """Kill what is left in the group, and remove it."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for file in self.members:
                with contextlib.suppress(OSError):
                    for pid in file.read_text().split():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)
            if all(_removed(folder) for folder in set(self._folders.values())):
                return
            time.sleep(0.005)


def _removed(folder: Path) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class Groups:
    """A place in the system's tree where groups can be made.

    Parameters
    ----------
    bases : dict
        Controller -> folder in which groups can be made.
    version : {1, 2}
        Of the system.
    """

    def __init__(self, bases: Mapping[str, Path], version: int):
        self._bases, self._version = dict(bases), version

    def make(self, *, memory_mb: int, processes: int) -> Group:
        """Make a group.

        Parameters
        ----------
        memory_mb : int
            Memory of all its processes and of their scratch folders, in MiB.
        processes : int
            Processes and threads.

        Returns
        -------
        Group
            Without members.

        Raises
        ------
        OSError
            If this is not allowed.
        """
        name = f"{_PREFIX}{os.getpid()}-{next(_number)}"
        folders = {controller: base / name for controller, base in self._bases.items()}
        group = Group(folders)
        try:
            for folder in set(folders.values()):
                folder.mkdir()
            memory, pids = folders["memory"], folders["pids"]
            (pids / "pids.max").write_text(str(processes))
            if self._version == 1:
                (memory / "memory.limit_in_bytes").write_text(str(memory_mb << 20))
                with contextlib.suppress(OSError):  # not every system counts swap
                    (memory / "memory.memsw.limit_in_bytes").write_text(str(memory_mb << 20))
            else:
                (memory / "memory.max").write_text(str(memory_mb << 20))
                (memory / "memory.oom.group").write_text("1")
                with contextlib.suppress(OSError):
                    (memory / "memory.swap.max").write_text("0")
        except OSError:
            group.close()
            raise
        return group

    def sweep(self) -> None:
        """Remove the groups of graders that are gone."""
        for base in set(self._bases.values()):
            for folder in base.glob(f"{_PREFIX}*"):
                owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
                if owner.isdecimal() and not Path("/proc", owner).exists():
                    _removed(folder)


def groups(mounts: str | None = None, own: str | None = None) -> Groups | None:
    """Find where this process may make groups.

    Parameters
    ----------
    mounts, own : str, optional
        Contents of ``/proc/self/mountinfo`` and ``/proc/self/cgroup``; read by default.

    Returns
    -------
    Groups or None
        None where this process may not.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
        own = Path("/proc/self/cgroup").read_text() if own is None else own
    except OSError:
        return None
    paths = {}
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        paths.update(dict.fromkeys(names.split(","), path))
    trees = [tree for line in mounts.splitlines() if (tree := _tree(line)) is not None]
    found = _version_2(trees, paths.get("", "/")) or _version_1(trees, paths)
    if found is not None:
        found.sweep()
    return found


def _tree(line: str) -> tuple[str, list[str], Path, str] | None:
    """Kind, options, mount point and root of a mounted tree of groups."""
    fields, _, rest = line.partition(" - ")
    kind, _, *options = rest.split()
    if kind not in ("cgroup", "cgroup2"):
        return None
    _, _, _, root, point, *_ = fields.split()
    return kind, options[-1].split(",") if options else [], Path(point), root


def _below(point: Path, root: str, path: str) -> Path:
    """Where a group's path lies under a mount point that shows the tree from `root` on."""
    inside = os.path.relpath(path, root)
    return point if inside.startswith("..") else point / inside


def _version_1(trees: Sequence[tuple[str, list[str], Path, str]], paths: Mapping[str, str]) -> Groups | None:
    bases = {}
    for kind, options, point, root in trees:
        for controller in _WANTED:
            if kind == "cgroup" and controller in options and controller in paths:
                base = _below(point, root, paths[controller])
                if os.access(base, os.W_OK) and os.path.exists(base / "cgroup.procs"):
                    bases[controller] = base
    return Groups(bases, 1) if {"memory", "pids"} <= set(bases) else None


def _version_2(trees: Sequence[tuple[str, list[str], Path, str]], path: str) -> Groups | None:
    for kind, _, point, root in trees:
        if kind != "cgroup2":
            continue
        base = _below(point, root, path)
        # A group that has members cannot give controllers to groups below it: look further up.
        for folder in (base, *base.parents):
            if not folder.is_relative_to(point):
                break
            with contextlib.suppress(OSError):
                given = (folder / "cgroup.subtree_control").read_text().split()
                if {"memory", "pids"} <= set(given) and os.access(folder, os.W_OK):
                    return Groups({"memory": folder, "pids": folder}, 2)
    return None
