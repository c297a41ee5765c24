"""The instructors' notebooks: what they must contain, that they were executed, and that nbval can fail."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys

import grade_path
import pytest

TOPICS = grade_path.topics()
LABS = grade_path.ROOT / "labs"
NBVAL = [
    "-p",
    "no:cacheprovider",
    "--nbval-lax",
    "--nbval-current-env",
    "--nbval-cell-timeout",
    "300",
    "-x",
    "-q",
]


def expected(topic: str):
    return json.loads((LABS / "expected" / f"{topic}.json").read_text())


def names_expected_by(nb) -> list[str]:
    code = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "code")
    return re.findall(r"lab\.expect(?:_fig)?\(\s*\"([^\"]+)\"", code)


def unexecuted(nb) -> list[str]:
    """Code cells that were never run, were run out of order, or failed."""
    bad, last = [], 0
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        failed = any(output.output_type == "error" for output in cell.outputs)
        if cell.execution_count != last + 1 or failed:
            bad.append(cell.id)
        last = cell.execution_count or last
    return bad


# --- guards


@pytest.mark.parametrize("topic", TOPICS)
def test_the_committed_notebook_is_executed(topic):
    nb = grade_path.notebook(topic)
    assert unexecuted(nb) == []
    last = [cell for cell in nb.cells if cell.cell_type == "code"][-1]
    for change in (lambda c: c.update(execution_count=None), lambda c: c.update(execution_count=99)):
        broken = copy.deepcopy(nb)
        change([cell for cell in broken.cells if cell.cell_type == "code"][-1])
        assert unexecuted(broken) == [last.id]


@pytest.mark.parametrize("topic", TOPICS)
def test_the_committed_outputs_are_clean(topic):
    nb = grade_path.notebook(topic)
    figures = 0
    for cell in nb.cells:
        assert set(cell.metadata) <= {"nbgrader", "tags"}, cell.id
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", f"{cell.id} warns"
            if "image/png" in output.get("data", {}):
                figures += 1
                assert len(output.metadata["image/png"]["alt"]) > 30, f"{cell.id} has no alt text"
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            assert not cell.outputs, f"{cell.id} stores what depends on the machine"
    assert figures >= 3
    assert set(nb.metadata) == {"kernelspec", "language_info"}
    text = (LABS / "source" / topic / f"{topic}.ipynb").read_text()
    assert not re.findall(r"/(?:home|root|work|tmp|Users)/", text)


@pytest.mark.parametrize("topic", TOPICS)
def test_each_lab_has_at_least_five_expectations_and_uses_all_that_are_stored(topic):
    names = names_expected_by(grade_path.notebook(topic))
    assert len(names) >= 5
    assert len(set(names)) == len(names)
    assert set(names) == set(expected(topic))


def test_only_labs_and_their_expectations_are_there():
    for topic in TOPICS:
        assert [path.name for path in (LABS / "source" / topic).iterdir() if path.name[0] != "."] == [
            f"{topic}.ipynb"
        ]
    assert {path.stem for path in (LABS / "expected").iterdir()} == set(TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_lab_has_all_its_parts(topic):
    nb, lab = grade_path.notebook(topic), grade_path.read(topic)
    cells = {cell.id: cell for cell in nb.cells}
    banner = cells["banner"].source
    for word in ("You will be able to", "Time", "Device", "Points", "Honour code", "Closed while graded"):
        assert word in banner
    for module in lab.closed:
        assert module in banner
    total = sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in nb.cells)
    assert f"**Points** | {total:g}:" in banner
    assert "doctor" in cells["doctor"].source
    assert "lab.variant(" in cells["data"].source
    assert "lab.scale(" in cells["extension-run"].source
    assert "**Rubric.**" in "\n".join(cell.source for cell in nb.cells)
    rubric = next(cell.source for cell in nb.cells if "**Rubric.**" in cell.source)
    written = next(
        c for c in nb.cells if c.cell_type == "markdown" and c.metadata.get("nbgrader", {}).get("grade")
    )
    assert (
        sum(map(int, re.findall(r"^\* (\d) points?:", rubric, re.M)))
        == written.metadata["nbgrader"]["points"]
    )
    minutes = [int(m) for m in re.findall(r"points, (\d+) minutes", "\n".join(c.source for c in nb.cells))]
    assert len(minutes) == len(lab.tasks) + 1
    assert 60 <= sum(minutes) <= 120
    assert f"about {sum(minutes)} minutes" in banner


@pytest.mark.parametrize("topic", TOPICS)
def test_each_task_says_all_that_is_asked_and_graded(topic):
    nb, lab = grade_path.notebook(topic), grade_path.read(topic)
    ids = [cell.id for cell in nb.cells]
    for task in lab.tasks.values():
        text = nb.cells[ids.index(task.name) - 1].source
        assert "**Contract.**" in text
        assert "**returns**" in text
        assert text.count("<details>") == 2, "a ladder of two hints"
        assert len(task.properties) >= 4
        for name in task.properties:
            assert f"*{name}*" in text, f"{name} is graded but not announced"
        assert task.visible.strip(), "a released test cell without visible checks would be full marks"
        assert "student." in task.visible
        assert task.visible.count(', f"') + task.visible.count(', "') >= 2, "visible checks must hint"
        assert task.points > 0


def test_statistical_tests_state_their_false_fail_rate():
    test = grade_path.read("kde").tasks["smoothed-bootstrap"]
    assert "1e-6" in test.preface
    assert "10^{-6}" in "\n".join(cell.source for cell in grade_path.notebook("kde").cells)


# --- nbval goes red


def nbval(folder, topic: str) -> str:
    """Run nbval on a copy; it must find something wrong. Returns what it prints, without colours."""
    file = folder / "source" / topic / f"{topic}.ipynb"
    command = [sys.executable, "-m", "pytest", *NBVAL, str(file)]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    text = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout)
    assert run.returncode == 1, text
    return text


@pytest.fixture
def copied(tmp_path):
    shutil.copytree(LABS / "source", tmp_path / "source")
    shutil.copytree(LABS / "expected", tmp_path / "expected")
    return tmp_path


@pytest.mark.parametrize("topic", TOPICS)
def test_nbval_fails_when_an_expected_value_is_altered(copied, topic):
    file = copied / "expected" / f"{topic}.json"
    values = json.loads(file.read_text())
    first = next(name for name in names_expected_by(grade_path.notebook(topic)) if "values" in values[name])
    values[first]["values"][0] += 0.01 + 0.01 * abs(values[first]["values"][0])
    file.write_text(json.dumps(values))
    text = nbval(copied, topic)
    assert f"AssertionError: {first}.values[0]: got" in text


@pytest.mark.parametrize("topic", TOPICS)
def test_nbval_fails_when_a_line_of_the_solution_is_altered(copied, topic):
    file = copied / "source" / topic / f"{topic}.ipynb"
    nb = json.loads(file.read_text())
    right, wrong = grade_path.load_bank(topic).SLIP
    changed = 0
    for cell in nb["cells"]:
        for i, line in enumerate(cell["source"]):
            if right in line:
                cell["source"][i] = line.replace(right, wrong)
                changed += 1
    assert changed == 1
    file.write_text(json.dumps(nb))
    text = nbval(copied, topic)
    assert "AssertionError" in text


def test_nbval_fails_when_a_stored_table_is_altered(copied):
    topic = "kde"
    file = copied / "source" / topic / f"{topic}.ipynb"
    nb = json.loads(file.read_text())
    table = next(
        c for c in nb["cells"] if c["cell_type"] == "code" and "# NBVAL_CHECK_OUTPUT" in "".join(c["source"])
    )
    stored = "".join(table["outputs"][0]["text"])
    assert len(stored.splitlines()) <= 8
    table["outputs"][0]["text"] = stored.replace("3", "4", 1)
    file.write_text(json.dumps(nb))
    text = nbval(copied, topic)
    assert "mismatch" in text


@pytest.mark.parametrize("topic", TOPICS)
def test_each_lab_marks_a_table_for_nbval(topic):
    marked = [c for c in grade_path.notebook(topic).cells if c.source.startswith("# NBVAL_CHECK_OUTPUT")]
    assert len(marked) == 1
    assert marked[0].outputs
