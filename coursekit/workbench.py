"""A student's own desk: get a released lab, open it, and see what is left to do.

Taught in :ref:`use`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_URL = re.compile(r"^(https?|ssh|git|file)://|^[\w.-]+@[\w.-]+:|\.git$")
_UNTOUCHED = "*Write your answer here.*"
_FOLDER = "generative-models"  # what a launch button pulls into, in the home of a hub


@dataclass(frozen=True)
class State:
    """How far one task of a lab is.

    Attributes
    ----------
    task : str
        Name of its cell.
    points : float
        What it is worth.
    kind : str
        ``done``, ``open``, ``fails``, or ``read`` for work that a person reads.
    text : str
        What is to be seen, in words.
    """

    task: str
    points: float
    kind: str
    text: str


def find(name: str, folder: str | Path = ".") -> Path | None:
    """Find a lab that is here already.

    Parameters
    ----------
    name : str
        Name of the lab.
    folder : path
        Where to look: it or its folder of the course holds ``NAME/NAME.ipynb``.

    Returns
    -------
    Path or None
        The notebook.
    """
    base = Path(folder).expanduser()
    for place in (base / name, base / _FOLDER / name, base):
        file = place / f"{name}.ipynb"
        if file.is_file():
            return file.resolve()
    return None


def fetch(name: str, origin: str, folder: str | Path = ".") -> Path:
    """Get a released lab; work that is here already is never overwritten.

    Parameters
    ----------
    name : str
        Name of the lab.
    origin : str
        The students' repository: a folder, or an address that git can clone.
    folder : path
        Where the lab's folder goes.

    Returns
    -------
    Path
        The notebook.

    Raises
    ------
    ValueError
        If `origin` has no such lab, or has the instructor's version of it.
    FileExistsError
        If something stands where the lab would go.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"name: got {name!r}, expected the name of a lab, such as kde")
    target = Path(folder).expanduser().resolve() / name
    if target.exists():
        raise FileExistsError(f"{target} is here already; nothing is overwritten")
    with tempfile.TemporaryDirectory() as scratch:
        if _URL.search(origin):
            root = Path(scratch) / "labs"
            command = ["git", "clone", "--quiet", "--depth", "1", "--", origin, str(root)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise ValueError(f"origin: git cannot clone {origin}: {done.stderr.strip()[-300:]}")
        else:
            root = Path(origin).expanduser()
        source = root / name
        if not (source / f"{name}.ipynb").is_file():
            labs = sorted(path.parent.name for path in root.glob("*/*.ipynb"))
            raise ValueError(f"name: {origin} has no lab {name!r}; it has {', '.join(labs) or 'none'}")
        if "### BEGIN" in (source / f"{name}.ipynb").read_text(encoding="utf-8"):
            raise ValueError(f"origin: {origin} has the instructor's version; take the released one")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target)
    return target / f"{name}.ipynb"


def check(notebook: str | Path, *, timeout: float = 600.0) -> list[State]:
    """Run a copy of a lab from top to bottom, and say how far each task is.

    Only the checks that a student can see are run. Whether the hidden ones pass is known after grading.

    Parameters
    ----------
    notebook : path
        The lab; the file itself stays as it is.
    timeout : float
        Seconds for one cell.

    Returns
    -------
    list of State
        One for each graded cell, in order.
    """
    import nbformat
    from nbclient import NotebookClient

    path = Path(notebook).resolve()
    content = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        content, timeout=timeout, allow_errors=True, kernel_name="python3", resources=resources
    ).execute()
    return [_state(cell) for cell in content.cells if cell.metadata.get("nbgrader", {}).get("grade")]


def _state(cell: Mapping[str, Any]) -> State:
    marks = cell["metadata"]["nbgrader"]
    name, points = marks["grade_id"], float(marks.get("points") or 0)
    if marks.get("solution"):  # an answer in words, or code that a person reads
        is_open = cell["source"].strip() in ("", _UNTOUCHED)
        kind, text = ("open", "not written yet") if is_open else ("read", "written; a person reads it")
        return State(name, points, kind, text)
    errors = [output for output in cell["outputs"] if output["output_type"] == "error"]
    if not errors:
        return State(name, points, "done", "the visible checks pass")
    said = (errors[0]["evalue"] or "").strip()
    if "NotImplementedError" in (errors[0]["ename"], *said.replace(":", " ").split()):
        return State(name, points, "open", "not done yet")
    first = said.splitlines()[0] if said else "no message"
    return State(name, points, "fails", f"{errors[0]['ename']}: {first[:160]}")


def report(states: Sequence[State]) -> str:
    """Write what is left as a table and a sentence.

    Parameters
    ----------
    states : sequence of State
        Of `check`.

    Returns
    -------
    str
        For a terminal.
    """
    width = max((len(state.task) for state in states), default=4)
    marks = {"done": "+", "read": "+", "open": " ", "fails": "-"}
    lines = [f"{marks[s.kind]} {s.task:<{width}}  {s.points:4g} points  {s.text}" for s in states]
    left = [state for state in states if state.kind in ("open", "fails")]
    if left:
        points = sum(state.points for state in left)
        lines.append(f"Left: {', '.join(state.task for state in left)} ({points:g} points).")
    else:
        lines.append("Nothing is left that can be seen here. Hidden checks run when the lab is graded.")
    return "\n".join(lines)


def main(arguments: Any) -> str:
    """Run ``coursekit lab``.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``name``, ``origin``, ``folder``, ``check``.

    Returns
    -------
    str
        What to print.
    """
    name, folder = arguments.name, arguments.folder
    file = find(name, folder)
    if file is None:
        origin = arguments.origin or os.environ.get("COURSEKIT_LABS", "")
        if not origin:
            raise ValueError(
                f"name: there is no {name}/{name}.ipynb in {Path(folder).resolve()}; say where the released "
                "labs are: --from FOLDER-OR-ADDRESS, or the variable COURSEKIT_LABS"
            )
        file = fetch(name, origin, folder)
        print(f"Fetched: {file}", flush=True)
    if arguments.check:
        return report(check(file))
    command = [sys.executable, "-m", "jupyter", "lab", str(file)]
    status = subprocess.run(command, cwd=file.parent, check=False).returncode
    if status:
        raise RuntimeError(f"JupyterLab ended with status {status}")
    return f"`coursekit lab {name} --check` runs the visible checks and says what is left."
