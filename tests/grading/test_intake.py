"""Whatever is handed in: it is read, or refused with a reason, and nothing is followed or believed."""

import json
import os

import nbformat
import pytest
import tiny_lab
from hypothesis import given, settings
from hypothesis import strategies as st

from coursekit.grading import intake

CELL = {"cell_type": "code", "source": "x = 1", "metadata": {}, "outputs": [], "execution_count": None}


def notebook(*cells, **more):
    return json.dumps({"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"no json", "not JSON"),
        (b'{"cells": [', "not JSON"),
        (b"\xfa\xff{}", "not text in UTF-8"),
        ("[é]".encode("latin-1"), "not text in UTF-8"),
        (b"[" * 200_000, "too deeply"),
        (b'{"a":' * 200_000, "too deeply"),
        (b"[]", "no list of cells"),
        (b"null", "no list of cells"),
        (b'{"cells": 3, "nbformat": 4}', "no list of cells"),
        (b'{"cells": [], "nbformat": 3}', "format 3"),
        (b'{"cells": []}', "format None"),
        (b"1" * 10_000, "not JSON"),
        (notebook(*[CELL] * 2001).encode(), "2001 cells"),
    ],
)
def test_what_is_no_notebook_is_refused_with_a_reason(raw, reason):
    with pytest.raises(intake.Malformed, match=reason):
        intake.canonical(raw)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_can_be_told_are_read(encoding):
    text = notebook({**CELL, "source": "'Zoë 😀'"})
    found = json.loads(intake.canonical(text.encode(encoding)))
    assert found["cells"][0]["source"] == "'Zoë 😀'"


def test_nothing_survives_but_sources_and_marks():
    hostile = {
        **CELL,
        "id": "../../etc",
        "metadata": {"tags": ["skip-execution"], "nbgrader": {"grade_id": "a", "grade": False}},
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "x" * 1000}],
        "surprise": 1,
    }
    book = json.loads(intake.canonical(notebook(hostile, CELL, metadata={"kernelspec": "evil"}).encode()))
    assert book["metadata"] == {}
    assert book["cells"][0] == {
        "cell_type": "code",
        "execution_count": None,
        "id": "cell-0",
        "metadata": {"nbgrader": {"grade_id": "a", "grade": False}},
        "outputs": [],
        "source": "x = 1",
    }
    assert book["cells"][1]["metadata"] == {}


@pytest.mark.parametrize(
    "cell",
    [None, 3, [], {}, {"cell_type": "code"}, {"cell_type": "evil", "source": ""}, {**CELL, "source": [1]}],
)
def test_cells_that_are_none_are_dropped_and_the_others_kept(cell):
    book = json.loads(intake.canonical(notebook(CELL, cell, CELL).encode()))
    assert [c["source"] for c in book["cells"]] == ["x = 1", "x = 1"]


def test_lone_surrogates_become_question_marks():
    book = intake.canonical(notebook({**CELL, "source": "'\ud800'"}).encode())
    assert json.loads(book)["cells"][0]["source"] == "'?'"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
CELLS = st.fixed_dictionaries(
    {"cell_type": st.sampled_from(["code", "markdown", "raw", "x"]), "source": st.text(max_size=9) | JSON},
    optional={"id": st.sampled_from(["a", "b", "", "a b"]) | JSON, "metadata": JSON, "attachments": JSON},
)


@settings(max_examples=150, deadline=None)
@given(st.lists(CELLS | JSON, max_size=5), JSON)
def test_whatever_is_accepted_is_a_valid_notebook(cells, metadata):
    raw = json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4}).encode()
    book = nbformat.reads(intake.canonical(raw).decode(), as_version=4)
    nbformat.validate(book)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(raw):
    with pytest.raises(intake.Malformed):
        intake.canonical(raw)


def read(course, student="ann"):
    return intake.read(course, tiny_lab.LAB, student, [tiny_lab.LAB])


def test_links_and_devices_are_not_followed(course, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the gradebook")
    folder = tiny_lab.submit(course, "ann")
    (folder / "peek").symlink_to(secret)
    (folder / "all").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")  # reading it would hang for ever
    submission = read(course)
    assert submission.notebooks
    assert not submission.files
    assert sorted(note.split(":")[0] for note in submission.notes) == ["all", "peek", "pipe"]
    folder.joinpath("tiny.ipynb").unlink()
    folder.joinpath("tiny.ipynb").symlink_to(secret)
    assert "symbolic link" in read(course).missing["tiny"]


def test_a_submission_that_is_a_link_is_not_followed(course):
    tiny_lab.submit(course, "ann")
    (course / "submitted" / "eve").mkdir()
    (course / "submitted" / "eve" / "tiny").symlink_to(course / "submitted" / "ann" / "tiny")
    assert "symbolic link" in read(course, "eve").missing["tiny"]
    (course / "submitted" / "eve" / "tiny").unlink()
    (course / "submitted" / "eve" / "tiny").symlink_to(course / "nowhere")
    assert intake.students(course, "tiny") == ["ann", "eve"]
    assert "symbolic link" in read(course, "eve").missing["tiny"]


def test_what_is_too_large_is_not_read(course, monkeypatch):
    folder = tiny_lab.submit(course, "ann", **{"data.bin": "x" * 100, "small.txt": "y"})
    monkeypatch.setattr(intake, "LARGEST_REST", 50)
    submission = read(course)
    assert list(submission.files) == ["small.txt"]
    assert "data.bin: too large" in submission.notes[0]
    with (folder / "tiny.ipynb").open("r+b") as stream:
        stream.truncate(1 << 40)  # a terabyte of nothing
    assert "too large" in read(course).missing["tiny"]


def test_extra_files_are_kept_and_extra_notebooks_are_not(course):
    folder = tiny_lab.submit(course, "ann", **{"notes.txt": "hello", "..txt": "dots"})
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "x.csv").write_text("1")
    (folder / "copy of tiny.ipynb").write_text("{}")
    submission = read(course)
    assert sorted(submission.files) == ["..txt", "deep/er/x.csv", "notes.txt"]
    assert submission.notes == ("copy of tiny.ipynb: not a notebook of this lab, left out",)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("2026-11-20 10:00:00 UTC", True), ("", False), ("tomorrow-ish", False), ("9" * 500, False)],
)
def test_timestamps_are_read_or_dropped(course, text, kept):
    folder = tiny_lab.submit(course, "ann")
    (folder / "timestamp.txt").write_text(text)
    submission = read(course)
    assert (submission.timestamp == text) is kept
    assert ("timestamp.txt" in submission.files) is kept
    assert bool(submission.notes) is (not kept and bool(text))


@pytest.mark.parametrize(
    "student", ["ann", "Zoë Müller", "o'brien", "=1+1", "a;drop table", "-rf", "学生", "a+b@c.d"]
)
def test_unusual_ids_are_students_too(student):
    assert not intake.id_problem(student)


@pytest.mark.parametrize(
    "student", ["*", "a?", "[ab]", "..", "../ann", ".hidden", "a\nb", " a", "a" * 129, "", "\udcff"]
)
def test_ids_that_mean_something_in_paths_are_refused(student):
    assert intake.id_problem(student)


def test_the_digest_changes_with_anything_that_was_handed_in(course):
    folder = tiny_lab.submit(course, "ann")
    seen = {read(course).digest}
    assert read(course).digest in seen
    (folder / "more.txt").write_text("1")
    seen.add(read(course).digest)
    (folder / "more.txt").write_text("2")
    seen.add(read(course).digest)
    (folder / "tiny.ipynb").write_text("broken")
    seen.add(read(course).digest)
    (folder / "tiny.ipynb").write_text("broken too")
    seen.add(read(course).digest)
    assert len(seen) == 5
