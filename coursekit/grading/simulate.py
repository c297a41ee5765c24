"""Rehearse before term: a made-up class in a copy of the course, graded as the real one will be.

The class knows nothing about the tests. Its right answers are the instructor's own, the partial
ones stop half-way, the wrong ones return nothing, some misbehave, and some files are broken. What
each must earn is known beforehand, and compared with what it did earn.

Everything stays in ``rehearsal/`` inside the course's folder, closed to other users, with a
gradebook of its own: the real gradebook is never touched.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import argparse
import ast
import json
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coursekit.grading.ledger import write_atomically
from coursekit.grading.sandbox import Limits

FOLDER = "rehearsal"
_MARK = ".rehearsal"
_MARKERS = re.compile(r"^\s*### (BEGIN|END) SOLUTION.*\n?", re.MULTILINE)

#: Kinds of submissions, as often as in a class of twenty.
CLASS = (
    *("right", "partial", "untouched", "wrong", "hostile", "malformed", "empty"),
    *("right", "partial", "hostile", "right", "wrong", "partial", "right"),
    *("right", "right", "partial", "malformed", "right", "right"),
)

_HOSTILE = {
    "never ends": "while True:\n    pass",
    "ends its process": "import os\n\nos._exit(0)",
    "floods": "for _ in range(20_000):\n    print('x' * 1000)",
    "leaves": "raise SystemExit",
    "sleeps": "import time\n\ntime.sleep(1e6)",
    "wants all memory": "hoard = bytearray(10**12)",
}

Expected = dict[str, float | None]


@dataclass
class Rehearsal:
    """A made-up class.

    Attributes
    ----------
    course : Path
        Folder of the copy.
    lab : str
        Name of the lab.
    kinds : dict
        Student -> kind and detail.
    expected : dict
        Student -> cell -> points; None where a person must grade.
    """

    course: Path
    lab: str
    kinds: dict[str, tuple[str, str]] = field(default_factory=dict)
    expected: dict[str, Expected] = field(default_factory=dict)

    @property
    def db_url(self) -> str:
        """The rehearsal's own gradebook."""
        return f"sqlite:///{self.course / 'gradebook.db'}"


@dataclass(frozen=True)
class Mismatch:
    """A simulated student whose score is not what it must be.

    Attributes
    ----------
    student, kind, detail, cell : str
        Who and what.
    expected, got : float or None
        Points; None where a person must grade.
    """

    student: str
    kind: str
    detail: str
    cell: str
    expected: float | None
    got: float | None

    def __str__(self) -> str:
        return (
            f"{self.student} ({self.kind}: {self.detail}), {self.cell}: "
            f"expected {_points(self.expected)}, got {_points(self.got)}"
        )


def _points(value: float | None) -> str:
    return "a person's grade" if value is None else f"{value:g}"


# --- the lab, as its author wrote it ----------------------------------------------------------


@dataclass(frozen=True)
class _Lab:
    """One notebook of a lab: reference answers, and what each graded cell depends on."""

    name: str
    answers: dict[str, str]  # solution cell -> reference
    code: list[str]  # the solution cells that hold code, in order
    tests: dict[str, tuple[int, float]]  # test cell -> how many code cells stand before it, points
    manual: dict[str, float]  # graded by a person


def _read(path: Path) -> _Lab:
    import nbformat

    answers: dict[str, str] = {}
    code: list[str] = []
    tests: dict[str, tuple[int, float]] = {}
    manual: dict[str, float] = {}
    for cell in nbformat.read(path, as_version=4).cells:
        marks = cell.metadata.get("nbgrader", {})
        name = marks.get("grade_id")
        if marks.get("solution"):
            answers[name] = _MARKERS.sub("", cell.source).rstrip("\n")
            if marks.get("grade"):
                manual[name] = float(marks["points"])
            elif cell.cell_type == "code":
                code.append(name)
        elif marks.get("grade"):
            tests[name] = (len(code), float(marks["points"]))
        elif marks.get("task"):
            manual[name] = float(marks["points"])
    return _Lab(path.stem, answers, code, tests, manual)


def nothing(source: str) -> str:
    """Replace what a reference answer defines by things that compute nothing.

    Parameters
    ----------
    source : str
        The reference answer.

    Returns
    -------
    str
        Functions and classes that return None, and names that are None.
    """
    lines = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            lines.append(f"def {node.name}(*args, **kwargs):\n    return None\n")
        elif isinstance(node, ast.Assign):
            lines += [f"{name.id} = None" for name in node.targets if isinstance(name, ast.Name)]
    return "\n".join(lines) or "None"


class _Maker:
    """Makes the submissions of one lab."""

    def __init__(self, course: Path, lab: str):
        self.course, self.lab = course, lab
        self.books = [_read(path) for path in sorted((course / "source" / lab).glob("*.ipynb"))]

    def make(self, student: str, kind: str, turn: int) -> tuple[str, Expected]:
        """Hand in one submission; returns its detail and what it must earn."""
        maker: Callable[[Path, int], tuple[str, Expected]] = getattr(self, f"_{kind}")
        folder = self.course / "submitted" / student / self.lab
        folder.mkdir(parents=True)
        return maker(folder, turn)

    def _hand_in(self, folder: Path, change: Callable[[_Lab], Mapping[str, str]]) -> None:
        import nbformat

        for lab in self.books:
            path = self.course / "release" / self.lab / f"{lab.name}.ipynb"
            book = nbformat.read(path, as_version=4)
            answers = change(lab)
            for cell in book.cells:
                name = cell.metadata.get("nbgrader", {}).get("grade_id")
                if name in answers:
                    cell.source = answers[name]
            nbformat.write(book, folder / f"{lab.name}.ipynb")

    def _expect(self, done: Callable[[_Lab], int], *, answered: bool) -> Expected:
        """Full points for tests of which everything before is done; a person looks at what was answered."""
        expected: Expected = {}
        for lab in self.books:
            expected.update({n: p if before <= done(lab) else 0.0 for n, (before, p) in lab.tests.items()})
            expected.update(dict.fromkeys(lab.manual, None if answered else 0.0))
        return expected

    def _right(self, folder: Path, turn: int) -> tuple[str, Expected]:
        self._hand_in(folder, lambda lab: lab.answers)
        if turn % 3 == 2:
            (folder / "notes to myself.txt").write_text("An extra file.\n")
        return "the reference", self._expect(lambda lab: len(lab.code), answered=True)

    def _partial(self, folder: Path, turn: int) -> tuple[str, Expected]:
        def done(lab: _Lab) -> int:
            return turn % max(len(lab.code), 1)

        def first(lab: _Lab) -> dict[str, str]:
            return {name: lab.answers[name] for name in lab.code[: done(lab)]}

        self._hand_in(folder, first)
        return f"the first {done(self.books[0])} tasks", self._expect(done, answered=False)

    def _untouched(self, folder: Path, turn: int) -> tuple[str, Expected]:
        self._hand_in(folder, lambda lab: {})
        return "as released", self._expect(lambda lab: 0, answered=False)

    def _wrong(self, folder: Path, turn: int) -> tuple[str, Expected]:
        everything = turn % 2 == 0

        def answers(lab: _Lab) -> dict[str, str]:
            spoilt = lab.code if everything else lab.code[-1:]
            return {**lab.answers, **{name: nothing(lab.answers[name]) for name in spoilt}}

        self._hand_in(folder, answers)
        right = 0 if everything else -1
        expected = self._expect(lambda lab: right and len(lab.code) + right, answered=True)
        return "every task returns nothing" if everything else "the last task returns nothing", expected

    def _hostile(self, folder: Path, turn: int) -> tuple[str, Expected]:
        detail = sorted(_HOSTILE)[turn % len(_HOSTILE)]

        def answers(lab: _Lab) -> dict[str, str]:
            return {**lab.answers, **{name: _HOSTILE[detail] for name in lab.code[-1:]}}

        self._hand_in(folder, answers)
        return f"the last task {detail}", self._expect(lambda lab: len(lab.code) - 1, answered=True)

    def _empty(self, folder: Path, turn: int) -> tuple[str, Expected]:
        book = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        for lab in self.books:
            (folder / f"{lab.name}.ipynb").write_text(json.dumps(book))
        return "a notebook without cells", self._expect(lambda lab: 0, answered=False)

    def _malformed(self, folder: Path, turn: int) -> tuple[str, Expected]:
        self._hand_in(folder, lambda lab: lab.answers)
        details = ["cut in half", "no text", "a list", "missing", "a link", "an empty file", "too deep"]
        detail = details[turn % len(details)]
        for lab in self.books:
            path = folder / f"{lab.name}.ipynb"
            whole = path.read_bytes()
            path.unlink()
            if detail == "missing":
                (folder / "other.txt").write_text("not the notebook\n")
            elif detail == "a link":
                path.symlink_to(self.course / "release" / self.lab / path.name)
            else:
                path.write_bytes(
                    {
                        "cut in half": whole[: len(whole) // 2],
                        "no text": b"\xff\xfe\xfa" + whole[:100],
                        "a list": b"[]",
                        "an empty file": b"",
                        "too deep": b"[" * 200_000,
                    }[detail]
                )
        everything: Expected = {name: 0.0 for lab in self.books for name in (*lab.tests, *lab.manual)}
        return detail, everything


# --- the rehearsal ----------------------------------------------------------------------------


def simulate(
    lab: str, *, course: str | Path = ".", students: int = 30, random_state: int = 0, fresh: bool = True
) -> Rehearsal:
    """Make a class in a copy of the course.

    Parameters
    ----------
    lab : str
        Name of the lab.
    course : path
        Folder of the course; only read, but for ``rehearsal/``.
    students : int
        Size of the class. Seven students are one of each kind.
    random_state : int
        Seed of the order in which the kinds come.
    fresh : bool
        Start a new rehearsal; False adds a lab to the one that is there.

    Returns
    -------
    Rehearsal
        The class, and what each must earn.

    Raises
    ------
    ValueError
        If there is no such lab, or the class is empty.
    RuntimeError
        If the lab cannot be released.
    """
    root = Path(course).resolve()
    if students < 1:
        raise ValueError(f"students: got {students}, expected at least 1")
    if not list((root / "source" / lab).glob("*.ipynb")):
        raise ValueError(f"lab: no notebook in {root / 'source' / lab}; is {root} the course's folder?")
    folder = _folder(root, fresh=fresh)
    shutil.copytree(
        root / "source" / lab, folder / "source" / lab, ignore=shutil.ignore_patterns(".*", "__pycache__")
    )
    release(folder, lab)
    rehearsal, maker = Rehearsal(folder, lab), _Maker(folder, lab)
    order = [CLASS[i % len(CLASS)] for i in range(students)]
    turns: Counter[str] = Counter()
    names = [f"simulated-{i:04d}" for i in range(students)]
    random.Random(random_state).shuffle(order)
    for i, (student, kind) in enumerate(zip(names, order, strict=True)):
        name = f"{student} d'Été" if i % 10 == 9 else student  # names are not all plain letters
        detail, expected = maker.make(name, kind, turns[kind])
        turns[kind] += 1
        rehearsal.kinds[name], rehearsal.expected[name] = (kind, detail), expected
    content = {"kinds": rehearsal.kinds, "expected": rehearsal.expected}
    write_atomically(folder / f"expected-{lab}.json", (json.dumps(content, indent=1) + "\n").encode())
    return rehearsal


def _folder(root: Path, *, fresh: bool) -> Path:
    folder = root / FOLDER
    if folder.exists() and not (folder / _MARK).exists():
        raise ValueError(f"course: {folder} is there and no rehearsal; move it away")
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / _MARK).touch()
    return folder


def release(course: Path, lab: str) -> None:
    """Let nbgrader make the students' version and the gradebook's entry of a lab.

    Parameters
    ----------
    course : Path
        Folder of the course; its gradebook is SQLite in it.
    lab : str
        Name of the lab.

    Raises
    ------
    RuntimeError
        If nbgrader cannot.
    """
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    from coursekit.grading.config import course_config

    config = course_config(course, db_url=f"sqlite:///{course / 'gradebook.db'}")
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    result = api.generate_assignment(lab)
    if not result["success"]:
        raise RuntimeError(f"{lab}: nbgrader cannot release it: {result.get('log', '')[-1000:]}")


def load(course: str | Path, lab: str) -> Rehearsal:
    """Read a rehearsal that was made before.

    Parameters
    ----------
    course : path
        Folder of the course, in which ``rehearsal/`` is.
    lab : str
        Name of the lab.

    Returns
    -------
    Rehearsal
        The class.
    """
    folder = Path(course).resolve() / FOLDER
    content = json.loads((folder / f"expected-{lab}.json").read_text())
    kinds = {student: (kind, detail) for student, (kind, detail) in content["kinds"].items()}
    return Rehearsal(folder, lab, kinds, content["expected"])


def check(rehearsal: Rehearsal) -> list[Mismatch]:
    """Compare what a class has earned with what it must earn.

    Parameters
    ----------
    rehearsal : Rehearsal
        The class, graded.

    Returns
    -------
    list of Mismatch
        Where they differ; empty if all is well.
    """
    from nbgrader.api import Gradebook

    from coursekit.grading.config import COURSE_ID

    with Gradebook(rehearsal.db_url, COURSE_ID) as book:
        got = {
            submission.student_id: {
                grade.name: None if grade.needs_manual_grade else grade.auto_score
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in book.assignment_submissions(rehearsal.lab)
        }
    nothing_at_all = float("nan")  # differs from every expectation
    return [
        Mismatch(student, *rehearsal.kinds[student], cell, points, found)
        for student, cells in rehearsal.expected.items()
        for cell, points in cells.items()
        if (found := got.get(student, {}).get(cell, nothing_at_all)) != points
    ]


def report(rehearsal: Rehearsal, mismatches: Sequence[Mismatch]) -> str:
    """Say how a rehearsal went, by kind of submission.

    Parameters
    ----------
    rehearsal : Rehearsal
        The class.
    mismatches : sequence of Mismatch
        Of `check`.

    Returns
    -------
    str
        A table, and each difference.
    """
    total = Counter(kind for kind, _ in rehearsal.kinds.values())
    off = Counter(rehearsal.kinds[student][0] for student in {m.student for m in mismatches})
    lines = [f"{'submissions':<14}{'number':>8}{'as expected':>13}"]
    lines += [f"{kind:<14}{total[kind]:>8}{total[kind] - off[kind]:>13}" for kind in sorted(total)]
    return "\n".join([*lines, *map(str, mismatches)])


def main(arguments: argparse.Namespace) -> str:
    """Run ``coursekit simulate``.

    Parameters
    ----------
    arguments : Namespace
        Of the command line.

    Returns
    -------
    str
        What to print.

    Raises
    ------
    RuntimeError
        If a simulated student did not earn what it must.
    """
    from coursekit.grading.run import grade

    root = arguments.course.resolve()
    labs = [arguments.lab] if arguments.lab else sorted(p.name for p in (root / "source").glob("[!.]*"))
    texts, wrong = [], 0
    for i, lab in enumerate(labs):
        rehearsal = simulate(lab, course=root, students=arguments.students, fresh=i == 0)
        if arguments.only_make:
            texts.append(f"{lab}: {arguments.students} submissions in {rehearsal.course / 'submitted'}")
            continue
        limits = Limits(cell_s=arguments.cell_seconds)
        summary = grade(
            lab, course=rehearsal.course, workers=arguments.workers, limits=limits, db_url=rehearsal.db_url
        )
        mismatches = check(rehearsal)
        wrong += len(mismatches) + len(summary.failed)
        texts += [str(summary), report(rehearsal, mismatches)]
    if wrong:
        print("\n".join(texts))
        raise RuntimeError(f"{wrong} scores are not what they must be")
    return "\n".join(texts)
