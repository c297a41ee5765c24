"""A warm process that forks kernels: a graded submission starts in milliseconds, not seconds.

The zygote runs inside an outer bubblewrap with the system read-only. It imports numpy, torch,
matplotlib, ipykernel and the lab tools once. Each request makes a child: two forks into fresh
mount, pid, ipc, net and uts namespaces with empty scratch folders, its own ``/proc``, only its
own socket folder, limits, another user (when the grader is root), no capabilities and the
system-call filter. Only then does it become a kernel or a test process.

The zygote itself runs trusted code alone: it reads requests of the grader and nothing else, and
is told nothing that a student's kernel, whose memory starts as a copy of its own, may not know.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from coursekit.grading import linux, seccomp
from coursekit.grading.sandbox import (
    HOME,
    Box,
    Bubblewrap,
    Limits,
    environment,
    interpreter,
    interpreter_paths,
    mounts,
)

_DATA = "/course-data"  # where the outer box holds the lab's data files
_CAPABILITIES = ("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP")
_START_S = 120.0
_REPLY_S = 30.0
_MESSAGE = 1 << 20


class ZygoteError(RuntimeError):
    """The zygote did not start, or could not make a child."""


# --- the zygote's side -----------------------------------------------------------------------


def _file_system(spec: Mapping[str, Any]) -> None:
    """Give this mount namespace its own scratch, sockets and ``/proc``; runs as process 1 of its box."""
    linux.mount("none", "/", "", linux.REC | linux.PRIVATE)
    linux.mount("proc", "/proc", "proc", linux.NOSUID | linux.NODEV | linux.NOEXEC)
    own, root = spec["sockets"], spec["sockets_root"]
    held = os.open(own, os.O_PATH | os.O_DIRECTORY)
    kept = {path: os.open(path, os.O_PATH) for path in spec["keep"]}
    scratch_mb = spec["limits"]["scratch_mb"]
    for target, mode in (("/tmp", "1777"), (HOME, "0777"), ("/dev/shm", "1777")):
        linux.scratch(target, scratch_mb, mode)
    for path, descriptor in kept.items():
        _put_back(path, descriptor)
    os.makedirs(root, exist_ok=True)  # it may lie in the folder that has just been emptied
    linux.scratch(root, 1, "0755")  # the folders of the others are gone from view
    os.mkdir(own)
    linux.mount(f"/proc/self/fd/{held}", own, "", linux.BIND)
    os.close(held)
    linux.read_only(root)
    for name in sorted(os.listdir(_DATA)):
        target = f"{HOME}/{name}"
        if os.path.isdir(f"{_DATA}/{name}"):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        linux.mount(f"{_DATA}/{name}", target, "", linux.BIND | linux.REC)
        linux.read_only(target)
    for path in spec["hidden"]:
        if os.path.isdir(path):
            linux.scratch(path, 1, "0755")
        elif os.path.exists(path):
            linux.mount("/dev/null", path, "", linux.BIND)
    for name in ("sys", "irq", "bus", "fs"):
        if os.path.isdir(f"/proc/{name}"):
            linux.mount(f"/proc/{name}", f"/proc/{name}", "", linux.BIND)
            linux.read_only(f"/proc/{name}")
    if os.path.exists("/proc/sysrq-trigger"):
        linux.mount("/dev/null", "/proc/sysrq-trigger", "", linux.BIND)


def _put_back(path: str, descriptor: int) -> None:
    """Show what lies below a scratch folder again, read-only: a course that lives in ``/tmp``."""
    if os.path.isdir(f"/proc/self/fd/{descriptor}"):
        os.makedirs(path)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    linux.mount(f"/proc/self/fd/{descriptor}", path, "", linux.BIND)
    linux.read_only(path)
    os.close(descriptor)


def _memory_now() -> int:
    """Bytes of data that this process already has: what the warm imports took."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) << 10
    return 0


def _limit(limits: Limits, processes: int) -> None:
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits.cpu_s),
        (resource.RLIMIT_FSIZE, limits.file_mb << 20),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_DATA, _memory_now() + (limits.memory_mb << 20)),
        (resource.RLIMIT_NPROC, processes),
    ):
        resource.setrlimit(kind, (value, value))


def _inner(spec: Mapping[str, Any]) -> None:
    """Process 1 of the box: finish the box, then become what was asked for."""
    limits = Limits(**spec["limits"])
    _file_system(spec)
    os.chdir(HOME)
    os.environ.clear()
    os.environ.update(spec["env"])
    os.setsid()
    _limit(limits, spec["processes"])
    linux.drop_rights(spec["uid"], seccomp.program())
    linux.die_with_parent()  # after the change of user, which resets it
    import random

    import numpy as np

    random.seed(0)  # the same submission, the same numbers
    np.random.seed(0)  # noqa: NPY002  (what a student's code may still use)
    if spec["entry"] == "kernel":
        from ipykernel.kernelapp import IPKernelApp

        application = IPKernelApp.instance()
        application.initialize(spec["arguments"])
        application.start()
    else:
        from coursekit.grading import trusted

        trusted.main(spec["arguments"])


def _child(spec: Mapping[str, Any], line: socket.socket) -> None:
    """Make process 1 of a new box, wait for its end, and end it when the grader hangs up.

    Process 1 belongs to the student as soon as it runs; it can undo what would end it with its
    parent, so this process, which is outside the box, watches over it.
    """
    status = 1
    try:
        null = os.open("/dev/null", os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        os.closerange(3, line.fileno())
        os.closerange(line.fileno() + 1, 4096)
        linux.unshare(linux.NEWNS | linux.NEWUTS | linux.NEWIPC | linux.NEWPID | linux.NEWNET)
        gate, opener = os.pipe()
        inside = os.fork()
        if inside == 0:
            line.close()
            os.close(opener)
            _first(spec, gate)
        os.close(gate)
        handle = os.pidfd_open(inside)
        socket.send_fds(line, [b"made"], [handle])
        while True:
            ready = select.select([line.fileno(), handle], [], [])[0]
            if handle in ready:
                break
            if line.recv(16):  # the grader has put the process into its control group
                os.write(opener, b"g")
            else:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                break
        status = os.waitstatus_to_exitcode(os.waitpid(inside, 0)[1])
    except BaseException:
        _last_words(spec)
    os._exit(status if 0 <= status < 256 else 128 + abs(status) % 128)


def _first(spec: Mapping[str, Any], gate: int) -> None:
    status = 1
    try:
        if os.read(gate, 1):
            os.close(gate)
            _inner(spec)
            status = 0
    except SystemExit as error:
        status = int(error.code or 0) if isinstance(error.code, int | None) else 1
    except BaseException:
        _last_words(spec)
    os._exit(status)


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

    gc.collect()
    gc.freeze()  # the children's collector leaves these objects, and so the shared memory, alone


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
    while request := control.recv(_MESSAGE):
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # reap what has ended
                pass
        spec = json.loads(request)
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            _child(spec, line)
        line.close()
        socket.send_fds(control, [b"forked"], [theirs.fileno()])
        theirs.close()


# --- the grader's side -----------------------------------------------------------------------


class Child:
    """Process 1 of a box, held by a descriptor that cannot come to mean another process.

    Has the methods of ``subprocess.Popen`` that a kernel manager uses.

    Parameters
    ----------
    line : socket
        Connected to the process that watches over it; closing it ends the box too.
    """

    stdin = stdout = stderr = None

    def __init__(self, line: socket.socket):
        line.settimeout(_REPLY_S)
        try:
            _, descriptors, _, _ = socket.recv_fds(line, 16, 1)
        except OSError:
            descriptors = []
        if not descriptors:
            line.close()
            raise ZygoteError("the warm process could not make a box")
        (self._descriptor,), self._line = descriptors, line
        self.returncode: int | None = None
        text = Path(f"/proc/self/fdinfo/{self._descriptor}").read_text()
        self.pid = int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pid:")))

    def go(self) -> None:
        """Let the process go on, once it is in its control group."""
        with contextlib.suppress(OSError):
            self._line.send(b"go")

    def poll(self) -> int | None:
        """Return None while the process runs, and 0 after it has ended; its true status is lost."""
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
            As for `poll`.

        Raises
        ------
        subprocess.TimeoutExpired
            If it still runs.
        """
        if self.returncode is None:
            if not select.select([self._descriptor], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("kernel", timeout or 0.0)
            self._ended()
        return 0

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
        self._line.close()


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
        shown = (*interpreter_paths(), *read_only)
        self._below_scratch = [path for path in shown if path.is_relative_to("/tmp")]
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        box = Box(sockets=sockets_root, read_only=tuple(read_only), env=environment(), limits=self.limits)
        command = [
            *self._outer(box, data),
            interpreter(),
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
        here.settimeout(_START_S)
        if self._receive()[0] != b"ready":
            self.close()
            raise ZygoteError(f"the warm process did not start: {log.read_text(errors='replace')[-2000:]}")
        here.settimeout(_REPLY_S)

    def _outer(self, box: Box, data: Sequence[Path]) -> list[str]:
        """Command of the outer box, in which the zygote keeps the rights to make inner ones."""
        command = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-net"]
        command += ["--hostname", "grader", "--new-session"]
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
        command += ["--remount-ro", "/", "--remount-ro", "/dev", "--die-with-parent", "--clearenv"]
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
        processes: int,
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
        processes : int
            How many processes its user may have.
        hidden : sequence of Path
            Files and folders that the child must not see.
        before : callable, optional
            Called with the process id before the child does anything (to put it into a control group).

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
            "uid": uid if self._root else None,
            "processes": processes,
            "hidden": [str(path) for path in hidden],
            "keep": [str(path) for path in self._below_scratch],
            "limits": vars(self.limits),
        }
        try:
            self._control.send(json.dumps(spec).encode())
        except OSError as error:
            raise ZygoteError(f"the warm process is gone: {error}") from error
        message, descriptors = self._receive()
        if message != b"forked" or len(descriptors) != 1:
            raise ZygoteError("the warm process is gone: it did not answer")
        child = Child(socket.socket(fileno=descriptors[0]))
        if before is not None:
            before(child.pid)
        child.go()
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
