"""The one configuration of nbgrader that every command uses, the formgrader's button included.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from traitlets.config import Config

from coursekit.grading.sandbox import Limits, visible_paths

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

    Raises
    ------
    ValueError
        If `root` is in a folder that student code can read.
    """
    root = Path(root).resolve()
    if seen := [path for path in visible_paths() if root.is_relative_to(path)]:
        raise ValueError(
            f"root: {root} lies in {seen[0]}, which student code can read; move the course elsewhere"
        )
    _find_tools()
    # As names: nbgrader's own modules are slow to import, and traitlets takes both.
    ours, theirs = "coursekit.grading.split", "nbgrader.preprocessors"
    config = Config()
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.course_id = course_id
    if db_url:
        config.CourseDirectory.db_url = db_url
    config.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".*", "*.tmp"]
    # nbgrader's own OverwriteCells, DeduplicateIds and OverwriteKernelspec repair what a student
    # changed; these two rebuild the notebook, and leave nothing to repair.
    config.Autograde.sanitize_preprocessors = [
        f"{ours}.StripStudentMetadata",
        f"{ours}.RestoreCells",
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
