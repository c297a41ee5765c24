"""What a grading process keeps open between submissions: the warm process and its boxes.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.machinery
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from coursekit.grading import bridge, cgroups, linux, sandbox
from coursekit.grading.sandbox import Box, Limits
from coursekit.grading.seeds import course_key, submission_seed
from coursekit.grading.trusted import Conclusion
from coursekit.grading.zygote import Child, Zygote, ZygoteError

_START_S = 60.0
_WATCH_S = 0.2  # between two looks at the memory
_GROWTH_MB = 512  # what the grader itself may take for one submission's messages


class TestProcessLost(RuntimeError):
    """The test process did not start or did not conclude."""

    __test__ = False


def module_paths(names: Sequence[str]) -> tuple[Path, ...]:
    """Find the files of modules, compiled ones too, without importing them.

    Parameters
    ----------
    names : sequence of str
        Dotted names, such as ``coursekit.density.kde``.

    Returns
    -------
    tuple of Path
        Package folders and module files that exist.
    """
    found: list[Path] = []
    for name in names:
        first, *rest = name.split(".")
        spec = importlib.machinery.PathFinder.find_spec(first)
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or []:
            *parents, leaf = rest or [""]
            path = Path(folder).joinpath(*parents, leaf).resolve()
            if path.is_dir():
                found.append(path)
            if leaf:
                for pattern in (f"{leaf}.py", f"{leaf}.*.so", f"__pycache__/{leaf}.*.pyc"):
                    found += path.parent.glob(pattern)
    return tuple(found)


class Running:
    """A process in a box: what a kernel manager needs of ``subprocess.Popen``, and the end of the box.

    Parameters
    ----------
    process : Child or Popen
        The process.
    folder : Path
        The folder of its sockets.
    group : Group, optional
        Its control group.
    end : callable, optional
        Ends what may be left of the box.
    """

    stdin = stdout = stderr = None

    def __init__(
        self,
        process: Child | subprocess.Popen[bytes],
        folder: Path,
        group: cgroups.Group | None = None,
        end: Callable[[], None] | None = None,
    ):
        self._process, self.folder, self._group, self._end = process, folder, group, end
        self.pid = process.pid
        self._out_of_memory = False
        self.cpu_s = 0.0  # processor time of the box, known after its end and where groups count it

    @property
    def returncode(self) -> int | None:
        """Status after the end."""
        return self._process.returncode

    def poll(self) -> int | None:
        """Return None while the process runs."""
        status = self._process.poll()
        if status is not None:
            self._clean_up()
        return status

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended."""
        status = self._process.wait(timeout)
        self._clean_up()
        return status

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process."""
        self._process.send_signal(signum)

    def kill(self) -> None:
        """End the box and everything in it, and wait until it has ended."""
        if isinstance(self._process, Child):
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._end is not None:
            self._end()
        self.wait()

    terminate = kill

    def last_words(self) -> str:
        """Return what a box that failed to start has left behind."""
        with contextlib.suppress(OSError):
            return (self.folder / "error.txt").read_text(errors="replace")[-2000:].strip()
        return "no reason was left"

    def seal(self) -> None:
        """Take from the box the right to make files beside its sockets, once they exist."""
        inside = self.pid if isinstance(self._process, Child) else linux.descendants(self.pid)[-1]
        linux.seal(inside, self.folder)

    def memory_mb(self) -> float | None:
        """Memory of the whole box, in MiB; None where a control group caps it already."""
        if self._group is not None or self.poll() is not None:
            return None
        return sum(linux.resident_mb(pid, shared=False) for pid in linux.descendants(self.pid))

    def out_of_memory(self) -> bool:
        """Whether the box was killed because it had no memory left."""
        return self._out_of_memory or (self._group is not None and self._group.out_of_memory())

    def _clean_up(self) -> None:
        if self._group is not None:
            group, self._group = self._group, None
            self.cpu_s, self._out_of_memory = group.cpu_s(), group.out_of_memory()
            group.close()


class Session:
    """Sandboxed kernels and test processes for one lab.

    Parameters
    ----------
    data : sequence of Path
        The lab's data files.
    limits : Limits
        What one submission may use.
    closed : sequence of str
        Modules that are closed while the lab is graded.
    unsafe : bool
        Run without a box. A warning says so.
    prefork : bool
        Fork kernels from a warm process (bubblewrap only).

    Attributes
    ----------
    seed, variant : str
        Of the next submission: the seed of its tests (told to the test process alone), and the
        variant of the lab (in the environment of both processes).
    cpu_s : float
        Processor time of all boxes that have ended, where control groups count it.

    Raises
    ------
    SandboxMissing
        If boxes cannot be made, and `unsafe` was not asked for.
    """

    _current: Session | None = None
    _of_lab: tuple[Any, Session] | None = None

    def __init__(
        self,
        *,
        data: Sequence[Path] = (),
        limits: Limits | None = None,
        closed: Sequence[str] = (),
        unsafe: bool = False,
        prefork: bool = True,
    ):
        self.data, self.limits = tuple(Path(p).resolve() for p in data), limits or Limits()
        self.closed = tuple(closed)
        self.seed, self.variant = "", ""
        self._backend = sandbox.backend(unsafe=unsafe)
        self._boxed = self._backend.name == "bwrap"
        self._prefork = prefork and self._boxed
        self._groups = cgroups.groups()
        self._zygote: Zygote | None = None
        self._ended_cpu_s = 0.0
        self._boxes: list[Running] = []
        self._root = Path(tempfile.mkdtemp(prefix="s", dir=sandbox.run_folder()))
        os.chmod(self._root, 0o711)

    @classmethod
    def current(cls) -> Session:
        """Return the session that is open in this process.

        Returns
        -------
        Session
            The one opened last, or a fresh one without data files that stays open.
        """
        if cls._current is None:
            cls._current = cls()
        return cls._current

    @classmethod
    @contextlib.contextmanager
    def using(cls, session: Session) -> Iterator[None]:
        """Make a session the current one for a while; it stays open.

        Parameters
        ----------
        session : Session
            The session.
        """
        outer, cls._current = cls._current, session
        try:
            yield
        finally:
            cls._current = outer

    @classmethod
    def of_submission(cls, root: Path, lab: str, student: str, limits: Limits | None = None) -> Session:
        """Return the session that is open, or else one made for a lab of a course.

        Parameters
        ----------
        root : Path
            Folder of the course.
        lab, student : str
            Whose submission of which lab comes next.
        limits : Limits, optional
            What it may use.

        Returns
        -------
        Session
            It stays open until another lab's is asked for.
        """
        if cls._current is not None:
            return cls._current
        folder = Path(root, "source", lab)
        books = sorted(folder.glob("*.ipynb"))
        key = (folder, limits, [(book, book.stat().st_mtime_ns) for book in books])
        if cls._of_lab is None or cls._of_lab[0] != key:
            cls._forget()
            visible = [path for path in sorted(folder.glob("[!.]*")) if path.name != "__pycache__"]
            data = [path for path in visible if path.suffix != ".ipynb"]
            cls._of_lab = key, cls(data=data, limits=limits, closed=_closed_by(books))
        session = cls._of_lab[1]
        session.seed = submission_seed(course_key(Path(root)), student, lab)
        return session

    @classmethod
    def _forget(cls) -> None:
        if cls._of_lab is not None:
            cls._of_lab[1].close()
            cls._of_lab = None

    def __enter__(self) -> Session:
        self._outer, Session._current = Session._current, self
        return self

    def __exit__(self, *_: object) -> None:
        Session._current = self._outer
        self.close()

    def close(self) -> None:
        """End every process of the session and remove its folder."""
        for box in self._boxes:
            box.kill()
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None
        shutil.rmtree(self._root, ignore_errors=True)

    @property
    def cpu_s(self) -> float:
        """Processor time of all boxes that have ended."""
        self._sweep()
        return self._ended_cpu_s

    def _sweep(self) -> None:
        for box in [box for box in self._boxes if box.poll() is not None]:
            self._boxes.remove(box)
            self._ended_cpu_s += box.cpu_s

    def folder(self, *, tests: bool = False) -> Path:
        """Make a folder for the sockets of one box, which only that box's user can enter.

        Parameters
        ----------
        tests : bool
            For the test process; by default for the student's kernel.

        Returns
        -------
        Path
            The folder.
        """
        path = Path(tempfile.mkdtemp(dir=self._root))
        if os.getuid() == 0:
            os.chown(path, sandbox.fresh_uid(tests), sandbox.fresh_uid(tests))
        return path

    def start_kernel(self, connection_file: Path, folder: Path) -> Running:
        """Start the student's kernel in a box.

        Parameters
        ----------
        connection_file : Path
            Where the kernel reads its sockets and its key; in `folder`.
        folder : Path
            The folder of its sockets.

        Returns
        -------
        Running
            The process.
        """
        if os.getuid() == 0:
            os.chown(connection_file, sandbox.fresh_uid(), sandbox.fresh_uid())
        arguments = ["-f", str(connection_file), "--HistoryManager.enabled=False"]
        return self._start("kernel", ["-m", "ipykernel_launcher"], arguments, folder, self._environment())

    def start_tests(self, folder: Path) -> TestClient:
        """Start a test process in a box of its own.

        Parameters
        ----------
        folder : Path
            The folder of its sockets.

        Returns
        -------
        TestClient
            Sends it cells and receives its conclusions.
        """
        env = {**self._environment(), "MPLBACKEND": "Agg"}
        path, seed = folder / "tests", self.seed or "course"

        def start() -> Running:
            arguments = [str(path), str(self.limits.cell_s)]
            return self._start("trusted", ["-m", "coursekit.grading.trusted"], arguments, folder, env)

        return TestClient(path, start, seed, self.limits.cell_s)

    def _environment(self) -> dict[str, str]:
        env = sandbox.environment()
        return {**env, "COURSEKIT_VARIANT": self.variant} if self.variant else env

    def _start(
        self, entry: str, module: list[str], arguments: list[str], folder: Path, env: Mapping[str, str]
    ) -> Running:
        tests = entry == "trusted"
        hidden = () if tests else module_paths(self.closed)
        # One user's processes are counted together, and an ordinary grader has but one user: the
        # student's processes, all of them, must leave room for the tests.
        processes = self.limits.processes * (4 if tests else 1)
        uid, group = sandbox.fresh_uid(tests), self._group(processes)
        self._sweep()
        if self._prefork:
            process: Child | subprocess.Popen[bytes] = self._fork(
                entry, arguments, folder, env, uid, processes, hidden, group
            )
            running = Running(process, folder, group)
        else:
            limits = Limits(**{**vars(self.limits), "processes": processes})
            box = Box(folder, self.data, hidden=hidden, env=env, limits=limits, uid=uid)
            command = self._backend.command([sandbox.interpreter(), *module, *arguments], box)
            process = _spawn(command, folder, group, self._backend.variables)
            running = Running(process, folder, group, lambda: self._backend.end(box))
        self._boxes.append(running)
        return running

    def _fork(
        self,
        entry: str,
        arguments: list[str],
        folder: Path,
        env: Mapping[str, str],
        uid: int,
        processes: int,
        hidden: Sequence[Path],
        group: cgroups.Group | None,
    ) -> Child:
        def fork() -> Child:
            return self._warm().fork(
                entry,
                arguments,
                sockets=folder,
                env=env,
                uid=uid,
                processes=processes,
                hidden=hidden,
                before=group.add if group else None,
            )

        try:
            return fork()
        except ZygoteError:  # it may have been killed since: the next one may live
            if self._zygote is not None:
                self._zygote.close()
                self._zygote = None
            return fork()

    def _group(self, processes: int) -> cgroups.Group | None:
        if self._groups is None or not self._boxed:
            return None
        memory_mb = self.limits.memory_mb + self.limits.scratch_mb  # scratch folders are memory too
        if not self._prefork:
            memory_mb += sandbox.LIBRARIES_MB
        try:
            return self._groups.make(memory_mb=memory_mb, processes=processes)
        except OSError:
            self._groups = None
            return None

    def _warm(self) -> Zygote:
        if self._zygote is None or not self._zygote.alive():
            self._zygote = Zygote(self._root, data=self.data, limits=self.limits)
        return self._zygote

    def seal(self, running: Running) -> None:
        """Close the folder of a kernel's sockets to its box, before any student code runs.

        Parameters
        ----------
        running : Running
            The kernel.
        """
        if self._boxed:
            running.seal()
        elif os.getuid() == 0:  # of a container or of no box at all: at least its user may not
            os.chown(running.folder, 0, 0)
            running.folder.chmod(0o755)

    @contextlib.contextmanager
    def watch(self, running: Running, lost: Callable[[str], None]) -> Iterator[None]:
        """Look after memory while a submission runs: the box's, and what its messages make of ours.

        A control group caps the box where there is one. Nothing but this caps what a kernel can
        make the grader take in, by sending faster than anybody reads.

        Parameters
        ----------
        running : Running
            The student's kernel.
        lost : callable
            Told the reason when the box was killed.
        """
        over, here = threading.Event(), os.getpid()
        before, allowed = linux.resident_mb(here), self.limits.memory_mb + sandbox.LIBRARIES_MB

        def look() -> None:
            while not over.wait(_WATCH_S):
                if linux.resident_mb(here) > before + _GROWTH_MB:
                    lost("it sent more than can be taken in")
                elif (running.memory_mb() or 0.0) > allowed:
                    lost(f"it took more than {self.limits.memory_mb} MB of memory")
                else:
                    continue
                running.kill()
                return

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


atexit.register(Session._forget)


def _closed_by(books: Sequence[Path]) -> list[str]:
    import nbformat

    from coursekit.lab import closed_by

    return sorted({name for book in books for name in closed_by(nbformat.read(book, as_version=4))})


def _spawn(
    command: list[str], folder: Path, group: cgroups.Group | None, variables: Sequence[str]
) -> subprocess.Popen[bytes]:
    """Start a box's command; a shell puts itself, and so all that follows, into the group first."""
    if group is not None:
        join = "; ".join(f"echo 0 > '{file}'" for file in group.members)
        command = ["/bin/sh", "-c", f'{join}; exec "$@"', "sh", *command]
    null = subprocess.DEVNULL
    with (folder / "error.txt").open("wb") as log:
        return subprocess.Popen(
            command,
            stdin=null,
            stdout=null,
            stderr=log,
            env={name: os.environ[name] for name in variables if name in os.environ},
            start_new_session=True,
        )


class TestClient:
    """The grader's end of the line to a test process.

    Parameters
    ----------
    path : Path
        The grader's socket.
    start : callable
        Starts the process that connects to it.
    seed : str
        Of the tests.
    cell_s : float
        Seconds that one cell may take.
    """

    __test__ = False

    def __init__(self, path: Path, start: Callable[[], Running], seed: str, cell_s: float):
        self._path, self._start, self._seed, self._cell_s = path, start, seed, cell_s
        self._locked: list[str] = []
        self._control: socket.socket | None = None
        self._open()

    def _open(self) -> None:
        self._listener = _Listener(self._path)
        self._process = self._start()

    def _connected(self) -> socket.socket:
        """Wait for the process when it is first needed, and not before."""
        if self._control is None:
            self._control = self._listener.accept(_START_S, self._process)
            self._listener.close()
            if self._control is None:
                raise TestProcessLost(f"the test process did not start: {self._process.last_words()}")
            self._control.settimeout(_START_S)
            bridge.send(self._control, {"do": "seed", "seed": self._seed})
        return self._control

    def run(self, source: str) -> str:
        """Run a locked cell that is not graded.

        Parameters
        ----------
        source : str
            The cell.

        Returns
        -------
        str
            The error, or nothing.
        """
        self._locked.append(source)
        return str(self._ask({"do": "run", "source": source})["error"])

    def grade(self, cell: str, source: str, points: float, connection: socket.socket | None) -> Conclusion:
        """Run a test cell against the student's kernel.

        Parameters
        ----------
        cell : str
            Its grade id.
        source : str
            The tests.
        points : float
            The cell's points.
        connection : socket or None
            Connected to the student's kernel; None if that is gone.

        Returns
        -------
        Conclusion
            What the test process concluded. Where it was lost over a student's answers, such as
            arrays that no test was written for, the cell earns nothing and the process is
            started again for the next cell.

        Raises
        ------
        TestProcessLost
            If it does not run at all.
        """
        control, start = self._connected(), time.monotonic()
        request = {"do": "grade", "cell": cell, "source": source, "points": points}
        try:
            bridge.send(control, {**request, "connected": connection is not None})
            if connection is not None:
                socket.send_fds(control, [b"c"], [connection.fileno()])
            return Conclusion(**self._answer(control))
        except (OSError, EOFError, ValueError) as error:
            if connection is None:
                raise TestProcessLost(f"the test process was lost: {error}") from error
        finally:
            if connection is not None:
                connection.close()
        self._again()
        reason = "the tests did not end on these answers: they took too much time or memory"
        return Conclusion(cell, 0.0, points, reason=reason, seconds=time.monotonic() - start)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        control = self._connected()
        try:
            bridge.send(control, request)
            return self._answer(control)
        except (OSError, EOFError, ValueError) as error:
            raise TestProcessLost(f"the test process was lost: {error}") from error

    def _answer(self, control: socket.socket) -> dict[str, Any]:
        # Twice a cell's time is the test process's own limit; it stops itself before this one.
        return dict(bridge.receive(control, deadline=time.monotonic() + 2 * self._cell_s + 10))

    def _again(self) -> None:
        self.close()
        self._control = None
        self._open()
        for source in self._locked:
            self._ask({"do": "run", "source": source})

    def close(self) -> None:
        """End the process."""
        self._listener.close()
        if self._control is not None:
            self._control.close()
        self._process.kill()


class _Listener:
    """A socket where one box can connect; its name is gone as soon as it is closed."""

    def __init__(self, path: Path):
        self._path, self.socket = path, socket.socket(socket.AF_UNIX)
        try:
            self.socket.bind(str(path))
            os.chmod(path, 0o666)  # the folder around it keeps everybody else out
            self.socket.listen(1)
        except OSError:
            self.socket.close()
            raise

    def accept(self, seconds: float, process: Running) -> socket.socket | None:
        self.socket.settimeout(0.2)
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up and process.poll() is None:
            with contextlib.suppress(TimeoutError):
                return self.socket.accept()[0]
        return None

    def close(self) -> None:
        self.socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """Listen where one box can connect; the name is gone afterwards.

    Parameters
    ----------
    path : Path
        In that box's folder of sockets.

    Yields
    ------
    socket
        The grader's listening socket.
    """
    listener = _Listener(path)
    try:
        yield listener.socket
    finally:
        listener.close()
