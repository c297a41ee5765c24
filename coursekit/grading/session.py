"""What a grading process keeps open between submissions: the warm process and its boxes.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from coursekit.grading import bridge, sandbox
from coursekit.grading.sandbox import Box, Limits
from coursekit.grading.trusted import Conclusion
from coursekit.grading.zygote import Child, Zygote

_START_S = 60.0


class TestProcessLost(RuntimeError):
    """The test process did not start or did not conclude: the grader's fault, not the student's."""

    __test__ = False


def module_paths(names: Sequence[str]) -> tuple[Path, ...]:
    """Find the files of modules of the course, without importing them.

    Parameters
    ----------
    names : sequence of str
        Dotted names, such as ``coursekit.density.kde``.

    Returns
    -------
    tuple of Path
        Package folders and module files that exist.
    """
    import coursekit

    root = Path(coursekit.__file__).resolve().parent.parent
    found = []
    for name in names:
        path = root.joinpath(*name.split("."))
        found += [p for p in (path, path.with_suffix(".py")) if p.exists()]
    return tuple(found)


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
        Put into the environment of the next submission: the seed of its tests (the test process
        alone), and the variant of the lab (both processes).

    Raises
    ------
    SandboxMissing
        If boxes cannot be made, and `unsafe` was not asked for.
    """

    _current: Session | None = None

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
        self._prefork = prefork and self._backend.name == "bwrap"
        self._zygote: Zygote | None = None
        self._uid = sandbox.fresh_uid()
        self._root = Path(tempfile.mkdtemp(prefix="s", dir=sandbox.run_folder()))
        os.chmod(self._root, 0o711)
        if unsafe:
            warnings.warn(
                "Student code runs WITHOUT a sandbox, with all your own rights: it can read and change "
                "whatever you can.",
                stacklevel=2,
            )

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

    def __enter__(self) -> Session:
        self._outer, Session._current = Session._current, self
        return self

    def __exit__(self, *_: object) -> None:
        Session._current = self._outer
        self.close()

    def close(self) -> None:
        """End every process of the session and remove its folder."""
        if self._zygote is not None:
            self._zygote.close()
            self._zygote = None
        shutil.rmtree(self._root, ignore_errors=True)

    def folder(self) -> Path:
        """Make a folder for the sockets of one box, which only that box's user can enter.

        Returns
        -------
        Path
            The folder.
        """
        path = Path(tempfile.mkdtemp(dir=self._root))
        if os.getuid() == 0:
            os.chown(path, self._uid, self._uid)
        return path

    def start_kernel(self, connection_file: Path, folder: Path) -> Child | subprocess.Popen[bytes]:
        """Start the student's kernel in a box.

        Parameters
        ----------
        connection_file : Path
            Where the kernel reads its sockets and its key; in `folder`.
        folder : Path
            The folder of its sockets.

        Returns
        -------
        Child or Popen
            The process.
        """
        if os.getuid() == 0:
            os.chown(connection_file, self._uid, self._uid)
        arguments = ["-f", str(connection_file), "--HistoryManager.enabled=False"]
        env = self._environment()
        return self._start("kernel", ["-m", "ipykernel_launcher"], arguments, folder, env, hide=True)

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
        env = {**self._environment(), "COURSEKIT_SEED": self.seed or "course", "MPLBACKEND": "Agg"}
        path = folder / "tests"

        def start() -> Child | subprocess.Popen[bytes]:
            arguments = [str(path), str(self.limits.cell_s)]
            return self._start(
                "trusted", ["-m", "coursekit.grading.trusted"], arguments, folder, env, hide=False
            )

        return TestClient(path, start, self.limits.cell_s)

    def _environment(self) -> dict[str, str]:
        env = sandbox.environment()
        return {**env, "COURSEKIT_VARIANT": self.variant} if self.variant else env

    def _start(
        self,
        entry: str,
        module: list[str],
        arguments: list[str],
        folder: Path,
        env: Mapping[str, str],
        *,
        hide: bool,
    ) -> Child | subprocess.Popen[bytes]:
        hidden = module_paths(self.closed) if hide else ()
        if self._prefork:
            zygote = self._warm()
            return zygote.fork(entry, arguments, sockets=folder, env=env, uid=self._uid, hidden=hidden)
        box = Box(folder, self.data, hidden=hidden, env=env, limits=self.limits, uid=self._uid)
        command = self._backend.command([sys.executable, *module, *arguments], box)
        null = subprocess.DEVNULL
        with (folder / "error.txt").open("wb") as log:
            return subprocess.Popen(
                command, stdin=null, stdout=null, stderr=log, env={"PATH": os.environ["PATH"]}
            )

    def _warm(self) -> Zygote:
        if self._zygote is None or not self._zygote.alive():
            self._zygote = Zygote(self._root, data=self.data, limits=self.limits)
        return self._zygote


class TestClient:
    """The grader's end of the line to a test process.

    Parameters
    ----------
    path : Path
        The grader's socket.
    start : callable
        Starts the process that connects to it.
    cell_s : float
        Seconds that one cell may take.
    """

    __test__ = False

    def __init__(self, path: Path, start: Callable[[], Any], cell_s: float):
        self._cell_s = cell_s
        with listening(path) as listener:
            self._process = start()
            self._control = _accept(listener, _START_S)
        if self._control is None:
            self._process.kill()
            raise TestProcessLost("the test process did not start; see coursekit doctor")

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
            What the test process concluded.

        Raises
        ------
        TestProcessLost
            If it did not conclude.
        """
        request = {"do": "grade", "cell": cell, "source": source, "points": points}
        return Conclusion(**self._ask({**request, "connected": connection is not None}, connection))

    def _ask(self, request: dict[str, Any], connection: socket.socket | None = None) -> dict[str, Any]:
        assert self._control is not None
        try:
            self._control.settimeout(_START_S)
            bridge.send(self._control, request)
            if connection is not None:
                socket.send_fds(self._control, [b"c"], [connection.fileno()])
                connection.close()
            # Twice a cell's time is the test process's own limit; it stops itself before this one.
            return dict(
                bridge.receive(self._control, deadline=time.monotonic() + 2 * self._cell_s + _START_S)
            )
        except (OSError, EOFError, ValueError) as error:
            raise TestProcessLost(f"the test process was lost: {error}") from error

    def close(self) -> None:
        """End the process."""
        if self._control is not None:
            self._control.close()
        self._process.kill()
        self._process.wait()


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
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.chmod(path, 0o666)  # the folder around it keeps everybody else out
        listener.listen(1)
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _accept(listener: socket.socket, seconds: float) -> socket.socket | None:
    listener.settimeout(seconds)
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        return None
    return connection
