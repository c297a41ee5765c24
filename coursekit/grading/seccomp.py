"""A system-call filter for student code: what no lab needs, and what a way out would need, fails.

A deny list as a classic BPF program (Linux, x86-64 and aarch64). Every denied call returns
EPERM, and ``clone3`` returns ENOSYS, so that the C library falls back to ``clone``, whose
flags the filter can see. Namespaces, mounts, tracing, keys, kernel modules, BPF, io_uring and
performance counters are denied.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import errno
import platform
import struct

#: System call numbers on (x86-64, aarch64); None where the architecture has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
_CLONE = (56, 220)
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_ARCHITECTURE = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_X32 = 0x40000000  # the x32 calls of an x86-64 kernel carry this bit

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000


def _instruction(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, value)


def program(machine: str | None = None) -> bytes:
    """Assemble the filter.

    Parameters
    ----------
    machine : {"x86_64", "aarch64"}, optional
        The processor; this machine's by default.

    Returns
    -------
    bytes
        An array of ``struct sock_filter``, as ``bwrap --seccomp`` and ``prctl`` take it.

    Raises
    ------
    OSError
        If there is no table of system calls for this processor.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURE:
        raise OSError(f"no system-call filter for {machine}: expected one of {sorted(_ARCHITECTURE)}")
    audit, column = _ARCHITECTURE[machine]
    deny = _instruction(_RETURN, _ERRNO | errno.EPERM)
    allow = _instruction(_RETURN, _ALLOW)
    lines = [
        _instruction(_LOAD, 4),  # seccomp_data.arch
        _instruction(_EQUAL, audit, 1, 0),
        _instruction(_RETURN, _KILL),  # a call in another architecture's numbering
        _instruction(_LOAD, 0),  # seccomp_data.nr
    ]
    if machine == "x86_64":
        lines += [_instruction(_AT_LEAST, _X32, 0, 1), _instruction(_RETURN, _KILL)]
    lines += [_instruction(_EQUAL, _CLONE3, 0, 1), _instruction(_RETURN, _ERRNO | errno.ENOSYS)]
    for numbers in _DENIED.values():
        number = numbers[column]
        if number is not None:
            lines += [_instruction(_EQUAL, number, 0, 1), deny]
    lines += [
        _instruction(_EQUAL, _CLONE[column], 0, 3),
        _instruction(_LOAD, 16),  # low half of the first argument: the flags
        _instruction(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        deny,
        allow,
    ]
    return b"".join(lines)
