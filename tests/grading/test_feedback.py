"""Feedback pages say what was earned and why; hidden tests are not in them and nothing in them runs."""

from __future__ import annotations

import base64
import html
import io
import json
import shutil
from datetime import datetime
from html.parser import HTMLParser

import hostile_text
import nbformat
import pytest
import tiny_lab
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from PIL import Image

from coursekit import cli
from coursekit.grading import feedback, harmless, leaks
from coursekit.grading.config import COURSE_ID

LAB = tiny_lab.LAB
HIDDEN = ["abs(student.double(x)", "lab.rng", "[1.0, 3.0, 8.0]", "BEGIN HIDDEN", "END HIDDEN", "# property"]
FULL = {"double-test": 2.0, "mean-test": 3.0, "explain": None}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return tiny_lab.make_course(tmp_path_factory.mktemp("course"))


def gradebook(course):
    from nbgrader.api import Gradebook

    return Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID)


def graded(course, student, scores=FULL, *, answers=None, conclusions=(), extra=(), change=None, manual=None):
    """Put a graded submission where the grader leaves it: notebook, conclusions, gradebook."""
    book = tiny_lab.source()
    for cell in book.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in tiny_lab.ANSWERS:
            cell.source = (answers or tiny_lab.ANSWERS)[name]
    book.cells += extra
    if change:
        change({cell.id: cell for cell in book.cells})
    folder = course / "autograded" / student / LAB
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    nbformat.write(book, folder / f"{LAB}.ipynb")
    (folder / "timestamp.txt").write_text("2026-11-20 08:00:00 UTC")
    (folder / "submission_secret.txt").write_text(f"secret of {student}")
    if conclusions is not None:
        items = [{"notebook": LAB, "cell": "double-test", "score": 2.0, "max_score": 2.0}, *conclusions]
        (folder / "grades.json").write_text(json.dumps({"conclusions": items, "lost": ""}))
    with gradebook(course) as db:
        db.update_or_create_student(student)
        submission = db.update_or_create_submission(LAB, student)
        submission.timestamp = datetime(2026, 11, 20, 8)
        for grade in submission.notebooks[0].grades:
            grade.auto_score, grade.manual_score = scores[grade.name], (manual or {}).get(grade.name)
            grade.needs_manual_grade = grade.auto_score is None and grade.manual_score is None
        db.db.commit()


def page(course, student, **options):
    written = feedback.feedback(LAB, course=course, students=[student], **options)
    assert not written.failed
    (file,) = written.pages
    assert file == course / "feedback" / student / LAB / f"{LAB}.html"
    return file.read_text()


def text_of(markup):
    """What a reader sees, in one line."""
    pieces = []
    parser = HTMLParser()
    parser.handle_data = pieces.append
    parser.feed(markup.partition("</style>")[2])
    return " ".join(" ".join(pieces).split())


# --- what a page says ---------------------------------------------------------------------------


def test_full_marks(course):
    graded(course, "ada")
    text = text_of(page(course, "ada"))
    assert "Tiny lab Feedback for ada, handed in 2026-11-20 08:00 UTC 5 of 9 points" in text
    assert "double 2 of 2 All checks passed." in text
    assert "explain 0 of 4 This waits for a person to read it." in text
    assert "a person still has to read a part of it" in text
    assert "return x + x" in text
    assert "Because." in text
    assert "assertstudent.double(1.0)==2.0" in "".join(text.split())  # visible checks are shown


REASONS = [
    (
        {"cell": "double-test", "reason": "AssertionError: off by one", "failed_property": ""},
        "double 0 of 2 Off by one.",
    ),
    (
        {
            "cell": "double-test",
            "reason": "a hidden test failed: any number",
            "failed_property": "any number",
            "hidden": True,
        },
        "double 0 of 2 A hidden check of the property “any number” failed.",
    ),
    (
        {"cell": "double-test", "reason": "a hidden test failed", "failed_property": "", "hidden": True},
        "double 0 of 2 A hidden check failed.",
    ),
    (
        {"cell": "double-test", "reason": "this task is not done yet"},
        "double 0 of 2 This task is not done yet.",
    ),
    (
        {"cell": "double-test", "reason": "the kernel was lost: a cell ran longer than 20 s"},
        "double 0 of 2 The kernel was lost: a cell ran longer than 20 s.",
    ),
]


@pytest.mark.parametrize(("conclusion", "sentence"), REASONS)
def test_the_conclusion_in_words(course, conclusion, sentence):
    graded(course, "bob", {**FULL, "double-test": 0.0}, conclusions=[{"notebook": LAB, **conclusion}])
    assert sentence in text_of(page(course, "bob"))


def test_partial_credit(course):
    conclusion = {"notebook": LAB, "cell": "mean-test", "reason": "partial credit: 1 of 3"}
    graded(course, "bob", {**FULL, "mean-test": 1.0}, conclusions=[conclusion])
    text = text_of(page(course, "bob"))
    assert "mean 1 of 3 Some checks passed." in text
    assert "3 of 9 points" in text


def test_what_a_person_wrote_and_gave(course):
    graded(course, "eve", manual={"explain": 3.5, "double-test": 1.0})
    with gradebook(course) as db:
        db.find_comment("explain", LAB, LAB, "eve").manual_comment = "Say <b>why</b>.\nThen stop."
        submission = db.find_submission(LAB, "eve")
        submission.notebooks[0].late_submission_penalty = 0.5
        db.db.commit()
    markup = page(course, "eve")
    text = text_of(markup)
    assert "explain 3.5 of 4 A person gave 3.5 of 4 points." in text
    assert (
        "double 1 of 2 The checks gave 2 of 2 points. All checks passed. A person gave 1 of 2 points." in text
    )
    assert "Say &lt;b&gt;why&lt;/b&gt;.\nThen stop." in markup
    assert "7 of 9 points 0.5 points were taken off because it came late." in text
    assert "a person still has to" not in text


def test_a_notebook_that_could_not_be_graded_says_why(course):
    zeros = dict.fromkeys(FULL, 0.0)
    why = {"notebook": LAB, "reason": "the notebook is not valid JSON"}
    graded(course, "mel", zeros, conclusions=[{"cell": cell, **why} for cell in FULL])
    notice = nbformat.v4.new_notebook(cells=[new_markdown_cell("**This submission could not be graded.**")])
    nbformat.write(notice, course / "autograded" / "mel" / LAB / f"{LAB}.ipynb")
    text = text_of(page(course, "mel"))
    assert text.count("The notebook is not valid JSON.") == 3
    assert "This submission could not be graded." in text


def test_a_run_of_stock_nbgrader_has_points_and_no_reasons(course):
    graded(course, "sam", {**FULL, "double-test": 0.0}, conclusions=None)
    assert "double 0 of 2 The checks failed." in text_of(page(course, "sam"))


def test_the_labs_own_text_is_left_out_and_the_students_is_kept(course):
    extra = [new_markdown_cell("# Tiny lab"), new_markdown_cell("My own *remark*.")]
    graded(course, "rex", extra=extra)
    markup = page(course, "rex")
    assert "My own <em>remark</em>." in markup
    assert "<h2>Tiny lab</h2>" not in markup  # it is the title already


def test_an_answer_is_shown_as_the_students_even_where_it_is_the_references(course):
    reference = next(cell.source for cell in tiny_lab.source().cells if cell.id == "double")
    graded(course, "ref", answers={**tiny_lab.ANSWERS, "double": reference})
    markup = page(course, "ref")
    before, _, after = markup.partition("### BEGIN SOLUTION")
    assert "Your answer" in before
    assert "Code of the lab" not in before.rpartition("Your answer")[2]
    assert "### END SOLUTION" in after


def test_a_figure_that_was_not_drawn_is_named():
    data = {"text/plain": "<Figure size 880x396 with 2 Axes>"}
    markup = harmless.output(new_output("display_data", data=data), leaks.Secrets())
    assert markup == '<p class="note">A figure, which is drawn in your own notebook.</p>'


def test_the_same_twice_gives_the_same_page(course):
    graded(course, "two")
    assert page(course, "two") == page(course, "two")


# --- hidden tests -------------------------------------------------------------------------------


def all_forms(markup):
    return [markup, html.unescape(markup), text_of(markup), "".join(text_of(markup).split())]


@pytest.mark.parametrize("student", ["full", "none"])
def test_no_hidden_test_is_in_a_page(course, student):
    graded(course, student, FULL if student == "full" else {**FULL, "double-test": 0.0, "mean-test": 0.0})
    markup = page(course, student)
    for form in all_forms(markup):
        assert not [secret for secret in HIDDEN if secret in form]
    assert not leaks.scan_text(markup, hidden_tests())


def hidden_tests():
    secrets = leaks.secrets_of(tiny_lab.source(), lab=LAB)
    return leaks.Secrets({gram: of for gram, of in secrets.grams.items() if of[0] == "hidden test"})


def test_what_a_test_cell_printed_is_not_shown(course):
    """Stock nbgrader leaves the traceback of a hidden test, source and values included, as an output."""

    def stock(cells):
        trace = "\x1b[31m--> assert abs(student.double(x) - 2 * x) < 1e-12\x1b[0m\nAssertionError: 0.7345"
        cells["double-test"].outputs = [
            new_output("error", ename="AssertionError", evalue="0.7345", traceback=[trace]),
            new_output("stream", text="x = 0.7345"),
        ]

    graded(course, "stock", {**FULL, "double-test": 0.0}, conclusions=None, change=stock)
    for form in all_forms(page(course, "stock")):
        assert "0.7345" not in form
        assert not [secret for secret in HIDDEN if secret in form]


def test_a_hidden_region_without_an_end_is_taken_out_to_the_end(course):
    def cut(cells):
        cells["double-test"].source = cells["double-test"].source.replace("### END HIDDEN TESTS", "")

    graded(course, "cut", change=cut)
    assert not [secret for secret in HIDDEN if secret in text_of(page(course, "cut"))]


LEAK = "x = float(lab.rng('double').normal())\nassert abs(student.double(x) - 2 * x) < 1e-12"


@pytest.mark.parametrize(
    "output",
    [
        new_output("stream", text=LEAK),
        new_output("stream", text=LEAK.replace(" ", " \x1b[31m")),
        new_output("display_data", data={"text/html": f"<pre>{html.escape(LEAK)}</pre>"}),
        new_output("display_data", data={"text/plain": repr(LEAK)}),
        new_output("error", ename="E", evalue="", traceback=LEAK.split("\n")),
    ],
    ids=["text", "coloured", "html", "repr", "traceback"],
)
def test_an_output_that_repeats_hidden_tests_is_withheld(course, output):
    graded(
        course,
        "spy",
        extra=[new_code_cell("look()", outputs=[output, new_output("stream", text="and so on")])],
    )
    text = text_of(page(course, "spy"))
    assert "An output is withheld" in text
    assert "and so on" in text
    assert "lab.rng" not in text


def test_what_a_student_handed_in_is_no_leak(course):
    graded(course, "lucky", extra=[new_code_cell(LEAK), new_markdown_cell("### BEGIN SOLUTION")])
    assert "lab . rng" in text_of(page(course, "lucky"))


def test_a_page_that_leaks_is_not_written(course, monkeypatch):
    graded(course, "leak")
    before = page(course, "leak")
    monkeypatch.setattr(feedback, "_visible", lambda source: source)
    written = feedback.feedback(LAB, course=course, students=["leak"])
    assert "the page shows hidden tests" in written.failed["leak"]
    assert (course / "feedback" / "leak" / LAB / f"{LAB}.html").read_text() == before


# --- rubrics ------------------------------------------------------------------------------------


def test_a_mark_scheme_is_shown_when_asked_for(tmp_path):
    scheme = "Two points for the reason and two more for an example that nobody has shown before in class."
    book = tiny_lab.source()
    task = new_markdown_cell(f"Draw it.\n\n### BEGIN MARK SCHEME\n{scheme}\n### END MARK SCHEME", id="draw")
    task.metadata = {"nbgrader": {"task": True, "grade_id": "draw", "points": 4, "solution": False}}
    grade = dict(name="draw", max_score=4.0, auto_score=None, manual_score=2.0, needs_manual_grade=False)
    lab = feedback._Lab(LAB, {}, {}, leaks.secrets_of(nbformat.v4.new_notebook(cells=[task]), lab=LAB))
    row = Bunch(
        name=LAB, grades=[Bunch(**grade, score=2.0, extra_credit=1.0)], comments=[], score=3.0, max_score=4.0
    )
    row.late_submission_penalty = None
    submission = Bunch(student=Bunch(id="ann", first_name="Ann", last_name="Lee"), timestamp=None)
    book.cells = [task]
    with_rubric = text_of(feedback._page(book, lab, row, submission, {}, True))
    without = text_of(feedback._page(book, lab, row, submission, {}, False))
    assert f"How this is graded {scheme}" in with_rubric
    assert "Two points" not in without
    assert "Draw it." in without
    assert "Feedback for Ann Lee (ann)" in without
    assert "A person gave 2 of 4 points. A person added 1 as extra credit." in without


class Bunch:
    def __init__(self, **items):
        vars(self).update(items)


# --- hostile text ---------------------------------------------------------------------------------


class Inventory(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(markup)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {(tag, name, value or "") for name, value in attributes}


def test_a_page_of_hostile_text_has_harmless_elements_only(course):
    graded(course, "mallory", extra=hostile_text.cells())
    found = Inventory(page(course, "mallory"))
    ours = {"html", "head", "meta", "title", "style", "body", "main", "details", "summary"}
    assert found.tags <= harmless._TAGS | ours
    names = {name for _, name, _ in found.attributes}
    assert names <= {
        *(
            "lang",
            "charset",
            "http-equiv",
            "content",
            "name",
            "class",
            "scope",
            "tabindex",
            "colspan",
            "rowspan",
        )
    }
    assert not [value for tag, _, value in found.attributes if tag != "meta" and "example.org" in value]


@pytest.mark.parametrize("name", hostile_text.EVERYTHING)
def test_the_sanitizer_alone_leaves_nothing_that_runs_or_loads(name):
    found = Inventory(harmless.sanitized(hostile_text.EVERYTHING[name]))
    assert found.tags <= harmless._TAGS
    assert {attribute for _, attribute, _ in found.attributes} <= {"colspan", "rowspan", "scope"}


def test_tables_stay_tables():
    markup = '<table><tr><th scope="col" onclick="x()">n</th></tr><tr><td colspan="2">1</td></tr></table>'
    shown = harmless.sanitized(markup)
    assert '<th scope="col">n</th>' in shown
    assert '<td colspan="2">1</td>' in shown


def test_terminal_and_direction_controls_are_dropped():
    text = harmless.plain(
        "a\x1b[31mb\x1b[0m \x1b]8;;https://example.org\x1b\\c \u202eabc\u2066 50%\r100%\nx\x00\x08y"
    )
    assert text == "100%\nxy"
    assert harmless.plain("a\x1b[31mb\x1b[0m\x1b]8;;https://example.org\x1b\\c\u202ed") == "abcd"


def test_long_text_is_cut():
    shown = harmless.plain("x" * 1_000_000)
    assert len(shown) < 21_000
    assert shown.endswith("[980000 more characters are not shown]")


@pytest.mark.parametrize("text", ["> " * 5000 + "x", "[" * 5000, "*" * 9999, "<div>" * 5000, "`" * 9999])
def test_markdown_made_to_break_the_parser_is_still_shown(text):
    assert harmless.markdown(text)


def picture(kind="PNG", size=(3, 2)):
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, kind)
    return stream.getvalue()


def shown(content, mime="image/png", metadata=None):
    data = {mime: base64.b64encode(content).decode()}
    return harmless.output(new_output("display_data", data=data, metadata=metadata or {}), leaks.Secrets())


def test_pictures_are_shown_with_their_alt_text():
    markup = shown(picture(), metadata={"image/png": {"alt": 'A "red" <field>'}})
    assert markup.startswith(
        '<img alt="A &#34;red&#34; &lt;field&gt;" width="3" height="2" src="data:image/png;base64,'
    )
    assert shown(picture("JPEG"), "image/jpeg").startswith('<img alt="A figure that the notebook made"')


def test_a_picture_is_written_anew():
    payload = b"<script>alert(1)</script>"
    markup = shown(picture() + payload)
    assert payload not in base64.b64decode(markup.rpartition("base64,")[2].rstrip('">'))


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>",
        b"<script>x()</script>",
        picture()[:-40],
        picture("GIF"),
        picture(size=(9000, 9000)),
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
        picture() + b" " * (5 << 20),
    ],
    ids=["svg", "script", "cut", "gif", "pixels", "broken", "bytes"],
)
def test_what_is_no_picture_is_not_shown(content):
    assert shown(content).startswith('<p class="note">A picture that cannot be shown:')


# --- the course -----------------------------------------------------------------------------------


def test_one_page_that_fails_costs_nobody_else_theirs(course, capsys):
    graded(course, "ada")
    graded(course, "zoe")
    (course / "autograded" / "zoe" / LAB / f"{LAB}.ipynb").write_text("{")
    arguments = ["feedback", LAB, "--course", str(course), "--students", "zoe", "ada"]
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert "1 pages in" in error
    assert "no page for zoe" in error
    assert cli.main([*arguments[:-2], "ada"]) == 0
    assert not list(course.rglob(".writing-*"))
    shutil.rmtree(course / "autograded" / "zoe")


def test_unknown_labs_and_students(course, tmp_path):
    graded(course, "ada")
    with pytest.raises(ValueError, match="no submission of 'nothing' is graded"):
        feedback.feedback("nothing", course=course)
    with pytest.raises(ValueError, match=r"of carol no submission of tiny is graded"):
        feedback.feedback(LAB, course=course, students=["ada", "carol"])


def test_nbgrader_releases_these_pages(course, tmp_path):
    """The file names, the time and the secret are where nbgrader's own exchange looks for them."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.utils import notebook_hash

    from coursekit.grading.run import load_config

    graded(course, "ada")
    markup = page(course, "ada")
    config = load_config(course)
    config.Exchange.root = str(tmp_path)
    tmp_path.chmod(0o777)
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    result = api.release_feedback(LAB, "ada")
    assert result["success"], result
    name = notebook_hash(secret="secret of ada", notebook_id=LAB)
    assert (tmp_path / COURSE_ID / "feedback" / f"{name}.html").read_text() == markup


@pytest.mark.needs("bwrap")
def test_from_a_submission_to_a_page(tmp_path):
    """The real grader's notebook and record, end to end."""
    from coursekit.grading import run

    course = tiny_lab.make_course(tmp_path / "course")
    wrong = "def double(x):\n    print('called with', x)\n    return 2 * round(x)"
    tiny_lab.submit(course, "ada")
    tiny_lab.submit(course, "bob", {**tiny_lab.ANSWERS, "double": wrong})
    summary = run.grade(LAB, course=course, workers=0, progress=False)
    assert not summary.failed
    written = feedback.feedback(LAB, course=course)
    assert not written.failed
    text = {file.parts[-3]: text_of(file.read_text()) for file in written.pages}
    assert "5 of 9 points" in text["ada"]
    assert "A hidden check of the property “any number” failed" in text["bob"]
    for shown_text in text.values():
        assert not [secret for secret in HIDDEN if secret in shown_text]
