"""nbgrader's gradebook at the two ends of a run: a template for workers, one writer for the scores.

Workers get a gradebook that knows the lab and no student. What they conclude comes back as plain
data, and one `Writer` puts it into the real gradebook, one transaction per batch, whatever database
that is.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbgrader.api import (
    Comment,
    Grade,
    Gradebook,
    MissingEntry,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from nbgrader.preprocessors import AssignLatePenalties
from nbgrader.utils import parse_utc
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from traitlets.config import Config

_ATTEMPTS = 6  # a formgrader may hold the database for a moment
_CELLS = {
    "grade": ("name", "max_score", "cell_type"),
    "solution": ("name",),
    "task": ("name", "max_score", "cell_type"),
    "source": ("name", "cell_type", "source", "checksum", "locked"),
}

Definitions = dict[str, Any]


def definitions(
    gradebook: Gradebook, lab: str, *, order: Mapping[str, Sequence[str]] | None = None
) -> Definitions:
    """Read what the gradebook knows about a lab, without its students.

    Parameters
    ----------
    gradebook : Gradebook
        The course's.
    lab : str
        Name of the lab.
    order : dict, optional
        Notebook name -> grade ids in the order of the lab's notebook. A database promises no order.

    Returns
    -------
    dict
        Notebook name -> kernelspec and cells by kind, as plain data.

    Raises
    ------
    ValueError
        If the lab is not in the gradebook yet.
    """
    try:
        assignment = gradebook.find_assignment(lab)
    except MissingEntry:
        raise ValueError(
            f"lab: {lab!r} is not in the gradebook; run `coursekit release {lab}` first"
        ) from None
    books: Definitions = {}
    for notebook in sorted(assignment.notebooks, key=lambda book: book.name):
        cells = {
            kind: [
                {name: getattr(cell, name) for name in names} for cell in getattr(notebook, f"{kind}_cells")
            ]
            for kind, names in _CELLS.items()
        }
        rank = {name: i for i, name in enumerate((order or {}).get(notebook.name, ()))}
        cells["source"].sort(key=lambda cell: rank.get(cell["name"], len(rank)))
        books[notebook.name] = {"kernelspec": notebook.kernelspec, "cells": cells}
    if not books:
        raise ValueError(f"lab: {lab!r} has no notebook; run `coursekit release {lab}` first")
    return books


def maxima(known: Definitions) -> dict[str, dict[str, float]]:
    """List the points of each graded cell.

    Parameters
    ----------
    known : dict
        Of `definitions`.

    Returns
    -------
    dict
        Notebook name -> cell -> points.
    """
    return {
        name: {cell["name"]: cell["max_score"] for kind in ("grade", "task") for cell in book["cells"][kind]}
        for name, book in known.items()
    }


def version(known: Definitions, data: Mapping[str, bytes]) -> str:
    """Condense a version of a lab into a digest: what is graded, how, and with which data.

    Parameters
    ----------
    known : dict
        Of `definitions`.
    data : dict
        The lab's data files.

    Returns
    -------
    str
        SHA-256.
    """
    books = {
        name: {kind: sorted(cells, key=lambda cell: cell["name"]) for kind, cells in book["cells"].items()}
        for name, book in known.items()
    }
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in data.items()}
    return hashlib.sha256(json.dumps([books, sums], sort_keys=True).encode()).hexdigest()


def schema(gradebook: Gradebook) -> str:
    """Read which version of nbgrader's tables a gradebook has.

    Parameters
    ----------
    gradebook : Gradebook
        The course's.

    Returns
    -------
    str
        The version, as alembic names it.
    """
    return str(gradebook.db.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def template(path: Path, known: Definitions, lab: str, course_id: str, schema: str) -> None:
    """Make a gradebook that knows a lab and no student.

    Parameters
    ----------
    path : Path
        Where to.
    known : dict
        Of `definitions`.
    lab, course_id : str
        Names of the lab and of the course.
    schema : str
        Version of the tables: the course's own, for nbgrader would start a program to find it out.
    """
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES (?)", [schema])
    with Gradebook(f"sqlite:///{path}", course_id) as gradebook:
        gradebook.add_assignment(lab)
        for name, book in known.items():
            gradebook.add_notebook(name, lab, kernelspec=book["kernelspec"])
            for kind, cells in book["cells"].items():
                add = getattr(gradebook, f"add_{kind}_cell")
                for cell in cells:
                    info = dict(cell)
                    add(info.pop("name"), name, lab, **info)


class Writer:
    """The one that writes scores into the real gradebook.

    Parameters
    ----------
    url : str
        The database.
    lab, course_id : str
        Names of the lab and of the course.
    config : Config
        nbgrader's configuration; its rule for late submissions is obeyed.
    order : dict, optional
        Of `definitions`.
    """

    def __init__(
        self,
        url: str,
        lab: str,
        course_id: str,
        config: Config,
        *,
        order: Mapping[str, Sequence[str]] | None = None,
    ):
        self._book, self._lab = Gradebook(url, course_id), lab
        late = AssignLatePenalties(config=config)
        late.init_plugin()
        self._late = late.plugin_inst
        self.definitions = definitions(self._book, lab, order=order)
        self.schema = schema(self._book)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._book.close()

    def known_students(self) -> set[str]:
        """List the students of whom the gradebook has a submission of this lab.

        Returns
        -------
        set of str
            Their ids.
        """
        assignment = self._book.find_assignment(self._lab)
        query = self._book.db.query(SubmittedAssignment.student_id)
        return {row[0] for row in query.filter(SubmittedAssignment.assignment_id == assignment.id)}

    def manual(self) -> set[str]:
        """List the students of whom a person must grade or review something.

        Returns
        -------
        set of str
            Their ids.
        """
        assignment = self._book.find_assignment(self._lab)
        query = (
            self._book.db.query(SubmittedAssignment.student_id)
            .join(SubmittedNotebook, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
            .join(Grade, Grade.notebook_id == SubmittedNotebook.id)
            .filter(SubmittedAssignment.assignment_id == assignment.id, Grade.needs_manual_grade.is_(True))
        )
        return {row[0] for row in query.distinct()}

    def merge(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Write the scores of a batch in one transaction.

        Parameters
        ----------
        results : iterable of dict
            Each with ``student``, ``timestamp``, ``changed`` (whether the submission is not the one
            that was graded last), ``grades`` (None: leave the scores as they are) and ``comments``,
            both by notebook and cell.
        """
        results = list(results)
        for attempt in range(_ATTEMPTS):
            try:
                self._merge(results)
                return
            except OperationalError:
                self._book.db.rollback()
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.2 * 2**attempt)
            except BaseException:
                self._book.db.rollback()
                raise

    def _merge(self, results: Iterable[Mapping[str, Any]]) -> None:
        assignment = self._book.find_assignment(self._lab)
        for result in results:
            submission = self._submission(assignment, result["student"])
            if result["timestamp"]:
                submission.timestamp = parse_utc(result["timestamp"])
            for notebook in submission.notebooks:
                _score(notebook, result)
            self._book.db.flush()
            for notebook in submission.notebooks:
                self._penalize(submission, notebook)
        self._book.db.commit()
        self._book.db.expunge_all()

    def _submission(self, assignment: Any, student_id: str) -> SubmittedAssignment:
        """Find or add the rows of a submission; `Gradebook.add_submission` would commit for each."""
        session = self._book.db
        with session.no_autoflush:
            student = session.get(Student, student_id)
            if student is None:
                student = Student(id=student_id)
                session.add(student)
            query = session.query(SubmittedAssignment)
            found = query.filter_by(assignment_id=assignment.id, student_id=student_id).one_or_none()
            if found is None:
                found = SubmittedAssignment(assignment=assignment, student=student)
                session.add(found)
            have = {notebook.notebook_id: notebook for notebook in found.notebooks}
            for notebook in assignment.notebooks:
                mine = have.get(notebook.id)
                if mine is None:
                    mine = SubmittedNotebook(notebook=notebook, assignment=found)
                    session.add(mine)
                graded = {grade.cell_id for grade in mine.grades}
                commented = {comment.cell_id for comment in mine.comments}
                for cell in (*notebook.grade_cells, *notebook.task_cells):
                    if cell.id not in graded:
                        session.add(Grade(cell=cell, notebook=mine))
                for cell in (*notebook.solution_cells, *notebook.task_cells):
                    if cell.id not in commented:
                        session.add(Comment(cell=cell, notebook=mine))
        session.flush()
        return found

    def _penalize(self, submission: SubmittedAssignment, notebook: SubmittedNotebook) -> None:
        """Do what nbgrader's step for late submissions does, inside this transaction."""
        notebook.late_submission_penalty = None
        late = submission.total_seconds_late
        if late > 0:
            self._book.db.refresh(notebook, ["score"])
            penalty = self._late.late_submission_penalty(submission.student_id, notebook.score, late)
            if penalty is not None:
                notebook.late_submission_penalty = min(max(penalty, 0), notebook.score)


def _score(notebook: SubmittedNotebook, result: Mapping[str, Any]) -> None:
    """Set automatic scores; what a person gave stays, and is looked at again if something changed."""
    if result["grades"] is None:
        return
    scores = result["grades"].get(notebook.name, {})
    for grade in notebook.grades:
        score = scores.get(grade.name)
        if grade.manual_score is None:
            grade.needs_manual_grade = score is None
        elif result["changed"] or score != grade.auto_score:
            grade.needs_manual_grade = True
        grade.auto_score = score
    comments = result["comments"].get(notebook.name, {})
    for comment in notebook.comments:
        comment.auto_comment = comments.get(comment.name)
