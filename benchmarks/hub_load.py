"""A class on one machine: how long each step takes, and what a student costs in memory and processor time.

    python -m benchmarks.hub_load --students 50     # ten minutes on two quiet cores; best as root

A real hub starts (``deploy/hub.py``). Simulated students arrive all at once: each starts a server, pulls the
lab by the address of the book's button, opens a kernel, runs a light cell (numpy alone), and hands in. All
servers and kernels stay up until the last one has handed in; then memory is read. Processor time is that of a
student's own processes. Waiting times depend on what else the machine does: its load stands beside them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks._common import Results, arguments, versions

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests/hub", "deploy", "book/_ext")]

STEPS = ("start a server", "pull the lab", "open a kernel and run a cell", "hand in")
CELL = "import numpy as np; x = np.random.default_rng(0).normal(size=(500, 500)); print((x @ x).shape)"
MIB = 2**20


def summary(values: list[float]) -> dict[str, float]:
    return {
        "median": float(np.median(values)),
        "p90": float(np.quantile(values, 0.9)),
        "max": float(np.max(values)),
    }


def cost(processes: list[psutil.Process]) -> dict[str, float]:
    """Memory in MiB, shared pages divided among their users (PSS), and seconds of processor time."""
    memory = seconds = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            memory += process.memory_full_info().pss / MIB
            times = process.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return {"memory_mib": memory, "cpu_seconds": seconds}


def of_class(students: int) -> dict[str, Any]:
    """Let a class of this size arrive, work and hand in."""
    import hub_box
    import launch
    from hub_box import LAB, Hub
    from walk import COURSE, NOTEBOOK, follow, post

    hub_box.PATIENCE = 1800.0
    hub = Hub([f"s{number:02d}" for number in range(students)])
    seconds: dict[str, list[float]] = {step: [] for step in STEPS}
    failures: list[str] = []
    everyone = threading.Barrier(students + 1)
    leave = threading.Event()
    before = os.getloadavg()[0]

    def timed(step: str, act: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = act()
        seconds[step].append(time.perf_counter() - start)
        return result

    def student(name: str) -> None:
        try:
            session = hub.login(name)
            timed("start a server", lambda: hub.spawn(name))
            link = launch.hub_link(hub.url, f"file://{hub.dir}/notebooks.git", "main", f"{LAB}/{LAB}.ipynb")
            timed("pull the lab", lambda: follow(session, link))
            with contextlib.ExitStack() as stack:

                def work() -> None:
                    stack.enter_context(hub.kernel(name, str(Path(NOTEBOOK).parent))).run(CELL)

                timed("open a kernel and run a cell", work)
                timed("hand in", lambda: post(hub, name, "submit", course_id=COURSE, assignment_id=LAB))
                everyone.wait()
                leave.wait()
        except BaseException as error:
            failures.append(f"{type(error).__name__}: {error}"[:300])
            if not everyone.broken and not leave.is_set():
                everyone.wait()

    try:
        hub.prepare().start()
        arrival = time.perf_counter()
        with ThreadPoolExecutor(students) as pool:
            for name in hub.students:
                pool.submit(student, name)
            everyone.wait()
            whole = time.perf_counter() - arrival
            load = os.getloadavg()[0]
            groups = grouped(hub)
            mine = [cost(group) for name, group in groups.items() if name in hub.students]
            shared = cost(groups.get("", []))
            leave.set()
        inbound = hub.dir / "exchange" / COURSE / "inbound"
        return {
            "students": students,
            "handed_in": len({path.name.split("+")[0] for path in inbound.iterdir()}),
            "failures": failures,
            "steps": {step: summary(values) for step, values in seconds.items() if values},
            "arrival_to_last_hand_in": whole,
            "memory_mib_of_a_student": summary([row["memory_mib"] for row in mine]),
            "cpu_seconds_of_a_student": summary([row["cpu_seconds"] for row in mine]),
            "hub_and_proxy": shared,
            "memory_mib_of_all": sum(row["memory_mib"] for row in mine) + shared["memory_mib"],
            "load_before": before,
            "load_after": load,
        }
    finally:
        leave.set()
        everyone.abort()
        hub.remove()


def grouped(hub: Any) -> dict[str, list[psutil.Process]]:
    """Processes of each student (a server and its kernel), and under "" those of the hub."""
    groups: dict[str, list[psutil.Process]] = {}
    for process in hub.processes():
        with contextlib.suppress(psutil.Error):
            home = process.environ().get("HOME", "")
            name = Path(home).name if home.startswith(str(hub.dir / "homes")) else ""
            groups.setdefault(name, []).append(process)
    return groups


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, nargs="+", default=[5, 50], metavar="N")
    options = parser.parse_args()
    results = Results("hub_load", settings={"cell": CELL}, path=options.output, fresh=options.fresh)
    results.meta["versions"] |= versions("jupyterhub", "jupyterlab", "nbgrader")
    results.meta["account_for_each_student"] = os.getuid() == 0
    for number in options.students:
        row = results.row(f"{number} students", lambda number=number: of_class(number))
        print(number, row["arrival_to_last_hand_in"], row["memory_mib_of_a_student"], row["failures"][:3])


if __name__ == "__main__":
    main()
