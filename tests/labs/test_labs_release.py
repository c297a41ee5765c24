"""What students get, made by nbgrader itself: it stops where it should, leaks nothing, and grades."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import grade_path
import nbformat
import pytest
from nbclient import NotebookClient

from coursekit.grading import leaks

TOPICS = grade_path.topics()

# nbgrader's own, about its database and about cells that it puts back
pytestmark = [
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning"),
    pytest.mark.filterwarnings("ignore::nbformat.warnings.MissingIDFieldWarning"),
]


def graded_cells(nb):
    return [
        cell
        for cell in nb.cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
    ]


def execute(nb, folder: Path):
    folder.mkdir(parents=True)
    NotebookClient(
        nb,
        timeout=120,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return nb


# --- the released notebook


@pytest.mark.parametrize("topic", TOPICS)
def test_every_stub_stops_and_is_valid_python(course, topic):
    nb = course.release(topic)
    stubs = [cell for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("solution")]
    assert len([cell for cell in stubs if cell.cell_type == "code"]) == len(grade_path.read(topic).tasks)
    for cell in stubs:
        if cell.cell_type == "markdown":
            assert cell.source == "*Write your answer here.*"
            continue
        compile(cell.source, cell.id, "exec")
        assert cell.source.count("raise NotImplementedError") == 1
        assert '"""' in cell.source  # the docstring stays


@pytest.mark.parametrize("topic", TOPICS)
def test_the_release_is_clean(course, topic):
    nb = course.release(topic)
    nbformat.validate(nb)
    for cell in nb.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
    assert [path.name for path in (course.folder / "release" / topic).iterdir()] == [f"{topic}.ipynb"]


@pytest.mark.parametrize("topic", TOPICS)
def test_no_solution_and_no_hidden_test_is_in_the_release(course, topic):
    secrets = leaks.secrets_of(grade_path.notebook(topic), lab=topic)
    assert len(secrets.grams) > 500
    assert leaks.scan([course.folder / "release" / topic], secrets) == []


@pytest.mark.parametrize("topic", TOPICS)
def test_the_leak_scan_sees_a_leak(course, topic, tmp_path):
    source = grade_path.notebook(topic)
    secrets = leaks.secrets_of(source, lab=topic)
    assert leaks.scan([grade_path.SOURCE / topic], secrets)
    lab = grade_path.read(topic)
    task = next(iter(lab.tasks.values()))
    hidden = max(task.properties.values(), key=len)
    solution = task.solution.partition("### BEGIN SOLUTION")[2].partition("### END SOLUTION")[0]
    essay = next(c.source for c in source.cells if c.cell_type == "markdown" and c.metadata.get("nbgrader"))
    one_line = max(solution.splitlines(), key=len)
    for leaked in (hidden, solution, essay, one_line, " ".join(hidden.split()), solution.replace(" ", "\n")):
        nb = copy.deepcopy(course.release(topic))
        nb.cells[0].source += "\n" + leaked
        nbformat.write(nb, tmp_path / "leaky.ipynb")
        assert leaks.scan([tmp_path / "leaky.ipynb"], secrets), leaked


@pytest.mark.parametrize("topic", TOPICS)
def test_the_stub_made_by_nbgrader_scores_nothing(course, topic):
    stub = grade_path.read(topic, course.release(topic))
    answers = {name: task.solution for name, task in stub.tasks.items()}
    result = grade_path.grade(grade_path.read(topic), answers, looks=False)
    assert set(result["points"].values()) == {0.0}
    assert stub.closed == grade_path.read(topic).closed  # a grader may read the list from either


@pytest.mark.parametrize("topic", TOPICS)
def test_each_graded_cell_of_the_release_stops_with_not_implemented(course, topic, tmp_path):
    nb = execute(course.release(topic), tmp_path / topic)
    cells = graded_cells(nb)
    assert len(cells) == len(grade_path.read(topic).tasks)
    for cell in cells:
        assert [output.ename for output in cell.outputs if output.output_type == "error"] == [
            "NotImplementedError"
        ]
    before = nb.cells[: nb.cells.index(cells[0])]
    assert not [
        c.id for c in before if c.cell_type == "code" and any(o.output_type == "error" for o in c.outputs)
    ]
    assert not list(tmp_path.rglob("*.json"))  # expectations leave nothing behind in a student's folder


def test_the_command_line_runs_a_release_up_to_the_first_open_task(course, tmp_path):
    topic = TOPICS[0]
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--output-dir",
        str(tmp_path),
    ]
    file = course.folder / "release" / topic / f"{topic}.ipynb"
    run = subprocess.run([*command, str(file)], capture_output=True, text=True)
    assert run.returncode != 0
    assert "this task is not done yet" in run.stderr


def test_the_documented_command_makes_a_release(course, tmp_path):
    """``nbgrader generate_assignment`` from the command line, in a copy of the labs' folder."""
    topic = TOPICS[0]
    for name in ("nbgrader_config.py", "source"):
        (tmp_path / name).symlink_to(course.folder / name)
    config = tmp_path / "nbgrader_config.py"
    text = config.read_text()
    config.unlink()
    config.write_text(text)
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", topic, "--force"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    made = nbformat.read(tmp_path / "release" / topic / f"{topic}.ipynb", as_version=4)
    assert [cell.source for cell in made.cells] == [cell.source for cell in course.release(topic).cells]


# --- a whole round of stock nbgrader


def with_answers(nb, answers: dict[str, str]):
    nb = copy.deepcopy(nb)
    for cell in nb.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in answers:
            cell.source = answers[name]
    return nb


@pytest.mark.parametrize("topic", TOPICS)
def test_nbgrader_gives_the_reference_everything_and_the_stub_nothing(course, topic):
    lab, source = grade_path.read(topic), grade_path.notebook(topic)
    reference = {name: task.solution for name, task in lab.tasks.items()}
    essay = next(c for c in source.cells if c.cell_type == "markdown" and c.metadata.get("nbgrader"))
    written = essay.metadata["nbgrader"]["grade_id"]

    course.submit("right", topic, with_answers(course.release(topic), {**reference, written: essay.source}))
    scores = course.scores("right", topic)
    assert scores.pop(written) == (None, essay.metadata["nbgrader"]["points"])  # waits for a person
    assert scores == {f"{name}-test": (task.points, task.points) for name, task in lab.tasks.items()}

    course.submit("empty", topic, course.release(topic))
    assert {score for score, _ in course.scores("empty", topic).values()} == {0.0}


def test_nbgrader_takes_only_the_points_of_the_tasks_that_are_wrong(course):
    """Stock nbgrader too closes the modules, restores deleted tests, and ignores warnings in answers."""
    topic = "kde"
    lab, bank = grade_path.read(topic), grade_path.load_bank(topic)
    answers = {name: task.solution for name, task in lab.tasks.items()}
    answers["log-kde"] = next(a.source for a in bank.WRONG if a.task == "log-kde" and a.name == "squeezed")
    answers["lscv"] = "from coursekit.density.kde import ucv_risk as lscv"
    warning = "\n    import warnings\n    warnings.warn('noise on stderr')\n    ### BEGIN SOLUTION"
    answers["reflected-log-kde"] = answers["reflected-log-kde"].replace("\n    ### BEGIN SOLUTION", warning)
    nb = with_answers(course.release(topic), answers)
    nb.cells = [cell for cell in nb.cells if cell.id != "smoothed-bootstrap-test"]
    course.submit("mixed", topic, nb)
    scores = {name: score for name, (score, _) in course.scores("mixed", topic).items()}
    assert scores["log-kde-test"] == scores["lscv-test"] == 0
    assert scores["reflected-log-kde-test"] == scores["smoothed-bootstrap-test"] == 5
    graded = (course.folder / "autograded" / "mixed" / topic / f"{topic}.ipynb").read_text()
    assert "coursekit.density is closed in this lab" in graded


def test_this_module_left_the_environment_alone():
    assert not {"NBGRADER_EXECUTION", "COURSEKIT_GRADING"} & set(os.environ)
