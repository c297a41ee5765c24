"""A course with one lab to attack, and what grades it: the real boxes, one submission after another."""

from __future__ import annotations

import copy
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook
from tiny_lab import _marks

from coursekit.grading import sandbox
from coursekit.grading.sandbox import Limits
from coursekit.grading.session import Session

LAB = "arena"
FULL = {"double-test": 2.0, "mean-test": 3.0, "counter-test": 1.0}
ZERO = dict.fromkeys(FULL, 0.0)
#: Small, so that what runs into a limit does so soon.
LIMITS = Limits(
    memory_mb=400, processes=48, cpu_s=60, cell_s=10, total_s=90, file_mb=16, scratch_mb=32, output_kb=64
)
SEED = "5ca1ab1e" * 8

_SETUP = """import numpy as np
from coursekit import lab
from coursekit.lab import student

lab.close("coursekit.density")"""

_TESTS = {
    "double": """# Visible checks.
assert student.double(1.0) == 2.0
### BEGIN HIDDEN TESTS
# property: any number
x = float(lab.rng("double").normal())
assert abs(student.double(x) - 2 * x) < 1e-12
# property: arrays
x = lab.rng("arrays").normal(size=(3, 4))
assert np.shape(student.double(x)) == x.shape
assert np.allclose(student.double(x), 2 * x)
### END HIDDEN TESTS""",
    "mean": """# Partial credit.
### BEGIN HIDDEN TESTS
points = 0.0
# property: right for pairs
points += 1.0 * (abs(student.mean([1.0, 3.0]) - 2.0) < 1e-12)
# property: right for more
values = lab.rng("mean").normal(size=9).tolist()
points += 2.0 * (abs(student.mean(values) - np.mean(values)) < 1e-12)
### END HIDDEN TESTS
points""",
    "counter": """# A function that returns a function with a state.
count = student.counter(3)
assert [count(), count()] == [4, 5]
### BEGIN HIDDEN TESTS
# property: counters are independent
other = student.counter(10)
assert (other(), count()) == (11, 6)
### END HIDDEN TESTS""",
}
RIGHT = {
    "double": "def double(x):\n    return 2 * x",
    "mean": "def mean(values):\n    return sum(values) / len(values)",
    "counter": """def counter(start):
    def count():
        nonlocal start
        start += 1
        return start

    return count""",
}
#: Every task is answered, and wrong.
WRONG = {
    "double": "def double(x):\n    return 0.0",
    "mean": "def mean(values):\n    return 1e9",
    "counter": "def counter(start):\n    return lambda: 0",
}


def source() -> nbformat.NotebookNode:
    """The instructor's notebook."""
    cells = [new_code_cell(_SETUP, metadata=_marks("setup", locked=True))]
    for name, points in (("double", 2), ("mean", 3), ("counter", 1)):
        solution = f"### BEGIN SOLUTION\n{RIGHT[name]}\n### END SOLUTION"
        cells.append(new_code_cell(solution, metadata=_marks(name, solution=True)))
        marks = _marks(f"{name}-test", grade=True, locked=True, points=points)
        cells.append(new_code_cell(_TESTS[name], metadata=marks))
    return new_notebook(cells=cells)


def make_course(root: Path) -> Path:
    """Make the course and release its lab; there are things in it that nobody else should read."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    from coursekit.grading.config import course_config
    from coursekit.grading.seeds import course_key

    (root / "source" / LAB).mkdir(parents=True)
    nbformat.write(source(), root / "source" / LAB / f"{LAB}.ipynb")
    (root / "source" / LAB / "numbers.csv").write_text("1,2,3\n")
    config = course_config(root)
    result = NbGraderAPI(CourseDirectory(config=config), config=config).generate_assignment(LAB)
    assert result["success"], result
    (root / "submitted" / "other" / LAB).mkdir(parents=True)
    (root / "submitted" / "other" / LAB / f"{LAB}.ipynb").write_text("somebody else's work")
    course_key(root)
    return root


@dataclass(frozen=True)
class Graded:
    """What became of a submission."""

    scores: dict[str, float | None]
    reasons: dict[str, str]
    lost: str
    notebook: nbformat.NotebookNode
    seconds: float

    @property
    def text(self) -> str:
        """Everything that its cells put out."""
        found = []
        for cell in self.notebook.cells:
            for output in cell.get("outputs", []):
                found += [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", [])]
                found += [str(value) for value in output.get("data", {}).values()]
        return "\n".join(found)


class Arena:
    """A course and an open session: hands in notebooks and says what they earned."""

    def __init__(self, root: Path, session: Session):
        from traitlets.utils.importstring import import_item

        from coursekit.grading.config import course_config

        self.root, self.session = root, session
        self.config = course_config(root)
        section = self.config.Autograde
        names = [*section.sanitize_preprocessors, *section.autograde_preprocessors]
        writers = ("SaveAutoGrades", "AssignLatePenalties")
        self._steps = [import_item(name) for name in names if not name.endswith(writers)]
        self._release = nbformat.read(root / "release" / LAB / f"{LAB}.ipynb", as_version=4)

    def notebook(
        self, answers: Mapping[str, str] = WRONG, *, first: str = "", last: str = ""
    ) -> nbformat.NotebookNode:
        """The released notebook with answers, and with extra cells after the set-up and at the end."""
        book = copy.deepcopy(self._release)
        for cell in book.cells:
            cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
        if first:
            book.cells.insert(1, new_code_cell(first))
        if last:
            book.cells.append(new_code_cell(last))
        return book

    def grade(self, book: Any, *, seed: str = SEED, **limits: int) -> Graded:
        """Grade a notebook as the course's configuration says, with some limits of its own."""
        from nbgrader import utils

        start = time.monotonic()
        self.session.seed = seed
        self.session.limits = Limits(**{**vars(LIMITS), **limits})
        text = book if isinstance(book, str) else json.dumps(book)
        book = nbformat.reads(text, as_version=4)
        with tempfile.TemporaryDirectory() as folder, Session.using(self.session):
            names = {
                "student": "s",
                "assignment": LAB,
                "notebook": LAB,
                "db_url": f"sqlite:///{self.root}/gradebook.db",
            }
            resources = {"metadata": {"name": LAB, "path": folder}, "nbgrader": names}
            for step in self._steps:
                book, resources = step(config=self.config)(book, resources)
            record = json.loads(Path(folder, "grades.json").read_text())
        nbformat.validate(book)
        nbformat.writes(book).encode()  # what cannot be written would fail the submission
        scores = {
            cell.metadata.nbgrader.grade_id: utils.determine_grade(cell)[0]
            for cell in book.cells
            if utils.is_grade(cell)
        }
        concluded = {one["cell"]: one["score"] for one in record["conclusions"]}
        assert scores == concluded, "nbgrader reads another score than the test process concluded"
        reasons = {one["cell"]: one["reason"] for one in record["conclusions"]}
        return Graded(scores, reasons, record["lost"], book, time.monotonic() - start)

    def honest(self) -> None:
        """Grade a right submission: the session must be as good as new, and nothing of before remain."""
        shown = {
            "ipython",
            *sandbox.run_folder().parts,
            *Path(sys.prefix).resolve().parts,
            *Path(__file__).parts,
        }
        folders = "*os.listdir('/tmp'), *os.listdir('/lab'), *os.listdir('/dev/shm')"
        look = f"import os\nprint(sorted({{{folders}}} - {shown}))"
        graded = self.grade(self.notebook(RIGHT, first=look))
        assert graded.scores == FULL, graded
        assert "['numbers.csv']" in graded.text, graded.text
        assert boxed_processes() == [], "something survived its box"

    def secrets(self) -> list[str]:
        """What must not be read by a student."""
        from coursekit.grading.seeds import course_key

        return [SEED, course_key(self.root).hex(), "somebody else's work", 'lab.rng("double")']


def boxed_processes() -> list[psutil.Process]:
    """Processes of the users that boxes have (for a grader who is root)."""
    found = []
    for process in psutil.process_iter(["uids"]):
        uids = process.info["uids"]
        if uids is not None and uids.real >= 1_900_000_000 and _is_ours(process):
            found.append(process)
    return found


def _is_ours(process: psutil.Process) -> bool:
    from coursekit.grading.sandbox import fresh_uid

    try:
        ended = process.status() == psutil.STATUS_ZOMBIE
        return not ended and process.uids().real in (fresh_uid(0), fresh_uid(1))
    except psutil.Error:
        return False
