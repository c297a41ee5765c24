"""What is written down about every grading run, so that it can be explained, and continued after a crash.

A run has a folder ``runs/<run>/`` in the course: ``run.json`` says who graded, when, which version
of the lab, with which options; ``journal.jsonl`` has one line per submission, written after the
gradebook holds its scores; ``summary.json`` exists once the run has ended.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = "runs"


def now() -> str:
    """Return the time in UTC, to the second.

    Returns
    -------
    str
        ISO 8601.
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader, or a crash, finds the old content or the new one.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        What it shall hold.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut.

    Parameters
    ----------
    folder : Path
        The folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def lock(course: Path) -> Iterator[None]:
    """Keep a second run out of the course; a run that is killed leaves no lock behind.

    Parameters
    ----------
    course : Path
        Folder of the course.

    Yields
    ------
    None
        While the course is this process's.

    Raises
    ------
    RuntimeError
        If another process grades in this course.
    """
    folder = Path(course) / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / ".lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another run grades in {course}; wait until it has ended") from None
        yield


class Ledger:
    """The folder of one run.

    Parameters
    ----------
    folder : Path
        ``runs/<run>``, which exists.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.record: dict[str, Any] = json.loads((folder / "run.json").read_text())

    @classmethod
    def start(cls, course: Path, record: Mapping[str, Any]) -> Ledger:
        """Begin a new run.

        Parameters
        ----------
        course : Path
            Folder of the course.
        record : dict
            At least ``lab``; who, when and where are added.

        Returns
        -------
        Ledger
            Its ledger.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
        folder = Path(course) / FOLDER / f"{stamp}-{record['lab']}-{secrets.token_hex(2)}"
        folder.mkdir(mode=0o700, parents=True)
        write_atomically(folder / "run.json", _json({**record, "run": folder.name, "started": [_who()]}))
        return cls(folder)

    @classmethod
    def of(cls, course: Path, lab: str) -> list[Ledger]:
        """Find the runs of a lab, oldest first.

        Parameters
        ----------
        course : Path
            Folder of the course.
        lab : str
            Name of the lab.

        Returns
        -------
        list of Ledger
            Their ledgers.
        """
        folders = sorted((Path(course) / FOLDER).glob("*/run.json"))
        return [ledger for file in folders if (ledger := cls(file.parent)).record["lab"] == lab]

    def resume(self) -> None:
        """Write down that, and by whom, the run is continued."""
        self._mend()
        self.record["started"].append(_who())
        write_atomically(self.folder / "run.json", _json(self.record))

    def append(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Add submissions to the journal; when this returns they are on the disk.

        Parameters
        ----------
        entries : iterable of dict
            One per submission, with ``student``.
        """
        lines = "".join(json.dumps({**entry, "at": now()}) + "\n" for entry in entries)
        with self._journal.open("ab") as stream:
            stream.write(lines.encode())
            stream.flush()
            os.fsync(stream.fileno())

    def entries(self) -> dict[str, dict[str, Any]]:
        """Read the journal: the last line of each student.

        Returns
        -------
        dict
            Student -> entry.
        """
        if not self._journal.exists():
            return {}
        whole = self._journal.read_bytes().rpartition(b"\n")[0]  # a crash may have cut the last line
        lines = map(json.loads, whole.splitlines())
        return {entry["student"]: entry for entry in lines}

    def finish(self, summary: Mapping[str, Any]) -> None:
        """End the run.

        Parameters
        ----------
        summary : dict
            What became of it.
        """
        write_atomically(self.folder / "summary.json", _json({**summary, "finished": now()}))

    @property
    def _journal(self) -> Path:
        return self.folder / "journal.jsonl"

    def _mend(self) -> None:
        """Cut off a last line that a crash left half-written."""
        if self._journal.exists():
            data = self._journal.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.truncate(self._journal, whole)


def _who() -> dict[str, Any]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        user = str(os.getuid())
    return {"who": user, "host": socket.gethostname(), "when": now(), "process": os.getpid()}


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()
