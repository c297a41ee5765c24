"""What one grading worker does: keep a lab warm, and grade one submission after another.

A worker gets everything by value (the lab's definitions and data, submissions, seeds) and returns
plain data, so that it needs neither the course's folder nor its gradebook.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coursekit.grading.sandbox import Limits, SandboxMissing

Result = dict[str, Any]

#: Steps of nbgrader's pipeline that write into a gradebook: the one writer does their work.
_WRITERS = ("SaveAutoGrades", "AssignLatePenalties")
_GRACE_S = 300.0  # beyond a submission's own limit, after which a worker is taken for stuck


@dataclass(frozen=True)
class Job:
    """A lab as the workers need it.

    Attributes
    ----------
    key : str
        Tells labs and their versions apart.
    lab : str
        Its name.
    gradebook : bytes
        SQLite file that knows the lab and no student.
    data : dict
        Path below the lab's folder -> content of its data files.
    closed : tuple of str
        Modules that are closed while the lab is graded.
    config : dict
        nbgrader's configuration.
    limits : Limits
        What a submission may use.
    unsafe, prefork : bool
        For `coursekit.grading.session.Session`.
    """

    key: str
    lab: str
    gradebook: bytes
    data: Mapping[str, bytes]
    closed: tuple[str, ...]
    config: Mapping[str, Any]
    limits: Limits
    unsafe: bool = False
    prefork: bool = True


@dataclass(frozen=True)
class Item:
    """One submission as the workers need it.

    Attributes
    ----------
    student : str
        Whose; used as a name in the result alone.
    notebooks : dict
        Notebook name -> text.
    seed, variant : str
        Of its tests, and of the lab.
    """

    student: str
    notebooks: Mapping[str, bytes]
    seed: str
    variant: str


class Bench:
    """A lab kept warm: its files, its gradebook without students, and a session of the sandbox.

    Parameters
    ----------
    job : Job
        The lab.
    scratch : Path, optional
        Where to put temporary files.
    """

    def __init__(self, job: Job, scratch: Path | None = None):
        from traitlets.config import Config

        from coursekit.grading.session import Session

        self.job = job
        self.root = Path(tempfile.mkdtemp(prefix="grading-", dir=scratch))
        data = self.root / "data"
        for name, content in job.data.items():
            path = data / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        data.mkdir(exist_ok=True)
        self._database = self.root / "gradebook.db"
        self._database.write_bytes(job.gradebook)
        self._config = Config(job.config)
        sections = self._config["Autograde"]
        self._sanitize = _steps(sections["sanitize_preprocessors"])
        self._execute = _steps(sections["autograde_preprocessors"])
        self._session = Session(
            data=sorted(data.iterdir()),
            limits=job.limits,
            closed=job.closed,
            unsafe=job.unsafe,
            prefork=job.prefork,
        )
        self._session.__enter__()

    def close(self) -> None:
        """End the session and remove the files."""
        self._session.__exit__(None, None, None)
        shutil.rmtree(self.root, ignore_errors=True)

    def grade(self, item: Item) -> Result:
        """Grade one submission.

        Parameters
        ----------
        item : Item
            The submission.

        Returns
        -------
        dict
            ``student``, ``status`` ("graded", "malformed", "failed"), ``reason``, ``seconds``,
            and by notebook ``grades``, ``comments``, ``conclusions`` and ``files``.
        """
        start = time.monotonic()
        result: Result = {"student": item.student, "status": "graded", "reason": ""}
        parts: dict[str, dict[str, Any]] = {"grades": {}, "comments": {}, "conclusions": {}, "files": {}}
        stuck = threading.Timer(self.job.limits.total_s + _GRACE_S, os._exit, [70])
        stuck.daemon = True
        stuck.start()
        self._session.seed, self._session.variant = item.seed, item.variant
        try:
            for name, text in item.notebooks.items():
                self._notebook(name, text, result, parts)
        except SandboxMissing:
            raise
        except Exception:
            result.update(status="failed", reason=traceback.format_exc(limit=-4)[-1500:])
        finally:
            stuck.cancel()
        return {**result, **parts, "seconds": time.monotonic() - start}

    def _notebook(self, name: str, text: bytes, result: Result, parts: dict[str, dict[str, Any]]) -> None:
        import nbformat

        folder = Path(tempfile.mkdtemp(dir=self.root))
        try:
            names = {
                "student": "student",  # the true id steers nothing here, whatever characters it has
                "assignment": self.job.lab,
                "notebook": name,
                "db_url": f"sqlite:///{self._database}",
            }
            resources = {"metadata": {"name": name, "path": str(folder)}, "nbgrader": names}
            try:
                book = nbformat.reads(text.decode(), as_version=4)
                book = self._pass(self._sanitize, book, resources)
            except _submissions_own_errors() as error:
                reason = f"{name}.ipynb: cannot be read as this lab ({type(error).__name__}: {error})"
                result.update(status="malformed", reason=_join(result["reason"], reason[:500]))
                return
            book = self._pass(self._execute, book, resources)
            parts["grades"][name], parts["comments"][name] = scores(book)
            parts["files"][name] = nbformat.writes(book).encode("utf-8", "replace")
            record = json.loads((folder / "grades.json").read_text())
            parts["conclusions"][name] = record["conclusions"]
            if record["lost"]:
                result["reason"] = _join(result["reason"], record["lost"])
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _pass(self, steps: Sequence[type], book: Any, resources: dict[str, Any]) -> Any:
        for step in steps:
            book, _ = step(config=self._config)(book, resources)
        return book


def _join(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second


def _steps(names: Sequence[str | type]) -> list[type]:
    from traitlets.utils.importstring import import_item

    found = [import_item(name) if isinstance(name, str) else name for name in names]
    return [step for step in found if step.__name__ not in _WRITERS]


def _submissions_own_errors() -> tuple[type[Exception], ...]:
    """List what the preparing steps raise for a broken submission; all else is the grader's fault."""
    from nbformat import ValidationError
    from nbgrader.nbgraderformat import SchemaTooNewError, SchemaTooOldError
    from nbgrader.nbgraderformat.common import ValidationError as MetadataError

    return ValidationError, MetadataError, SchemaTooNewError, SchemaTooOldError, UnicodeError


def scores(book: Any) -> tuple[dict[str, float | None], dict[str, str | None]]:
    """Read scores and comments off a graded notebook, as nbgrader's own step does.

    Parameters
    ----------
    book : NotebookNode
        The notebook after execution.

    Returns
    -------
    grades : dict
        Cell -> points, None where a person must grade.
    comments : dict
        Cell -> automatic comment.
    """
    from nbgrader import utils

    grades: dict[str, float | None] = {}
    comments: dict[str, str | None] = {}
    for cell in book.cells:
        marks = cell.metadata.get("nbgrader", {})
        name = marks.get("grade_id")
        if utils.is_grade(cell):
            grades[name] = utils.determine_grade(cell)[0]
        if utils.is_solution(cell) or utils.is_task(cell):
            untouched = marks.get("checksum") == utils.compute_checksum(cell)
            comments[name] = "No response." if untouched and not utils.is_task(cell) else None
    return grades, comments


_bench: Bench | None = None
_one_at_a_time = threading.Lock()


def grade_shard(job: Job, items: Sequence[Item]) -> list[Result]:
    """Grade some submissions in this process, which keeps the lab warm for the next ones.

    Parameters
    ----------
    job : Job
        The lab.
    items : sequence of Item
        The submissions.

    Returns
    -------
    list of dict
        Of `Bench.grade`.
    """
    global _bench
    with _one_at_a_time:
        if _bench is None or _bench.job.key != job.key:
            close_bench()
            _bench = Bench(job, _scratch())
        return [_bench.grade(item) for item in items]


@atexit.register
def close_bench() -> None:
    """End the warm lab of this process, if there is one."""
    global _bench
    if _bench is not None:
        bench, _bench = _bench, None
        bench.close()


def _scratch() -> Path | None:
    """Folder that dask cleans up after its worker, when this is one."""
    try:
        from distributed import get_worker

        return Path(get_worker().local_directory)
    except (ImportError, ValueError):
        return None
