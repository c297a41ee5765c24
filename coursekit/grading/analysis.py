"""Item analysis: which task was too easy, which told nothing, and where students went wrong.

For each graded cell: how its scores are distributed, how well it tells strong from weak work, how
long its tests took, and which property failed most often.

References: Ebel and Frisbie (1991), Essentials of Educational Measurement, chapter 13.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TAIL = 0.27  # of the class, for the comparison of its upper and lower part


@dataclass(frozen=True)
class Task:
    """How one graded cell did.

    Attributes
    ----------
    task : str
        ``notebook/cell``.
    students : int
        Scores that there are; work that still waits for a person has none.
    max_score : float
        Points.
    mean, sd : float
        Of the scores, in points; `sd` with divisor n - 1.
    zero, partial, full : float
        Shares of the class with none, some and all of the points.
    discrimination : float
        Corrected item-total correlation: with the share of points earned on all other tasks. NaN
        where either does not vary.
    upper_lower : float
        Mean share of the points in the best 27 % of the class (by the other tasks) minus that in
        the worst 27 %.
    seconds : float
        Median time of the tests.
    failed_property : str
        What failed most often.
    failures : int
        How often.
    """

    task: str
    students: int
    max_score: float
    mean: float
    sd: float
    zero: float
    partial: float
    full: float
    discrimination: float
    upper_lower: float
    seconds: float
    failed_property: str
    failures: int


def discrimination(scores: np.ndarray, maxima: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Measure how well each task tells strong from weak work.

    Parameters
    ----------
    scores : ndarray, shape (students, tasks)
        Points; NaN where there is no score.
    maxima : ndarray, shape (tasks,)
        Points that could be earned.

    Returns
    -------
    correlation : ndarray, shape (tasks,)
        Of each task's scores with the share of points earned on the others; NaN if undefined.
    upper_lower : ndarray, shape (tasks,)
        Difference of the mean share between the best and the worst 27 % by the others; students who
        tie at a border enter with equal weight.
    """
    shares = scores / maxima
    counts = ~np.isnan(scores)
    correlation = np.full(len(maxima), np.nan)
    upper_lower = np.full(len(maxima), np.nan)
    for j in range(len(maxima)):
        others = np.arange(len(maxima)) != j
        possible = counts[:, others] @ maxima[others]
        usable = counts[:, j] & (possible > 0)
        if usable.sum() < 2:
            continue
        rest = np.nansum(scores[usable][:, others], axis=1) / possible[usable]
        mine = shares[usable, j]
        if np.ptp(mine) > 1e-12 and np.ptp(rest) > 1e-12:
            correlation[j] = np.corrcoef(mine, rest)[0, 1]
        upper_lower[j] = _tail_mean(mine, -rest) - _tail_mean(mine, rest)
    return correlation, upper_lower


def _tail_mean(values: np.ndarray, key: np.ndarray) -> float:
    """Mean of the values with the smallest keys; ties at the border share the places that are left."""
    places = max(round(_TAIL * len(values)), 1)
    border = np.sort(key)[places - 1]
    below, at = key < border, key == border
    weights = below + at * (places - below.sum()) / at.sum()
    return float(np.average(values, weights=weights))


def tasks(lab: str, *, course: str | Path = ".", db_url: str | None = None) -> list[Task]:
    """Analyse the tasks of a graded lab.

    Parameters
    ----------
    lab : str
        Name of the lab.
    course : path
        Folder of the course.
    db_url : str, optional
        Gradebook; the course's own by default.

    Returns
    -------
    list of Task
        One per graded cell, sorted by name.

    Raises
    ------
    ValueError
        If nothing of this lab has been graded.
    """
    root = Path(course).resolve()
    names, maxima, scores = _scores(root, lab, db_url)
    correlation, upper_lower = discrimination(scores, maxima)
    times, failures = _records(root, lab)
    found = []
    for j, name in enumerate(names):
        column = scores[~np.isnan(scores[:, j]), j]
        some = len(column) > 0
        worst = failures.get(name, Counter()).most_common(1)
        found.append(
            Task(
                task=name,
                students=len(column),
                max_score=float(maxima[j]),
                mean=float(column.mean()) if some else float("nan"),
                sd=float(column.std(ddof=1)) if len(column) > 1 else float("nan"),
                zero=_share(column <= 0),
                partial=_share((column > 0) & (column < maxima[j])),
                full=_share((column > 0) & (column >= maxima[j])),
                discrimination=float(correlation[j]),
                upper_lower=float(upper_lower[j]),
                seconds=float(np.median(times[name])) if times.get(name) else float("nan"),
                failed_property=worst[0][0] if worst else "",
                failures=worst[0][1] if worst else 0,
            )
        )
    return found


def _share(where: np.ndarray) -> float:
    return float(where.mean()) if len(where) else float("nan")


def _scores(root: Path, lab: str, db_url: str | None) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read names, maxima and the matrix of scores from the gradebook."""
    from nbgrader.api import Gradebook

    from coursekit.grading.run import load_config

    directory = load_config(root, db_url=db_url).CourseDirectory
    with Gradebook(directory.db_url, directory.course_id) as book:
        rows: list[dict[str, float]] = []
        maxima: dict[str, float] = {}
        for submission in book.assignment_submissions(lab):
            row = {}
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    name = f"{notebook.name}/{grade.name}"
                    maxima[name] = grade.max_score
                    has_score = grade.auto_score is not None or grade.manual_score is not None
                    row[name] = grade.score if has_score else float("nan")
            rows.append(row)
    names = sorted(name for name, most in maxima.items() if most > 0)
    if not rows or not names:
        raise ValueError(f"lab: nothing of {lab!r} has been graded; run `coursekit grade {lab}` first")
    matrix = np.array([[row.get(name, np.nan) for name in names] for row in rows], dtype=float)
    return names, np.array([maxima[name] for name in names], dtype=float), matrix


def _records(root: Path, lab: str) -> tuple[dict[str, list[float]], dict[str, Counter[str]]]:
    """Read times and failed properties from what stands beside the graded notebooks."""
    times: dict[str, list[float]] = {}
    failures: dict[str, Counter[str]] = {}
    for file in sorted((root / "autograded").glob(f"*/{lab}/grades.json")):
        record: dict[str, Any] = json.loads(file.read_text())
        for conclusion in record["conclusions"]:
            # nbgrader's own button writes one notebook's conclusions without its name.
            name = f"{conclusion.get('notebook', lab)}/{conclusion['cell']}"
            if conclusion["seconds"] > 0:
                times.setdefault(name, []).append(conclusion["seconds"])
            if conclusion["score"] < conclusion["max_score"]:
                what = conclusion["failed_property"] or conclusion["reason"].splitlines()[0][:80]
                failures.setdefault(name, Counter())[what] += 1
    return times, failures


_COLUMNS = tuple(Task.__dataclass_fields__)


def rows(found: Sequence[Task]) -> list[list[str | float | int | None]]:
    """Write an analysis as a table.

    Parameters
    ----------
    found : sequence of Task
        Of `tasks`.

    Returns
    -------
    list of list
        Header and rows; undefined numbers are empty.
    """

    def cell(value: Any) -> Any:
        if isinstance(value, float):
            return None if np.isnan(value) else round(value, 4)
        return value

    return [list(_COLUMNS), *([cell(getattr(task, name)) for name in _COLUMNS] for task in found)]


def draw(found: Sequence[Task]) -> tuple[Figure, str]:
    """Draw an analysis: who earned what, and what each task tells.

    Parameters
    ----------
    found : sequence of Task
        Of `tasks`.

    Returns
    -------
    fig : Figure
        Left: shares of the class with none, some and all of the points. Right: discrimination.
    alt : str
        The same in words.
    """
    from coursekit import plot

    names = [task.task for task in found]
    fig, (left, right) = plot.figure(1, 2, width=9.0, height=1.2 + 0.4 * len(found), sharey=True)
    start = np.zeros(len(found))
    parts = (("full", plot.COLORS[2]), ("partial", plot.COLORS[5]), ("zero", plot.COLORS[1]))
    for part, colour in parts:
        width = np.nan_to_num([getattr(task, part) for task in found])
        left.barh(names, width, left=start, color=colour, label=part)
        start += width
    left.set(xlabel="share of the class", xlim=(0, 1))
    left.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    left.invert_yaxis()
    right.plot([task.discrimination for task in found], names, "o", color=plot.COLORS[0])
    right.axvline(0.2, linestyle=":", color=plot.COLORS[6])  # below it a task tells little
    right.set(xlabel="discrimination (correlation with the other tasks)", xlim=(-1, 1))
    alt = "; ".join(
        f"{t.task}: {t.full:.0%} full, {t.partial:.0%} partial, {t.zero:.0%} no points, "
        f"discrimination {t.discrimination:.2f}"
        for t in found
    )
    return fig, f"Scores and discrimination of each task. {alt}."


def main(arguments: argparse.Namespace) -> str:
    """Run ``coursekit analysis``.

    Parameters
    ----------
    arguments : Namespace
        Of the command line.

    Returns
    -------
    str
        What to print.
    """
    from coursekit.grading.export import write

    found = tasks(arguments.lab, course=arguments.course, db_url=arguments.db)
    if arguments.csv is not None:
        arguments.csv.write_text(write(rows(found)), encoding="utf-8")
    if arguments.plot is not None:
        import matplotlib.pyplot as plt

        fig, alt = draw(found)
        fig.savefig(
            arguments.plot, metadata={"Description": alt} if arguments.plot.suffix == ".png" else None
        )
        plt.close(fig)
    width = max(len(task.task) for task in found)
    lines = [f"{'task':<{width}}  n    mean/max   zero  full  discr.  up-low  most common failure"]
    for t in found:
        failure = f"{t.failed_property} ({t.failures})" if t.failures else ""
        lines.append(
            f"{t.task:<{width}}  {t.students:<4} {t.mean:5.2f}/{t.max_score:<4g} {t.zero:5.0%} {t.full:5.0%}"
            f"  {t.discrimination:6.2f}  {t.upper_lower:6.2f}  {failure}"
        )
    return "\n".join(lines)
