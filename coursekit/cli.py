"""The command line: ``coursekit doctor``, ``coursekit data``, ``coursekit lab`` and the commands of grading.

Taught in :ref:`use`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LIBRARIES = [
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "matplotlib",
    "jupyter-book",
    "nbgrader",
    "jupyterlab",
]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device() -> str:
    """Name the device that training will use; a missing GPU is information, not an error."""
    try:
        import torch
    except ImportError:
        return "unknown: torch is not installed"
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"cuda: {torch.cuda.get_device_name(0)}, {memory:.0f} GiB"
    if torch.backends.mps.is_available():
        return "mps: Apple GPU"
    return "cpu (no GPU found; every lab runs without one)"


def _threads() -> str:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limit = os.environ.get("OMP_NUM_THREADS", "not set")
    return f"{available} cores, OMP_NUM_THREADS {limit}"


def _disk(folder: Path) -> str:
    while not folder.exists():
        folder = folder.parent
    return f"{shutil.disk_usage(folder).free / 2**30:.1f} GiB free"


def doctor() -> str:
    """Describe this machine in one block that can be pasted into a question.

    Returns
    -------
    str
        Python, versions, device, threads, disk and data cache, one line each.
    """
    from coursekit import data

    cache, shared = data.cache_dir(), data.shared_dir()
    here = [f"{row[0]} ({row[-1]})" for row in data.datasets()[1:] if row[-1] != "not here"]
    lines = [
        ("coursekit", _version("coursekit")),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", platform.platform()),
        *((name, _version(name)) for name in LIBRARIES),
        ("device", _device()),
        ("threads", _threads()),
        ("data cache", f"{cache} ({_disk(cache)})"),
        ("shared cache", str(shared or "none")),
        ("data sets", ", ".join(here) or "none fetched; the chapters and labs need none"),
        ("offline", "yes" if os.environ.get("COURSEKIT_OFFLINE") == "1" else "no"),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _list_data() -> str:
    from coursekit import data

    header, *rows = data.datasets()
    blocks = [[f"  {name}: {value}" for name, value in zip(header[1:], row[1:], strict=True)] for row in rows]
    return "\n".join("\n".join([row[0], *block]) for row, block in zip(rows, blocks, strict=True))


def _fetch(names: Sequence[str]) -> str:
    from coursekit import data

    return "\n".join(f"{name}: {data.fetch(name)}" for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="coursekit", description="The course's own commands.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="describe this machine in one block to paste into a question")
    data = commands.add_parser("data", help="list or fetch the data sets that full-scale runs use")
    actions = data.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="names, sizes and licences")
    fetch = actions.add_parser("fetch", help="download, verify and keep a data set")
    fetch.add_argument("names", nargs="+", metavar="NAME")
    _add_lab(commands)
    _add_release(commands)
    _add_feedback(commands)
    _add_grade(commands)
    _add_export(commands)
    _add_analysis(commands)
    _add_simulate(commands)
    return parser


def _add_lab(commands: Any) -> None:
    lab = commands.add_parser("lab", help="fetch and open a released lab, or say what is left of it")
    lab.add_argument("name", metavar="NAME")
    lab.add_argument(
        "--from", dest="origin", metavar="WHERE", help="released labs: a folder, or for git to clone"
    )
    lab.add_argument("--folder", type=Path, default=Path("."), metavar="DIR", help="where your labs are")
    lab.add_argument("--check", action="store_true", help="run the visible checks and say what is left")
    lab.set_defaults(run="coursekit.workbench")


def _add_course(command: argparse.ArgumentParser) -> None:
    command.add_argument("--course", type=Path, default=Path("."), metavar="DIR", help="folder of the course")
    command.add_argument("--db", metavar="URL", help="gradebook, such as postgresql+psycopg2://...")


def _add_grade(commands: Any) -> None:
    grade = commands.add_parser("grade", help="grade a lab's submissions, in parallel and in the sandbox")
    grade.add_argument("lab", metavar="LAB")
    _add_course(grade)
    grade.add_argument("--workers", type=int, metavar="N", help="processes; one per processor by default")
    grade.add_argument("--scheduler", metavar="ADDRESS", help="a running dask scheduler instead")
    grade.add_argument("--resume", action="store_true", help="leave out what the last run has graded")
    grade.add_argument("--students", nargs="+", metavar="STUDENT", help="these only; all by default")
    grade.add_argument(
        "--variant", default="", metavar="TEXT", help="variant of the lab; {student} is the id"
    )
    grade.add_argument("--cell-seconds", type=int, metavar="S", help="time that one cell may take")
    grade.add_argument(
        "--unsafe-no-sandbox", action="store_true", help="run student code with all your own rights"
    )
    grade.set_defaults(run="coursekit.grading.run")


def _add_export(commands: Any) -> None:
    export = commands.add_parser("export", help="write the gradebook as CSV")
    export.add_argument("labs", nargs="*", metavar="LAB", help="all labs by default")
    _add_course(export)
    export.add_argument("--format", choices=["full", "canvas", "moodle"], default="full")
    export.add_argument("--output", type=Path, metavar="FILE", help="print by default")
    export.set_defaults(run="coursekit.grading.export")


def _add_analysis(commands: Any) -> None:
    analysis = commands.add_parser(
        "analysis", help="how each task of a lab did: scores, discrimination, time"
    )
    analysis.add_argument("lab", metavar="LAB")
    _add_course(analysis)
    analysis.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as CSV")
    analysis.add_argument("--plot", type=Path, metavar="FILE", help="also draw it")
    analysis.set_defaults(run="coursekit.grading.analysis")


def _add_simulate(commands: Any) -> None:
    simulate = commands.add_parser("simulate", help="rehearse with a made-up class in a copy of the course")
    simulate.add_argument("--students", type=int, default=30, metavar="N")
    simulate.add_argument(
        "--course", type=Path, default=Path("."), metavar="DIR", help="folder of the course"
    )
    simulate.add_argument("--lab", metavar="LAB", help="all labs by default")
    simulate.add_argument("--workers", type=int, metavar="N", help="processes; one per processor by default")
    simulate.add_argument("--cell-seconds", type=int, default=10, metavar="S")
    simulate.add_argument("--only-make", action="store_true", help="make the class, do not grade it")
    simulate.set_defaults(run="coursekit.grading.simulate")


def _add_release(commands: Any) -> None:
    release = commands.add_parser("release", help="make the students' version of labs, proven free of leaks")
    release.add_argument("labs", nargs="*", metavar="LAB")
    release.add_argument("--all", action="store_true", help="all labs of the course")
    _add_course(release)
    release.add_argument("--output", type=Path, metavar="DIR", help="folder of the students' repository")
    release.add_argument("--zip", action="store_true", help="also write LAB.zip")
    release.set_defaults(run="coursekit.grading.release")


def _add_feedback(commands: Any) -> None:
    feedback = commands.add_parser("feedback", help="write each student's feedback page for a lab")
    feedback.add_argument("lab", metavar="LAB")
    _add_course(feedback)
    feedback.add_argument("--students", nargs="+", metavar="STUDENT", help="these only; all by default")
    feedback.add_argument("--rubric", action="store_true", help="show the mark schemes of the manual tasks")
    feedback.set_defaults(run="coursekit.grading.feedback")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors that a user can mend are printed without a traceback.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, or 1 after an error.
    """
    arguments = _parser().parse_args(argv)
    try:
        if module := getattr(arguments, "run", None):  # `main(arguments)` of another module
            text = importlib.import_module(module).main(arguments)
        elif arguments.command == "doctor":
            text = doctor()
        elif arguments.action == "list":
            text = _list_data()
        else:
            text = _fetch(arguments.names)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"coursekit: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0
