"""The few calls of the kernel that Python's own library lacks.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
from pathlib import Path
from typing import Any

NEWNS, NEWUTS, NEWIPC, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS, _SECCOMP = 1, 24, 38, 22
_OWNER_OF_NAMESPACE = 0xB701  # ioctl NS_GET_USERNS

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: Any) -> None:
    """Call the C library and raise what errno says.

    Parameters
    ----------
    name : str
        A function that returns 0 on success.
    *arguments : object
        Its arguments, as ctypes takes them.

    Raises
    ------
    OSError
        If it does not return 0.
    """
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount; see ``mount(2)``."""
    call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())


def read_only(target: str) -> None:
    """Make a bind mount read-only."""
    mount("none", target, "", BIND | REMOUNT | RDONLY | NOSUID | NODEV)


def scratch(target: str, size_mb: int, mode: str) -> None:
    """Mount an empty folder in memory, limited in bytes and in files."""
    mount("tmpfs", target, "tmpfs", NOSUID | NODEV, f"size={size_mb}m,nr_inodes={64 * size_mb},mode={mode}")


def unshare(flags: int) -> None:
    """Leave namespaces for fresh ones."""
    call("unshare", flags)


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def drop_rights(uid: int | None, program: bytes) -> None:
    """Give up every right for good: capabilities, groups, user, and the calls of a filter.

    Parameters
    ----------
    uid : int or None
        User and group to become; None to stay who one is.
    program : bytes
        The system-call filter.
    """
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # beyond the last one that this kernel knows
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    call("capset", ctypes.byref(_CapHeader(0x20080522, 0)), (ctypes.c_uint32 * 6)())
    call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)
    buffer = ctypes.create_string_buffer(program, len(program))
    code = _Program(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    call("prctl", _SECCOMP, 2, ctypes.byref(code), 0, 0)


def die_with_parent() -> None:
    """Be killed when the parent ends."""
    call("prctl", _PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def seal(pid: int, folder: Path) -> None:
    """Make a folder read-only in the mount namespace of another process, while it runs.

    Sockets that exist can still be used. What was opened for writing before stays writable.

    Parameters
    ----------
    pid : int
        A process in that namespace.
    folder : Path
        A mount point there.

    Raises
    ------
    OSError
        If this process may not, or the folder is no mount point there.
    """
    theirs = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    owner = fcntl.ioctl(theirs, _OWNER_OF_NAMESPACE)
    helper = os.fork()  # a namespace is entered for good, so another process does
    if helper == 0:
        status = 1
        try:
            if os.fstat(owner).st_ino != os.stat("/proc/self/ns/user").st_ino:
                call("setns", owner, 0)
            call("setns", theirs, 0)
            read_only(str(folder))
            status = 0
        except OSError as error:
            status = error.errno or 1
        finally:
            os._exit(status)
    os.close(theirs)
    os.close(owner)
    status = os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1])
    if status != 0:
        raise OSError(status, f"{folder}: cannot be sealed: {os.strerror(abs(status))}")


def descendants(pid: int) -> list[int]:
    """List a process and all below it.

    Parameters
    ----------
    pid : int
        The process.

    Returns
    -------
    list of int
        Those that still run, parents first.
    """
    found = [pid]
    for parent in found:  # grows while it is walked
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                text = Path(f"/proc/{parent}/task/{task}/children").read_text()
                found += [int(child) for child in text.split()]
    return found


def resident_mb(pid: int, *, shared: bool = True) -> float:
    """Memory of a process.

    Parameters
    ----------
    pid : int
        The process.
    shared : bool
        Count in full what it shares with others; otherwise only its part of that.

    Returns
    -------
    float
        MiB; 0 if there is no such process.
    """
    try:
        if shared:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 2**10
    except (OSError, ValueError, IndexError):
        pass
    return 0.0
