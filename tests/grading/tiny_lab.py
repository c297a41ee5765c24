"""A course with one small lab, for the tests of grading: made, released and answered in code."""

from __future__ import annotations

import json
import os
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

# nbgrader starts `alembic` by its name alone.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])

LAB = "tiny"
POINTS = {"double-test": 2.0, "mean-test": 3.0, "explain": 4.0}

_SETUP = """import numpy as np
from coursekit import lab
from coursekit.lab import student"""

_DOUBLE = """def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION"""

_DOUBLE_TEST = """# Visible checks of task 1.
assert student.double(1.0) == 2.0
### BEGIN HIDDEN TESTS
# property: any number
x = float(lab.rng("double").normal())
assert abs(student.double(x) - 2 * x) < 1e-12
### END HIDDEN TESTS"""

_MEAN = """def mean(values):
    ### BEGIN SOLUTION
    return sum(values) / len(values)
    ### END SOLUTION"""

_MEAN_TEST = """# Visible checks of task 2: partial credit.
points = 0.0
assert student.mean([1.0, 3.0]) is not None
### BEGIN HIDDEN TESTS
# property: right for pairs
points += 1.0 * (abs(student.mean([1.0, 3.0]) - 2.0) < 1e-12)
# property: right for more
points += 2.0 * (abs(student.mean([1.0, 3.0, 8.0]) - 4.0) < 1e-12)
### END HIDDEN TESTS
points"""

ANSWERS = {
    "double": "def double(x):\n    return x + x",
    "mean": "def mean(values):\n    return float(np.mean(values))",
    "explain": "Because.",
}


def _marks(name: str, **flags: object) -> dict[str, object]:
    base = {"grade": False, "grade_id": name, "locked": False, "schema_version": 3, "solution": False}
    return {"nbgrader": {**base, "task": False, **flags}}


def source(setup: str = _SETUP) -> nbformat.NotebookNode:
    """The instructor's notebook: two tasks for the machine, one for a person."""

    def code(name: str, text: str, **flags: object) -> nbformat.NotebookNode:
        return new_code_cell(text, id=name, metadata=_marks(name, **flags))

    cells = [
        new_markdown_cell("# Tiny lab", id="title"),
        code("setup", setup, locked=True),
        code("double", _DOUBLE, solution=True),
        code("double-test", _DOUBLE_TEST, grade=True, locked=True, points=2),
        code("mean", _MEAN, solution=True),
        code("mean-test", _MEAN_TEST, grade=True, locked=True, points=3),
        new_markdown_cell(
            "The model answer.", id="explain", metadata=_marks("explain", grade=True, solution=True, points=4)
        ),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def make_course(root: Path, *, db_url: str | None = None, setup: str = _SETUP) -> Path:
    """Make a course and release its lab."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    from coursekit.grading.config import course_config

    (root / "source" / LAB).mkdir(parents=True)
    nbformat.write(source(setup), root / "source" / LAB / f"{LAB}.ipynb")
    (root / "source" / LAB / "numbers.csv").write_text("1,2,3\n")
    config = course_config(root, db_url=db_url)
    result = NbGraderAPI(CourseDirectory(config=config), config=config).generate_assignment(LAB)
    assert result["success"], result
    return root


def answered(course: Path, answers: Mapping[str, str]) -> nbformat.NotebookNode:
    """The released notebook with these cells filled in."""
    book = nbformat.read(course / "release" / LAB / f"{LAB}.ipynb", as_version=4)
    for cell in book.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]
    return book


def submit(course: Path, student: str, answers: Mapping[str, str] | None = None, **files: object) -> Path:
    """Hand in a notebook (the right one by default) as a student."""
    folder = course / "submitted" / student / LAB
    folder.mkdir(parents=True)
    book = answered(course, ANSWERS if answers is None else answers)
    nbformat.write(book, folder / f"{LAB}.ipynb")
    for name, content in files.items():
        (folder / name).write_text(str(content))
    return folder


def scores(course: Path, *, db_url: str | None = None, students: Iterable[str] | None = None) -> dict:
    """What the gradebook says: student -> cell -> (auto, manual, needs a person)."""
    from nbgrader.api import Gradebook

    from coursekit.grading.config import COURSE_ID

    with Gradebook(db_url or f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        found = {
            submission.student.id: {
                grade.name: (grade.auto_score, grade.manual_score, grade.needs_manual_grade)
                for notebook in submission.notebooks
                for grade in notebook.grades
            }
            for submission in book.assignment_submissions(LAB)
        }
    return found if students is None else {name: found[name] for name in students}


def record(course: Path, student: str) -> dict:
    """What stands beside a graded notebook."""
    return json.loads((course / "autograded" / student / LAB / "grades.json").read_text())
