"""The test process: runs test cells, never student code, and concludes a score for each.

It is a process of its own in a box of its own. It asks the student's kernel for data over a
socket and decides alone: an assertion that fails, any error, NaN or anything but a number where
points were computed earn nothing, and nothing that the student's side prints or sends can say
otherwise.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import math
import os
import re
import signal
import socket
import sys
import time
import traceback
import types
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from coursekit.grading.bridge import Asker, BridgeDown, receive, send
from coursekit.lab import Handle

_PROPERTY = re.compile(r"^\s*# property:\s*(.+?)\s*$")
_BEGIN, _END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
_MAGIC = re.compile(r"^\s*[%!]", re.MULTILINE)
_LONGEST = 2000


@dataclass(frozen=True)
class Conclusion:
    """What the test process concluded about one grade cell.

    Attributes
    ----------
    cell : str
        The cell's grade id.
    score, max_score : float
        Points earned, and points that could be.
    reason : str
        Why points were lost, in words that may be shown to the student; empty for full marks.
    failed_property : str
        Name of the property that failed, if one did.
    hidden : bool
        Whether the failure was in a hidden test.
    seconds : float
        How long the tests took.
    output : str
        What the visible part printed.
    """

    cell: str
    score: float
    max_score: float
    reason: str = ""
    failed_property: str = ""
    hidden: bool = False
    seconds: float = 0.0
    output: str = ""


#: What can come from a student, or be computed from it: never points.
_ANSWERS = (str, bytes, complex, list, tuple, dict, set, frozenset, np.ndarray, np.generic, Handle)


class _TookTooLong(BaseException):
    """Not an Exception: no test catches it by accident."""


def points(value: Any, max_score: float) -> tuple[float, str]:
    """Turn the last expression of a test cell into points.

    Parameters
    ----------
    value : object
        A number: that many points. None, True, or an object that only tests can make, such as a
        law of `coursekit.check`: all checks passed, full marks. Anything else, which can be a
        student's answer (text, lists, arrays, handles), earns nothing: the cell should end with
        its points.
    max_score : float
        The cell's points.

    Returns
    -------
    score : float
        Between 0 and `max_score`; NaN earns 0.
    reason : str
        Why it is not full marks.
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if value is None or (isinstance(value, bool | np.bool_) and value):
        return max_score, ""
    if isinstance(value, bool | np.bool_):
        return 0.0, "the test cell ends with False"
    if isinstance(value, int | float | np.integer | np.floating):
        number = float(value)
        if math.isnan(number):
            return 0.0, "the computed points are not a number"
        score = min(max(number, 0.0), max_score)
        return score, "" if score == max_score else f"partial credit: {score:g} of {max_score:g}"
    if isinstance(value, _ANSWERS):
        return 0.0, f"the test cell ends with {type(value).__name__}, expected a number of points"
    return max_score, ""


class TestProcess:
    """Runs cells in one namespace and concludes scores.

    Parameters
    ----------
    cell_s : float
        Seconds for one cell, and for one answer of the student's kernel.
    """

    __test__ = False  # not a test of pytest's

    def __init__(self, cell_s: float):
        from coursekit import lab

        self._cell_s = cell_s
        self._asker: Asker | None = None
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.namespace = vars(module)
        student = lab.Student(self._ask)
        lab.student = student  # what a locked cell imports is the door to the other process
        self.namespace["student"] = student

    def _ask(self, request: dict[str, Any]) -> Any:
        if self._asker is None:
            raise BridgeDown("there is no student's kernel to ask")
        return self._asker(request)

    def run(self, source: str) -> str:
        """Run a locked cell that is not graded (imports, data).

        Parameters
        ----------
        source : str
            The cell.

        Returns
        -------
        str
            The error, or nothing.
        """
        try:
            with self._timed():
                self._evaluate(_MAGIC.sub("# ", source), "<locked cell>", io.StringIO())
        except BaseException as error:
            return _one_line(error)
        return ""

    def grade(self, cell: str, source: str, max_score: float, connection: socket.socket | None) -> Conclusion:
        """Run one test cell against the student's kernel.

        Parameters
        ----------
        cell : str
            Its grade id.
        source : str
            Visible and hidden tests.
        max_score : float
            Its points.
        connection : socket or None
            Connected to the student's kernel; None if that is gone.

        Returns
        -------
        Conclusion
            The score and the reason.
        """
        start = time.monotonic()
        self._asker = Asker(connection, self._cell_s) if connection is not None else None
        printed = _Bounded()
        try:
            with self._timed():
                score, reason = points(self._evaluate(source, cell, printed), max_score)
            verdict: dict[str, Any] = {"score": score, "reason": reason}
        except BaseException as error:
            verdict = {"score": 0.0, **_explain(error, source, cell)}
        finally:
            if self._asker is not None:
                self._asker.stop()
            self._asker = None
        seconds = time.monotonic() - start
        return Conclusion(cell, max_score=max_score, seconds=seconds, output=printed.getvalue(), **verdict)

    def _evaluate(self, source: str, name: str, printed: io.StringIO) -> Any:
        """Run a cell and return the value of its last expression, if it ends with one.

        What its visible statements print is kept; what the hidden ones print is dropped.
        """
        tree = ast.parse(source, name)
        hidden = _hidden_lines(source)
        last = tree.body[-1] if tree.body else None
        if not isinstance(last, ast.Expr):
            last = None
        for statement in tree.body[:-1] if last else tree.body:
            with _printing(io.StringIO() if statement.lineno in hidden else printed):
                exec(compile(ast.Module([statement], []), name, "exec"), self.namespace)
        if last is None:
            return None
        with _printing(io.StringIO() if last.lineno in hidden else printed):
            return eval(compile(ast.Expression(last.value), name, "eval"), self.namespace)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        def stop(*_: object) -> None:
            raise _TookTooLong

        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 2 * self._cell_s)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def _hidden_lines(source: str) -> set[int]:
    """Numbers of the lines that a student does not see."""
    found, hidden = set(), False
    for number, text in enumerate(source.splitlines(), 1):
        hidden = (hidden or _BEGIN in text) and _END not in text
        if hidden:
            found.add(number)
    return found


@contextlib.contextmanager
def _printing(stream: io.StringIO) -> Iterator[None]:
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


class _Bounded(io.StringIO):
    """Keeps the first few kilobytes of what is printed."""

    def write(self, text: str) -> int:
        room = 8 * _LONGEST - self.tell()
        super().write(text[: max(room, 0)])
        return len(text)


def _one_line(error: BaseException) -> str:
    if isinstance(error, _TookTooLong):
        return "the tests took too long"
    text = str(error).strip() or "no message"
    return f"{type(error).__name__}: {text}"[:_LONGEST]


def _explain(error: BaseException, source: str, cell: str) -> dict[str, Any]:
    """Say what failed; of a hidden test nothing but the property that the lab names in words."""
    lines = source.splitlines()
    at = [frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__) if frame.filename == cell]
    # The outermost frame of the cell is the call of a check; the check stands above it.
    line = min(at[0], len(lines)) if at else len(lines)
    hidden = not _hidden_lines(source).isdisjoint(at or [line])
    names = [found.group(1) for text in lines[:line] if (found := _PROPERTY.match(text))]
    name = names[-1] if names else ""
    if isinstance(error, BridgeDown | _TookTooLong):
        reason = _one_line(error)
    elif isinstance(error, NotImplementedError):
        reason = "this task is not done yet"
    elif hidden:
        reason = f"a hidden test failed: {name}" if name else "a hidden test failed"
    elif isinstance(error, AssertionError) and not str(error) and at:
        reason = f"this check failed: {lines[line - 1].strip()}"[:_LONGEST]
    else:
        reason = _one_line(error)
    return {"reason": reason, "failed_property": name, "hidden": hidden}


def main(arguments: list[str]) -> None:
    """Serve one grader until it closes its connection.

    Parameters
    ----------
    arguments : list of str
        Path of the grader's socket, and seconds per cell.
    """
    path, cell_s = arguments
    process = TestProcess(float(cell_s))
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(path)
        while True:
            try:
                request = receive(control)
            except (EOFError, OSError):
                return
            if request["do"] == "seed":
                os.environ["COURSEKIT_SEED"] = request["seed"]
                continue
            if request["do"] == "run":
                send(control, {"error": process.run(request["source"])})
                continue
            connection = None
            if request["connected"]:
                _, (descriptor,), _, _ = socket.recv_fds(control, 1, 1)
                connection = socket.socket(fileno=descriptor)
            conclusion = process.grade(request["cell"], request["source"], request["points"], connection)
            send(control, asdict(conclusion))


if __name__ == "__main__":
    main(sys.argv[1:])
