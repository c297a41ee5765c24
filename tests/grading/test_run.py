"""A whole class is graded, whatever is in it and whatever dies meanwhile; nothing is lost or counted twice.

What the driver does is tested with a stand-in for the sandbox, which gives points by what a
notebook says; the tests at the end use the real one.
"""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import distributed
import psutil
import pytest
import tiny_lab
from nbgrader.api import Gradebook
from tiny_lab import ANSWERS, LAB, record, scores, submit
from tools import find

from coursekit import cli
from coursekit.grading import gradebook, ledger, run
from coursekit.grading.config import COURSE_ID
from coursekit.grading.run import grade
from coursekit.grading.sandbox import Limits, SandboxMissing

FULL = {"double-test": (2.0, None, False), "mean-test": (3.0, None, False), "explain": (None, None, True)}
ZERO = {"double-test": (0.0, None, False), "mean-test": (0.0, None, False), "explain": (0.0, None, False)}


def stand_in(job, items):
    """Full points for a task whose reference answer is in the notebook."""
    results = []
    for item in items:
        text = item.notebooks[LAB].decode()
        grades = {
            "double-test": 2.0 * ("x + x" in text),
            "mean-test": 3.0 * ("np.mean" in text),
            "explain": None,
        }
        conclusions = [
            {
                "cell": n,
                "score": s,
                "max_score": tiny_lab.POINTS[n],
                "reason": "",
                "failed_property": "",
                "seconds": 1,
            }
            for n, s in grades.items()
            if s is not None
        ]
        results.append(
            {
                "student": item.student,
                "status": "graded",
                "reason": "",
                "seconds": 1.0,
                "grades": {LAB: grades},
                "comments": {LAB: {"double": None, "mean": None, "explain": None}},
                "conclusions": {LAB: conclusions},
                "files": {LAB: item.notebooks[LAB]},
            }
        )
    return results


@pytest.fixture
def driver(monkeypatch):
    """The driver without the sandbox; returns the ids that were graded, in order."""
    graded = []

    def note(job, items):
        graded.extend(item.student for item in items)
        return stand_in(job, items)

    monkeypatch.setattr(run, "grade_shard", note)
    monkeypatch.setattr("coursekit.grading.sandbox.backend", lambda **_: None)
    return graded


def go(course, **options):
    return grade(LAB, course=course, workers=0, progress=False, **options)


def a_class(course, size=10):
    """Right, half and stub, in turn."""
    for i in range(size):
        answers = [ANSWERS, {"double": ANSWERS["double"]}, {}][i % 3]
        submit(course, f"s{i:02d}", answers)


def content(course):
    """Everything a run leaves behind that must not depend on how often it was killed."""
    files = {
        str(path.relative_to(course)): path.read_bytes()
        for path in sorted((course / "autograded").rglob("*"))
        if path.is_file() and path.name != "grades.json"
    }
    return scores(course), files


# --- the driver -------------------------------------------------------------------------------


def test_scores_files_and_record_arrive(course, driver):
    submit(course, "ann", timestamp="")
    (course / "submitted/ann/tiny/timestamp.txt").write_text("2026-11-20 10:00:00 UTC")
    summary = go(course)
    assert (summary.done, summary.failed, summary.needs_manual, summary.ok) == (1, {}, 1, True)
    assert scores(course) == {"ann": FULL}
    assert (course / "autograded/ann/tiny/numbers.csv").read_text() == "1,2,3\n"
    assert record(course, "ann")["score"] == 5.0
    kept = json.loads((course / "runs" / summary.run / "run.json").read_text())
    assert kept["lab"] == LAB
    assert kept["started"][0]["who"]
    assert len(kept["version"]) == 64
    assert kept["sandbox"] is True
    assert json.loads((course / "runs" / summary.run / "summary.json").read_text())["done"] == 1


def test_a_later_submission_replaces_an_earlier_one_entirely(course, driver):
    folder = submit(course, "ann", old="x")
    go(course)
    assert (course / "autograded/ann/tiny/old").exists()
    shutil.rmtree(folder)
    submit(course, "ann", {})
    go(course)
    assert not (course / "autograded/ann/tiny/old").exists()
    assert scores(course)["ann"]["double-test"] == (0.0, None, False)


class Crash(BaseException):
    """What no handler of the driver swallows, like the end of the process."""


@pytest.mark.parametrize("point", ["publish", "gradebook", "journal", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_crash_at_any_step_loses_and_doubles_nothing(course, driver, monkeypatch, tmp_path, point, nth):
    a_class(course)
    whole = shutil.copytree(course, tmp_path / "whole")
    go(whole)
    calls = []
    owner, name = {
        "publish": (run._Run, "_publish"),
        "gradebook": (gradebook.Writer, "merge"),
        "journal": (ledger.Ledger, "append"),
        "after": (ledger.Ledger, "append"),
    }[point]
    real = getattr(owner, name)

    def crash(self, *arguments):
        calls.append(1)
        if len(calls) == nth and point != "after":
            raise Crash
        real(self, *arguments)
        if len(calls) == nth:
            raise Crash

    monkeypatch.setattr(owner, name, crash)
    with pytest.raises(Crash):
        go(course)
    monkeypatch.setattr(owner, name, real)
    before = len(driver)
    summary = go(course, resume=True)
    assert summary.done == 10
    assert len(driver) - before == 10 - summary.skipped
    if nth > 1 and point != "publish":
        assert summary.skipped > 0
    assert content(course) == content(whole)
    assert len(list((course / "runs").glob("*/run.json"))) == 1
    assert go(course, resume=True).skipped == 10


def test_a_journal_line_that_was_cut_is_forgotten(course, driver):
    a_class(course, 4)
    summary = go(course)
    journal = course / "runs" / summary.run / "journal.jsonl"
    data = journal.read_bytes()
    journal.write_bytes(data[:-20])
    again = go(course, resume=True)
    assert again.skipped == 3
    assert len(journal.read_text().splitlines()) == 4
    assert list(map(json.loads, journal.read_text().splitlines()))


def test_resume_grades_what_changed_or_is_gone_and_nothing_else(course, driver):
    a_class(course, 6)
    go(course)
    driver.clear()
    shutil.rmtree(course / "submitted/s01")
    submit(course, "s01", ANSWERS)
    shutil.rmtree(course / "autograded/s02")
    (course / "autograded/s04/tiny/grades.json").unlink()
    (course / "autograded/s04/tiny/grades.json").write_text("")
    submit(course, "new")
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        book.remove_submission(LAB, "s03")
    go(course, resume=True)
    assert sorted(driver) == ["new", "s01", "s02", "s03", "s04"]
    assert scores(course)["s01"] == FULL


def test_another_version_of_the_lab_is_graded_again(course, driver):
    a_class(course, 3)
    first = go(course)
    (course / "source/tiny/numbers.csv").write_text("4,5\n")
    second = go(course, resume=True)
    assert second.skipped == 0
    assert second.run != first.run
    assert go(course, resume=True, variant="spring").skipped == 0


def test_without_resume_everything_is_graded_again_in_a_run_of_its_own(course, driver):
    a_class(course, 3)
    assert go(course).run != go(course).run
    assert len(driver) == 6


def test_the_seed_depends_on_the_student_and_not_on_the_run(course, monkeypatch, driver):
    seeds = []
    monkeypatch.setattr(
        run,
        "grade_shard",
        lambda j, items: seeds.append({i.student: i.seed for i in items}) or stand_in(j, items),
    )
    a_class(course, 2)
    go(course)
    go(course)
    merged = [{k: v for shard in half for k, v in shard.items()} for half in (seeds[:2], seeds[2:])]
    assert merged[0] == merged[1]
    assert len(set(merged[0].values())) == 2


def test_the_variant_may_be_the_student(course, monkeypatch, driver):
    seen = {}
    monkeypatch.setattr(
        run,
        "grade_shard",
        lambda j, items: seen.update({i.student: i.variant for i in items}) or stand_in(j, items),
    )
    a_class(course, 2)
    go(course, variant="2026-{student}")
    assert seen == {"s00": "2026-s00", "s01": "2026-s01"}


def test_a_submission_that_kills_workers_is_found_and_costs_nobody_else(course, driver, monkeypatch):
    a_class(course, 9)
    shards = []

    def deadly(job, items):
        shards.append([item.student for item in items])
        if any(item.student == "s04" for item in items):
            raise RuntimeError("the process died")
        return stand_in(job, items)

    monkeypatch.setattr(run, "grade_shard", deadly)
    summary = go(course)
    assert list(summary.failed) == ["s04"]
    assert "its worker ended 2 times" in summary.failed["s04"]
    assert summary.done == 8
    assert not summary.ok
    assert shards.count(["s04"]) == 2
    assert len(scores(course)) == 9
    assert scores(course)["s04"]["double-test"] == (None, None, True)  # no score, and a person sees it
    monkeypatch.setattr(run, "grade_shard", stand_in)
    mended = go(course, resume=True)
    assert (mended.skipped, mended.done, mended.failed) == (8, 9, {})


def test_a_failure_leaves_an_earlier_score_alone(course, driver, monkeypatch):
    submit(course, "ann")
    go(course)

    def broken(job, items):
        raise RuntimeError("no memory")

    monkeypatch.setattr(run, "grade_shard", broken)
    assert "no memory" in go(course).failed["ann"]
    assert scores(course) == {"ann": FULL}
    assert (course / "autograded/ann/tiny/tiny.ipynb").exists()


def test_a_missing_sandbox_stops_the_run(course, driver, monkeypatch):
    submit(course, "ann")

    def missing(job, items):
        raise SandboxMissing("install bubblewrap")

    monkeypatch.setattr(run, "grade_shard", missing)
    with pytest.raises(SandboxMissing):
        go(course)


def test_two_runs_do_not_share_a_course(course, driver):
    submit(course, "ann")
    with ledger.lock(course), pytest.raises(RuntimeError, match="another run"):
        go(course)
    assert go(course).done == 1


def test_malformed_submissions_earn_zero_and_say_why(course, driver):
    submit(course, "ann")
    for student, raw in {"cut": b'{"cells": [', "latin": b"\xe9", "list": b"[]", "void": b""}.items():
        submit(course, student).joinpath("tiny.ipynb").write_bytes(raw)
    submit(course, "gone").joinpath("tiny.ipynb").unlink()
    submit(course, "glob[a-z]*")
    os.mkdir(os.fsencode(course / "submitted") + b"/bytes\xff")
    os.mkdir(os.fsencode(course / "submitted") + b"/bytes\xff/tiny")
    summary = go(course)
    assert summary.ok
    assert driver == ["ann"]
    found = scores(course)
    assert found.pop("ann") == FULL
    assert found == dict.fromkeys(["cut", "latin", "list", "void", "gone", "glob[a-z]*"], ZERO)
    assert set(summary.malformed) == {*found, "bytes\udcff"}
    assert "not JSON" in summary.malformed["cut"]
    assert "tiny.ipynb is missing" in summary.malformed["gone"]
    assert "cannot be stored" in summary.malformed["bytes\udcff"]
    str(summary).encode()
    notice = (course / "autograded/latin/tiny/tiny.ipynb").read_text()
    assert "not text in UTF-8" in notice
    assert all(c["reason"] for c in record(course, "gone")["conclusions"])
    assert go(course, resume=True).skipped == 8


def manual(course, student, cell, score, extra=None):
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        mine = book.find_grade(cell, LAB, LAB, student)
        mine.manual_score, mine.extra_credit, mine.needs_manual_grade = score, extra, False
        book.db.commit()


def test_folders_with_the_names_of_files_stop_nobody(course, driver):
    """A folder where a file of the grader's belongs, and a file where the lab has a folder."""
    source = course / "source" / LAB
    (source / "sub").mkdir()
    (source / "sub" / "a.csv").write_text("1")
    (source / "numbers.csv").write_text("1")
    folder = submit(course, "ann")
    for name in ("grades.json", "numbers.csv", "timestamp.txt", "mine"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("x")
    (folder / "sub").write_text("a file")
    book = submit(course, "bob") / f"{LAB}.ipynb"
    book.unlink()
    book.mkdir()
    (book / "x").write_text("x")
    submit(course, "zoe")
    summary = go(course)
    assert (summary.done, set(summary.malformed), summary.failed) == (3, {"bob"}, {})
    assert scores(course) == {"ann": FULL, "bob": ZERO, "zoe": FULL}
    kept = course / "autograded" / "ann" / LAB
    assert (kept / "sub" / "a.csv").read_text() == "1"
    assert (kept / "numbers.csv").read_text() == "1"
    assert (kept / "mine" / "x").exists()
    assert not (kept / "timestamp.txt").exists()


def test_files_that_cannot_be_written_are_that_submission_s_trouble(course, driver, monkeypatch):
    publish = run._Run._publish

    def fail(self, submission, *more):
        if submission.student == "bob":
            raise OSError(28, "No space left on device")
        publish(self, submission, *more)

    for student in ("ann", "bob", "zoe"):
        submit(course, student)
    monkeypatch.setattr(run._Run, "_publish", fail)
    summary = go(course)
    assert "No space left" in summary.failed["bob"]
    found = scores(course)
    assert found["ann"] == found["zoe"] == FULL
    assert {value[0] for value in found["bob"].values()} == {None}
    monkeypatch.undo()
    monkeypatch.setattr(run, "grade_shard", stand_in)
    monkeypatch.setattr("coursekit.grading.sandbox.backend", lambda **_: None)
    assert go(course, resume=True).skipped == 2
    assert scores(course)["bob"] == FULL


def test_grades_that_a_person_gave_are_kept_and_reviewed_only_after_a_change(course, driver):
    folder = submit(course, "ann")
    go(course)
    manual(course, "ann", "explain", 3.5, extra=1.0)
    manual(course, "ann", "double-test", 1.0)
    summary = go(course)
    assert summary.needs_manual == 0
    assert scores(course)["ann"]["explain"] == (None, 3.5, False)
    assert scores(course)["ann"]["double-test"] == (2.0, 1.0, False)
    shutil.rmtree(folder)
    submit(course, "ann", {**ANSWERS, "double": "def double(x):\n    return 3"})
    assert go(course).needs_manual == 1
    assert scores(course)["ann"]["explain"] == (None, 3.5, True)
    assert scores(course)["ann"]["double-test"] == (0.0, 1.0, True)


@pytest.mark.parametrize(("extension", "penalty"), [(0, 5.0), (3, None)])
def test_late_work_is_penalized_as_the_course_says(course, driver, extension, penalty):
    (course / "nbgrader_config.py").write_text(
        "c = get_config()\nc.LateSubmissionPlugin.penalty_method = 'zero'\n"
    )
    folder = submit(course, "ann")
    (folder / "timestamp.txt").write_text("2026-11-20 10:00:00 UTC")
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        book.update_or_create_assignment(LAB, duedate="2026-11-19 10:00:00 UTC")
        book.update_or_create_student("ann")
        book.update_or_create_submission(LAB, "ann")
        if extension:
            book.grant_extension(LAB, "ann", days=extension)
    go(course)
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        submission = book.find_submission(LAB, "ann")
        assert submission.notebooks[0].late_submission_penalty == penalty
        assert submission.score == 5.0
        assert submission.total_seconds_late == (0 if extension else 86400)


def test_chosen_students_only(course, driver):
    a_class(course, 4)
    assert go(course, students=["s02", "s01"]).done == 2
    assert driver == ["s01", "s02"]
    with pytest.raises(ValueError, match="nobody"):
        go(course, students=["nobody"])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"lab": "nolab"}, "no folder"), ({"workers": -1}, "workers"), ({"course": "nowhere"}, "no folder")],
)
def test_mistakes_of_the_instructor_are_named(course, options, message):
    arguments = {"lab": LAB, "course": course, **options}
    with pytest.raises(ValueError, match=message):
        grade(arguments.pop("lab"), **arguments)


def test_a_lab_that_was_not_released_is_named(course, driver):
    shutil.copytree(course / "source/tiny", course / "source/other")
    with pytest.raises(ValueError, match="coursekit release other"):
        grade("other", course=course, workers=0)


def test_no_password_is_written_down(course):
    assert (
        run._without_password("postgresql+psycopg2://me:s3cret@host/db")
        == "postgresql+psycopg2://me:***@host/db"
    )


def test_a_database_that_is_busy_is_waited_for(course, driver, monkeypatch):
    from sqlalchemy.exc import OperationalError

    submit(course, "ann")
    real, calls = gradebook.Writer._merge, []

    def busy(self, results):
        calls.append(1)
        if len(calls) < 3:
            raise OperationalError("locked", None, Exception("database is locked"))
        real(self, results)

    monkeypatch.setattr(gradebook.Writer, "_merge", busy)
    monkeypatch.setattr(gradebook.time, "sleep", lambda _: None)
    assert go(course).done == 1
    assert scores(course) == {"ann": FULL}


def test_the_command_prints_a_summary_and_its_status_tells(course, driver, monkeypatch, capsys):
    monkeypatch.setattr(run, "_cores", lambda: 0)
    submit(course, "ann")
    arguments = ["grade", LAB, "--course", str(course), "--workers", "0"]
    assert cli.main(arguments) == 0
    assert "1 graded" in capsys.readouterr().out

    def broken(job, items):
        raise RuntimeError("no memory")

    monkeypatch.setattr(run, "grade_shard", broken)
    assert cli.main(arguments) == 1
    printed = capsys.readouterr()
    assert "no memory" in printed.out
    assert "--resume" in printed.err


def test_the_scratch_gradebook_knows_the_lab_and_no_student(course, tmp_path):
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        book.update_or_create_student("ann")
        book.update_or_create_submission(LAB, "ann")
        known = gradebook.definitions(book, LAB, order={LAB: ["mean-test", "setup"]})
        schema = gradebook.schema(book)
    assert [cell["name"] for cell in known[LAB]["cells"]["source"]][:2] == ["mean-test", "setup"]
    gradebook.template(tmp_path / "t.db", known, LAB, COURSE_ID, schema)
    with Gradebook(f"sqlite:///{tmp_path}/t.db", COURSE_ID) as book:
        assert book.students == []
        copy = gradebook.definitions(book, LAB)
    assert gradebook.version(copy, {}) == gradebook.version(known, {})
    assert "BEGIN HIDDEN TESTS" in json.dumps(copy)
    copy[LAB]["cells"]["source"][0]["source"] += "#"
    assert gradebook.version(copy, {}) != gradebook.version(known, {})
    assert gradebook.version(known, {"a": b"1"}) != gradebook.version(known, {})


# --- with the sandbox -------------------------------------------------------------------------

STRANGE = {
    "hangs": "while True:\n    pass",
    "leaves": "import os\nos._exit(3)",
    "floods": "for _ in range(5000):\n    print('x' * 1000)",
}


def real_class(course):
    submit(course, "ann")
    submit(course, "ben", {"double": ANSWERS["double"], "mean": "def mean(values):\n    return 2.0"})
    submit(course, "cid", {})
    for name, source in STRANGE.items():
        submit(course, name, {**ANSWERS, "mean": source})
    submit(course, "cut").joinpath("tiny.ipynb").write_text("{")


HALF = {**FULL, "mean-test": (0.0, None, False)}
REAL = {
    "ann": FULL,
    "ben": {**FULL, "mean-test": (1.0, None, False), "explain": (0.0, None, False)},
    "cid": ZERO,
    **dict.fromkeys(STRANGE, HALF),
    "cut": ZERO,
}


@pytest.mark.needs("bwrap")
def test_a_real_class_is_graded_twice_with_the_same_scores(course):
    real_class(course)
    limits = Limits(cell_s=4)
    summary = grade(LAB, course=course, workers=0, progress=False, limits=limits)
    assert scores(course) == REAL
    assert set(summary.malformed) == {"cut"}
    assert {"hangs", "leaves"} >= set(summary.lost) >= {"leaves"}
    assert summary.ok
    assert record(course, "ben")["conclusions"][1]["reason"] == "partial credit: 1 of 3"
    notes = {c["cell"]: c for c in record(course, "cid")["conclusions"]}
    assert notes["double-test"]["reason"] == "this task is not done yet"
    again = grade(LAB, course=course, workers=0, progress=False, limits=limits)
    assert scores(course) == REAL
    assert again.skipped == 0
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        assert book.find_comment("explain", LAB, LAB, "cid").auto_comment == "No response."
        assert book.find_comment("double", LAB, LAB, "ann").auto_comment is None


def command(course, *more):
    arguments = ["grade", LAB, "--course", str(course), "--cell-seconds", "4", *more]
    code = f"from coursekit.cli import main; raise SystemExit(main({arguments!r}))"
    return [sys.executable, "-c", code]


def start(course, *more):
    env = {**os.environ, "PYTHONPATH": str(Path(run.__file__).parents[2])}
    log = (course / "log.txt").open("ab")
    return subprocess.Popen(command(course, *more), env=env, stdout=log, stderr=log)


def journal_length(course):
    return sum(file.read_bytes().count(b"\n") for file in (course / "runs").glob("*/journal.jsonl"))


def until(condition, seconds=300.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def log_of(course):
    return (course / "log.txt").read_text()


@pytest.mark.needs("bwrap")
def test_killing_the_driver_again_and_again_changes_nothing(course, tmp_path):
    """Kill -9 of the driver; its workers and boxes end with it, and resuming ends as if nothing had been."""
    a_class(course, 14)
    submit(course, "leaves", {**ANSWERS, "mean": STRANGE["leaves"]})
    submit(course, "cut").joinpath("tiny.ipynb").write_text("{")
    expected = {f"s{i:02d}": [FULL, {**HALF, "explain": ZERO["explain"]}, ZERO][i % 3] for i in range(14)}
    expected.update(leaves=HALF, cut=ZERO)
    for goal in (1, 5, 9):
        driver = start(course, "--workers", "2", "--resume")
        until(lambda goal=goal, driver=driver: journal_length(course) >= goal or driver.poll() is not None)
        assert driver.poll() is None, log_of(course)
        family = psutil.Process(driver.pid).children(recursive=True)
        assert family
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not alive
    last = start(course, "--workers", "2", "--resume")
    assert last.wait(300) == 0, log_of(course)
    assert scores(course) == expected
    assert journal_length(course) == 16
    assert len(list((course / "runs").glob("*/run.json"))) == 1
    assert not list((course / "runs").glob("*/scratch"))


def said_to_a_stranger(port, *, tls):
    """What a port of this machine answers to somebody without the keys of the run."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
            line = context.wrap_socket(line) if tls else line  # TLS 1.3 refuses at the first read
            line.sendall(b"GET /info/main/workers.html HTTP/1.0\r\n\r\n")
            return line.recv(1000)
    except OSError as error:
        return str(error).encode()


def refuses_strangers(pid):
    """Whoever may talk to a scheduler may run code on it: its ports want the keys of this run."""
    connections = psutil.Process(pid).net_connections(kind="tcp")
    listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    answers = [said_to_a_stranger(address.port, tls=tls) for address in listening for tls in (True, False)]
    assert any(b"CERTIFICATE_REQUIRED" in answer.upper() for answer in answers), answers
    for answer in answers:
        assert re.search(rb"(?i)certificate|ssl|reset|refused|eof|^$|404 Not Found", answer), answer


@pytest.mark.needs("bwrap")
def test_killing_workers_costs_nothing(course):
    a_class(course, 60)
    driver = start(course, "--workers", "2")
    until(lambda: journal_length(course) >= 1 or driver.poll() is not None)
    assert driver.poll() is None, log_of(course)
    workers = [p for p in psutil.Process(driver.pid).children() if "spawn_main" in " ".join(p.cmdline())]
    assert len(workers) == 2
    for worker in workers:  # both: the run waits for new ones
        worker.kill()
    assert journal_length(course) < 60
    refuses_strangers(driver.pid)
    assert driver.wait(300) == 0, log_of(course)
    assert len(scores(course)) == 60
    assert scores(course)["s00"] == FULL
    assert journal_length(course) == 60


class DiesAtTheDoor:
    """A shard that is done, whose worker ends before it hands over what it found."""

    status = "finished"

    def exception(self):
        return None

    def result(self):
        raise distributed.KilledWorker("shard", "tls://127.0.0.1:1", 0)


def test_a_worker_that_ends_with_its_result_in_hand_is_a_death_like_any_other(monkeypatch, tmp_path):
    pool = run._Dask(None, 1, None, tmp_path)
    pool._running = {DiesAtTheDoor(): ["s00", "s01"]}
    monkeypatch.setattr(distributed, "wait", lambda futures, return_when: (futures, []))
    shard, answer = pool.wait()
    assert shard == ["s00", "s01"]
    assert str(answer) == "the process died"


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and a worker of dask as processes of their own, as on a cluster."""
    address_file = tmp_path / "scheduler.json"
    env = {**os.environ, "PYTHONPATH": str(Path(run.__file__).parents[2])}
    options = {"cwd": tmp_path, "env": env, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    processes = [
        subprocess.Popen(
            [
                *dask,
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(address_file),
            ],
            **options,
        )
    ]
    try:
        until(address_file.exists)
        address = json.loads(address_file.read_text())["address"]
        worker = [
            sys.executable,
            "-m",
            "distributed.cli.dask_worker",
            address,
            "--nthreads",
            "1",
            "--no-dashboard",
        ]
        processes.append(subprocess.Popen([*worker, "--memory-limit", "0", "--no-nanny"], **options))
        yield address, processes
    finally:
        for process in processes[::-1]:
            process.kill()
            process.wait()


@pytest.mark.needs("bwrap")
def test_an_existing_cluster_grades_and_may_go_away(course, scheduler):
    address, (boss, _) = scheduler
    real_class(course)
    first = start(course, "--scheduler", address, "--students", "ann", "cid", "leaves")
    assert first.wait(300) == 0, log_of(course)
    assert scores(course) == {name: REAL[name] for name in ("ann", "cid", "leaves")}
    shutil.rmtree(course / "runs")
    a_class(course, 12)
    driver = start(course, "--scheduler", address)
    until(lambda: journal_length(course) >= 1 or driver.poll() is not None)
    boss.kill()
    assert driver.wait(120) == 1
    assert "--resume" in log_of(course)
    done = journal_length(course)
    last = start(course, "--workers", "1", "--resume")
    assert last.wait(300) == 0, log_of(course)
    assert f"({done} of them before)" in log_of(course)
    found = scores(course)
    assert {name: found[name] for name in REAL} == REAL
    assert len(found) == len(REAL) + 12


# --- PostgreSQL -------------------------------------------------------------------------------


@pytest.fixture
def postgres(tmp_path_factory):
    """A private server on a socket, run by an ordinary user; returns the URL of a database."""
    import pwd
    import tempfile

    programs, user, drop = Path(find("postgres")).parent, pwd.getpwuid(os.getuid()).pw_name, []
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        if os.getuid() == 0:  # the server refuses to be root
            user = "nobody"
            account = pwd.getpwnam(user)
            os.chown(folder, account.pw_uid, account.pw_gid)
            drop = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        quiet = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL}
        data = f"{folder}/data"
        initdb = [programs / "initdb", "-D", data, "-U", "teacher", "--auth=trust", "--no-sync", "-E", "UTF8"]
        subprocess.run([*drop, *initdb, "--locale=C"], **quiet)
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        control = [*drop, programs / "pg_ctl", "-D", data, "-l", f"{folder}/log", "-w"]
        subprocess.run([*control, "-o", options, "start"], **quiet)
        try:
            yield f"postgresql+psycopg2://teacher@/postgres?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet)


@pytest.mark.needs("postgres")
def test_postgresql_holds_the_same_gradebook(postgres, course, tmp_path, driver):
    elsewhere = tiny_lab.make_course(tmp_path / "pg", db_url=postgres)
    shutil.copy(course / "source/tiny/tiny.ipynb", elsewhere / "source/tiny/tiny.ipynb")
    for root in (course, elsewhere):
        a_class(root, 7)
        submit(root, "Zoë 😀")
        submit(root, "cut").joinpath("tiny.ipynb").write_text("{")
    go(course)
    summary = go(elsewhere, db_url=postgres)
    assert summary.ok
    assert scores(elsewhere, db_url=postgres) == scores(course)
    assert len(scores(course)) == 9
    assert go(elsewhere, db_url=postgres, resume=True).skipped == 9
    assert not (elsewhere / "gradebook.db").exists()
