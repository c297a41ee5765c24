"""Execute the instructors' notebooks, store their outputs, and rewrite what they expect.

``python -m tests.labs.refresh [topic ...]`` does it for the named labs, or for all. Outputs of
cells tagged ``nbval-ignore-output`` depend on the machine and are not stored.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "labs" / "source"


def topics() -> list[str]:
    """Names of the labs."""
    return sorted(folder.name for folder in SOURCE.iterdir() if (folder / f"{folder.name}.ipynb").exists())


def notebook(topic: str) -> nbformat.NotebookNode:
    """Read the instructor's notebook."""
    return nbformat.read(SOURCE / topic / f"{topic}.ipynb", as_version=4)


def refresh(topic: str) -> None:
    """Execute one lab in a fresh kernel and write it back, whole or not at all."""
    file = SOURCE / topic / f"{topic}.ipynb"
    nb = nbformat.read(file, as_version=4)
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        nb,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(file.parent)}},
    )
    client.execute()
    nb.metadata.pop("widgets", None)
    nb.metadata.language_info = {"name": "python"}  # versions of the machine do not belong in the file
    for cell in nb.cells:
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            cell.outputs = []
    scratch = file.with_suffix(".tmp")
    nbformat.write(nb, scratch)
    os.replace(scratch, file)


if __name__ == "__main__":
    os.environ["COURSEKIT_EXPECT_UPDATE"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    for name in sys.argv[1:] or topics():
        refresh(name)
        print(f"executed {name}")
