"""A system-call filter for student code: what no lab needs, and what a way out would need, fails.

A deny list as a classic BPF program (Linux, x86-64 and aarch64). Every denied call returns
EPERM, and ``clone3`` returns ENOSYS, so that the C library falls back to ``clone``, whose
flags the filter can see. Namespaces, mounts, tracing, keys, kernel modules, BPF, io_uring, the
kernel's log and performance counters are denied, and so is memory that no process has mapped
(``memfd_create``, System V segments), which no limit of a process counts. Sockets can be local
or of the internet's families (which lead nowhere in a box); no others, because some, such as
those between a virtual machine and its host, belong to no network namespace.

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
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
}
_CLONE = (56, 220)
_SOCKETS = ((41, 198), (53, 199))  # socket, socketpair
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, and AF_NETLINK, which lists interfaces
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
    for numbers in _SOCKETS:
        lines += [_instruction(_EQUAL, numbers[column], 0, len(_FAMILIES) + 3), _instruction(_LOAD, 16)]
        # A family that matches jumps over those after it and the refusal.
        lines += [_instruction(_EQUAL, f, len(_FAMILIES) - i, 0) for i, f in enumerate(_FAMILIES)]
        lines += [_instruction(_RETURN, _ERRNO | errno.EAFNOSUPPORT), allow]
    lines += [
        _instruction(_EQUAL, _CLONE[column], 0, 3),
        _instruction(_LOAD, 16),  # low half of the first argument: the flags
        _instruction(_ANY_BIT, _NEW_NAMESPACES, 0, 1),
        deny,
        allow,
    ]
    return b"".join(lines)
