"""Everything that proves the project, stage by stage: minutes, budget, verdict.

Run by `make test`. A stage that fails does not stop the later ones, except that the
browser has nothing to open when the book did not build.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tools import TOOLS, find

ROOT = Path(__file__).parents[1]
PYTHON = sys.executable
PYTEST = [PYTHON, "-m", "pytest", "-n", "2"]
NBVAL = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "300", "labs/source"]
TOTAL_BUDGET = 50.0


@dataclass(frozen=True)
class Stage:
    """One stage: its commands and the minutes it may take."""

    name: str
    budget: float
    commands: tuple[tuple[str, ...], ...]


def pytest(*arguments: str) -> tuple[str, ...]:
    """Command that runs pytest on two cores, a whole file or notebook on one of them."""
    return (*PYTEST, "--dist", "loadscope", *arguments)


def shared(*arguments: str) -> tuple[str, ...]:
    """Command that runs pytest on two cores; one that is done takes over half of what the other has left."""
    return (*PYTEST, "--dist", "worksteal", *arguments)


OWN_STAGE = ("test_laws.py", "labs", "grading", "book", "hub")
STAGES = [
    Stage(
        "lint",
        2,
        (
            (PYTHON, "-m", "ruff", "check", "."),
            (PYTHON, "-m", "ruff", "format", "--check", "."),
            (PYTHON, "-m", "mypy"),
        ),
    ),
    Stage(
        "unit",
        8,
        (
            pytest("tests", *(f"--ignore=tests/{path}" for path in OWN_STAGE)),
            pytest("--doctest-modules", "coursekit"),
        ),
    ),
    Stage("laws", 4, (shared("tests/test_laws.py"),)),
    Stage("grade path of the labs", 12, (shared("tests/labs"),)),
    Stage("nbval of the labs", 4, (pytest(*NBVAL),)),
    Stage("sandboxed grading", 10, (pytest("tests/grading"),)),
    Stage("book", 6, ((PYTHON, "book/_ext/build.py"),)),
    Stage("browser", 8, (shared("tests/book"),)),
    Stage("hub", 8, (pytest("tests/hub"),)),
]


def run(stage: Stage) -> tuple[bool, float]:
    """Run a stage's commands in order; report whether all succeeded, and the minutes."""
    print(f"\n=== {stage.name} (budget {stage.budget:g} min) ===", flush=True)
    start = time.perf_counter()
    ok = all([subprocess.run(command, cwd=ROOT, check=False).returncode == 0 for command in stage.commands])
    return ok, (time.perf_counter() - start) / 60


def main() -> int:
    """Run every stage, or those named on the command line; exit non-zero if one fails."""
    wanted = sys.argv[1:]
    unknown = set(wanted) - {stage.name.split()[0] for stage in STAGES}
    if unknown:
        sys.exit(f"unknown stage {sorted(unknown)}: expected some of {[s.name.split()[0] for s in STAGES]}")
    missing = [tool for tool in TOOLS if find(tool) is None]
    rows = []
    for stage in STAGES:
        if not wanted or stage.name.split()[0] in wanted:
            rows.append((stage, *run(stage)))
    print(f"\n{'stage':<24}{'minutes':>9}{'budget':>9}  verdict")
    for stage, ok, minutes in rows:
        late = "" if minutes <= stage.budget else ", over budget"
        print(f"{stage.name:<24}{minutes:>9.1f}{stage.budget:>9.1f}  {'ok' if ok else 'FAILED'}{late}")
    total = sum(minutes for _, _, minutes in rows)
    print(f"{'total':<24}{total:>9.1f}{TOTAL_BUDGET:>9.1f}  {'' if total <= TOTAL_BUDGET else 'over budget'}")
    for tool in missing:
        print(f"Left out for want of {tool}: the tests that need it. To run them: {TOOLS[tool]}")
    complete = not missing or os.environ.get("COURSEKIT_CI") != "1"
    return 0 if complete and all(ok for _, ok, _ in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
