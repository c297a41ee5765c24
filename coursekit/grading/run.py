"""Grade a whole class: in parallel, in the sandbox, and so that a crash at any point loses nothing.

Submissions go to workers in small shards, over dask. What comes back is plain data, and one writer
puts it into the gradebook, one transaction per shard; only then the journal of the run says that
these submissions are done. A worker that dies costs nobody anything: its shard is halved until
the submission that kills workers is alone, and that one is reported.

On one machine ``coursekit grade kde`` starts its own workers. On a cluster, start dask there and
give the address of its scheduler; workers need this package and bubblewrap, no shared folder, and
one thread each. Kubernetes: the `dask-kubernetes operator
<https://kubernetes.dask.org/>`_, image with ``coursekit[labs]`` and bubblewrap. SLURM::

    from dask_jobqueue import SLURMCluster
    cluster = SLURMCluster(cores=1, processes=1, memory="4GB", worker_extra_args=["--nthreads", "1"])
    cluster.scale(64)
    print(cluster.scheduler_address)

Whoever can connect to a scheduler can run code on it: let it listen with TLS, or where nobody else is.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import coursekit
from coursekit.grading import intake, ledger
from coursekit.grading.sandbox import Limits, SandboxMissing
from coursekit.grading.seeds import course_key, submission_seed
from coursekit.grading.worker import Item, Job, Result, close_bench, grade_shard

_LARGEST_SHARD = 8
_SHARDS_PER_WORKER = 4  # so that all workers end at about the same time
_DEATHS = 2  # of workers that had one submission alone, before that submission is given up
_WORKERS_START_S = 120


class SchedulerLost(RuntimeError):
    """The cluster went away; what was graded is kept."""


@dataclass
class Summary:
    """What became of a run.

    Attributes
    ----------
    lab, run : str
        Name of the lab, and folder of the run's record.
    done : int
        Submissions that have a score, those that were done before included.
    skipped : int
        Of these, how many were done before.
    malformed, lost, failed : dict
        Student -> reason: could not be read (no points); lost points because the kernel died,
        hung or was stopped; could not be graded, and has no score yet.
    needs_manual : int
        Submissions in which a person must grade or review something.
    seconds : float
        Duration.
    notes : dict
        Student -> what was left out of the submission.
    """

    lab: str
    run: str
    done: int = 0
    skipped: int = 0
    malformed: dict[str, str] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    needs_manual: int = 0
    seconds: float = 0.0
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every submission has a score."""
        return not self.failed

    def __str__(self) -> str:
        lines = [
            f"{self.lab}: {self.done} graded ({self.skipped} of them before), {len(self.failed)} failed, "
            f"{self.needs_manual} need a person, {self.seconds:.1f} s; record: {ledger.FOLDER}/{self.run}"
        ]
        for title, found in (
            ("could not be read, 0 points", self.malformed),
            ("lost points with their kernel", self.lost),
            ("left out of a submission", {name: "; ".join(notes) for name, notes in self.notes.items()}),
            ("FAILED, no score", self.failed),
        ):
            lines += (
                [f"{title}:", *(f"  {_shown(n)}: {why}" for n, why in sorted(found.items()))] if found else []
            )
        return "\n".join(lines)


def _shown(name: str) -> str:
    return name if intake.storable(name) else ascii(name)


def grade(
    lab: str,
    *,
    course: str | Path = ".",
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    students: Sequence[str] | None = None,
    limits: Limits | None = None,
    unsafe: bool = False,
    prefork: bool = True,
    progress: bool = True,
    db_url: str | None = None,
    variant: str = "",
) -> Summary:
    """Grade the submissions of a lab.

    Parameters
    ----------
    lab : str
        Name of the lab, which is in the gradebook (``coursekit release``).
    course : path
        Folder of the course: ``source``, ``submitted``, ``gradebook.db``.
    workers : int, optional
        Processes on this machine, one per processor by default; 0 grades in this process.
    scheduler : str, optional
        Address of a running dask scheduler instead, such as ``tcp://10.0.0.1:8786``.
    resume : bool
        Leave out submissions that the last run of the same version of the lab has graded, if they
        have not changed since.
    students : sequence of str, optional
        Whose submissions; everybody's by default.
    limits : Limits, optional
        What one submission may use.
    unsafe : bool
        Run student code without a sandbox, with all rights of this process.
    prefork : bool
        Fork kernels from a warm process.
    progress : bool
        Show a progress bar.
    db_url : str, optional
        Gradebook, such as ``postgresql+psycopg2://user:password@host/name``; by default what the
        course's ``nbgrader_config.py`` says, or SQLite in the folder of the course.
    variant : str
        Variant of the lab; ``{student}`` stands for the student's id.

    Returns
    -------
    Summary
        What became of each submission.

    Raises
    ------
    ValueError
        If the lab, a student or a number of workers does not exist.
    SandboxMissing
        If bubblewrap is not installed.
    RuntimeError
        If another run grades in this course.
    SchedulerLost
        If the cluster went away; run again with ``resume``.
    """
    if workers is not None and workers < 0:
        raise ValueError(f"workers: got {workers}, expected 0 or more")
    root = Path(course).resolve()
    if not (root / "source" / lab).is_dir():
        raise ValueError(f"lab: there is no folder {root / 'source' / lab}; is {root} the course's folder?")
    with ledger.lock(root):
        run = _Run(
            root,
            lab,
            limits=limits or Limits(),
            unsafe=unsafe,
            prefork=prefork,
            db_url=db_url,
            variant=variant,
        )
        return run.go(
            students=students, workers=workers, scheduler=scheduler, resume=resume, progress=progress
        )


def load_config(root: Path, limits: Limits | None = None, db_url: str | None = None) -> Any:
    """Read the course's own configuration, with the sandbox put over it.

    Parameters
    ----------
    root : Path
        Folder of the course.
    limits : Limits, optional
        What one submission may use.
    db_url : str, optional
        Gradebook; wins over the course's own setting.

    Returns
    -------
    traitlets.config.Config
        For nbgrader's applications and API.
    """
    from traitlets.config import Config, PyFileConfigLoader

    from coursekit.grading.config import COURSE_ID, course_config

    config = Config()
    if (root / "nbgrader_config.py").exists():
        config.merge(PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config())
    course_id = config.CourseDirectory.get("course_id", COURSE_ID)
    config.merge(course_config(root, course_id=course_id, db_url=db_url, limits=limits))
    if "db_url" not in config.CourseDirectory:
        config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}"
    return config


def main(arguments: argparse.Namespace) -> str:
    """Run ``coursekit grade``.

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
        If a submission has no score.
    """
    limits = Limits() if arguments.cell_seconds is None else Limits(cell_s=arguments.cell_seconds)
    summary = grade(
        arguments.lab,
        course=arguments.course,
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        resume=arguments.resume,
        students=arguments.students,
        limits=limits,
        unsafe=arguments.unsafe_no_sandbox,
        db_url=arguments.db,
        variant=arguments.variant,
    )
    if summary.ok:
        return str(summary)
    print(summary)
    raise RuntimeError(f"{len(summary.failed)} submissions have no score; mend the cause, then --resume")


class _Run:
    """One run over one lab."""

    def __init__(
        self,
        root: Path,
        lab: str,
        *,
        limits: Limits,
        unsafe: bool,
        prefork: bool,
        db_url: str | None,
        variant: str,
    ):
        from coursekit.grading import sandbox

        sandbox.backend(unsafe=unsafe)  # complains before anything is done
        self.root, self.lab, self.variant = root, lab, variant
        self.limits, self.unsafe, self.prefork = limits, unsafe, prefork
        self.config = load_config(root, limits, db_url)
        self.key = course_key(root)
        self.data = _lab_files(root / "source" / lab)
        self.summary = Summary(lab, "")

    def go(
        self,
        *,
        students: Sequence[str] | None,
        workers: int | None,
        scheduler: str | None,
        resume: bool,
        progress: bool,
    ) -> Summary:
        """Grade, merge, and write down what was done."""
        from coursekit.grading.gradebook import Writer, maxima, version

        start = time.monotonic()
        directory = self.config.CourseDirectory
        order, closed = _read_source(self.root / "source" / self.lab)
        with Writer(directory.db_url, self.lab, directory.course_id, self.config, order=order) as self.writer:
            self.maxima = maxima(self.writer.definitions)
            chosen = self._students(students)
            self._open_ledger(version(self.writer.definitions, self.data), resume, chosen, scheduler)
            self.bar = _bar(len(chosen), progress)
            slots = 1 if workers == 0 else workers or _cores()
            size = math.ceil(len(chosen) / (slots * _SHARDS_PER_WORKER))
            todo = self._shards(chosen, min(max(size, 1), _LARGEST_SHARD), resume)
            scratch = self.ledger.folder / "scratch"
            with self.bar, _scratch_folder(scratch):
                first = next(todo, None)
                if first is not None:  # workers are started only for work
                    job = self._job(closed, directory.course_id)
                    with _pool(job, slots if workers != 0 else 0, scheduler, scratch) as pool:
                        self._drive(pool, first, todo)
                self._merge([])
            self.summary.needs_manual = len(self.writer.manual() & set(chosen))
        self.summary.seconds = round(time.monotonic() - start, 1)
        self.ledger.finish(asdict(self.summary))
        return self.summary

    # --- before ---------------------------------------------------------------------------

    def _students(self, wanted: Sequence[str] | None) -> list[str]:
        found = intake.students(self.root, self.lab)
        if wanted is None:
            return found
        if unknown := sorted(set(wanted) - set(found)):
            raise ValueError(f"students: no submission of {self.lab!r} from {', '.join(unknown)}")
        return sorted(set(wanted))

    def _open_ledger(
        self, version: str, resume: bool, students: Sequence[str], scheduler: str | None
    ) -> None:
        """Continue the last run if that is wanted and it was about the same thing; else begin one."""
        same = {"version": version, "coursekit": coursekit.__version__, "variant": self.variant}
        record = {
            "lab": self.lab,
            **same,
            "limits": asdict(self.limits),
            "sandbox": not self.unsafe,
            "prefork": self.prefork,
            "scheduler": scheduler,
            "gradebook": _without_password(self.config.CourseDirectory.db_url),
            "submissions": len(students),
        }
        runs = ledger.Ledger.of(self.root, self.lab)
        #: student -> digest of the submission that was graded last, in whatever run
        self.graded = {
            s: e["digest"] for run in runs for s, e in run.entries().items() if e["status"] != "failed"
        }
        last = runs[-1] if runs else None
        if (
            resume
            and last is not None
            and all(last.record.get(name) == value for name, value in same.items())
        ):
            self.ledger = last
            self.ledger.resume()
        else:
            self.ledger = ledger.Ledger.start(self.root, record)
        self.summary.run = self.ledger.folder.name

    def _job(self, closed: Sequence[str], course_id: str) -> Job:
        from coursekit.grading.gradebook import template

        with tempfile.TemporaryDirectory(dir=self.ledger.folder) as folder:
            path = Path(folder) / "gradebook.db"
            template(path, self.writer.definitions, self.lab, course_id, self.writer.schema)
            book = path.read_bytes()
        config = {name: dict(section) for name, section in self.config.items() if name != "CourseDirectory"}
        key = f"{self.ledger.folder.name} {os.getpid()}"
        return Job(
            key, self.lab, book, self.data, tuple(closed), config, self.limits, self.unsafe, self.prefork
        )

    def _shards(self, chosen: Sequence[str], size: int, resume: bool) -> Iterator[list[intake.Submission]]:
        """Read submissions as they are needed; those without a readable notebook need no worker."""
        done = self.ledger.entries() if resume else {}
        in_book = self.writer.known_students() if done else set()
        shard: list[intake.Submission] = []
        self.ready: list[tuple[intake.Submission, Result]] = []
        for student in chosen:
            try:
                submission = intake.read(self.root, self.lab, student, list(self.maxima))
            except Exception as error:
                lost = intake.Submission(student, "")
                self.ready.append((lost, _failure(student, f"the folder cannot be read: {error}")))
                continue
            entry = done.get(student)
            if entry and self._is_done(entry, submission, in_book):
                self._count(submission, entry)
                self.summary.skipped += 1
                self.bar.update()
            elif not submission.notebooks:
                self.ready.append((submission, {"student": student, "status": "malformed", "reason": ""}))
            else:
                shard.append(submission)
                if len(shard) == size:
                    yield shard
                    shard = []
        if shard:
            yield shard

    def _is_done(self, entry: Mapping[str, Any], submission: intake.Submission, in_book: set[str]) -> bool:
        if entry["status"] == "failed" or entry["digest"] != submission.digest:
            return False
        if not intake.storable(submission.student):
            return True
        published = self.root / "autograded" / submission.student / self.lab / "grades.json"
        if submission.student not in in_book:
            return False
        try:
            return json.loads(published.read_text()).get("digest") == submission.digest
        except (OSError, ValueError):  # gone, or cut short when the power went
            return False

    # --- during ---------------------------------------------------------------------------

    def _drive(self, pool: _Pool, first: list[intake.Submission], todo: Iterator[Any]) -> None:
        """Keep the workers busy, halve what kills them, and merge what comes back."""
        waiting: deque[list[intake.Submission]] = deque([first])
        deaths: Counter[str] = Counter()
        running = 0
        while True:
            while running < pool.slots:
                shard = waiting.popleft() if waiting else next(todo, None)
                if shard is None:
                    break
                pool.submit(shard, [self._item(submission) for submission in shard])
                running += 1
            if not running:
                return
            shard, answer = pool.wait()
            running -= 1
            if isinstance(answer, SandboxMissing | SchedulerLost):
                raise answer
            if not isinstance(answer, Exception):
                self._merge(list(zip(shard, answer, strict=True)))
            elif len(shard) > 1:
                middle = len(shard) // 2
                waiting.extend([shard[:middle], shard[middle:]])
            else:
                (submission,) = shard
                deaths[submission.student] += 1
                if deaths[submission.student] < _DEATHS:
                    waiting.append(shard)
                else:
                    reason = f"its worker ended {_DEATHS} times: {answer}"
                    self._merge([(submission, _failure(submission.student, reason))])

    def _item(self, submission: intake.Submission) -> Item:
        seed = submission_seed(self.key, submission.student, self.lab)
        variant = self.variant.replace("{student}", submission.student)
        return Item(submission.student, submission.notebooks, seed, variant)

    def _merge(self, batch: list[tuple[intake.Submission, Result]]) -> None:
        """Files first, then one transaction, then the journal: a crash in between only repeats work."""
        batch, self.ready = [*batch, *self.ready], []
        rows, entries = [], []
        for submission, result in batch:
            entry = self._conclude(submission, result)
            entries.append(entry)
            if not intake.storable(submission.student):
                continue
            if entry["status"] != "failed":
                try:
                    self._publish(submission, result, entry)
                except OSError as error:  # one submission's files stop nobody else's
                    entry.update(status="failed", reason=f"its files cannot be written: {error}", score=0.0)
            failed = entry["status"] == "failed"
            rows.append(
                {
                    "student": submission.student,
                    "timestamp": submission.timestamp,
                    "changed": self.graded.get(submission.student) != submission.digest,
                    "grades": None if failed else result["grades"],
                    "comments": result.get("comments", {}),
                }
            )
        if rows:
            self.writer.merge(rows)
        if entries:
            self.ledger.append(entries)
        for (submission, _), entry in zip(batch, entries, strict=True):
            self._count(submission, entry)
            self.bar.update()

    def _conclude(self, submission: intake.Submission, result: Result) -> dict[str, Any]:
        """Complete a result: what could not be read earns nothing, and says why."""
        missing = dict(submission.missing)
        if result["status"] == "malformed" and result["reason"]:
            missing.update({name: result["reason"] for name in self.maxima if name not in result["grades"]})
        if result["status"] != "failed":
            grades, conclusions = result.setdefault("grades", {}), result.setdefault("conclusions", {})
            for name, why in missing.items():
                grades[name] = dict.fromkeys(self.maxima[name], 0.0)
                conclusions[name] = [_zero(cell, most, why) for cell, most in self.maxima[name].items()]
            if missing:
                result.update(status="malformed", reason="; ".join(dict.fromkeys(missing.values())))
        scored = [score for cells in result.get("grades", {}).values() for score in cells.values()]
        return {
            "student": submission.student,
            "digest": submission.digest,
            "status": result["status"],
            "reason": result["reason"],
            "score": sum(score for score in scored if score is not None),
            "seconds": round(result.get("seconds", 0.0), 3),
            "notes": list(submission.notes),
        }

    def _publish(self, submission: intake.Submission, result: Result, entry: Mapping[str, Any]) -> None:
        """Put the graded files where nbgrader looks for them, in one step."""
        folder = self.root / "autograded" / submission.student
        folder.mkdir(parents=True, exist_ok=True)
        final, new, old = (folder / name for name in (self.lab, f".{self.lab}.new", f".{self.lab}.old"))
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
        books = {f"{name}.ipynb": content for name, content in result.get("files", {}).items()}
        notices = {
            f"{name}.ipynb": _notice(why)
            for name, why in submission.missing.items()
            if f"{name}.ipynb" not in books
        }
        if entry["status"] == "malformed" and not submission.missing:
            notices = {f"{name}.ipynb": _notice(entry["reason"]) for name in self.maxima}
        record = {
            "conclusions": [
                {"notebook": name, **conclusion}
                for name, cells in result["conclusions"].items()
                for conclusion in cells
            ],
            "lost": entry["reason"] if entry["status"] == "graded" else "",
            **{name: entry[name] for name in ("status", "reason", "score", "seconds", "digest")},
            "run": self.ledger.folder.name,
        }
        ours = {
            **notices,
            **self.data,
            **books,
            "grades.json": (json.dumps(record, indent=1) + "\n").encode(),
        }
        everything = {**_beside(submission.files, ours), **ours}
        mode = int(str(self.config.get("Autograde", {}).get("permissions", 444)), 8)
        for name, content in everything.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)
        if final.is_symlink():
            final.unlink()
        elif final.exists():
            final.rename(old)
        new.rename(final)
        shutil.rmtree(old, ignore_errors=True)

    def _count(self, submission: intake.Submission, entry: Mapping[str, Any]) -> None:
        summary, student, reason = self.summary, entry["student"], entry["reason"]
        if entry["status"] == "failed":
            summary.failed[student] = reason
        else:
            summary.done += 1
        if entry["status"] == "malformed":
            summary.malformed[student] = reason
        elif entry["status"] == "graded" and reason:
            summary.lost[student] = reason
        if submission.notes:
            summary.notes[student] = list(submission.notes)


def _beside(files: Mapping[str, bytes], ours: Mapping[str, bytes]) -> dict[str, bytes]:
    """Leave out files that would stand where ours do: a folder with the name of one, or one for a folder."""
    taken = [f"{name}/" for name in ours]

    def free(name: str) -> bool:
        inside = f"{name}/".startswith(("timestamp.txt/", *taken)) and name != "timestamp.txt"
        return not inside and not any(own.startswith(f"{name}/") for own in taken)

    return {name: content for name, content in files.items() if free(name)}


def _failure(student: str, reason: str) -> Result:
    return {"student": student, "status": "failed", "reason": reason}


def _zero(cell: str, most: float, reason: str) -> dict[str, Any]:
    from coursekit.grading.trusted import Conclusion

    return asdict(Conclusion(cell, 0.0, most, reason=reason))


def _notice(reason: str) -> bytes:
    """Make the notebook that stands for one that could not be read, so that feedback can say why."""
    import nbformat
    from nbformat.v4 import new_markdown_cell, new_notebook

    text = f"**This submission could not be graded and has no points.**\n\n    {' '.join(reason.split())}"
    cell = new_markdown_cell(text, id="notice")
    return nbformat.writes(new_notebook(cells=[cell])).encode("utf-8", "replace")


def _lab_files(folder: Path) -> dict[str, bytes]:
    """Read a lab's data files: everything beside its notebooks, but for hidden files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in name.parts)
        if path.is_file() and path.suffix != ".ipynb" and not hidden:
            found[name.as_posix()] = path.read_bytes()
    return found


def _read_source(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Read from the instructor's notebooks the order of their cells and the modules that they close."""
    import nbformat

    from coursekit.lab import closed_by

    order, closed = {}, []
    for path in sorted(folder.glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        ids = (cell.metadata.get("nbgrader", {}).get("grade_id") for cell in book.cells)
        order[path.stem] = [name for name in ids if name]
        closed += closed_by(book)
    return order, sorted(set(closed))


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(url).render_as_string(hide_password=True)


def _bar(total: int, progress: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit=" submission", disable=not progress, dynamic_ncols=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _scratch_folder(AbstractContextManager[None]):
    """A private folder for the workers' files, gone afterwards (or when the run is continued)."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir(mode=0o700)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path, ignore_errors=True)


# --- where shards are graded ------------------------------------------------------------------


class _Pool(Protocol):
    @property
    def slots(self) -> int: ...

    def submit(self, shard: list[intake.Submission], items: list[Item]) -> None: ...

    def wait(self) -> tuple[list[intake.Submission], list[Result] | Exception]: ...


def _pool(job: Job, workers: int, scheduler: str | None, scratch: Path) -> AbstractContextManager[_Pool]:
    if workers == 0 and scheduler is None:
        return _Here(job)
    return _Dask(job, workers, scheduler, scratch)


class _Here(AbstractContextManager["_Here"]):
    """Grades in this process."""

    slots = 1

    def __init__(self, job: Job):
        self._job = job
        self._next: tuple[list[intake.Submission], list[Item]] | None = None

    def __exit__(self, *_: object) -> None:
        close_bench()

    def submit(self, shard: list[intake.Submission], items: list[Item]) -> None:
        self._next = shard, items

    def wait(self) -> tuple[list[intake.Submission], list[Result] | Exception]:
        assert self._next is not None
        (shard, items), self._next = self._next, None
        try:
            return shard, grade_shard(self._job, items)
        except Exception as error:
            return shard, error


class _Dask(AbstractContextManager["_Dask"]):
    """Grades in the processes of a dask cluster."""

    def __init__(self, job: Job, workers: int, scheduler: str | None, scratch: Path):
        self._job, self._workers, self._address, self._scratch = job, workers, scheduler, scratch
        self._running: dict[Any, list[intake.Submission]] = {}

    def __enter__(self) -> _Dask:
        with ExitStack() as stack:
            self._client = self._connect(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _connect(self, stack: ExitStack) -> Any:
        import dask
        from distributed import Client, LocalCluster
        from distributed.security import Security

        if self._address is not None:
            client = stack.enter_context(Client(self._address))
            try:
                client.wait_for_workers(1, timeout=_WORKERS_START_S)
            except TimeoutError:
                raise SchedulerLost(f"{self._address}: no worker within {_WORKERS_START_S} s") from None
            return client
        # A death is final at once, so that the shard can be halved. Passwordless TCP would let every
        # user of this machine run code as the instructor: keys that exist only for this run.
        settings = {
            "distributed.scheduler.allowed-failures": 0,
            "distributed.worker.memory.terminate": False,
            "distributed.worker.memory.pause": False,
            "distributed.scheduler.http.routes": [],  # no web pages about the run
            "distributed.worker.http.routes": [],
            "distributed.nanny.http.routes": [],
            "distributed.comm.timeouts.connect": f"{_WORKERS_START_S}s",
        }
        stack.enter_context(dask.config.set(settings))
        security = Security.temporary()
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=self._workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                protocol="tls",
                security=security,
                local_directory=str(self._scratch),
                silence_logs=50,
            )
        )
        return stack.enter_context(Client(cluster, security=security))

    @property
    def slots(self) -> int:
        """How many shards to keep under way: one per worker, and on a cluster one in reserve each."""
        if self._address is None:
            return self._workers
        with _cluster_errors():
            return max(2 * len(self._client.nthreads()), 1)

    def submit(self, shard: list[intake.Submission], items: list[Item]) -> None:
        with _cluster_errors():
            future = self._client.submit(grade_shard, self._job, items, pure=False)
        self._running[future] = shard

    def wait(self) -> tuple[list[intake.Submission], list[Result] | Exception]:
        from distributed import KilledWorker, wait

        with _cluster_errors():
            done, _ = wait(list(self._running), return_when="FIRST_COMPLETED")
        future = next(iter(done))
        shard = self._running.pop(future)
        if future.status in ("cancelled", "lost"):
            raise SchedulerLost("the cluster went away; run again with --resume")
        problem = future.exception()
        if problem is not None:
            return shard, _named(problem)
        try:
            with _cluster_errors():
                return shard, future.result()
        except KilledWorker as error:  # it had finished, and died before it could hand over what it had
            return shard, _named(error)


@contextlib.contextmanager
def _cluster_errors() -> Iterator[None]:
    """Say of a cluster that went away what to do about it."""
    from concurrent.futures import CancelledError

    try:
        yield
    except (CancelledError, OSError) as error:  # dask's own errors of communication are OSErrors
        raise SchedulerLost(f"the cluster went away ({error}); run again with --resume") from error


def _named(error: BaseException) -> Exception:
    """Say what became of a worker in few words."""
    if isinstance(error, SandboxMissing):
        return error
    if type(error).__name__ == "KilledWorker":
        return RuntimeError("the process died")
    text = (str(error).strip().splitlines() or [""])[-1]
    return RuntimeError(f"{type(error).__name__}: {text[:300]}")
