"""Run the chapters in parallel and keep what they printed in a cache.

myst-nb looks every chapter up in a jupyter-cache and runs the missing ones one after
another. This module fills that cache first, several chapters at a time. The cache's key
is a chapter's code alone, so the cache's folder is named after everything else that its
outputs depend on: the package, the results, the pinned libraries and Python itself.
"""

from __future__ import annotations

import copy
import hashlib
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[2]
KEEP_CACHES = 3
# What the two halves of `yardstick` take on a quiet core of the kind on which the budgets were set.
PYTHON_SECONDS, EXPONENTIAL_SECONDS = 0.2, 0.02
# Parts of the package that no chapter imports (tests/book/test_build.py), so that no output depends on them.
NOT_FOR_CHAPTERS = ("coursekit/grading/", "coursekit/cli.py", "coursekit/workbench.py")
FOR_THE_GUIDE = "coursekit/grading/sandbox.py"  # the instructor's guide prints its limits
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}


def state_key(root: Path = ROOT) -> str:
    """Short hash of everything besides its own code that a chapter's outputs depend on."""
    files = [path for path in (root / "coursekit").rglob("*") if path.is_file()]
    files += (root / "results").glob("*.json")
    files += [root / "requirements.txt"] if (root / "requirements.txt").exists() else []
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(files):
        name = path.relative_to(root).as_posix()
        counts = name == FOR_THE_GUIDE or not name.startswith(NOT_FOR_CHAPTERS)
        if "__pycache__" not in path.parts and counts:
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def cache_folder(build: Path) -> Path:
    """Folder of the cache that belongs to the present state; older ones beyond a few are removed."""
    caches = build / ".jupyter_cache"
    folder = caches / state_key()
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    by_age = sorted(
        (path for path in caches.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    for old in by_age[:-KEEP_CACHES]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def run_notebook(text: str, folder: str, timeout: int) -> dict[str, Any]:
    """Run one notebook (its JSON text) in `folder`, and measure it. Called in a process of its own."""
    os.environ.update(ONE_THREAD, COURSEKIT_OFFLINE="1", PYTHONHASHSEED="0")
    os.environ.pop("MPLBACKEND", None)  # the kernel shows figures in the page
    # The package is found whether or not it is installed.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    notebook = nbformat.reads(text, as_version=4)
    before = slowness()
    started, spent, error = time.monotonic(), _cpu_of_children(), None
    try:
        client = NotebookClient(
            notebook,
            timeout=timeout,
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=40"],  # the kernel's own errors, without its chatter
        )
        client.execute()
        error = _complaints(notebook)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
        error = _without_colour(str(problem))
    except Exception:
        error = _without_colour(traceback.format_exc())
    wall, cpu = time.monotonic() - started, _cpu_of_children() - spent
    slow = (before + slowness()) / 2
    return {
        "notebook": nbformat.writes(notebook),
        "wall": wall,
        "cpu": cpu,
        "slowness": slow,
        "error": error,
    }


def slowness() -> float:
    """How many times slower this core is just now than the one on which the budgets were set; at least 1.

    Half of a page is Python and half is arithmetic, and the two do not go together: NumPy's exponential
    takes four times as long on a processor without AVX-512.
    """
    python, exponential = yardstick()
    return max(1.0, (python / PYTHON_SECONDS + exponential / EXPONENTIAL_SECONDS) / 2)


def yardstick() -> tuple[float, float]:
    """CPU seconds of two fixed pieces of work: Python with sorting, and exponentials."""
    start = time.process_time()
    table, total = {}, 0.0
    for i in range(400_000):
        table[i & 4095] = total
        total += (i * 0.5) % 7
    x = np.random.default_rng(0).standard_normal(1_000_000)
    for _ in range(6):
        np.sort(x)
    between = time.process_time()
    for _ in range(10):
        np.exp(x).sum()
    return between - start, time.process_time() - between


def _complaints(notebook: nbformat.NotebookNode) -> str | None:
    """What the cells wrote to stderr: a warning on a page is a fault to repair, unless its cell is tagged."""
    heard = [
        f"a cell wrote to stderr:\n\n{cell.source}\n\n{output.text}"
        for cell in notebook.cells
        if cell.cell_type == "code" and "remove-stderr" not in cell.metadata.get("tags", [])
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]
    return "\n".join(heard) or None


def _cpu_of_children() -> float:
    """CPU seconds of all finished child processes: here, of the kernels."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _without_colour(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def execute(
    notebooks: dict[str, nbformat.NotebookNode],
    folders: dict[str, Path],
    cache_path: Path,
    *,
    jobs: int,
    timeout: int,
    say: Any = print,
) -> dict[str, str]:
    """Run the notebooks that the cache lacks, `jobs` at a time, and put them into it.

    Parameters
    ----------
    notebooks : dict
        Page name to notebook, as myst-nb reads it.
    folders : dict
        Page name to the page's file.
    cache_path : Path
        Folder of the jupyter-cache.
    jobs : int
        How many chapters run at the same time.
    timeout : int
        Seconds that one cell may take.
    say : callable
        Takes a line about what happened.

    Returns
    -------
    dict
        Page name to error, for the pages that failed.
    """
    cache = get_cache(str(cache_path))
    missing = [name for name in notebooks if not _cached(cache, notebooks[name])]
    failures: dict[str, str] = {}
    if not missing:
        return failures
    say(f"running {len(missing)} page(s), {min(jobs, len(missing))} at a time")
    # A fresh process for each page, so that its children's CPU time is the page's alone.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        runs = {}
        for name in missing:
            text = nbformat.writes(notebooks[name])
            runs[pool.submit(run_notebook, text, str(folders[name].parent), timeout)] = name
        for run in as_completed(runs):
            name, result = runs[run], run.result()
            if result["error"]:
                failures[name] = result["error"]
                say(f"  {name}: FAILED after {result['wall']:.1f} s")
                continue
            # One writer: the cache's database is touched by this process only.
            executed = _with_outputs(notebooks[name], nbformat.reads(result["notebook"], as_version=4))
            data = {
                "execution_seconds": result["wall"],
                "cpu_seconds": result["cpu"],
                "slowness": result["slowness"],
            }
            bundle = CacheBundleIn(executed, str(folders[name]), data=data)
            cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
            say(f"  {name}: {result['cpu']:.1f} s of CPU in {result['wall']:.1f} s")
    return failures


def _with_outputs(notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook as it was read, which is the cache's key, with what it printed."""
    notebook = copy.deepcopy(notebook)
    for cell, done in zip(notebook.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
    notebook.metadata["language_info"] = executed.metadata.get("language_info", {})
    return notebook


def _cached(cache: Any, notebook: nbformat.NotebookNode) -> Any:
    try:
        return cache.match_cache_notebook(notebook)
    except KeyError:
        return None


def forget(notebooks: list[nbformat.NotebookNode], cache_path: Path) -> None:
    """Take these notebooks out of the cache, so that they are run again."""
    cache = get_cache(str(cache_path))
    for notebook in notebooks:
        if (record := _cached(cache, notebook)) is not None:
            cache.remove_cache(record.pk)


def measured(notebooks: dict[str, nbformat.NotebookNode], cache_path: Path) -> dict[str, dict[str, float]]:
    """CPU seconds, elapsed seconds and slowness of the core, of every page that the cache holds."""
    cache = get_cache(str(cache_path))
    times = {}
    for name, notebook in notebooks.items():
        record = _cached(cache, notebook)
        if record is not None and "cpu_seconds" in record.data:
            times[name] = {
                "cpu": record.data["cpu_seconds"],
                "wall": record.data["execution_seconds"],
                "slowness": record.data.get("slowness", 1.0),
            }
    return times


def write_if_new(path: Path, text: str) -> None:
    """Write a file only where that changes it, so that nothing is rebuilt for nothing."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def to_json(times: dict[str, dict[str, float]]) -> str:
    """Times as sorted JSON text."""
    return json.dumps(times, indent=1, sort_keys=True)
