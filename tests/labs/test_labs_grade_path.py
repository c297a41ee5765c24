"""Every lab grades as it should: right answers in full, wrong answers and stubs not at all."""

from __future__ import annotations

import pytest
from grade_path import (
    STUB,
    VISIBLE,
    Right,
    Wrong,
    caught,
    examine,
    grade,
    load_bank,
    read,
    split_test,
    topics,
)

from coursekit.base import topic_modules

LABS = {topic: read(topic) for topic in topics()}
BANKS = {topic: load_bank(topic) for topic in LABS}
TASKS = [(topic, task) for topic, lab in LABS.items() for task in lab.tasks]


def reference(topic: str) -> dict[str, str]:
    return {name: task.solution for name, task in LABS[topic].tasks.items()}


def full(topic: str) -> dict[str, float]:
    return {name: float(task.points) for name, task in LABS[topic].tasks.items()}


def test_there_are_labs_and_each_has_a_bank():
    assert LABS
    for topic, bank in BANKS.items():
        assert {answer.task for answer in bank.WRONG + bank.RIGHT} == set(LABS[topic].tasks)


@pytest.mark.parametrize(("topic", "task"), TASKS)
def test_each_task_has_enough_answers(topic, task):
    wrong = [answer for answer in BANKS[topic].WRONG if answer.task == task]
    right = [answer for answer in BANKS[topic].RIGHT if answer.task == task]
    assert len(wrong) >= 5
    assert len(right) >= 2
    assert len({answer.name for answer in wrong}) == len(wrong)
    assert any("hard-coded" in answer.name or "own random" in answer.name for answer in wrong)
    assert all(len(answer.misconception) > 15 for answer in wrong)


@pytest.mark.parametrize("topic", LABS)
def test_the_reference_scores_full_marks_and_every_cell_runs(topic):
    result = grade(LABS[topic], reference(topic))
    assert not {name: error for name, error in result["errors"].items() if error}
    assert result["points"] == full(topic)
    assert result["cpu_seconds"] < 60  # what grading a lab may cost


@pytest.mark.parametrize("variant", ["spring", "a student"])
@pytest.mark.parametrize("seed", ["1", "2", "3"])
@pytest.mark.parametrize("topic", LABS)
def test_the_reference_scores_full_marks_for_every_submission_and_cohort(topic, seed, variant):
    assert grade(LABS[topic], reference(topic), seed=seed, variant=variant, looks=False)["points"] == full(
        topic
    )


@pytest.mark.parametrize("topic", LABS)
def test_an_empty_submission_scores_nothing(topic):
    for answers in ({}, dict.fromkeys(LABS[topic].tasks, STUB)):
        assert set(grade(LABS[topic], answers, looks=False)["points"].values()) == {0.0}


@pytest.mark.parametrize(("topic", "task"), TASKS)
def test_no_task_leans_on_the_code_of_another(topic, task):
    """Each task alone earns its own points; so a task that fails costs its own points only."""
    points = grade(LABS[topic], {task: LABS[topic].tasks[task].solution}, looks=False)["points"]
    assert points == {name: value if name == task else 0.0 for name, value in full(topic).items()}


@pytest.mark.parametrize(("topic", "task"), TASKS)
def test_a_wrong_answer_costs_its_own_task_only(topic, task):
    wrong = next(answer for answer in BANKS[topic].WRONG if answer.task == task)
    points = grade(LABS[topic], {**reference(topic), task: wrong.source}, looks=False)["points"]
    assert points == {name: 0.0 if name == task else value for name, value in full(topic).items()}


@pytest.mark.parametrize(
    ("topic", "answer"),
    [
        pytest.param(topic, a, id=f"{topic}-{a.task}-{a.name}")
        for topic, bank in BANKS.items()
        for a in bank.RIGHT
    ],
)
def test_other_right_answers_score_full_marks(topic: str, answer: Right):
    task = LABS[topic].tasks[answer.task]
    for seed in ("right 1", "right 2"):
        report = examine(LABS[topic], answer.task, answer.source, seed=seed)
        assert report.points == task.points, report.failed


@pytest.mark.parametrize("topic", LABS)
def test_wrong_answers_score_nothing_and_every_property_is_needed(topic):
    """Each wrong answer fails the part that it names; without any one property some wrong answer passes."""
    lab, needed, mistakes = LABS[topic], set(), []
    for answer in BANKS[topic].WRONG:
        report = examine(lab, answer.task, answer.source)
        if report.points or answer.caught_by not in report.failed:
            mistakes.append((answer.task, answer.name, report))
        needed |= {(answer.task, name) for name in report.passes_without}
    assert not mistakes
    assert needed == {(task.name, name) for task in lab.tasks.values() for name in task.properties}


@pytest.mark.parametrize(
    ("topic", "answer"),
    [
        pytest.param(topic, a, id=f"{topic}-{a.task}-{a.name}")
        for topic, bank in BANKS.items()
        for a in bank.WRONG
    ],
)
def test_wrong_answers_are_caught_for_another_submission_too(topic: str, answer: Wrong):
    assert answer.caught_by in (VISIBLE, *LABS[topic].tasks[answer.task].properties)
    assert caught(LABS[topic], answer.task, answer.source, answer.caught_by, seed="another")


WITHOUT_MODULE = {"evaluation": ("coursekit.metrics", "mmd")}
INSIDE = "def {name}(*args):\n    from {part} import {what}\n    return args[0]\n"
OUTSIDE = "import {what} as borrowed\n\ndef {name}(*args):\n    return args[0]\n"


@pytest.mark.parametrize("form", [INSIDE, OUTSIDE], ids=["in the function", "in the cell"])
@pytest.mark.parametrize(("topic", "task"), TASKS)
def test_a_closed_module_fails_the_task_that_imports_it_and_no_other(topic, task, form):
    lab, function = LABS[topic], task.replace("-", "_")
    assert function in lab.tasks[task].solution
    (part,) = lab.closed
    if topic in topic_modules():
        assert part == topic_modules()[topic].rpartition(".")[0]  # the whole part that holds the topic
        what = topic
    else:  # a chapter about all models, which leans on a shared module
        part, what = WITHOUT_MODULE[topic]
        assert lab.closed == [part]
    source = form.format(name=function, part=part, what=part if form is OUTSIDE else what)
    result = grade(lab, {**reference(topic), task: source}, looks=False)
    assert result["points"] == {name: 0.0 if name == task else value for name, value in full(topic).items()}
    assert "is closed in this lab" in result["errors"][task if form is OUTSIDE else f"{task}-test"]


@pytest.mark.parametrize("topic", LABS)
def test_a_module_imported_before_the_lab_closes_it_is_closed_too(topic):
    """Closing happens before the first cell, so no cell that a student puts first comes too early."""
    lab = LABS[topic]
    early = type(lab)(
        topic, [("plain", "first", f"import {lab.closed[0]}"), *lab.cells], lab.tasks, lab.closed
    )
    assert "is closed" in grade(early, {})["errors"]["first"]


def test_an_answer_that_never_ends_or_kills_its_process_scores_nothing(monkeypatch):
    import grade_path

    monkeypatch.setattr(grade_path, "SECONDS", 4)
    lab = LABS["kde"]
    with pytest.raises(TimeoutError):
        examine(lab, "lscv", "def lscv(data, bandwidth):\n    while True: pass")
    with pytest.raises(EOFError):
        examine(lab, "lscv", "import os\ndef lscv(data, bandwidth):\n    os._exit(0)")


def test_a_test_cell_that_takes_more_than_the_accessor_fails():
    """The two namespaces are apart: a test cannot name what the student defined."""
    lab = LABS["kde"]
    task = lab.tasks["lscv"]
    peeking = type(task)(task.name, task.solution, task.points, "lscv(np.zeros((3, 1)), 1.0)", "", {})
    report = examine(type(lab)(lab.topic, lab.cells, {"lscv": peeking}, lab.closed), "lscv", task.solution)
    assert "name 'lscv' is not defined" in report.failed[VISIBLE]


def test_split_test_takes_a_cell_apart():
    cell = "a\n### BEGIN HIDDEN TESTS\nb\n# property: one\nc\n# property: two\nd\n### END HIDDEN TESTS"
    assert split_test(cell) == ("a\n", "\nb\n", {"one": "\nc\n", "two": "\nd\n"})
    with pytest.raises(ValueError, match="goes on"):
        split_test(cell + "\ne")
