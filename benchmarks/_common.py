"""What every benchmark shares: resumable runs, atomic files, a record of how each number was made.

A benchmark is a module with a `main()`. It computes named rows one by one; each finished row is
written at once, so an interrupted run goes on where it stopped::

    results = Results("rates", settings={"seed": 0, "repetitions": 60}, device="cpu")
    for name in ROWS:
        results.row(name, lambda: compute(name))

The file is `results/<name>.json`: {"meta": {...}, "rows": {name: {...}}}.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).resolve().parent.parent / "results"
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")


def versions(*more: str) -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *more):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def device_name(device: str) -> str:
    """The device in words: processor architecture and threads, or the name of the GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    return f"{platform.machine()} CPU, {os.cpu_count()} cores, OMP_NUM_THREADS={threads}"


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: numbers rounded to six digits, arrays as lists, no NaN or infinity."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` to `path` in one step: a reader sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            json.dump(plain(content), stream, indent=1)
            stream.write("\n")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Results:
    """The growing results file of one benchmark.

    Parameters
    ----------
    name : str
        The file is ``results/<name>.json`` unless `path` says otherwise.
    settings : dict
        Everything that decides the numbers (seeds, sizes). Rows computed under other settings, or with other
        versions of the packages, are dropped.
    device : str
        Where the numbers were made.
    path : path, optional
        Another file.
    fresh : bool
        Forget the rows that are there.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: dict[str, Any],
        device: str = "cpu",
        path: str | Path | None = None,
        fresh: bool = False,
    ) -> None:
        self.path = Path(path) if path else RESULTS / f"{name}.json"
        self.meta = {
            "command": f"python -m benchmarks.{name}",
            "settings": plain(settings),
            "device": device_name(device),
            "versions": versions(),
        }
        self.rows: dict[str, Any] = {}
        if self.path.exists() and not fresh:
            old = json.loads(self.path.read_text())
            same = all(old.get("meta", {}).get(key) == self.meta[key] for key in ("settings", "versions"))
            if same:
                self.rows = old["rows"]

    def row(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The row `name`: from the file if it is there, else computed, timed and written at once."""
        if name not in self.rows:
            wall, cpu = time.perf_counter(), time.process_time()
            row = compute()
            row["seconds"] = round(time.perf_counter() - wall, 2)
            row["cpu_seconds"] = round(time.process_time() - cpu, 2)
            self.rows[name] = plain(row)
            self.save()
        return self.rows[name]

    def save(self) -> None:
        """Write the file."""
        self.meta["seconds"] = round(sum(row.get("seconds", 0.0) for row in self.rows.values()), 2)
        write_json(self.path, {"meta": self.meta, "rows": self.rows})


def arguments(description: str, *, devices: tuple[str, ...] = ("cpu",)) -> argparse.ArgumentParser:
    """The options every benchmark has: --device, --output, --fresh."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", default="cpu", choices=devices, help="where to compute")
    parser.add_argument("--output", type=Path, help="another file than results/<name>.json")
    parser.add_argument("--fresh", action="store_true", help="forget rows that are already there")
    return parser
