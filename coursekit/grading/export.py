"""The gradebook as CSV: partial credit for each task, totals, lateness; or what Canvas and Moodle import.

Cells are written so that a spreadsheet takes text for text: a student who is called ``=1+1`` stays
a name and becomes no formula.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = list[str | float | int | None]

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def harmless(value: str | float | int | None) -> str | float | int:
    """Make a value that no spreadsheet takes for a formula.

    Parameters
    ----------
    value : str, float, int or None
        A cell.

    Returns
    -------
    str, float or int
        Numbers as they are; text that looks like a formula with an apostrophe before it.
    """
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = value.replace("\0", "")
    if text.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def table(
    labs: Sequence[str] = (), *, course: str | Path = ".", db_url: str | None = None, format: str = "full"
) -> list[Row]:
    """Read the gradebook as a table.

    Parameters
    ----------
    labs : sequence of str
        Which labs; all by default.
    course : path
        Folder of the course.
    db_url : str, optional
        Gradebook; the course's own by default.
    format : {"full", "canvas", "moodle"}
        ``full``: one row per lab and student, all tasks (columns ``lab/notebook/task``).
        ``canvas``, ``moodle``: one row per student and one column per lab, in the columns that the
        learning platform imports.

    Returns
    -------
    list of list
        A header and rows, sorted by lab and student.

    Raises
    ------
    ValueError
        If a lab is not in the gradebook, or the format is unknown.
    """
    from nbgrader.api import Gradebook

    from coursekit.grading.run import load_config

    if format not in ("full", "canvas", "moodle"):
        raise ValueError(f"format: got {format!r}, expected 'full', 'canvas' or 'moodle'")
    directory = load_config(Path(course).resolve(), db_url=db_url).CourseDirectory
    with Gradebook(directory.db_url, directory.course_id) as book:
        known = {assignment.name: assignment for assignment in book.assignments}
        if unknown := sorted(set(labs) - set(known)):
            raise ValueError(f"labs: {', '.join(unknown)} not in the gradebook; there are {sorted(known)}")
        chosen = [known[name] for name in sorted(labs or known)]
        if format == "full":
            return _full(book, chosen)
        return _platform(book, chosen, format)


def write(rows: Sequence[Row]) -> str:
    """Write a table as CSV in which no cell is a formula.

    Parameters
    ----------
    rows : sequence of list
        Header and rows.

    Returns
    -------
    str
        Comma-separated, quoted where needed.
    """
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([harmless(cell) for cell in row] for row in rows)
    return stream.getvalue()


def main(arguments: argparse.Namespace) -> str:
    """Run ``coursekit export``.

    Parameters
    ----------
    arguments : Namespace
        Of the command line.

    Returns
    -------
    str
        What to print.
    """
    rows = table(arguments.labs, course=arguments.course, db_url=arguments.db, format=arguments.format)
    text = write(rows)
    if arguments.output is None:
        return text.rstrip("\n")
    # The mark at the start tells Excel that this is UTF-8; the platforms do not want it.
    encoding = "utf-8-sig" if arguments.format == "full" else "utf-8"
    arguments.output.write_text(text, encoding=encoding, newline="")
    return f"{arguments.output}: {len(rows) - 1} rows"


def _cells(assignment: Any) -> list[tuple[str, str, float]]:
    """Graded cells in the order of their names: notebook, cell, points."""
    return sorted(
        (notebook.name, cell.name, cell.max_score)
        for notebook in assignment.notebooks
        for cell in (*notebook.grade_cells, *notebook.task_cells)
    )


def _full(book: Any, assignments: Sequence[Any]) -> list[Row]:
    fixed = ["lab", "student", "last_name", "first_name", "email", "submitted", "due", "seconds_late"]
    fixed += ["score", "late_penalty", "total", "max_score", "needs_manual_grade"]
    columns = {a.name: _cells(a) for a in assignments}
    tasks = [(lab, notebook, cell) for lab, cells in columns.items() for notebook, cell, _ in cells]
    heading = [f"{lab}/{notebook}/{cell}" for lab, notebook, cell in tasks]
    rows: list[Row] = []
    for assignment in assignments:
        handed_in = {s.student_id: s for s in book.assignment_submissions(assignment.name)}
        most = sum(points for *_, points in columns[assignment.name])
        for student in sorted(book.students, key=lambda s: s.id):
            row: Row = [assignment.name, student.id, student.last_name, student.first_name, student.email]
            scores: dict[tuple[str, str, str], float] = {}
            submission = handed_in.get(student.id)
            if submission is None:
                row += ["", _time(assignment.duedate), 0, 0.0, 0.0, 0.0, most, "no"]
            else:
                penalty = submission.late_submission_penalty or 0.0
                score = submission.score or 0.0
                row += [_time(submission.timestamp), _time(submission.duedate), submission.total_seconds_late]
                row += [score, penalty, max(score - penalty, 0.0), most]
                row += ["yes" if submission.needs_manual_grade else "no"]
                for notebook in submission.notebooks:
                    for grade in notebook.grades:
                        scores[assignment.name, notebook.name, grade.name] = grade.score
            rows.append([*row, *(scores.get(task) for task in tasks)])
    return [[*fixed, *heading], *rows]


def _time(value: Any) -> str:
    return value.isoformat(sep=" ", timespec="seconds") + " UTC" if value is not None else ""


def _platform(book: Any, assignments: Sequence[Any], format: str) -> list[Row]:
    totals: dict[str, dict[str, float]] = {}
    for assignment in assignments:
        for submission in book.assignment_submissions(assignment.name):
            total = (submission.score or 0.0) - (submission.late_submission_penalty or 0.0)
            totals.setdefault(submission.student_id, {})[assignment.name] = max(total, 0.0)
    names = [assignment.name for assignment in assignments]
    students = sorted(book.students, key=lambda s: s.id)
    if format == "moodle":
        rows: list[Row] = [["Username", "Email address", *names]]
        rows += [[s.id, s.email, *(totals.get(s.id, {}).get(name) for name in names)] for s in students]
        return rows
    # The first five columns are fixed, and the row below the header has the maxima.
    header: Row = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *names]
    most = [sum(points for *_, points in _cells(assignment)) for assignment in assignments]
    rows = [header, ["    Points Possible", "", "", "", "", *most]]
    for s in students:
        full = ", ".join(part for part in (s.last_name, s.first_name) if part) or s.id
        scores = [totals.get(s.id, {}).get(name) for name in names]
        rows.append([full, s.lms_user_id, s.id, s.id, "", *scores])
    return rows
