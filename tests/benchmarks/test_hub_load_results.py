"""The file of the hub's load: everybody handed in, and its numbers are those of the page's sizing rule."""

import json

import pytest

from benchmarks import hub_load
from benchmarks._common import RESULTS

FILE = json.loads((RESULTS / "hub_load.json").read_text())
ROWS = FILE["rows"]


def test_the_file_says_how_it_was_made():
    assert FILE["meta"]["command"] == "python -m benchmarks.hub_load"
    assert FILE["meta"]["settings"] == {"cell": hub_load.CELL}
    assert {"jupyterhub", "jupyterlab", "nbgrader"} <= set(FILE["meta"]["versions"])


def test_every_student_of_every_class_handed_in():
    assert max(row["students"] for row in ROWS.values()) >= 50
    for row in ROWS.values():
        assert row["handed_in"] == row["students"]
        assert row["failures"] == []
        assert set(row["steps"]) == set(hub_load.STEPS)


def test_waiting_and_memory_are_in_order():
    for row in ROWS.values():
        for step in row["steps"].values():
            assert 0 < step["median"] <= step["p90"] <= step["max"] <= row["arrival_to_last_hand_in"]
        memory = row["memory_mib_of_a_student"]
        assert 20 < memory["median"] < 1000
        assert row["memory_mib_of_all"] >= memory["median"] * row["students"] / 2


def test_memory_grows_with_the_class_and_not_faster():
    small, large = sorted(ROWS.values(), key=lambda row: row["students"])[:: len(ROWS) - 1]
    ratio = large["memory_mib_of_all"] / small["memory_mib_of_all"]
    assert 1 < ratio < 1.5 * large["students"] / small["students"]


def test_a_summary_is_one():
    assert hub_load.summary([3.0, 1.0, 2.0]) == pytest.approx({"median": 2.0, "p90": 2.8, "max": 3.0})
