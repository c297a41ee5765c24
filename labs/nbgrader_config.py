"""Configuration of the labs as an nbgrader course: run nbgrader in this folder.

``nbgrader generate_assignment kde`` makes ``release/kde/`` from ``source/kde/``. Grading, the
formgrader's Autograde button included, runs student code in a sandbox and the tests elsewhere;
what is set here is what every command of the course uses (`coursekit.grading.config`).
"""

from pathlib import Path

from coursekit.grading.config import course_config

c = get_config()  # noqa: F821 (nbgrader provides it)
c.merge(course_config(Path(__file__).resolve().parent))
