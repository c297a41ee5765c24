"""The package's side of the labs: accessor, plain data, seeds, closed modules, expectations."""

from __future__ import annotations

import enum
import json
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
import torch

from coursekit import lab

ROOT = Path(__file__).resolve().parents[1]


def through_json(value, **kwargs):
    return lab.decode(json.loads(json.dumps(lab.encode(value))), **kwargs)


# --- plain data


@pytest.mark.parametrize(
    "value", [None, True, 3, -(2**80), 0.1, float("inf"), "text", [], (1, [2.5, None]), {"a": (1,), 2: "b"}]
)
def test_plain_data_come_back_as_they_were(value):
    back = through_json(value)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([1.5, np.nan, -np.inf]),
        np.array(2.5),
        np.zeros((0, 3), dtype=np.float32),
        np.array([True, False]),
        np.array(["ab", "c"]),
        np.arange(3, dtype=">i2"),
        np.array([1 + 2j]),
    ],
)
def test_arrays_keep_values_shape_and_dtype(array):
    back = through_json(array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable


def test_other_libraries_numbers_become_plain():
    assert type(through_json(np.float64(0.5))) is float
    assert type(through_json(np.bool_(True))) is bool
    np.testing.assert_array_equal(through_json(torch.ones(2, requires_grad=True)), np.ones(2))
    assert through_json(enum.IntEnum("E", "a").a) == 1
    assert through_json(namedtuple("P", "x y")(1, 2)) == (1, 2)


@pytest.mark.parametrize(
    "value", [np.array([object()]), [np.array([[1], "a"], dtype=object)], len, {1, 2}, 1j]
)
def test_what_is_no_plain_data_is_refused(value):
    with pytest.raises(TypeError, match=r"plain data|holds objects"):
        lab.encode(value)


def test_endless_nesting_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(ValueError, match="nested deeper"):
        lab.encode(loop)
    deep: dict = {"list": []}
    for _ in range(100):
        deep = {"list": [deep]}
    with pytest.raises(ValueError, match="not encoded"):
        lab.decode(deep)


def test_nesting_at_the_limit_passes():
    value: list = []
    for _ in range(lab.DEEPEST):
        value = [value]
    assert through_json(value) == value


@pytest.mark.parametrize(
    "tree",
    [
        {"array": ["|O", [1], ""]},
        {"array": ["<f8", [2], "AAAA"]},
        {"array": ["<f8", [-1], ""]},
        {"array": ["<f8,<f8", [0], ""]},
        {"array": ["<f8", [10**12], ""]},
        {"array": "x"},
        {"list": 3},
        {"dict": [[{"list": []}, 1]]},
        {"dict": [[1]]},
        {"pickle": "x"},
        {"list": [], "tuple": []},
        {"handle": 3},
        [1, 2],
    ],
)
def test_forged_trees_are_refused(tree):
    with pytest.raises(ValueError, match="tree: "):
        lab.decode(tree)


# --- the accessor


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def apply(self, x):
        return self.factor * np.asarray(x)

    def __call__(self, x):
        return self.apply(x)


KEPT = np.ones(3)


def change(x):
    x += 1
    return x


def refuse():
    raise NotImplementedError("not yet")


def leave():
    sys.exit(3)


def own_error():
    class Strange(Exception):
        pass

    raise Strange("odd")


NAMES = {
    "f": lambda x, *, power=1: np.asarray(x) ** power,
    "Scale": Scale,
    "apply_to": lambda function, x: function(x),
    "change": change,
    "change_list": lambda items: items.append(1),
    "refuse": refuse,
    "leave": leave,
    "own_error": own_error,
    "objects": lambda: np.array([object()]),
    "kept": lambda: KEPT,
    "number": 3,
    "warn": lambda: np.log(np.zeros(1)),
    "noisy": lambda: print("to stderr", file=sys.stderr),
    "bad_unicode": lambda: b"\xff".decode("utf-8"),
    "nothing": lambda: None,
}


def local() -> lab.Student:
    return lab.Student(lab.Responder(lambda: NAMES).perform)


def remote() -> lab.Student:
    """As in grading: nothing but JSON text passes."""
    responder = lab.Responder(lambda: NAMES)

    def ask(request):
        return lab.unpack(json.loads(json.dumps(responder.answer(json.loads(json.dumps(request))))))

    return lab.Student(ask)


@pytest.fixture(params=[local, remote], ids=["notebook", "grading"])
def student(request):
    return request.param()


def test_calls_take_and_return_plain_data(student):
    np.testing.assert_array_equal(student.f([1, 2], power=2), [1, 4])
    assert student.nothing() is None
    assert student["number"] == 3


def test_objects_stay_behind_handles(student):
    scale = student.Scale(factor=3)
    assert isinstance(scale, lab.Handle)
    np.testing.assert_array_equal(scale.apply(np.arange(2)), [0, 3])
    np.testing.assert_array_equal(scale([1]), [3])
    np.testing.assert_array_equal(student.apply_to(scale, [2]), [6])
    assert scale["factor"] == 3


def test_answers_share_no_memory_with_the_student(student):
    student.kept()[:] = 5
    np.testing.assert_array_equal(KEPT, 1)


def test_a_changed_argument_is_an_error_and_the_caller_keeps_its_own(student):
    x = np.zeros(2)
    with pytest.raises(lab.ChangedArgument, match="'change' changed one of its arguments"):
        student.change(x)
    np.testing.assert_array_equal(x, 0)
    with pytest.raises(lab.ChangedArgument):
        student.change_list([np.nan])


def test_nan_in_an_argument_is_not_taken_for_a_change(student):
    assert np.isnan(student.f([np.nan])[0])
    assert np.isnan(student.f(float("nan")))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.refuse(), NotImplementedError, "not yet"),
        (lambda s: s.missing(1), NameError, "'missing' is not defined"),
        (lambda s: s.objects(), TypeError, "holds objects"),
        (lambda s: s.number(), TypeError, "not a function"),
        (lambda s: s.f(1, wrong=2), TypeError, "wrong"),
        (lambda s: s.f(lambda x: x), TypeError, "plain data"),
        (lambda s: s.leave(), lab.StudentError, "tried to leave"),
        (lambda s: s._private, AttributeError, "private"),
        (lambda s: s.Scale(2)["_x"], AttributeError, "private"),
        (lambda s: s.Scale(2).missing(), AttributeError, "missing"),
    ],
)
def test_errors_say_what_is_wrong(student, call, error, message):
    with pytest.raises(error, match=message):
        call(student)


def test_errors_of_unknown_kinds_arrive_by_name():
    with pytest.raises(lab.StudentError, match="Strange: odd"):
        remote().own_error()
    with pytest.raises(lab.StudentError, match="UnicodeDecodeError"):
        remote().bad_unicode()
    for forged in (None, {}, {"error": 1}, {"error": ["KeyboardInterrupt", ""]}, {"error": ["eval", "1"]}):
        with pytest.raises(lab.StudentError):
            lab.unpack(forged)


def test_a_handle_that_is_gone_says_so(student):
    scale = student.Scale(2)
    forged = lab.Handle(object.__getattribute__(scale, "_ask"), 12345)
    with pytest.raises(lab.StudentError, match="make it again"):
        forged.apply(1)


def test_warnings_and_stderr_do_not_reach_the_grader(student, capsys, recwarn):
    student.warn()
    student.noisy()
    assert not recwarn.list
    assert capsys.readouterr().err == ""


def test_the_notebooks_student_looks_names_up_at_each_call(monkeypatch):
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "just_defined", lambda: 1, raising=False)
    assert lab.student.just_defined() == 1
    monkeypatch.setattr(main, "just_defined", lambda: 2)
    assert lab.student.just_defined() == 2


# --- randomness, constants, sizes


def test_rng_depends_on_submission_and_name_only(monkeypatch):
    draws = {}
    for seed in ("a", "b"):
        monkeypatch.setenv("COURSEKIT_SEED", seed)
        for name in ("x", "y"):
            draws[seed, name] = lab.rng(name).integers(2**60)
            assert lab.rng(name).integers(2**60) == draws[seed, name]
    assert len(set(draws.values())) == 4


def test_rng_is_the_same_on_every_machine(monkeypatch):
    monkeypatch.delenv("COURSEKIT_SEED", raising=False)
    code = "from coursekit import lab; print(lab.rng('x').integers(2**60))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "17"}
    other = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert int(other.stdout) == lab.rng("x").integers(2**60)


def test_variants_differ_between_cohorts_and_stay_in_range(monkeypatch):
    seen = set()
    for cohort in range(60):
        monkeypatch.setenv("COURSEKIT_VARIANT", str(cohort))
        monkeypatch.setenv("COURSEKIT_SEED", str(cohort))
        whole, real = lab.variant("n", low=2, high=4), lab.variant("h", low=0.5, high=1.0)
        assert lab.variant("n", low=2, high=4) == whole
        assert isinstance(whole, int)
        assert 2 <= whole <= 4
        assert 0.5 <= real <= 1.0
        assert real == round(real, 3)
        seen.add((whole, lab.variant("c", choices="ab")))
    assert len(seen) == 6
    monkeypatch.setenv("COURSEKIT_SEED", "another")  # the grader's secret seed moves no constant
    assert lab.variant("n", low=2, high=4) == whole


@pytest.mark.parametrize("bad", [{}, {"choices": []}, {"low": 2, "high": 1}, {"low": 1}])
def test_variant_refuses_an_empty_range(bad):
    with pytest.raises(ValueError, match=r"choices|low"):
        lab.variant("x", **bad)


def test_scale(monkeypatch):
    monkeypatch.setattr(lab, "_has_gpu", lambda: True)
    assert lab.scale(small=1, full=9) == 9
    monkeypatch.setenv("COURSEKIT_GRADING", "1")
    assert lab.scale(small=1, full=9) == 1
    monkeypatch.setenv("COURSEKIT_SCALE", "full")
    assert lab.scale(small=1, full=9) == 9
    monkeypatch.setenv("COURSEKIT_SCALE", "small")
    assert lab.scale(small=1, full=9) == 1
    monkeypatch.setenv("COURSEKIT_SCALE", "huge")
    with pytest.raises(ValueError, match="COURSEKIT_SCALE"):
        lab.scale(small=1, full=9)


# --- closed modules


CLOSING = """
import coursekit.density.knn, coursekit.density
from coursekit import lab
lab.close("coursekit.density", "colorsys")
import coursekit
assert not hasattr(coursekit, "density")
for line in ("import coursekit.density.knn", "import coursekit.density", "from coursekit import density",
             "from coursekit.density import KNNDensity", "import colorsys"):
    try:
        exec(line)
    except ImportError as error:
        assert "is closed in this lab" in str(error), error
    else:
        print("open:", line)
import coursekit.data, wave
print("end")
"""


@pytest.mark.parametrize(
    ("variable", "value"), [("COURSEKIT_GRADING", "1"), ("NBGRADER_EXECUTION", "autograde"), ("X", "1")]
)
def test_closed_modules_cannot_be_imported_while_graded(variable, value):
    environment = {
        k: v for k, v in os.environ.items() if k not in ("COURSEKIT_GRADING", "NBGRADER_EXECUTION")
    }
    environment.update({"PYTHONPATH": str(ROOT), variable: value})
    code = CLOSING if variable != "X" else CLOSING.replace('assert not hasattr(coursekit, "density")', "")
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("open:") == (5 if variable == "X" else 0)
    assert run.stdout.endswith("end\n")


def test_the_closed_list_is_read_from_locked_cells_only():
    new, locked = nbformat.v4.new_code_cell, {"nbgrader": {"locked": True}}
    cells = [
        new('lab.close("a.b", "c")', metadata=locked),
        new('lab.close("d")'),
        new('f.close("e")', metadata=locked),
    ]
    nb = nbformat.v4.new_notebook(cells=cells)
    assert lab.closed_by(nb) == ["a.b", "c"]
    nb.cells[0].source = "lab.close(*names)"
    with pytest.raises(ValueError, match="write the name as a text"):
        lab.closed_by(nb)


# --- expectations


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An instructor's folder with nothing stored yet."""
    monkeypatch.delenv("COURSEKIT_EXPECT_UPDATE", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.delenv("COURSEKIT_GRADING", raising=False)
    (tmp_path / "expected").mkdir()
    (tmp_path / "source" / "toy").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "source" / "toy")
    monkeypatch.setattr(lab, "_started", set())
    return tmp_path


@pytest.fixture
def update(monkeypatch):
    def run(*calls):
        with monkeypatch.context() as context:
            context.setenv("COURSEKIT_EXPECT_UPDATE", "1")
            context.setattr(lab, "_started", set())
            for function, *arguments in calls:
                function(*arguments)

    return run


def test_an_expectation_that_is_not_stored_fails(folder):
    with pytest.raises(AssertionError, match="COURSEKIT_EXPECT_UPDATE"):
        lab.expect("x", 1.0)


def test_close_values_pass_and_others_fail(folder, update):
    update((lab.expect, "x", [1.0, np.nan, -np.inf]))
    lab.expect("x", [1.0 + 1e-6, np.nan, -np.inf])
    for wrong in (
        [1.01, np.nan, -np.inf],
        [1.0, 0.0, -np.inf],
        [1.0, np.nan, np.inf],
        [1.0, np.nan],
        [[1.0, np.nan, -np.inf]],
    ):
        with pytest.raises(AssertionError, match="x"):
            lab.expect("x", wrong)


def test_a_summary_sees_change_of_value_order_shape_and_infinities(folder, update):
    x = np.random.default_rng(0).normal(size=(40, 5))
    update((lab.expect, "x", x))
    lab.expect("x", x + 1e-9)
    changed, infinite = x.copy(), x.copy()
    changed[17, 3] += 20
    infinite[0, 0] = np.inf
    for wrong in (1.01 * x, x[::-1], x.T, x[:39], x + 0.01, changed, infinite):
        with pytest.raises(AssertionError):
            lab.expect("x", wrong)


def test_expect_refuses_what_is_no_number(folder):
    with pytest.raises(TypeError, match="expected numbers"):
        lab.expect("x", "text")


def test_an_update_drops_old_names_and_keeps_new_ones_and_leaves_nothing_behind(folder, update):
    update((lab.expect, "old", 1.0))
    update((lab.expect, "a", 1.0), (lab.expect, "b", 2.0))
    stored = json.loads((folder / "expected" / "toy.json").read_text())
    assert set(stored) == {"a", "b"}
    assert [file.name for file in (folder / "expected").iterdir()] == ["toy.json"]
    with pytest.raises(AssertionError):
        lab.expect("a", 1.1)
    assert json.loads((folder / "expected" / "toy.json").read_text()) == stored


def test_in_a_students_copy_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSEKIT_EXPECT_UPDATE", "1")
    for place in ("toy", "release/toy", "source/toy"):  # the last one has no folder of expectations
        (tmp_path / place).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / place)
        lab.expect("x", 1.0)
        lab.expect_fig("x", plt.figure())
    assert not list(tmp_path.rglob("*.json"))
    plt.close("all")


def draw(*, line=1.0, image=1.0, bar=1.0, point=1.0, label="y", area=1.0):
    fig, axes = plt.subplots(1, 5)
    axes[0].plot([0, 1], [0, line])
    axes[1].imshow([[0, image], [1, 2]])
    axes[2].bar([0, 1], [1, bar])
    axes[3].scatter([0, 1], [0, point])
    axes[4].fill_between([0, 1], [0, area])
    for ax in axes:
        ax.set(xlabel="x", ylabel=label)
    plt.close(fig)
    return fig


def test_a_figure_is_compared_by_what_it_draws(folder, update):
    update((lab.expect_fig, "f", draw()))
    lab.expect_fig("f", draw(line=1 + 1e-9))
    for change_ in ("line", "image", "bar", "point", "area"):
        with pytest.raises(AssertionError, match="f"):
            lab.expect_fig("f", draw(**{change_: 1.02}))
    with pytest.raises(AssertionError, match="labels"):
        lab.expect_fig("f", draw(label="other"))


def test_colours_of_points_count(folder, update):
    def coloured(value):
        fig, ax = plt.subplots()
        ax.scatter([0, 1], [0, 1], c=[0.0, value])
        ax.set(xlabel="x", ylabel="y")
        plt.close(fig)
        return fig

    update((lab.expect_fig, "f", coloured(1.0)))
    with pytest.raises(AssertionError):
        lab.expect_fig("f", coloured(2.0))


def test_empty_figures_and_missing_labels_fail_even_when_updating(folder, update):
    empty, blank, unlabelled = plt.figure(), plt.figure(), plt.figure()
    blank.add_subplot()
    unlabelled.add_subplot().plot([0, 1])
    for fig, message in ((empty, "is empty"), (blank, "draws nothing"), (unlabelled, "no label")):
        with pytest.raises(AssertionError, match=message):
            lab.expect_fig("f", fig)
        with pytest.raises(AssertionError, match=message):
            update((lab.expect_fig, "f", fig))
    plt.close("all")
