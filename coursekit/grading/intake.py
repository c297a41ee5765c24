"""Reading what students handed in, whatever it is: nothing is followed, nothing stops the class.

A submission is read into memory as plain files. A notebook is parsed and written anew with nothing
but cells, sources and nbgrader's marks, so that broken metadata, other encodings, stored
outputs and unknown fields never reach the grader.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Largest notebook, and largest sum of all other files, in bytes.
LARGEST_NOTEBOOK, LARGEST_REST = 32 << 20, 32 << 20
MOST_FILES, MOST_CELLS = 500, 2000

_FORBIDDEN = re.compile(r"[/\\*?\[\]]")
_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Malformed(ValueError):
    """A notebook that cannot be read; the message may be shown to the student."""


@dataclass(frozen=True)
class Submission:
    """One student's work on one lab, ready to be graded.

    Attributes
    ----------
    student : str
        Whose.
    digest : str
        SHA-256 of everything that was handed in.
    notebooks : dict
        Notebook name -> its text, written anew.
    files : dict
        Path below the folder -> content, for everything else that is kept.
    missing : dict
        Notebook name -> why it earns nothing.
    notes : tuple of str
        What was left out.
    timestamp : str, optional
        When it was handed in, as nbgrader wrote it.
    """

    student: str
    digest: str
    notebooks: Mapping[str, bytes] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    timestamp: str | None = None


def id_problem(student: str) -> str:
    """Say what is wrong with a student's id.

    Parameters
    ----------
    student : str
        Name of a folder below ``submitted``.

    Returns
    -------
    str
        The problem, or nothing.
    """
    if not storable(student):
        return "the student id cannot be stored: at most 128 printable characters"
    if student.startswith(".") or student != student.strip() or _FORBIDDEN.search(student):
        return "the student id has characters that mean something else in paths and patterns"
    return ""


def storable(student: str) -> bool:
    """Whether a gradebook can hold this id.

    Parameters
    ----------
    student : str
        The id.

    Returns
    -------
    bool
        True for 1 to 128 printable characters.
    """
    return 0 < len(student) <= 128 and student.isprintable()


def students(course: Path, lab: str) -> list[str]:
    """List who handed in a lab; hidden folders are no students.

    Parameters
    ----------
    course : Path
        Folder of the course.
    lab : str
        Name of the lab.

    Returns
    -------
    list of str
        Names of the folders below ``submitted`` that hold something called like the lab.
    """
    folder = Path(course) / "submitted"
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    return [name for name in names if not name.startswith(".ip") and os.path.lexists(folder / name / lab)]


def read(course: Path, lab: str, student: str, notebooks: Collection[str]) -> Submission:
    """Read one submission.

    Parameters
    ----------
    course : Path
        Folder of the course.
    lab, student : str
        Which lab, and whose.
    notebooks : collection of str
        Names of the lab's notebooks.

    Returns
    -------
    Submission
        What can be graded, and why the rest cannot.
    """
    folder = Path(course) / "submitted" / student / lab
    found, large, notes = _scan(folder)
    if problem := id_problem(student):
        return Submission(student, _digest(found, notes), missing=dict.fromkeys(notebooks, problem))
    digest = _digest(found, notes)
    texts, missing = {}, {}
    for name in notebooks:
        file = f"{name}.ipynb"
        raw = found.pop(file, None)
        try:
            if raw is None:
                raise Malformed(large.get(file) or _absent(file, folder, notes))
            texts[name] = canonical(raw)
        except Malformed as error:
            missing[name] = f"{file}: {error}" if raw is not None else str(error)
    stray = [name for name in found if name.endswith(".ipynb")]
    notes += [f"{name}: not a notebook of this lab, left out" for name in stray]
    files = {name: data for name, data in found.items() if name not in stray}
    timestamp = _timestamp(files.get("timestamp.txt"), notes)
    if timestamp is None:
        files.pop("timestamp.txt", None)  # nbgrader would stop at one that it cannot read
    return Submission(student, digest, texts, files, missing, tuple(notes), timestamp)


def _absent(file: str, folder: Path, notes: list[str]) -> str:
    if folder.is_symlink():
        return "the submission is a symbolic link, which is not followed"
    refused = [note for note in notes if note.startswith(f"{file}:")]
    return refused[0] if refused else f"{file} is missing"


def _scan(folder: Path) -> tuple[dict[str, bytes], dict[str, str], list[str]]:
    """Read all regular files; returns them, what was too large by name, and what was left out."""
    found: dict[str, bytes] = {}
    large: dict[str, str] = {}
    notes: list[str] = []
    room = LARGEST_REST
    for name, entry in _walk(folder, notes):
        status = entry.stat(follow_symlinks=False)
        top_notebook = name.endswith(".ipynb") and "/" not in name
        limit = LARGEST_NOTEBOOK if top_notebook else room
        if len(found) >= MOST_FILES:
            notes.append(f"more than {MOST_FILES} files: the others are left out")
            break
        if status.st_size > limit:
            large[name] = (
                f"{name}: too large ({status.st_size >> 20} MiB; at most {limit >> 20} MiB are read)"
            )
            notes.append(large[name])
            continue
        with open(os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
            found[name] = stream.read(limit + 1)
        room -= 0 if top_notebook else status.st_size
    return found, large, notes


def _walk(folder: Path, notes: list[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield regular files by their path below the folder; links and devices are noted, not touched."""
    if folder.is_symlink() or not folder.is_dir():
        return
    waiting = [("", str(folder))]
    while waiting:
        prefix, path = waiting.pop()
        for entry in sorted(os.scandir(path), key=lambda e: e.name):
            name = prefix + entry.name
            shown = name.encode("utf-8", "backslashreplace").decode()
            if entry.name in (".ipynb_checkpoints", "__pycache__"):
                continue
            if entry.is_symlink():
                notes.append(f"{shown}: a symbolic link, which is not followed")
            elif entry.is_dir(follow_symlinks=False):
                if name.count("/") < 8:
                    waiting.append((name + "/", entry.path))
            elif not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                notes.append(f"{shown}: not a regular file, left out")
            elif shown != name or not entry.name.isprintable():
                notes.append(f"{shown!r}: a name that cannot be written, left out")
            else:
                yield name, entry


def _digest(files: Mapping[str, bytes], notes: Collection[str]) -> str:
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    text = json.dumps([sorted(sums.items()), sorted(notes)])
    return hashlib.sha256(text.encode()).hexdigest()


def _timestamp(raw: bytes | None, notes: list[str]) -> str | None:
    if not raw:
        return None
    from nbgrader.utils import parse_utc

    text = raw[:200].decode("utf-8", "replace").strip()
    try:
        parse_utc(text)
    except (ValueError, OverflowError, TypeError, AttributeError):
        notes.append(f"timestamp.txt: {text[:60]!r} is no time, taken as handed in on time")
        return None
    return text


def canonical(raw: bytes) -> bytes:
    """Write a notebook anew with nothing but cells, sources and nbgrader's marks.

    Parameters
    ----------
    raw : bytes
        What was handed in.

    Returns
    -------
    bytes
        A valid notebook of format 4.5 in UTF-8, without outputs.

    Raises
    ------
    Malformed
        If it is no notebook.
    """
    try:
        tree = json.loads(raw)
    except UnicodeDecodeError:
        raise Malformed("the file is not text in UTF-8") from None
    except RecursionError:
        raise Malformed("the file is nested too deeply") from None
    except ValueError as error:
        what = "the file is empty" if not raw.strip() else f"the file is not JSON ({str(error)[:100]})"
        raise Malformed(what) from None
    if not isinstance(tree, dict) or not isinstance(tree.get("cells"), list):
        raise Malformed("the file is JSON, but no notebook: it has no list of cells")
    if tree.get("nbformat") != 4:
        version = str(tree.get("nbformat"))[:20]
        raise Malformed(f"a notebook of format {version}; open it in JupyterLab and save it")
    if len(tree["cells"]) > MOST_CELLS:
        raise Malformed(f"{len(tree['cells'])} cells; at most {MOST_CELLS} are read")
    used: set[str] = set()
    cells = [_cell(cell, i, used) for i, cell in enumerate(tree["cells"]) if _is_cell(cell)]
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    # Lone surrogates have no place in UTF-8: they become question marks.
    return json.dumps(book, ensure_ascii=False).encode("utf-8", "replace")


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return False
    source = cell.get("source")
    return isinstance(source, str) or (
        isinstance(source, list) and all(isinstance(line, str) for line in source)
    )


def _cell(cell: dict[str, Any], index: int, used: set[str]) -> dict[str, Any]:
    name = cell.get("id")
    if not isinstance(name, str) or not _CELL_ID.fullmatch(name) or name in used:
        name = f"cell-{index}"
        while name in used:
            name += "-"
    used.add(name)
    source = cell["source"]
    kind = cell["cell_type"]
    clean: dict[str, Any] = {
        "cell_type": kind,
        "id": name,
        "metadata": _marks(cell.get("metadata")),
        "source": source if isinstance(source, str) else "".join(source),
    }
    if kind == "code":
        clean.update(execution_count=None, outputs=[])
    elif images := _attachments(cell.get("attachments")):
        clean["attachments"] = images
    return clean


def _marks(metadata: Any) -> dict[str, Any]:
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    if not isinstance(marks, dict) or not isinstance(marks.get("grade_id"), str):
        return {}
    return {"nbgrader": marks}


def _attachments(value: Any) -> dict[str, Any]:
    """Images in a written answer; anything else in that place is dropped."""
    if not isinstance(value, dict):
        return {}
    return {
        name: bundle
        for name, bundle in value.items()
        if isinstance(bundle, dict)
        and all(k.startswith("image/") and isinstance(v, str) for k, v in bundle.items())
    }
