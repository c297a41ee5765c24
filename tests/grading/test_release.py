"""A release is complete, stops where it should, keeps its secrets, and is all or nothing."""

from __future__ import annotations

import zipfile

import nbformat
import pytest
import tiny_lab
from nbformat.v4 import new_markdown_cell, new_output

from coursekit import cli
from coursekit.grading import leaks, release
from coursekit.grading.config import COURSE_ID

LAB = tiny_lab.LAB


@pytest.fixture
def course(tmp_path):
    """A course with two labs, nothing released yet."""
    for name in (LAB, "other"):
        folder = tmp_path / "course" / "source" / name
        folder.mkdir(parents=True)
        nbformat.write(tiny_lab.source(), folder / f"{name}.ipynb")
        (folder / "numbers.csv").write_text("1,2,3\n")
    return tmp_path / "course"


def edit(course, change, lab=LAB):
    """Change the instructor's notebook."""
    file = course / "source" / lab / f"{lab}.ipynb"
    book = nbformat.read(file, as_version=4)
    change({cell.id: cell for cell in book.cells}, book)
    nbformat.write(book, file)


def tree(folder):
    """Every file below a folder and its content."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_a_release_has_the_notebook_its_files_and_a_list(course, tmp_path):
    students = tmp_path / "students"
    made = release.release([], course=course, output=students)
    assert made == [students / "other", students / LAB]
    expected = {"README.md"} | {
        f"{lab}/{f}" for lab in (LAB, "other") for f in (f"{lab}.ipynb", "numbers.csv")
    }
    assert set(tree(students)) == expected
    assert tree(course / "release") == tree(students)  # where nbgrader looks
    assert (
        f"| [{LAB}]({LAB}) | Tiny lab | 9 | `numbers.csv`, `{LAB}.ipynb` |"
        in (students / "README.md").read_text()
    )
    assert not list(course.glob(".releasing*"))
    assert not list(students.glob(".*"))


def test_every_stub_stops_and_nothing_private_is_left(course):
    release.release([LAB], course=course)
    book = nbformat.read(course / "release" / LAB / f"{LAB}.ipynb", as_version=4)
    cells = {cell.id: cell.source for cell in book.cells}
    for name in ("double", "mean"):
        with pytest.raises(NotImplementedError):
            exec(cells[name] + f"\n{name}([1.0])", {})
    assert cells["explain"] == "*Write your answer here.*"
    assert "any number" not in cells["double-test"]
    assert leaks.scan([course / "release"], leaks.secrets_of(tiny_lab.source()), strict=True) == []
    assert leaks.scan([course / "source"], leaks.secrets_of(tiny_lab.source()), strict=True)


def test_the_gradebook_knows_what_was_released(course):
    from nbgrader.api import Gradebook

    release.release([LAB], course=course)
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        cells = {c.name: c.max_score for c in book.find_notebook(LAB, LAB).grade_cells}
        sources = {c.name: c.source for c in book.find_notebook(LAB, LAB).source_cells}
    assert cells == tiny_lab.POINTS
    assert "### BEGIN HIDDEN TESTS" in sources["double-test"]


def test_an_archive_holds_the_same_files_and_is_the_same_each_time(course, tmp_path):
    students = tmp_path / "students"
    made = release.release([LAB], course=course, output=students, archive=True)
    assert made == [students / LAB, students / f"{LAB}.zip"]
    first = made[1].read_bytes()
    with zipfile.ZipFile(made[1]) as packed:
        inside = {name: packed.read(name) for name in packed.namelist()}
    assert inside == {f"{LAB}/{name}": content for name, content in tree(students / LAB).items()}
    release.release([LAB], course=course, output=students, archive=True)
    assert made[1].read_bytes() == first


def test_what_else_is_in_the_repository_stays(course, tmp_path):
    students = tmp_path / "students"
    (students / ".git").mkdir(parents=True)
    (students / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (students / "syllabus.md").write_text("Welcome.\n")
    (students / LAB).mkdir()
    (students / LAB / "gone.csv").write_text("an old file of the lab\n")
    release.release([LAB], course=course, output=students)
    release.release(["other"], course=course, output=students)
    assert (students / ".git" / "HEAD").exists()
    assert (students / "syllabus.md").exists()
    assert not (students / LAB / "gone.csv").exists()
    assert f"[{LAB}]" in (students / "README.md").read_text()


SECRET = "    x = float(lab.rng('double').normal())\n    assert abs(student.double(x) - 2 * x) < 1e-12"


def leak_in_text(cells, book):
    book.cells.insert(1, new_markdown_cell(f"A hint:\n\n{SECRET}"))


def mark_alone(cells, book):
    cells["setup"].source += "\n# property: any number"


def no_end_of_region(cells, book):
    cells["mean"].source = cells["mean"].source.replace("### END SOLUTION", "")


@pytest.mark.parametrize("change", [leak_in_text, mark_alone, no_end_of_region])
def test_a_bad_lab_is_refused_and_the_earlier_release_stays(course, tmp_path, change):
    students = tmp_path / "students"
    release.release([], course=course, output=students)
    before, gradebook = tree(students), (course / "gradebook.db").read_bytes()
    edit(course, lambda cells, book: cells["title"].update(source="# A new title"), lab="other")
    edit(course, change)
    with pytest.raises(ValueError, match=LAB):
        release.release([], course=course, output=students, archive=True)
    assert tree(students) == tree(course / "release") == before  # the good lab is not released either
    assert (course / "gradebook.db").read_bytes() == gradebook
    assert not list(course.glob(".releasing*"))


def test_a_leak_in_a_data_file_is_found(course):
    (course / "source" / LAB / "helper.py").write_text(f"def check(student, lab):\n{SECRET}\n")
    with pytest.raises(release.ReleaseRefused, match=r"helper.py, line 2: hidden test of tiny/double-test"):
        release.release([LAB], course=course)
    assert not (course / "release").exists()


def test_a_solution_of_one_lab_in_another_is_found(course):
    edit(course, leak_in_text, lab="other")
    with pytest.raises(release.ReleaseRefused, match="hidden test of"):
        release.release(["other"], course=course)


def test_files_of_the_graders_are_refused(course):
    (course / "source" / LAB / "course.key").write_text("secret")
    with pytest.raises(release.ReleaseRefused, match=r"course.key: a file of the grader's"):
        release.release([LAB], course=course)


@pytest.mark.parametrize(
    ("stub", "stops"),
    [
        ("def f(x):\n    raise NotImplementedError('not done')", True),
        ("raise NotImplementedError", True),
        ("def f(x):\n    return 0", False),
        ("# raise NotImplementedError", False),
        ("print('raise NotImplementedError')", False),
        ("def f(x)\n    raise NotImplementedError", False),
    ],
)
def test_what_counts_as_a_stub_that_stops(stub, stops, tmp_path):
    book = tiny_lab.source()
    cell = next(cell for cell in book.cells if cell.id == "double")
    book.cells, cell.source = [cell], stub
    nbformat.write(book, tmp_path / "lab.ipynb")
    problems = list(release._problems(tmp_path / "lab.ipynb"))
    assert problems == ([] if stops else ["cell double: the stub does not raise NotImplementedError"])


def test_outputs_are_refused(tmp_path):
    book = tiny_lab.source()
    cell = next(cell for cell in book.cells if cell.id == "setup")
    book.cells = [cell]
    cell.outputs = [new_output("stream", text="4")]
    nbformat.write(book, tmp_path / "lab.ipynb")
    assert list(release._problems(tmp_path / "lab.ipynb")) == ["cell setup: it has outputs"]


def test_the_command_line(course, capsys, tmp_path):
    assert (
        cli.main(["release", "--all", "--zip", "--course", str(course), "--output", str(tmp_path / "s")]) == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert cli.main(["release", "--course", str(course)]) == 1
    assert "give --all" in capsys.readouterr().err
    assert cli.main(["release", "nothing", "--course", str(course)]) == 1
    assert f"the labs of {course} are other, {LAB}" in capsys.readouterr().err
    assert cli.main(["release", "--all", "--course", str(tmp_path)]) == 1
    assert "there is no lab in" in capsys.readouterr().err
