"""A student's desk: labs are fetched once, never overwritten, and what is left is said."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from coursekit import cli, workbench

CELLS = {
    "setup": ("code", "from coursekit.lab import student", {"locked": True}),
    "double": (
        "code",
        "def double(x):\n    raise NotImplementedError('this task is not done yet')",
        {"solution": True},
    ),
    "double-test": (
        "code",
        "assert student.double(2) == 4, 'twice two is four'",
        {"grade": True, "points": 3},
    ),
    "free-test": ("code", "assert 1 + 1 == 2", {"grade": True, "points": 1}),
    "explain": ("markdown", "*Write your answer here.*", {"grade": True, "solution": True, "points": 2}),
}


@pytest.fixture
def labs(tmp_path):
    notebook = nbformat.v4.new_notebook()
    for name, (kind, source, marks) in CELLS.items():
        make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        notebook.cells.append(make(source, metadata={"nbgrader": {"grade_id": name, **marks}}))
    folder = tmp_path / "labs" / "tiny"
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "tiny.ipynb")
    (folder / "data.csv").write_text("1,2\n")
    return folder.parent


def answer(file, **given):
    notebook = json.loads(file.read_text())
    for cell in notebook["cells"]:
        name = cell["metadata"]["nbgrader"]["grade_id"]
        cell["source"] = given.get(name.replace("-", "_"), cell["source"])
    file.write_text(json.dumps(notebook))


def kinds(file):
    return {state.task: state.kind for state in workbench.check(file)}


def test_a_lab_is_fetched_with_its_data_and_never_overwritten(labs, tmp_path):
    here = tmp_path / "here"
    file = workbench.fetch("tiny", str(labs), here)
    assert file == (here / "tiny" / "tiny.ipynb").resolve() == workbench.find("tiny", here)
    assert (here / "tiny" / "data.csv").exists()
    file.write_text("my work")
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        workbench.fetch("tiny", str(labs), here)
    assert file.read_text() == "my work"


def test_a_lab_comes_from_a_git_repository_too(labs, tmp_path):
    git = ["git", "-C", str(labs), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "labs"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    assert workbench.fetch("tiny", labs.as_uri(), tmp_path / "here").is_file()
    with pytest.raises(ValueError, match="git cannot clone"):
        workbench.fetch("tiny", (tmp_path / "nowhere").as_uri(), tmp_path / "there")
    assert not (tmp_path / "there" / "tiny").exists()


def test_the_folder_of_a_hub_is_found(labs, tmp_path):
    labs.rename(tmp_path / "generative-models")
    assert workbench.find("tiny", tmp_path) is not None
    assert workbench.find("other", tmp_path) is None


@pytest.mark.parametrize("name", ["../tiny", "tiny/..", "", "-u", "Tiny"])
def test_a_strange_name_is_refused(name, labs, tmp_path):
    with pytest.raises(ValueError, match="expected the name of a lab"):
        workbench.fetch(name, str(labs), tmp_path / "here")


def test_the_instructor_s_version_is_refused(labs, tmp_path):
    answer(labs / "tiny" / "tiny.ipynb", double="### BEGIN SOLUTION\ndef double(x):\n    return 2 * x")
    with pytest.raises(ValueError, match="instructor's version"):
        workbench.fetch("tiny", str(labs), tmp_path / "here")


def test_an_unknown_lab_names_those_that_there_are(labs, tmp_path):
    with pytest.raises(ValueError, match="it has tiny"):
        workbench.fetch("other", str(labs), tmp_path / "here")


def test_what_is_left_is_said_and_the_file_stays_as_it_is(labs):
    file = labs / "tiny" / "tiny.ipynb"
    before = file.read_bytes()
    states = workbench.check(file)
    assert {state.task: state.kind for state in states} == {
        "double-test": "open",
        "free-test": "done",
        "explain": "open",
    }
    assert file.read_bytes() == before
    assert "Left: double-test, explain (5 points)." in workbench.report(states)

    answer(file, double="def double(x):\n    return x", explain="Because.")
    states = workbench.check(file)
    assert [state.kind for state in states] == ["fails", "done", "read"]
    assert "twice two is four" in states[0].text

    answer(file, double="def double(x):\n    return 2 * x")
    assert "Nothing is left" in workbench.report(workbench.check(file))


def test_the_command_fetches_and_checks(labs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab", "tiny"]) == 1
    assert "--from" in capsys.readouterr().err
    monkeypatch.setenv("COURSEKIT_LABS", str(labs))
    assert cli.main(["lab", "tiny", "--folder", "mine", "--check"]) == 0
    assert "Left:" in capsys.readouterr().out


def test_the_command_opens_jupyterlab_where_the_lab_is(labs, tmp_path, monkeypatch):
    called = []

    def run(command, **options):
        called.append((command, options))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(workbench.subprocess, "run", run)
    assert cli.main(["lab", "tiny", "--folder", str(labs)]) == 0
    ((command, options),) = called
    assert command == [sys.executable, "-m", "jupyter", "lab", str((labs / "tiny" / "tiny.ipynb").resolve())]
    assert Path(options["cwd"]).name == "tiny"
