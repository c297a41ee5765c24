"""Item analysis against numbers worked out another way."""

import json

import numpy as np
import pytest
import scipy.stats
import tiny_lab
from nbgrader.api import Gradebook
from tiny_lab import LAB

from coursekit import cli
from coursekit.grading import analysis
from coursekit.grading.config import COURSE_ID


def test_discrimination_is_the_correlation_with_the_rest():
    generator = np.random.default_rng(1)
    ability = generator.normal(size=60)
    maxima = np.array([5.0, 3.0, 10.0])
    noisy = ability[:, None] + generator.normal(size=(60, 3))
    scores = np.clip(np.round(noisy + 1.5), 0, None).clip(max=maxima)
    correlation, _ = analysis.discrimination(scores, maxima)
    for j in range(3):
        rest = np.delete(scores, j, axis=1).sum(axis=1)
        expected = scipy.stats.pearsonr(scores[:, j], rest).statistic
        assert correlation[j] == pytest.approx(expected, abs=1e-12)


def test_upper_minus_lower_by_hand():
    """Ten students: the best three by the other task all right, the worst three one right of three."""
    other = np.arange(10.0)
    mine = np.array([0, 0, 4, 4, 0, 4, 0, 4, 4, 4.0])
    _, upper_lower = analysis.discrimination(np.column_stack([mine, other]), np.array([4.0, 9.0]))
    assert upper_lower[0] == pytest.approx(1 - 1 / 3)


def test_ties_at_the_border_share_its_places():
    """Eleven students, three places: one clear worst, four that tie for the two places left."""
    other = np.array([0.0, *[1] * 4, *[5] * 6])
    mine = np.array([0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1.0])
    _, upper_lower = analysis.discrimination(np.column_stack([mine, other]), np.array([1.0, 5.0]))
    assert upper_lower[0] == pytest.approx(1 - (0 + 2 * 0.5) / 3)


def test_undefined_numbers_are_nan_and_missing_scores_are_left_out():
    scores = np.array([[1.0, 2.0, np.nan], [1.0, 0.0, 3.0], [1.0, 1.0, 1.0], [1.0, 2.0, 2.0]])
    maxima = np.array([1.0, 2.0, 3.0])
    correlation, _ = analysis.discrimination(scores, maxima)
    assert np.isnan(correlation[0])  # everybody has it
    expected = scipy.stats.pearsonr([0, 1, 2], [(1 + 3) / 4, (1 + 1) / 4, (1 + 2) / 4]).statistic
    with_all = analysis.discrimination(scores[1:], maxima)[0]
    assert with_all[1] == pytest.approx(expected)
    assert np.isnan(analysis.discrimination(scores[:1], maxima)[0]).all()


@pytest.fixture
def graded(course):
    """Four students with known scores, times and failures."""
    marks = {"a": (2.0, 3.0), "b": (2.0, 1.0), "c": (0.0, 0.0), "d": (2.0, 0.0)}
    failed = {"b": "right for more", "c": "right for pairs", "d": "right for more"}
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        for student, (double, mean) in marks.items():
            book.add_student(student)
            book.add_submission(LAB, student)
            for cell, score in (("double-test", double), ("mean-test", mean)):
                book.find_grade(cell, LAB, LAB, student).auto_score = score
            folder = course / "autograded" / student / LAB
            folder.mkdir(parents=True)
            conclusions = [
                {
                    "notebook": LAB,
                    "cell": "mean-test",
                    "score": mean,
                    "max_score": 3.0,
                    "reason": "=cmd()",
                    "failed_property": failed.get(student, ""),
                    "seconds": 0.5 + mean,
                }
            ]
            (folder / "grades.json").write_text(json.dumps({"conclusions": conclusions}))
        book.find_grade("explain", LAB, LAB, "a").manual_score = 4.0
        book.db.commit()
    return course


def test_tasks_of_a_graded_lab(graded):
    double, explain, mean = analysis.tasks(LAB, course=graded)
    assert (double.task, explain.task, mean.task) == ("tiny/double-test", "tiny/explain", "tiny/mean-test")
    assert (mean.students, mean.max_score, mean.mean) == (4, 3.0, 1.0)
    assert mean.sd == pytest.approx(np.std([3, 1, 0, 0], ddof=1))
    assert (mean.zero, mean.partial, mean.full) == (0.5, 0.25, 0.25)
    assert (mean.failed_property, mean.failures) == ("right for more", 2)
    assert mean.seconds == pytest.approx(np.median([3.5, 1.5, 0.5, 0.5]))
    assert explain.students == 1  # the others wait for a person
    assert (double.full, double.zero) == (0.75, 0.25)
    assert np.isnan(double.seconds)
    assert double.failed_property == ""


def test_nothing_graded_is_said(course):
    with pytest.raises(ValueError, match="coursekit grade tiny"):
        analysis.tasks(LAB, course=course)


def test_the_command_writes_a_table_and_a_figure_with_words(graded, tmp_path, capsys):
    csv, png = tmp_path / "items.csv", tmp_path / "items.png"
    status = cli.main(["analysis", LAB, "--course", str(graded), "--csv", str(csv), "--plot", str(png)])
    assert status == 0
    assert "right for more (2)" in capsys.readouterr().out
    header, *lines = csv.read_text().splitlines()
    assert header.startswith("task,students,max_score,mean")
    assert len(lines) == 3
    assert "nan" not in csv.read_text()
    data = png.read_bytes()
    assert data.startswith(b"\x89PNG")
    assert b"25% full, 25% partial, 50% no points" in data


def test_the_figure_draws_the_numbers(graded):
    found = analysis.tasks(LAB, course=graded)
    fig, alt = analysis.draw(found)
    bars = [bar.get_width() for bar in fig.axes[0].patches]
    assert bars == pytest.approx(
        [t.full for t in found] + [t.partial for t in found] + [t.zero for t in found]
    )
    assert all(name in alt for name in ("tiny/double-test", "tiny/mean-test"))
    assert tiny_lab.LAB in alt
