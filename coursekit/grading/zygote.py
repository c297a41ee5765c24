"""A warm process that forks kernels: a graded submission starts in milliseconds, not seconds.

The zygote runs inside an outer bubblewrap with the system read-only. It imports numpy, torch,
matplotlib, ipykernel and the lab tools once. Each request makes a child: two forks into fresh
mount, pid, ipc, net and uts namespaces with empty scratch folders, its own ``/proc``, only its
own socket folder, limits, another user (when the grader is root), no capabilities and the
system-call filter. Only then does it become a kernel or a test process.

The zygote itself runs trusted code alone: it reads requests of the grader and nothing else.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coursekit.grading import seccomp
from coursekit.grading.sandbox import HOME, Box, Bubblewrap, Limits, environment, mounts

_DATA = "/course-data"  # where the outer box holds the lab's data files
_NEWNS, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_PDEATHSIG, _CAPBSET_DROP, _NO_NEW_PRIVS, _SECCOMP = 1, 24, 38, 22
_CAPABILITIES = ("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP")
_REPLY_S = 30.0
_MESSAGE = 1 << 20


class ZygoteError(RuntimeError):
    """The zygote did not start, or could not make a child."""


# --- the zygote's side -----------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: Any) -> None:
    """Call the C library and raise what errno says."""
    if getattr(_libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())


def _read_only(target: str) -> None:
    _mount("none", target, "", _BIND | _REMOUNT | _RDONLY | _NOSUID | _NODEV)


def _scratch(target: str, size_mb: int, mode: str) -> None:
    _mount("tmpfs", target, "tmpfs", _NOSUID | _NODEV, f"size={size_mb}m,mode={mode}")


def _file_system(spec: Mapping[str, Any]) -> None:
    """Give this mount namespace its own scratch, sockets and ``/proc``; runs as process 1 of its box."""
    _mount("none", "/", "", _REC | _PRIVATE)
    own, root = spec["sockets"], spec["sockets_root"]
    held = os.open(own, os.O_PATH | os.O_DIRECTORY)
    _scratch(root, 1, "0755")  # the folders of the others are gone from view
    os.mkdir(own)
    _mount(f"/proc/self/fd/{held}", own, "", _BIND)
    os.close(held)
    _read_only(root)
    scratch_mb = spec["limits"]["scratch_mb"]
    for target, mode in (("/tmp", "1777"), (HOME, "0777"), ("/dev/shm", "1777")):
        _scratch(target, scratch_mb, mode)
    for name in sorted(os.listdir(_DATA)):
        target = f"{HOME}/{name}"
        if os.path.isdir(f"{_DATA}/{name}"):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(f"{_DATA}/{name}", target, "", _BIND | _REC)
        _read_only(target)
    for path in spec["hidden"]:
        if os.path.isdir(path):
            _scratch(path, 1, "0755")
        elif os.path.exists(path):
            _mount("/dev/null", path, "", _BIND)
    _mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for name in ("sys", "irq", "bus", "fs"):
        if os.path.isdir(f"/proc/{name}"):
            _mount(f"/proc/{name}", f"/proc/{name}", "", _BIND)
            _read_only(f"/proc/{name}")
    if os.path.exists("/proc/sysrq-trigger"):
        _mount("/dev/null", "/proc/sysrq-trigger", "", _BIND)


def _memory_now() -> int:
    """Bytes of data that this process already has: what the warm imports took."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0


def _limit(limits: Limits, data: int) -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_mb << 20),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_DATA, data + (limits.memory_mb << 20)),
        (resource.RLIMIT_NPROC, limits.processes),
    ):
        resource.setrlimit(kind, (value, value))


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _drop(uid: int, root: bool) -> None:
    """Give up every right for good: capabilities, groups, user, and the calls of the filter."""
    for capability in range(64):
        if _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # beyond the last one that this kernel knows
    if root:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header = _CapHeader(0x20080522, 0)
    _call("capset", ctypes.byref(header), (ctypes.c_uint32 * 6)())
    _call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)
    _call("prctl", _PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after the change of user, which resets it
    code = seccomp.program()
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _call("prctl", _SECCOMP, 2, ctypes.byref(program), 0, 0)


def _inner(spec: Mapping[str, Any]) -> None:
    """Process 1 of the box: finish the box, then become what was asked for."""
    limits, data = Limits(**spec["limits"]), _memory_now()
    _file_system(spec)
    os.chdir(HOME)
    os.environ.clear()
    os.environ.update(spec["env"])
    os.setsid()
    _limit(limits, data)
    _drop(spec["uid"], spec["root"])
    import random

    import numpy as np

    random.seed()
    np.random.seed()  # noqa: NPY002  (the forks would share the legacy global state)
    if spec["entry"] == "kernel":
        from ipykernel.kernelapp import IPKernelApp

        application = IPKernelApp.instance()
        application.initialize(spec["arguments"])
        application.start()
    else:
        from coursekit.grading import trusted

        trusted.main(spec["arguments"])


def _child(spec: Mapping[str, Any], keep: int) -> None:
    """Leave the zygote's namespaces; wait for process 1 of the new box and end as it ends."""
    status = 1
    try:
        null = os.open("/dev/null", os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        os.closerange(3, keep)
        os.closerange(keep + 1, 4096)
        os.read(keep, 1)  # the grader has put this process into its control group
        os.close(keep)
        _call("prctl", _PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _call("unshare", _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET)
        inside = os.fork()
        if inside == 0:
            try:
                _inner(spec)
                status = 0
            except SystemExit as error:
                status = int(error.code or 0) if isinstance(error.code, int | None) else 1
            except BaseException:
                _last_words(spec)
            os._exit(status)
        _, code = os.waitpid(inside, 0)
        status = os.waitstatus_to_exitcode(code)
    except BaseException:
        _last_words(spec)
    os._exit(status if 0 <= status < 256 else 128 + abs(status) % 128)


def _last_words(spec: Mapping[str, Any]) -> None:
    """Leave the reason of a failure where the grader finds it."""
    import traceback

    with contextlib.suppress(OSError):
        Path(spec["sockets"], "error.txt").write_text(traceback.format_exc()[-4000:])


def _warm() -> None:
    """Import once what every submission needs."""
    for name in ("numpy", "scipy.stats", "matplotlib.pyplot", "torch", "IPython", "ipykernel.kernelapp"):
        with contextlib.suppress(ImportError):
            __import__(name)
    import ipykernel.inprocess  # noqa: F401  (zmq, tornado and the shell come with it)
    import matplotlib_inline.backend_inline  # noqa: F401

    import coursekit.grading.trusted
    import coursekit.lab  # noqa: F401


def serve(descriptor: int) -> None:
    """Answer requests for children until the grader closes the socket.

    Parameters
    ----------
    descriptor : int
        File descriptor of the control socket.
    """
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _warm()
    control.send(b"ready")
    while True:
        request = control.recv(_MESSAGE)
        while True:  # reap what has ended
            try:
                done, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if done == 0:
                break
        if not request:
            return
        spec = json.loads(request)
        gate, open_gate = os.pipe()
        pid = os.fork()
        if pid == 0:
            _child(spec, gate)
        os.close(gate)
        handle = os.pidfd_open(pid)
        socket.send_fds(control, [b"made"], [handle, open_gate])
        os.close(handle)
        os.close(open_gate)


# --- the grader's side -----------------------------------------------------------------------


class Child:
    """A process in a box, held by a descriptor that cannot come to mean another process.

    Has the methods of ``subprocess.Popen`` that a kernel manager uses.
    """

    stdin = stdout = stderr = None

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self.returncode: int | None = None
        text = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
        self.pid = int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pid:")))

    def poll(self) -> int | None:
        """Return None while the process runs, and a status after it has ended."""
        import select

        if self.returncode is None and select.select([self._descriptor], [], [], 0)[0]:
            self._ended()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which to give up.

        Returns
        -------
        int
            A status; whose child it was knows the true one.

        Raises
        ------
        subprocess.TimeoutExpired
            If it still runs.
        """
        import select

        if self.returncode is None:
            if not select.select([self._descriptor], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("kernel", timeout or 0.0)
            self._ended()
        return 0 if self.returncode is None else self.returncode

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signum)

    def kill(self) -> None:
        """End the process, and with it everything in its box."""
        self.send_signal(signal.SIGKILL)

    terminate = kill

    def _ended(self) -> None:
        self.returncode = 0
        os.close(self._descriptor)


class Zygote:
    """The grader's handle on a warm process.

    Parameters
    ----------
    sockets_root : Path
        Folder that holds one folder of sockets per kernel.
    data : sequence of Path
        The lab's data files.
    limits : Limits
        What each child may use.
    read_only : sequence of Path
        More files and folders that every child sees.

    Raises
    ------
    ZygoteError
        If the process does not start.
    SandboxMissing
        If bubblewrap is not installed.
    """

    def __init__(
        self,
        sockets_root: Path,
        *,
        data: Sequence[Path] = (),
        limits: Limits | None = None,
        read_only: Sequence[Path] = (),
    ):
        Bubblewrap()  # complains where it is missing
        self.sockets_root, self.limits = sockets_root, limits or Limits()
        self._root = os.getuid() == 0
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        box = Box(sockets=sockets_root, read_only=tuple(read_only), env=environment(), limits=self.limits)
        command = [
            *self._outer(box, data),
            sys.executable,
            "-m",
            "coursekit.grading.zygote",
            str(there.fileno()),
        ]
        log = sockets_root / "zygote.log"
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                command, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
            )
        there.close()
        self._control = here
        here.settimeout(120)
        if self._receive()[0] != b"ready":
            self.close()
            raise ZygoteError(f"the warm process did not start: {log.read_text(errors='replace')[-2000:]}")
        here.settimeout(_REPLY_S)

    def _outer(self, box: Box, data: Sequence[Path]) -> list[str]:
        """Command of the outer box, in which the zygote keeps the rights to make inner ones."""
        command = ["bwrap", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--hostname", "grader"]
        if not self._root:  # an ordinary user needs a user namespace, and an unmasked /proc to mount others
            command += ["--unshare-user", "--uid", "0", "--gid", "0"]
        command += ["--cap-drop", "ALL"]
        command += [part for name in _CAPABILITIES for part in ("--cap-add", f"CAP_{name}")]
        command += mounts(box)
        if not self._root:
            command += ["--bind", "/proc", "/proc"]
        command += ["--perms", "0755", "--dir", _DATA]
        for file in data:
            command += ["--ro-bind", str(file), f"{_DATA}/{file.name}"]
        command += ["--remount-ro", "/", "--die-with-parent", "--clearenv"]
        command += [part for item in box.env.items() for part in ("--setenv", *item)]
        return [*command, "--"]

    def _receive(self) -> tuple[bytes, list[int]]:
        try:
            message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE, 2)
        except OSError:
            return b"", []
        return message, descriptors

    def fork(
        self,
        entry: str,
        arguments: Sequence[str],
        *,
        sockets: Path,
        env: Mapping[str, str],
        uid: int,
        hidden: Sequence[Path] = (),
        before: Callable[[int], None] | None = None,
    ) -> Child:
        """Make a child in a fresh box.

        Parameters
        ----------
        entry : {"kernel", "trusted"}
            What it becomes.
        arguments : sequence of str
            Its arguments.
        sockets : Path
            Its own folder below ``sockets_root``.
        env : dict
            Its environment.
        uid : int
            User to become, when the grader is root.
        hidden : sequence of Path
            Files and folders that the child must not see.
        before : callable, optional
            Called with the process id before the child goes on (to put it into a control group).

        Returns
        -------
        Child
            The process.

        Raises
        ------
        ZygoteError
            If the zygote is gone.
        """
        spec = {
            "entry": entry,
            "arguments": list(arguments),
            "sockets": str(sockets),
            "sockets_root": str(self.sockets_root),
            "env": dict(env),
            "uid": uid,
            "root": self._root,
            "hidden": [str(path) for path in hidden],
            "limits": vars(self.limits),
        }
        try:
            self._control.send(json.dumps(spec).encode())
        except OSError as error:
            raise ZygoteError(f"the warm process is gone: {error}") from error
        message, descriptors = self._receive()
        if message != b"made" or len(descriptors) != 2:
            raise ZygoteError("the warm process is gone: it did not answer")
        child = Child(descriptors[0])
        if before is not None:
            before(child.pid)
        os.write(descriptors[1], b"g")
        os.close(descriptors[1])
        return child

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process and every child of it."""
        self._control.close()
        deadline = time.monotonic() + 2
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
