"""The one configuration of nbgrader that every command uses, the formgrader's button included.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from traitlets.config import Config

from coursekit.grading.sandbox import Limits

COURSE_ID = "generative-models"


def course_config(
    root: Path,
    *,
    course_id: str = COURSE_ID,
    db_url: str | None = None,
    limits: Limits | None = None,
) -> Config:
    """Make nbgrader grade in the sandbox, with the tests in another process.

    Parameters
    ----------
    root : Path
        Folder of the course: ``source``, ``submitted``, ``gradebook.db``.
    course_id : str
        Name of the course.
    db_url : str, optional
        Gradebook, such as ``postgresql+psycopg2://...``; SQLite in `root` by default.
    limits : Limits, optional
        What one submission may use.

    Returns
    -------
    Config
        For ``nbgrader``'s applications and API.
    """
    _find_tools()
    # As names: nbgrader's own modules are slow to import, and traitlets takes both.
    ours, theirs = "coursekit.grading.split", "nbgrader.preprocessors"
    config = Config()
    config.CourseDirectory.root = str(Path(root).resolve())
    config.CourseDirectory.course_id = course_id
    if db_url:
        config.CourseDirectory.db_url = db_url
    config.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".*", "*.tmp"]
    config.Autograde.sanitize_preprocessors = [
        f"{theirs}.ClearOutput",
        f"{ours}.StripStudentMetadata",
        f"{theirs}.DeduplicateIds",
        f"{theirs}.OverwriteKernelspec",
        f"{ours}.RestoreCells",
        f"{theirs}.OverwriteCells",
        f"{theirs}.CheckCellMetadata",
    ]
    config.Autograde.autograde_preprocessors = [
        f"{ours}.SplitExecute",
        f"{theirs}.IgnorePattern",
        "nbconvert.preprocessors.ClearMetadataPreprocessor",
        f"{theirs}.LimitOutput",
        f"{theirs}.SaveAutoGrades",
        f"{theirs}.AssignLatePenalties",
        f"{theirs}.CheckCellMetadata",
    ]
    config.OverwriteCells.add_missing_cells = True
    config.ClearSolutions.code_stub = {"python": STUB}
    config.ClearSolutions.text_stub = "*Write your answer here.*"
    config.SplitExecute.timeout = (limits or Limits()).cell_s
    config.LimitOutput.max_traceback = 40
    return config


def _find_tools() -> None:
    """Let nbgrader find its own tools (alembic) when this Python was called by its path."""
    folder, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if folder not in path.split(os.pathsep):
        os.environ["PATH"] = folder + os.pathsep + path


#: What stands for a solution in the student's version: it stops, and says so. An empty or
#: plausible placeholder would let a forgotten task pass unseen.
STUB = (
    "# Write your solution here, and delete the next line.\n"
    'raise NotImplementedError("this task is not done yet")'
)
