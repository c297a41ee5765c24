"""The file of speeds: what the chapter claims from it, and a slice run again.

CPU times on a shared machine move by a factor of two; the limits below leave room for much more.
"""

import json

import numpy as np
import pytest

from benchmarks import kde
from benchmarks._common import RESULTS

FILE = json.loads((RESULTS / "kde_speed.json").read_text())
CASES = {name: row for name, row in FILE["rows"].items() if "methods" in row}
EXACT_PEERS = [kde.BASE, "scipy gaussian_kde", "KDEpy NaiveKDE"]


def test_the_file_has_every_case_and_says_how_it_was_made():
    assert {(row["d"], row["n"]) for row in CASES.values()} == {
        (d, n) for d in (1, 2, 8) for n in kde.QUERIES
    }
    assert FILE["meta"]["command"] == "python -m benchmarks.kde"
    assert {"numpy", "scipy", "scikit-learn", "KDEpy"} <= set(FILE["meta"]["versions"])
    assert "OMP_NUM_THREADS=1" in FILE["meta"]["device"]
    assert all(row["rounds"] >= 5 for row in CASES.values())
    for row in CASES.values():
        assert set(row["methods"]) == set(kde.methods(row["d"], row["n"]))
        assert row["methods"][kde.BASE]["ratio"] == 1


@pytest.mark.parametrize("name", CASES)
def test_exact_evaluation_is_ahead_of_every_exact_peer(name):
    found = CASES[name]["methods"]
    for ours in ("coursekit float64", "coursekit float32"):
        peers = [found[peer]["ratio"] for peer in EXACT_PEERS if peer in found]
        assert found[ours]["ratio_high"] < 0.75 * min(peers)
        assert found[ours]["ratio_high"] < found["scikit-learn rtol=1e-4"]["ratio"]
    assert found["coursekit Epanechnikov"]["ratio_high"] < found["scikit-learn Epanechnikov"]["ratio"]
    assert found["coursekit float64"]["error"] < 1e-10
    assert found["coursekit float32"]["error"] < 1e-4


@pytest.mark.parametrize("name", [name for name, row in CASES.items() if row["d"] <= 2])
def test_the_grid_has_a_smaller_error_than_kdepys(name):
    found = CASES[name]["methods"]
    ours, theirs = found["coursekit grid"], found["KDEpy FFTKDE + interpolation"]
    assert ours["error_99"] < theirs["error_99"]
    assert ours["error"] < 3e-3


def test_exponentials_that_underflow_are_slow():
    row = FILE["rows"]["exponentials"]
    times = row["nanoseconds"]
    assert len(row["ranges"]) == len(times["numpy float64"]) == 5
    assert times["numpy float64"][4] > 3 * times["numpy float64"][0]
    assert max(times["torch float32"]) > 10 * times["torch float32"][0]


def test_a_slice_run_again():
    """Smallest one-dimensional case, two rounds: the same errors, and speeds of the same kind."""
    again, stored = kde.race(1, 10**4, rounds=2)["methods"], CASES["1-D, n = 1e4"]["methods"]
    for name in ("scikit-learn rtol=1e-4", "coursekit float32", "coursekit grid"):
        assert again[name]["error"] == pytest.approx(stored[name]["error"], rel=0.5)
    assert again["coursekit float64"]["error"] < 1e-12
    assert again["coursekit float64"]["ratio"] < 0.5
    assert again["coursekit grid"]["ratio"] < 0.2
    assert np.isfinite([row["cpu"] for row in again.values()]).all()


def test_quick_prints_both_tables_and_leaves_the_results_alone(capsys, monkeypatch, tmp_path):
    before = (RESULTS / "kde_speed.json").read_bytes()
    monkeypatch.setattr("sys.argv", ["kde", "--quick", "--output", str(tmp_path / "quick.json")])
    monkeypatch.setattr(kde, "race", lambda d, n, rounds: CASES[f"{d}-D, n = 1e{round(np.log10(n))}"])
    monkeypatch.setattr(kde, "exponentials", lambda: FILE["rows"]["exponentials"])
    assert kde.main() == 0
    printed = capsys.readouterr().out
    assert printed.count("| scikit-learn exact |") == 2
    assert "coursekit grid" in printed
    assert (RESULTS / "kde_speed.json").read_bytes() == before
    assert len(json.loads((tmp_path / "quick.json").read_text())["rows"]) == 4
