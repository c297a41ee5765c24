"""Where the labs' tests find banks, kernels and releases."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import grade_path
import pytest

# Kernels and command lines started here must find this copy of the package.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(grade_path.ROOT), os.environ.get("PYTHONPATH")]))


class Course:
    """A temporary nbgrader course with all labs, released by nbgrader itself."""

    def __init__(self, folder: Path):
        from nbgrader.apps import NbGraderAPI
        from traitlets.config import PyFileConfigLoader

        self.folder = folder
        labs = grade_path.ROOT / "labs"
        shutil.copytree(labs / "source", folder / "source", ignore=shutil.ignore_patterns(".*"))
        shutil.copy(labs / "nbgrader_config.py", folder)
        self.api = NbGraderAPI(
            config=PyFileConfigLoader("nbgrader_config.py", path=str(folder)).load_config()
        )
        for topic in grade_path.topics():
            self.do(self.api.generate_assignment, topic)

    def do(self, action: Any, *arguments: str) -> None:
        result = action(*arguments, force=True)
        assert result["success"], result.get("error") or result["log"]

    def release(self, topic: str) -> Any:
        return self.read(self.folder / "release" / topic / f"{topic}.ipynb")

    @staticmethod
    def read(file: Path) -> Any:
        import nbformat

        return nbformat.read(file, as_version=4)

    def submit(self, student: str, topic: str, nb: Any) -> None:
        import nbformat

        folder = self.folder / "submitted" / student / topic
        folder.mkdir(parents=True)
        nbformat.write(nb, folder / f"{topic}.ipynb")

    def scores(self, student: str, topic: str) -> dict[str, tuple[float | None, float]]:
        """Grade a submission; score and maximum of each graded cell, None where a person must look."""
        self.do(self.api.autograde, topic, student)
        with self.api.gradebook as gradebook:
            submission = gradebook.find_submission(topic, student)
            grades = [grade for nb in submission.notebooks for grade in nb.grades]
            return {g.name: (None if g.needs_manual_grade else g.auto_score, g.max_score) for g in grades}


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("course"))
