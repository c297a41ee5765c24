"""A rehearsal: the class is what it says, earns what it must, and the real course is left alone."""

import os
import shutil
import stat

import pytest
from nbgrader.api import Gradebook
from tiny_lab import LAB

from coursekit import cli
from coursekit.grading import simulate
from coursekit.grading.config import COURSE_ID

STUDENTS = 200 if os.environ.get("COURSEKIT_CI") == "1" else 40


def everything(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and simulate.FOLDER not in p.parts}


def test_the_class_has_every_kind_and_touches_nothing_else(course):
    before = everything(course)
    made = simulate.simulate(LAB, course=course, students=40)
    assert everything(course) == before
    assert {kind for kind, _ in made.kinds.values()} == set(simulate.CLASS)
    assert {detail for kind, detail in made.kinds.values() if kind == "hostile"} <= {
        f"the last task {name}" for name in simulate._HOSTILE
    }
    assert len(made.expected) == 40
    assert stat.S_IMODE(made.course.stat().st_mode) == 0o700  # it holds solutions
    assert len(list((made.course / "submitted").iterdir())) == 40


def test_what_each_kind_must_earn(course):
    made = simulate.simulate(LAB, course=course, students=40)
    by_kind = {kind: made.expected[student] for student, kind in made.kinds.items()}
    full = {"double-test": 2.0, "mean-test": 3.0, "explain": None}
    none = {"double-test": 0.0, "mean-test": 0.0, "explain": 0.0}
    assert by_kind["right", "the reference"] == full
    assert by_kind["untouched", "as released"] == none
    assert by_kind["empty", "a notebook without cells"] == none
    assert by_kind["partial", "the first 1 tasks"] == {**none, "double-test": 2.0}
    assert by_kind["wrong", "every task returns nothing"] == {**none, "explain": None}
    assert by_kind["wrong", "the last task returns nothing"] == {**full, "mean-test": 0.0}
    assert by_kind["hostile", "the last task never ends"] == {**full, "mean-test": 0.0}
    assert by_kind["malformed", "cut in half"] == none


def test_submissions_come_from_the_source_and_never_hold_tests(course):
    made = simulate.simulate(LAB, course=course, students=20)
    texts = [p.read_bytes() for p in (made.course / "submitted").rglob("*.ipynb") if p.is_file()]
    assert any(b"return 2 * x" in text for text in texts)
    assert not any(
        word in text for text in texts for word in (b"HIDDEN TESTS", b"BEGIN SOLUTION", b"property")
    )
    release = b"".join(p.read_bytes() for p in (made.course / "release").rglob("*.ipynb"))
    assert b"return 2 * x" not in release


def test_the_same_seed_makes_the_same_class(course):
    first = simulate.simulate(LAB, course=course, students=12, random_state=3)
    again = simulate.simulate(LAB, course=course, students=12, random_state=3)
    assert (first.kinds, first.expected) == (again.kinds, again.expected)
    assert simulate.load(course, LAB) == again
    assert simulate.simulate(LAB, course=course, students=12, random_state=4).kinds != first.kinds


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("def f(x):\n    return 1", "def f(*args, **kwargs):\n    return None\n"),
        ("import math\na = b = 3", "a = None\nb = None"),
        ("class A:\n    x = 1", "def A(*args, **kwargs):\n    return None\n"),
        ("print(1)", "None"),
    ],
)
def test_nothing_of_an_answer_is_left(source, result):
    assert simulate.nothing(source) == result


def test_mistakes_are_named(course):
    with pytest.raises(ValueError, match="students"):
        simulate.simulate(LAB, course=course, students=0)
    with pytest.raises(ValueError, match="no notebook"):
        simulate.simulate("nolab", course=course)
    (course / "rehearsal").mkdir()
    with pytest.raises(ValueError, match="no rehearsal"):
        simulate.simulate(LAB, course=course)


def put_scores(made):
    """Write the expected scores into the rehearsal's gradebook."""
    with Gradebook(made.db_url, COURSE_ID) as book:
        for student, cells in made.expected.items():
            book.update_or_create_student(student)
            book.update_or_create_submission(LAB, student)
            for cell, points in cells.items():
                grade = book.find_grade(cell, LAB, LAB, student)
                grade.auto_score, grade.needs_manual_grade = points, points is None
        book.db.commit()


def test_the_check_finds_a_wrong_and_a_missing_score(course):
    made = simulate.simulate(LAB, course=course, students=8)
    assert len(simulate.check(made)) == 8 * 3
    put_scores(made)
    assert simulate.check(made) == []
    student = next(iter(made.expected))
    with Gradebook(made.db_url, COURSE_ID) as book:
        book.find_grade("double-test", LAB, LAB, student).auto_score = 0.125
        book.db.commit()
    (wrong,) = simulate.check(made)
    assert (wrong.student, wrong.cell, wrong.got) == (student, "double-test", 0.125)
    assert "got 0.125" in simulate.report(made, [wrong])


@pytest.mark.needs("bwrap")
def test_a_whole_class_earns_what_it_must(course, capsys):
    """The kinds of `simulate.CLASS`, all graded in boxes by two or more workers; 200 students in CI."""
    arguments = ["simulate", "--students", str(STUDENTS), "--course", str(course), "--cell-seconds", "3"]
    arguments += ["--workers", "2"]
    status = cli.main(arguments)
    printed = capsys.readouterr()
    assert status == 0, printed.out + printed.err
    assert f"{STUDENTS} graded" in printed.out
    assert not list(course.glob("runs"))
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        assert book.students == []
    shutil.rmtree(course / "rehearsal")
