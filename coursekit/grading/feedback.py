"""Feedback pages: what was earned and why, and nothing that runs or gives the hidden tests away.

A page is made from the graded notebook, the conclusions beside it and the gradebook (points, comments,
what a person graded). Everything that a student wrote or printed is taken for hostile: text is
escaped, HTML is sanitized, pictures are decoded and written anew, and the page itself forbids the
browser to run scripts or to fetch anything. Pages land where ``nbgrader release_feedback`` looks.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from coursekit.grading import harmless, intake, leaks
from coursekit.grading.release import replace

_LARGEST_PAGE = 16 << 20
_COPIED = ("timestamp.txt", "submission_secret.txt")  # by these nbgrader finds whose page it is


@dataclass(frozen=True)
class Task:
    """One graded cell, as the gradebook and the tests have it.

    Attributes
    ----------
    cell : str
        Its grade id, without the ending ``-test``.
    points, most : float
        Points given, and points that could be.
    words : str
        What happened, in a sentence.
    comment : str
        What a person, or the grader, wrote.
    waits : bool
        Whether a person still has to look at it.
    """

    cell: str
    points: float
    most: float
    words: str
    comment: str = ""
    waits: bool = False


@dataclass
class Written:
    """What became of a run.

    Attributes
    ----------
    pages : list of Path
        The pages.
    failed : dict
        Student -> why there is no page.
    """

    pages: list[Path] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class FeedbackLeaks(RuntimeError):
    """A page would show hidden tests, and is not written."""


def feedback(
    lab: str,
    *,
    course: str | Path = ".",
    students: Sequence[str] | None = None,
    rubric: bool = False,
    db_url: str | None = None,
) -> Written:
    """Write the feedback pages of a lab.

    Parameters
    ----------
    lab : str
        Name of the lab, which has been graded.
    course : path
        Folder of the course.
    students : sequence of str, optional
        Whose pages; of everybody who was graded by default.
    rubric : bool
        Show the mark schemes of the tasks that a person grades.
    db_url : str, optional
        Gradebook; by default what the course's configuration says.

    Returns
    -------
    Written
        The pages ``feedback/STUDENT/LAB/LAB.html``, and for whom there is none.

    Raises
    ------
    ValueError
        If the lab or a student was not graded.
    """
    from nbgrader.api import Gradebook
    from nbgrader.coursedir import CourseDirectory

    from coursekit.grading.run import load_config

    root = Path(course).resolve()
    graded = _graded(root, lab)
    if not graded:
        raise ValueError(
            f"lab: no submission of {lab!r} is graded in {root}; run `coursekit grade {lab}` first"
        )
    if unknown := sorted(set(students or ()) - set(graded)):
        raise ValueError(f"students: of {', '.join(unknown)} no submission of {lab} is graded")
    directory = CourseDirectory(config=load_config(root, db_url=db_url))
    known = _Lab.read(root, lab)
    written = Written()
    with Gradebook(directory.db_url, directory.course_id) as gradebook:
        for student in graded if students is None else dict.fromkeys(students):
            try:
                written.pages += _write(root, known, student, gradebook, rubric)
            except Exception as error:  # one page that cannot be made costs nobody else theirs
                written.failed[student] = f"{type(error).__name__}: {error}"
    return written


def _graded(root: Path, lab: str) -> list[str]:
    folder = root / "autograded"
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return [name for name in names if (folder / name / lab).is_dir() and not intake.id_problem(name)]


@dataclass(frozen=True)
class _Lab:
    """What a page must know of the lab itself."""

    name: str
    titles: dict[str, str]  # notebook -> title
    own: dict[str, set[str]]  # notebook -> sources of the lab's own cells
    secrets: leaks.Secrets

    @classmethod
    def read(cls, root: Path, lab: str) -> _Lab:
        import nbformat

        titles, own, secrets = {}, {}, leaks.Secrets()
        for file in sorted((root / "source" / lab).glob("*.ipynb")):
            book = nbformat.read(file, as_version=4)
            headings = [line for cell in book.cells for line in _headings(cell)]
            titles[file.stem] = headings[0].lstrip("# ") if headings else file.stem
            own[file.stem] = {cell.source.strip() for cell in book.cells if not _solves(cell)}
            secrets |= leaks.secrets_of(book, lab=lab)
        # A student may well have found the reference's own solution: only what nobody hands in is secret.
        private = {gram: of for gram, of in secrets.grams.items() if of[0] != "solution"}
        return cls(lab, titles, own, leaks.Secrets(private, {}, secrets.known_marks))


def _solves(cell: Any) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def _headings(cell: Any) -> list[str]:
    lines = cell.source.splitlines() if cell.cell_type == "markdown" else []
    return [line for line in lines if re.match(r"#{1,4} ", line)]


def _write(root: Path, lab: _Lab, student: str, gradebook: Any, rubric: bool) -> list[Path]:
    """Write the pages of one student in one step."""
    import nbformat

    source = root / "autograded" / student / lab.name
    submission = gradebook.find_submission(lab.name, student)
    conclusions = _conclusions(source / "grades.json")
    final = root / "feedback" / student / lab.name
    final.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".writing-", dir=final.parent))
    try:
        pages = []
        made = stage / lab.name
        made.mkdir()
        for row in submission.notebooks:
            file = source / f"{row.name}.ipynb"
            if not file.exists():
                continue
            book = nbformat.read(file, as_version=4)
            page = _page(book, lab, row, submission, conclusions.get(row.name, {}), rubric)
            (made / f"{row.name}.html").write_text(page, encoding="utf-8")
            pages.append(final / f"{row.name}.html")
        if not pages:
            raise ValueError("there is no graded notebook of this lab")
        for name in _COPIED:
            for folder in (source, root / "submitted" / student / lab.name):
                if (folder / name).is_file() and not (made / name).exists():
                    shutil.copyfile(folder / name, made / name)
        replace(made, final, stage / "old")
        return pages
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _conclusions(path: Path) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Read what the tests concluded: notebook -> cell -> conclusion. A stock nbgrader's run has none."""
    if not path.is_file():
        return {}
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for item in json.loads(path.read_text(encoding="utf-8")).get("conclusions", []):
        found.setdefault(item.get("notebook") or path.parent.name, {})[item["cell"]] = item
    return found


# --- what happened, in words ------------------------------------------------------------------


def _tasks(row: Any, conclusions: Mapping[str, Mapping[str, Any]]) -> dict[str, Task]:
    """Bring together the gradebook's points and comments with what the tests concluded."""
    comments = {comment.name: comment.comment or "" for comment in row.comments}
    tasks = {}
    for grade in row.grades:
        conclusion = conclusions.get(grade.name)
        waits = bool(grade.needs_manual_grade)
        words = in_words(
            grade.auto_score, grade.manual_score, float(grade.max_score), conclusion, waits=waits
        )
        if grade.extra_credit:
            words += f" A person added {grade.extra_credit:g} as extra credit."
        comment = comments.get(grade.name) or ""
        tasks[grade.name] = Task(
            grade.name.removesuffix("-test"),
            float(grade.score),
            float(grade.max_score),
            words,
            comment,
            waits,
        )
    return tasks


def in_words(
    auto: float | None,
    manual: float | None,
    most: float,
    conclusion: Mapping[str, Any] | None,
    *,
    waits: bool = False,
) -> str:
    """Say in words what became of a graded cell.

    Parameters
    ----------
    auto, manual : float or None
        Points by the tests and by a person.
    most : float
        Points that could be earned.
    conclusion : dict, optional
        What the tests concluded (`coursekit.grading.trusted.Conclusion` as a dict).
    waits : bool
        Whether a person still has to look at it.

    Returns
    -------
    str
        One or two sentences, with nothing of a hidden test but the name of the property.
    """
    if waits and manual is None and auto is None:
        return "This waits for a person to read it."
    said = []
    if auto is not None:
        if manual is not None:
            said.append(f"The checks gave {auto:g} of {most:g} points.")
        said.append(_of_the_tests(auto, most, conclusion or {}))
    if manual is not None:
        said.append(f"A person gave {manual:g} of {most:g} points.")
    if waits:
        said.append("A person will look at it again.")
    return " ".join(said) or "This was not graded."


def _of_the_tests(auto: float, most: float, conclusion: Mapping[str, Any]) -> str:
    if auto >= most:
        return "All checks passed."
    reason = harmless.plain(str(conclusion.get("reason") or "")).removeprefix("AssertionError: ").rstrip(".")
    failed = harmless.plain(str(conclusion.get("failed_property") or ""))
    if conclusion.get("hidden"):
        named = f" of the property “{failed}”" if failed else ""
        return f"A hidden check{named} failed."
    if not reason or reason.startswith("partial credit"):
        return "Some checks passed." if auto > 0 else "The checks failed."
    return f"{reason} (property “{failed}”)." if failed else f"{reason[0].upper()}{reason[1:]}."


# --- the page ---------------------------------------------------------------------------------


@dataclass
class _Part:
    """One cell on the page; `body` and `outputs` are HTML that was made or sanitized here."""

    title: str = ""
    body: str = ""
    folded: str = ""  # the summary behind which the body is folded away
    outputs: Sequence[str] = ()
    task: Task | None = None
    rubric: str = ""


def _page(
    book: Any,
    lab: _Lab,
    row: Any,
    submission: Any,
    conclusions: Mapping[str, Mapping[str, Any]],
    rubric: bool,
) -> str:
    tasks = _tasks(row, conclusions)
    own = lab.own.get(row.name, set())
    handed_in = [cell.source for cell in book.cells if not cell.metadata.get("nbgrader", {}).get("locked")]
    secrets = lab.secrets.without(handed_in)
    title = lab.titles.get(row.name, row.name)
    parts = [part for cell in book.cells for part in _parts(cell, own, tasks, secrets, rubric)]
    parts = [part for part in parts if part.body or part.title != title]
    penalty = float(row.late_submission_penalty or 0.0)
    style = _file("feedback.css")
    page = _template().render(
        title=title,
        student=harmless.plain(_name(submission.student)),
        handed_in=submission.timestamp.strftime("%Y-%m-%d %H:%M UTC") if submission.timestamp else "",
        score=f"{max(row.score - penalty, 0.0):g}",
        most=f"{row.max_score:g}",
        penalty=f"{penalty:g}" if penalty else "",
        waits=any(task.waits for task in tasks.values()),
        tasks=list(tasks.values()),
        parts=parts,
        style=style,
        policy=_policy(style),
    )
    shown = secrets if not rubric else _tests_only(secrets)
    if found := leaks.scan_text(page, shown, name=row.name, strict=False):
        raise FeedbackLeaks(f"the page shows hidden tests and is not written: {leaks.report(found, most=3)}")
    if len(page) > _LARGEST_PAGE:
        raise ValueError(f"the page has {len(page) >> 20} MB; expected at most {_LARGEST_PAGE >> 20}")
    return page


def _name(student: Any) -> str:
    full = " ".join(filter(None, (student.first_name, student.last_name)))
    return f"{full} ({student.id})" if full else student.id


def _tests_only(secrets: leaks.Secrets) -> leaks.Secrets:
    kept = {gram: of for gram, of in secrets.grams.items() if of[0] == "hidden test"}
    return leaks.Secrets(kept, {}, secrets.known_marks)


def _parts(
    cell: Any, own: Collection[str], tasks: Mapping[str, Task], secrets: leaks.Secrets, rubric: bool
) -> Iterator[_Part]:
    """Turn a cell into parts of the page."""
    marks = cell.metadata.get("nbgrader", {})
    name = marks.get("grade_id", "")
    task = tasks.get(name)
    if cell.cell_type == "code":
        yield _code(cell, marks, own, task, secrets)
    elif marks.get("task"):
        scheme = _mark_scheme(cell.source) if rubric else ""
        yield _Part(
            f"Task {name}",
            harmless.markdown(_visible(cell.source)),
            task=task,
            rubric=harmless.markdown(scheme),
        )
    elif marks.get("solution"):
        yield _Part("Your answer", harmless.markdown(cell.source), task=task)
    elif cell.cell_type == "markdown" and cell.source.strip() in own:
        for line in _headings(cell):
            yield _Part(line.lstrip("# "))  # the rest of the lab's own text is in the student's notebook
    elif cell.source.strip():
        yield _Part(body=harmless.markdown(cell.source))


def _code(
    cell: Any, marks: Mapping[str, Any], own: Collection[str], task: Task | None, secrets: leaks.Secrets
) -> _Part:
    if marks.get("grade") and not marks.get("solution"):
        # Outputs of the tests are left out: the conclusion says what may be said.
        return _Part(body=harmless.code(_visible(cell.source)), folded="The visible checks", task=task)
    outputs = [shown for output in cell.get("outputs", []) if (shown := harmless.output(output, secrets))]
    title, folded = ("Your answer", "") if marks.get("solution") else ("", "")
    if marks.get("locked") or cell.source.strip() in own:
        folded = "Code of the lab"
    return _Part(title, harmless.code(cell.source), folded, outputs, task)


_HIDDEN = re.compile(r"^[^\n]*BEGIN HIDDEN TESTS.*?(?:^[^\n]*END HIDDEN TESTS[^\n]*\n?|\Z)", re.S | re.M)
_SCHEME = re.compile(
    r"^[^\n]*BEGIN MARK SCHEME[^\n]*\n(.*?)(?:^[^\n]*END MARK SCHEME[^\n]*\n?|\Z)", re.S | re.M
)


def _visible(source: str) -> str:
    """Take hidden tests and mark schemes out; what has no end goes to the end."""
    return _SCHEME.sub("", _HIDDEN.sub("# (hidden checks run here)\n", source)).strip()


def _mark_scheme(source: str) -> str:
    return "\n\n".join(match[1].strip() for match in _SCHEME.finditer(source))


# --- the template -----------------------------------------------------------------------------


@cache
def _file(name: str) -> str:
    return resources.files("coursekit.grading").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str) -> str:
    """Forbid the page to run or to fetch anything; its one style sheet is known by its digest."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = ["default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'"]
    return "; ".join([*rules, "base-uri 'none'", "form-action 'none'"])


def _template() -> Any:
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_file("feedback.html.jinja"))


def main(arguments: Any) -> str:
    """Run ``coursekit feedback``.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``lab``, ``course``, ``db``, ``students``, ``rubric``.

    Returns
    -------
    str
        What to print.

    Raises
    ------
    RuntimeError
        If a page could not be written; all others are.
    """
    written = feedback(
        arguments.lab,
        course=arguments.course,
        students=arguments.students,
        rubric=arguments.rubric,
        db_url=arguments.db,
    )
    lines = [f"{len(written.pages)} pages in {Path(arguments.course) / 'feedback'}"]
    if written.failed:
        lines += [f"no page for {student}: {reason}" for student, reason in sorted(written.failed.items())]
        raise RuntimeError("\n".join(lines))
    return lines[0]
