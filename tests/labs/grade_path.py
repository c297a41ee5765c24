"""A small runner for labs: grades an answer to one task, in a fresh process, as the real grader does.

The student's cells and the test cells run in two namespaces of that process. What passes between
them is JSON text, so a test that takes anything but ``student`` from the student's side fails here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "labs" / "source"
VISIBLE = "visible checks"
SECONDS = 60  # for one process; none needs more than a few

BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
STUB = 'raise NotImplementedError("left out")'

_CONTEXT = multiprocessing.get_context("forkserver")
# What is imported here is imported once, and not in each of a thousand processes.
_CONTEXT.set_forkserver_preload(
    [
        "pytest",
        "scipy.stats",
        "sklearn.neighbors",
        "torch",
        "coursekit.data",
        "coursekit.plot",
        "coursekit.lab",
    ]
)


@dataclass(frozen=True)
class Task:
    """One machine-graded task: the solution cell, and its test cell taken apart."""

    name: str
    solution: str
    points: float
    visible: str
    preface: str
    properties: dict[str, str]

    def test(self, *, only: str | None = None, without: str | None = None) -> str:
        """Source of the test cell: whole, with one part only, or without one property."""
        if only == VISIBLE:
            return self.visible
        if only is not None:
            return "\n".join([self.preface, self.properties[only]])
        kept = [source for name, source in self.properties.items() if name != without]
        return "\n".join([self.visible, self.preface, *kept])


@dataclass(frozen=True)
class Lab:
    """An instructor's notebook as the runner needs it."""

    topic: str
    cells: list[tuple[str, str, str]]  # kind ("locked", "solution", "test", "plain"), id, source
    tasks: dict[str, Task]
    closed: list[str]


@dataclass(frozen=True)
class Wrong:
    """A plausible wrong answer: the misconception behind it, and what catches it."""

    task: str
    name: str
    misconception: str
    caught_by: str
    source: str


@dataclass(frozen=True)
class Right:
    """A right answer that is not the reference: another algorithm, or another library."""

    task: str
    name: str
    source: str


@dataclass(frozen=True)
class Report:
    """What became of one answer to one task."""

    points: float
    failed: dict[str, str] = field(default_factory=dict)  # part of the test cell -> error
    passes_without: list[str] = field(default_factory=list)


def notebook(topic: str) -> Any:
    """Read the instructor's notebook of a lab."""
    import nbformat  # here, because the processes that grade do not need it

    return nbformat.read(SOURCE / topic / f"{topic}.ipynb", as_version=4)


def load_bank(topic: str) -> types.ModuleType:
    """Load the right and wrong answers to a lab."""
    name = f"bank_{topic}"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / topic / "bank.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"no bank of answers for {topic}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def topics() -> list[str]:
    """Names of the labs, found by looking."""
    return sorted(folder.name for folder in SOURCE.iterdir() if (folder / f"{folder.name}.ipynb").exists())


def split_test(source: str) -> tuple[str, str, dict[str, str]]:
    """Take a test cell apart: visible checks, what all hidden tests share, and each hidden property."""
    before, _, rest = source.partition(BEGIN)
    hidden, _, after = rest.partition(END)
    if after.strip():
        raise ValueError("a test cell goes on after its hidden tests")
    preface, *parts = re.split(r"^# property: (.+)$", hidden, flags=re.MULTILINE)
    return before, preface, dict(zip(parts[::2], parts[1::2], strict=True))


def read(topic: str, nb: Any = None) -> Lab:
    """Read a lab: the instructor's notebook, or another version of it."""
    from coursekit.lab import closed_by

    nb = notebook(topic) if nb is None else nb
    cells, solutions, tasks = [], {}, {}
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        marks = cell.metadata.get("nbgrader", {})
        name = marks.get("grade_id", cell.id)
        kind = "plain"
        if marks.get("grade"):
            kind, task = "test", name.removesuffix("-test")
            tasks[task] = Task(task, solutions[task], marks["points"], *split_test(cell.source))
        elif marks.get("solution"):
            kind, solutions[name] = "solution", cell.source
        elif marks.get("locked"):
            kind = "locked"
        cells.append((kind, name, cell.source))
    return Lab(topic, cells, tasks, closed_by(nb))


# --- inside the process -------------------------------------------------------------------


class _Room:
    """Two namespaces, the student's and the tests', with JSON text between them."""

    def __init__(self, lab: Lab, seed: str, variant: str):
        os.environ.update(COURSEKIT_GRADING="1", COURSEKIT_SEED=seed, COURSEKIT_VARIANT=variant)
        os.chdir(tempfile.mkdtemp())
        from coursekit import lab as lab_module

        self.student = types.ModuleType("__main__")
        sys.modules["__main__"] = self.student
        self.tests: dict[str, Any] = {"__name__": "tests"}
        responder = lab_module.Responder(lambda: vars(self.student))

        def ask(request: Mapping[str, Any]) -> Any:
            reply = responder.answer(json.loads(json.dumps(request)))
            return lab_module.unpack(json.loads(json.dumps(reply)))

        lab_module.student = lab_module.Student(ask)
        lab_module.close(*lab.closed)

    def run(self, source: str, *, trusted: bool = False) -> str:
        """Run a cell; returns the error as text, or nothing."""
        namespace = self.tests if trusted else vars(self.student)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                exec(compile(source, "<cell>", "exec"), namespace)
        except BaseException as error:  # a student's cell may raise anything
            return f"{type(error).__name__}: {error}"
        return ""

    def run_before(self, lab: Lab, answers: Mapping[str, str], *, everything: bool) -> dict[str, str]:
        errors = {}
        for kind, name, source in lab.cells:
            if kind == "locked":
                for trusted in (False, True):
                    if error := self.run(source, trusted=trusted):
                        raise RuntimeError(f"locked cell {name}: {error}")
            elif kind == "solution" and name in answers:
                errors[name] = self.run(answers[name])
            elif kind == "plain" and everything:
                errors[name] = self.run(source)
        return errors


def _grade(lab: Lab, answers: dict[str, str], seed: str, variant: str, looks: bool) -> dict[str, Any]:
    room = _Room(lab, seed, variant)
    errors = room.run_before(lab, answers, everything=looks)
    points = {}
    for task in lab.tasks.values():
        error = errors[f"{task.name}-test"] = room.run(task.test(), trusted=True)
        points[task.name] = 0.0 if error else float(task.points)
    return {"points": points, "errors": errors, "cpu_seconds": time.process_time()}


def _examine(lab: Lab, name: str, source: str, seed: str, variant: str) -> Report:
    room, task = _Room(lab, seed, variant), lab.tasks[name]
    room.run_before(lab, {name: source}, everything=False)
    if not room.run(task.test(), trusted=True):
        return Report(float(task.points))
    failed = {}
    for part in (VISIBLE, *task.properties):
        if error := room.run(task.test(only=part), trusted=True):
            failed[part] = error
    suspects = [
        part for part in failed if part in task.properties and len(failed) == 1
    ]  # two failures: neither
    without = [part for part in suspects if not room.run(task.test(without=part), trusted=True)]
    return Report(0.0, failed, without)


def _caught(lab: Lab, name: str, source: str, part: str, seed: str) -> bool:
    room, task = _Room(lab, seed, "course"), lab.tasks[name]
    room.run_before(lab, {name: source}, everything=False)
    return bool(room.run(task.test(only=part), trusted=True))


def _work(connection: Any, function: Any, arguments: tuple[Any, ...]) -> None:
    try:
        connection.send(("done", function(*arguments)))
    except BaseException as error:
        connection.send(("failed", f"{type(error).__name__}: {error}"))
    finally:
        connection.close()


def _in_a_process(function: Any, *arguments: Any) -> Any:
    here, there = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_work, args=(there, function, arguments))
    process.start()
    there.close()
    try:
        if not here.poll(SECONDS):
            raise TimeoutError(f"no answer within {SECONDS} s")
        state, result = here.recv()
    finally:
        process.kill()
        process.join()
        here.close()
    if state == "failed":
        raise RuntimeError(result)
    return result


def grade(
    lab: Lab, answers: Mapping[str, str], *, seed: str = "s", variant: str = "course", looks: bool = True
) -> dict[str, Any]:
    """Run a whole lab with these answers (tasks left out have none): points and errors by cell.

    Without `looks` the unmarked cells, figures mostly, are left out; no grade depends on them.
    """
    return _in_a_process(_grade, lab, dict(answers), seed, variant, looks)


def examine(lab: Lab, task: str, source: str, *, seed: str = "s", variant: str = "course") -> Report:
    """Grade one answer on its own task, and say which parts of the test cell fail it."""
    return _in_a_process(_examine, lab, task, source, seed, variant)


def caught(lab: Lab, task: str, source: str, part: str, *, seed: str) -> bool:
    """Whether one part of the test cell fails an answer."""
    return _in_a_process(_caught, lab, task, source, part, seed)
