"""How fast a class is graded: stock nbgrader, one box per kernel, and kernels forked from a warm process.

    python -m benchmarks.grading            # about ten minutes on two cores; needs bubblewrap

The lab imports torch. Processor time is that of all processes, counted by a control group (this needs
the right to make one): the difference between a small and a larger class of right answers is the
cost of one more submission without the start. Submissions per minute are the slope of how many
were finished when, in the larger class after its first quarter; they depend on what else the
machine does, so its load is kept beside them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._common import Results, arguments

LAB = "torchlab"
SETUP = """import matplotlib.pyplot as plt
import numpy as np
import torch
from coursekit import lab
from coursekit.lab import student"""
TASKS = {
    "softplus": ("return torch.log1p(torch.exp(torch.as_tensor(x)))", "np.log1p(np.exp(x))"),
    "squares": ("return torch.as_tensor(x) ** 2", "x**2"),
    "total": ("return torch.as_tensor(x).cumsum(0)", "np.cumsum(x)"),
}
TEST = """# Visible check.
x = np.linspace(-1.0, 1.0, 5)
assert np.shape(student.{name}(x)) == (5,)
### BEGIN HIDDEN TESTS
# property: right everywhere
x = lab.rng("{name}").normal(size=100)
assert np.allclose(student.{name}(x), {oracle})
### END HIDDEN TESTS"""

#: Name of the way -> sizes of the two classes.
WAYS = {
    "stock nbgrader": (2, 8),
    "bubblewrap, a fresh kernel each": (2, 8),
    "ours, through nbgrader's converter": (4, 28),
    "ours, in one process": (4, 28),
    "ours, 1 worker": (8, 48),
    "ours, 2 workers": (8, 88),
}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--way", choices=WAYS, help="measure this one only, and print it")
    parser.add_argument("--course", type=Path, help="the course, for --way")
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.course)))
        return
    results = Results(
        "grading", settings={"ways": WAYS, "lab": [SETUP, TASKS]}, path=options.output, fresh=options.fresh
    )
    for way in WAYS:
        results.row(way, lambda way=way: compare(way))
    print(table(results.rows))


def table(rows: dict[str, Any]) -> str:
    """The comparison, side by side."""
    stock = rows["stock nbgrader"]
    lines = [f"{'':<36}{'CPU-s each':>11}{'per minute':>11}{'times stock':>12}{'start s':>9}"]
    for way, row in rows.items():
        times = row["per_minute"] / stock["per_minute"]
        lines.append(
            f"{way:<36}{row['cpu_each']:>11.2f}{row['per_minute']:>11.0f}{times:>12.1f}{row['start']:>9.1f}"
        )
    return "\n".join(lines)


def compare(way: str) -> dict[str, Any]:
    """Cost of one more submission, from two classes of different size."""
    small, large = (one(way, size) for size in WAYS[way])
    more = WAYS[way][1] - WAYS[way][0]
    row = {
        "wall_each": large["each"],
        "cpu_each": (large["cpu"] - small["cpu"]) / more,
        "per_minute": 60 / large["each"],
        "start": max(large["wall"] - WAYS[way][1] * large["each"], 0.0),
        "load": os.getloadavg()[0],
    }
    print(f"{way}: {row['wall_each']:.2f} s, {row['cpu_each']:.2f} CPU-s", file=sys.stderr)
    return row


def one(way: str, size: int) -> dict[str, float]:
    """Grade one class in a process of its own, whose whole family is counted."""
    with tempfile.TemporaryDirectory() as folder:
        course = make_course(Path(folder) / "course", size)
        command = [sys.executable, "-m", "benchmarks.grading", "--way", way, "--course", str(course)]
        root = str(Path(__file__).resolve().parents[1])
        env = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        with counted() as (join, used):
            done = subprocess.run(command, env=env, cwd=root, capture_output=True, preexec_fn=join, text=True)
            if done.returncode:
                raise RuntimeError(f"{way}: {done.stderr[-3000:]}")
            return {**json.loads(done.stdout.splitlines()[-1]), "cpu": used()}


@contextlib.contextmanager
def counted() -> Iterator[tuple[Any, Any]]:
    """A control group: a function with which a child joins it, and one that reads its CPU seconds."""
    old = Path("/sys/fs/cgroup/cpuacct")
    group = (old if old.is_dir() else Path("/sys/fs/cgroup")) / f"bench-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()

    def join() -> None:
        (group / "cgroup.procs").write_text(str(os.getpid()))

    def used() -> float:
        if (group / "cpuacct.usage").exists():
            return int((group / "cpuacct.usage").read_text()) / 1e9
        return int((group / "cpu.stat").read_text().split()[1]) / 1e6

    try:
        yield join, used
    finally:
        for _ in range(100):  # until the last process has left
            with contextlib.suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)


def measure(way: str, course: Path) -> dict[str, float]:
    """Grade the class of a course one way; every score must be right."""
    start = time.perf_counter()
    if way == "stock nbgrader":
        stock(course)
    elif way == "ours, through nbgrader's converter":
        converter(course)
    else:
        from coursekit.grading.run import grade

        workers = {"ours, in one process": 0, "ours, 2 workers": 2}.get(way, 1)
        prefork = way != "bubblewrap, a fresh kernel each"
        summary = grade(LAB, course=course, workers=workers, prefork=prefork, progress=False)
        assert summary.ok, summary
    wall = time.perf_counter() - start
    check(course)
    return {"wall": wall, "each": pace(course)}


def pace(course: Path) -> float:
    """Seconds from one finished submission to the next, once all is warm."""
    finished = sorted(path.stat().st_mtime for path in course.glob(f"autograded/*/{LAB}/{LAB}.ipynb"))
    warm = len(finished) // 4
    return float(np.polyfit(np.arange(len(finished) - warm), finished[warm:], 1)[0])


def stock(course: Path) -> None:
    """nbgrader as it comes, one submission after another in one process."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root, config.CourseDirectory.course_id = str(course), "generative-models"
    config.Execute.timeout = 120
    grade_all(NbGraderAPI(CourseDirectory(config=config), config=config), course)


def converter(course: Path) -> None:
    """Our sandbox behind nbgrader's own command, as the formgrader's button uses it."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    from coursekit.grading.config import course_config
    from coursekit.grading.session import Session

    config = course_config(course)
    with Session() as session:
        session.seed = "bench"
        grade_all(NbGraderAPI(CourseDirectory(config=config), config=config), course)


def grade_all(api: Any, course: Path) -> None:
    for folder in sorted((course / "submitted").iterdir()):
        result = api.autograde(LAB, folder.name)
        assert result["success"], result


def check(course: Path) -> None:
    """All answers are right: all points, for everybody."""
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db", "generative-models") as book:
        scores = [submission.score for submission in book.assignment_submissions(LAB)]
    assert len(scores) == len(list((course / "submitted").iterdir()))
    assert set(scores) == {float(len(TASKS))}, set(scores)


def make_course(root: Path, size: int) -> Path:
    """A course with one lab and a class of right answers."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    from coursekit.grading.config import course_config

    def cell(name: str, source: str, **flags: Any) -> Any:
        base = {"grade": False, "grade_id": name, "locked": False, "schema_version": 3, "solution": False}
        return new_code_cell(source, metadata={"nbgrader": {**base, "task": False, **flags}})

    cells = [cell("setup", SETUP, locked=True)]
    for name, (answer, oracle) in TASKS.items():
        body = f"def {name}(x):\n    ### BEGIN SOLUTION\n    {answer}\n    ### END SOLUTION"
        test = TEST.format(name=name, oracle=oracle)
        cells += [cell(name, body, solution=True)]
        cells += [cell(f"{name}-test", test, grade=True, locked=True, points=1)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    (root / "source" / LAB).mkdir(parents=True)
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": kernel}), root / f"source/{LAB}/{LAB}.ipynb"
    )
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    config = course_config(root)
    result = NbGraderAPI(CourseDirectory(config=config), config=config).generate_assignment(LAB)
    assert result["success"], result
    book = nbformat.read(root / "release" / LAB / f"{LAB}.ipynb", as_version=4)
    for released in book.cells:
        name = released.metadata.nbgrader.grade_id
        if name in TASKS:
            released.source = f"def {name}(x):\n    {TASKS[name][0]}"
    first = root / "submitted" / "s000" / LAB
    first.mkdir(parents=True)
    nbformat.write(book, first / f"{LAB}.ipynb")
    for i in range(1, size):
        shutil.copytree(first, root / "submitted" / f"s{i:03d}" / LAB)
    return root


if __name__ == "__main__":
    main()
