"""Configuration of the labs as an nbgrader course: run nbgrader in this folder.

``nbgrader generate_assignment kde`` makes ``release/kde/`` from ``source/kde/``.
"""

import os
import sysconfig
from pathlib import Path

# nbgrader starts `alembic` by its name alone: let it be found in an environment that is not activated.
os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])

c = get_config()  # noqa: F821 (nbgrader provides it)

c.CourseDirectory.course_id = "generative-models"
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", ".*", "*.tmp"]

# A stub stops, and says so: an empty or plausible placeholder would let a forgotten task pass unseen.
c.ClearSolutions.code_stub = {
    "python": "# Write your solution here, and delete the next line.\n"
    'raise NotImplementedError("this task is not done yet")'
}
c.ClearSolutions.text_stub = "*Write your answer here.*"

# A submission keeps all test cells, whatever was deleted in it.
c.OverwriteCells.add_missing_cells = True

c.Execute.timeout = 120  # seconds for one cell; a whole lab takes less than ten
