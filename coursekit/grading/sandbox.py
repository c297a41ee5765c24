"""The box that student code runs in: what it may see, and how much it may use.

A box is a fresh set of namespaces (pid, ipc, uts, net, mount) without a network, with a
read-only system, an empty scratch folder, the lab's data files, no environment, no
capabilities, a system-call filter and limits on memory, processes, processor time and file
size. bubblewrap builds it; docker or podman can.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from coursekit.grading import seccomp

#: Folder inside the box in which the kernel starts: empty, but for the lab's data files.
HOME = "/lab"

_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts")
_EXCHANGE = "/usr/local/share"  # nbgrader's exchange, where everybody hands in, is here by default
_INSTALL = "install bubblewrap (sudo apt-get install bubblewrap)"
#: Memory that the interpreter and its libraries take where they are not loaded already.
LIBRARIES_MB = 512
#: Users that nothing belongs to: beyond the ranges of containers and of systemd, and for a grader
#: that is itself in a container, whose users may end at 65,535, above Debian's ordinary ones.
_FREE_UIDS = (range(1_900_000_000, 2_140_000_000), range(61_000, 65_000))


class SandboxMissing(RuntimeError):
    """The tool that builds the box is not installed, and running without a box was not asked for."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use.

    Attributes
    ----------
    memory_mb : int
        Memory, in MiB, beyond what the interpreter and its libraries take at the start.
    processes : int
        Processes and threads.
    cpu_s : int
        Seconds of processor time of one process.
    cell_s : int
        Seconds that one cell, or one test of it, may take.
    total_s : int
        Seconds that a whole notebook may take.
    file_mb : int
        Size of one file, in MiB.
    scratch_mb : int
        Size of the scratch folders, in MiB.
    open_files : int
        Open files.
    output_kb : int
        Output that is kept of one notebook, in KiB.
    """

    memory_mb: int = 2048
    processes: int = 128
    cpu_s: int = 300
    cell_s: int = 60
    total_s: int = 600
    file_mb: int = 64
    scratch_mb: int = 256
    open_files: int = 512
    output_kb: int = 1024

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")


@dataclass(frozen=True)
class Box:
    """What one kernel can see and use.

    Attributes
    ----------
    sockets : Path
        Private folder, bound read-write at the same path: the kernel's sockets.
    data : tuple of Path
        The lab's data files, read-only in the start folder.
    read_only : tuple of Path
        More files and folders, read-only at the same paths.
    hidden : tuple of Path
        Parts of those that must not be seen: modules that are closed while a lab is graded.
    env : dict
        The whole environment.
    limits : Limits
        What it may use.
    uid : int
        User to become, when the grader is root.
    """

    sockets: Path
    data: tuple[Path, ...] = ()
    read_only: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    uid: int = _FREE_UIDS[0].start


def fresh_uid(box: int = 0) -> int:
    """Pick a user id that nothing on the host belongs to, another one for each box of each process.

    Processes are counted by user, so two boxes with one user could starve each other.

    Parameters
    ----------
    box : {0, 1}
        Which box of this process.

    Returns
    -------
    int
        The id; the caller's own when the grader is not root.
    """
    if os.getuid() != 0:
        return os.getuid()
    maps = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    for free in _FREE_UIDS:
        if any(first <= free[0] and free[-1] < first + count for first, _, count in maps):
            return free[(2 * os.getpid() + box) % len(free)]
    raise SandboxMissing("root of this container has too few users to run student code as another one")


def environment() -> dict[str, str]:
    """Make the environment of a box from nothing: no variable of the grader gets in.

    Returns
    -------
    dict
        Names and values.
    """
    return {
        "PATH": f"{Path(interpreter()).parent}:/usr/bin:/bin",
        "PYTHONPATH": str(_package().parent),  # the course that grades, wherever another one is installed
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "IPYTHONDIR": "/tmp/ipython",
        "JUPYTER_RUNTIME_DIR": "/tmp/runtime",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",  # the same submission, the same order of its sets
        "NBGRADER_EXECUTION": "autograde",
        "COURSEKIT_GRADING": "1",
        "COURSEKIT_OFFLINE": "1",
    }


def interpreter_paths() -> tuple[Path, ...]:
    """List the folders that the interpreter and the course need, and nothing that is the course's own.

    Returns
    -------
    tuple of Path
        The environment, the Python behind it, and the package (not the repository around it).
    """
    base = Path(sys.base_prefix)  # the environment's links may lead there by another name
    wanted = list(dict.fromkeys([Path(sys.prefix).resolve(), base, base.resolve(), _package()]))
    return tuple(p for p in wanted if not p.is_relative_to("/usr") and not _inside(p, wanted))


def interpreter() -> str:
    """Find the interpreter by a path that holds in the box: the environment may be a link to another.

    Returns
    -------
    str
        Its path; what it links to is among `interpreter_paths`.
    """
    here = Path(sys.executable)
    return str(here.parent.resolve() / here.name)


def _package() -> Path:
    import coursekit

    return Path(coursekit.__file__).resolve().parent


def visible_paths() -> tuple[Path, ...]:
    """List the folders of the host that every box shows.

    Returns
    -------
    tuple of Path
        The system's, the interpreter's and the package's.
    """
    return (*(Path(name) for name in _SYSTEM if os.path.isdir(name)), *interpreter_paths())


def _inside(path: Path, others: Sequence[Path]) -> bool:
    return any(path != other and path.is_relative_to(other) for other in others)


class Backend(Protocol):
    """A way to build a box."""

    name: str
    variables: tuple[str, ...]  # of the grader's environment, which the command itself needs

    def command(self, argv: Sequence[str], box: Box) -> list[str]:
        """Wrap a command so that it runs in the box.

        Parameters
        ----------
        argv : sequence of str
            The command.
        box : Box
            What it may see and use.

        Returns
        -------
        list of str
            The command to run on the host.
        """

    def end(self, box: Box) -> None:
        """End what may be left of a box after its command was killed."""


def _prlimit(limits: Limits, *, memory: bool, processes: bool) -> list[str]:
    """Resource limits that every child inherits; memory and processes where no cgroup counts them."""
    command = ["prlimit", "--core=0", f"--cpu={limits.cpu_s}", f"--fsize={limits.file_mb << 20}"]
    command.append(f"--nofile={limits.open_files}")
    if memory:  # not the address space: torch reserves far more than it uses
        command.append(f"--data={(limits.memory_mb + LIBRARIES_MB) << 20}")
    if processes:
        command.append(f"--nproc={limits.processes}")
    return command


class Bubblewrap:
    """Boxes made by bubblewrap: no daemon, no image, about 20 ms each."""

    name = "bwrap"
    variables: tuple[str, ...] = ("PATH",)

    def __init__(self) -> None:
        if shutil.which("bwrap") is None:
            raise SandboxMissing(
                f"bubblewrap is not installed, and student code does not run without a box: {_INSTALL}, "
                "or say --unsafe-no-sandbox to run it with all your own rights"
            )
        self._filter = _filter_file()

    def command(self, argv: Sequence[str], box: Box) -> list[str]:
        """Wrap a command so that it runs in the box."""
        root = os.getuid() == 0
        limits = _prlimit(box.limits, memory=True, processes=True)
        inner = [*limits, *(_drop(box.uid) if root else []), *argv]
        wrap = [
            "bwrap",
            *self.namespaces(root=root),
            *mounts(box),
            "--remount-ro",
            "/",
            "--remount-ro",
            "/dev",
        ]
        wrap += ["--die-with-parent", "--new-session", "--clearenv"]
        wrap += [part for item in box.env.items() for part in ("--setenv", *item)]
        # The shell only opens the filter for bubblewrap, which reads it from a descriptor and closes it.
        return ["/bin/sh", "-c", 'exec "$@" 9<"$0"', str(self._filter), *wrap, "--seccomp", "9", "--", *inner]

    def end(self, box: Box) -> None:
        """Do nothing: the box ends with the command."""

    @staticmethod
    def namespaces(*, root: bool) -> list[str]:
        """List the options that unshare; root needs no user namespace, and drops to a user inside."""
        options = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try"]
        options += ["--hostname", "grader", "--cap-drop", "ALL"]
        if root:
            return [
                *options,
                *(p for cap in ("SETUID", "SETGID", "SETPCAP") for p in ("--cap-add", f"CAP_{cap}")),
            ]
        return [*options, "--unshare-user", "--disable-userns"]


def _drop(uid: int) -> list[str]:
    """Become an ordinary user for good: no groups, no capabilities, no way to regain any."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs"]
    return [*command, "--inh-caps=-all", "--bounding-set=-all"]


def mounts(box: Box) -> list[str]:
    """List bubblewrap's options for the file system of a box.

    Parameters
    ----------
    box : Box
        What the box may see.

    Returns
    -------
    list of str
        The options, parents before children.
    """
    options: list[str] = ["--perms", "0755", "--dir", "/etc"]
    for name in _SYSTEM:
        if os.path.islink(name):
            options += ["--symlink", os.readlink(name), name]
        elif os.path.exists(name):
            options += ["--ro-bind", name, name]
    if os.path.isdir(_EXCHANGE):
        options += ["--perms", "0755", "--tmpfs", _EXCHANGE]
    size = str(box.limits.scratch_mb << 20)
    options += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", size, "--tmpfs", "/tmp"]
    options += ["--perms", "0777", "--size", size, "--tmpfs", HOME]
    options += ["--perms", "1777", "--size", size, "--tmpfs", "/dev/shm"]
    made: set[Path] = {Path("/"), Path("/tmp"), Path("/usr")}
    for path in (*interpreter_paths(), *box.read_only, box.sockets):
        for parent in reversed(path.parents):  # traversable, whatever the host's folder is
            if parent not in made and not parent.is_relative_to("/usr"):
                made.add(parent)
                options += ["--perms", "0755", "--dir", str(parent)]
        kind = "--bind" if path == box.sockets else "--ro-bind"
        options += [kind, str(path), str(path)]
    for path in box.hidden:
        options += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
    for file in box.data:
        options += ["--ro-bind", str(file), f"{HOME}/{file.name}"]
    return [*options, "--chdir", HOME]


def _filter_file() -> Path:
    """Write the system-call filter once per process to a private folder."""
    path = run_folder() / "filter.bpf"
    if not path.exists():
        path.write_bytes(seccomp.program())
    return path


@functools.cache
def _folder_of(process: int) -> Path:
    # Short: the path of a socket has at most 107 bytes.
    base = "/run" if os.access("/run", os.W_OK) else tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="ck-", dir=base if len(base) < 60 else "/tmp")
    os.chmod(folder, 0o711)  # others may pass, not look
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def run_folder() -> Path:
    """Make the private folder of this process for sockets, once.

    Returns
    -------
    Path
        The folder; it is removed when the process ends.
    """
    return _folder_of(os.getpid())


class Container:
    """Boxes made by docker or podman, from an image that holds Python with the course's libraries.

    The package itself comes from the grader, read-only, so that closed modules can be hidden.

    Parameters
    ----------
    engine : {"docker", "podman"}
        The command.
    image : str
        The image; its ``python`` runs the kernel.

    Raises
    ------
    SandboxMissing
        If the engine is not installed.
    """

    #: Where the engine is and what it knows of images; nothing of it gets into a container.
    variables: tuple[str, ...] = ("PATH", "HOME", "DOCKER_HOST", "CONTAINER_HOST", "XDG_RUNTIME_DIR")
    _package = Path("/opt/course/coursekit")

    def __init__(self, engine: str, image: str):
        if shutil.which(engine) is None:
            raise SandboxMissing(f"{engine} is not installed: install it, or {_INSTALL}")
        self.name, self._image = engine, image

    def command(self, argv: Sequence[str], box: Box) -> list[str]:
        """Wrap a command so that it runs in a container of its own; its interpreter is the image's."""
        limits = box.limits
        scratch = f"rw,nosuid,nodev,size={limits.scratch_mb}m,mode=1777"
        command = [self.name, "run", "--rm", "--name", self.container(box), "--network", "none"]
        command += ["--ipc", "private", "--read-only", "--init", "--cap-drop", "ALL"]
        command += ["--security-opt", "no-new-privileges", "--pids-limit", str(limits.processes)]
        memory = f"{limits.memory_mb + LIBRARIES_MB}m"
        command += ["--memory", memory, "--memory-swap", memory]
        command += ["--ulimit", f"fsize={limits.file_mb << 20}", "--ulimit", f"nofile={limits.open_files}"]
        command += ["--ulimit", f"cpu={limits.cpu_s}", "--ulimit", "core=0", "--user", f"{box.uid}:{box.uid}"]
        if self.name == "podman" and os.getuid() != 0:
            command += ["--userns", "keep-id"]  # the user inside is the one who owns the sockets' folder
        command += ["--tmpfs", f"/tmp:{scratch}", "--tmpfs", f"{HOME}:{scratch}", "--workdir", HOME]
        command += ["--volume", f"{box.sockets}:{box.sockets}", *self._course(box.hidden)]
        command += [p for path in box.read_only for p in ("--volume", f"{path}:{path}:ro")]
        command += [p for file in box.data for p in ("--volume", f"{file}:{HOME}/{file.name}:ro")]
        env = {**box.env, "PYTHONPATH": str(self._package.parent), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        command += [p for name, value in env.items() for p in ("--env", f"{name}={value}")]
        return [*command, self._image, "python", *argv[1:]]

    def _course(self, hidden: Sequence[Path]) -> list[str]:
        here = _package()
        options = ["--volume", f"{here}:{self._package}:ro"]
        for path in hidden:
            if path.is_relative_to(here):
                there = self._package / path.relative_to(here)
                folder = ["--tmpfs", f"{there}:ro,size=1m"]
                options += folder if path.is_dir() else ["--volume", f"/dev/null:{there}:ro"]
        return options

    @staticmethod
    def container(box: Box) -> str:
        """Name the container of a box, as the name of the folder of its sockets does."""
        return f"coursekit-{os.getpid()}-{box.sockets.name}"

    def end(self, box: Box) -> None:
        """Kill the container: it would outlive the command that started it."""
        command = [self.name, "kill", self.container(box)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


class Unprotected:
    """No box at all: student code runs with all the rights of the grader. Only when asked for."""

    name = "none"
    variables: tuple[str, ...] = ("PATH",)

    def command(self, argv: Sequence[str], box: Box) -> list[str]:
        """Leave the command as it is, but for its environment."""
        return ["env", "-i", *(f"{name}={value}" for name, value in box.env.items()), *argv]

    def end(self, box: Box) -> None:
        """Do nothing: what the process has started may well outlive it."""


def backend(*, unsafe: bool = False) -> Backend:
    """Choose how boxes are made: bubblewrap, or what ``COURSEKIT_SANDBOX`` says.

    Parameters
    ----------
    unsafe : bool
        Run without a box. A warning says so.

    Returns
    -------
    Backend
        The way.

    Raises
    ------
    SandboxMissing
        If the tool is not installed.
    ValueError
        If ``COURSEKIT_SANDBOX`` is neither empty nor ``docker:IMAGE`` nor ``podman:IMAGE``.
    """
    if unsafe:
        warnings.warn(
            "Student code runs WITHOUT a sandbox, with all your own rights: it can read and change "
            "whatever you can.",
            stacklevel=2,
        )
        return Unprotected()
    chosen = os.environ.get("COURSEKIT_SANDBOX", "")
    engine, _, image = chosen.partition(":")
    if engine in ("", "bwrap"):
        return Bubblewrap()
    if engine not in ("docker", "podman") or not image:
        raise ValueError(f"COURSEKIT_SANDBOX: got {chosen!r}, expected bwrap, docker:IMAGE or podman:IMAGE")
    return Container(engine, image)
