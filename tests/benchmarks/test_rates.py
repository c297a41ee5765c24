"""The file of rates: a slice is run again, formulas meet quadrature and simulation, claims have their spread.

Every comparison of a mean with its expectation allows 4.9 standard errors: one false alarm in a
million for a fresh seed. Seeds are fixed.
"""

import json
import math

import numpy as np
import pytest
from scipy import integrate, stats

from benchmarks import rates
from benchmarks._common import RESULTS, Results, plain, write_json
from coursekit.density.knn import KNNDensity

FILE = json.loads((RESULTS / "rates.json").read_text())
ROWS = {name: row for name, row in FILE["rows"].items() if name != "kde_dimension"}
SIGMAS = 4.9
EXACT = [name for name, row in ROWS.items() if row["exact_is"] == "exact MISE"]


def test_the_file_has_every_row_and_says_how_it_was_made():
    assert set(ROWS) == set(rates.experiments())
    meta = FILE["meta"]
    assert meta["command"] == "python -m benchmarks.rates"
    assert {"python", "numpy", "scipy"} <= set(meta["versions"])
    assert meta["device"]
    assert 0 < meta["seconds"] < 600
    assert meta["settings"]["seed"] == rates.SEED
    for row in ROWS.values():
        assert row["repetitions"] >= 60
        assert row["metric"]
        assert row["assumption"]
        assert len(row["n"]) == len(row["mise"]) == len(row["mise_se"]) == len(row["exact_mise"])


@pytest.mark.parametrize("name", ROWS)
def test_a_slice_run_again_gives_the_same_numbers(name):
    """The smallest sample size, all repetitions, same seeds: the stored mean to its last digit."""
    row = ROWS[name]
    again = rates.errors(name, row["n"][0], row["best"][0], row["repetitions"])
    assert again.mean() == pytest.approx(row["mise"][0], rel=1e-4)
    standard_error = again.std(ddof=1) / math.sqrt(row["repetitions"])
    assert standard_error == pytest.approx(row["mise_se"][0], rel=1e-3)


@pytest.mark.parametrize("name", ROWS)
def test_other_seeds_agree_within_the_stated_spread(name):
    row, n_again = ROWS[name], 60
    again = rates.errors(name, row["n"][1], row["best"][1], n_again, seed=1)
    spread = row["mise_se"][1] * math.sqrt(row["repetitions"] / n_again)
    assert abs(again.mean() - row["mise"][1]) < SIGMAS * math.hypot(spread, row["mise_se"][1])


@pytest.mark.parametrize("name", EXACT)
def test_simulation_agrees_with_the_exact_formula(name):
    row = ROWS[name]
    z = (np.array(row["mise"]) - row["exact_mise"]) / row["mise_se"]
    assert np.max(np.abs(z)) < SIGMAS


@pytest.mark.parametrize("name", EXACT)
def test_exact_numbers_are_those_of_the_formula(name):
    row = ROWS[name]
    mise, best = rates.experiments()[name].exact(row["n"][0])
    assert mise == pytest.approx(row["exact_mise"][0], rel=1e-4)
    assert best == pytest.approx(row["best"][0], rel=1e-4) if row["tuning"] else best is None


def test_slopes_follow_from_the_stored_numbers_and_their_errors():
    for row in ROWS.values():
        assert rates.slope(row["n"], row["mise"]) == pytest.approx(row["slope"], abs=1e-4)
        assert rates.slope(row["n"], row["exact_mise"]) == pytest.approx(row["exact_slope"], abs=1e-4)
        t = np.log(row["n"]) - np.mean(np.log(row["n"]))
        by_delta_method = math.sqrt(np.sum((t / (t @ t) * np.array(row["mise_se"]) / row["mise"]) ** 2))
        assert row["slope_se"] == pytest.approx(by_delta_method, rel=0.15)


def test_measured_slopes_are_where_theory_and_finite_samples_put_them():
    """Here slopes are up to 0.09 shallower than the asymptote; the exact formula says by how much."""
    for name in EXACT:
        row = ROWS[name]
        assert abs(row["slope"] - row["exact_slope"]) < SIGMAS * row["slope_se"], name
        assert row["theory"] - 0.01 < row["exact_slope"] < row["theory"] + 0.09, name
    assert ROWS["knn_line"]["slope"] > ROWS["knn_core"]["slope"] + 0.05  # the tails cost a power of n
    assert abs(ROWS["gaussian_mle"]["slope"] + 1) < SIGMAS * ROWS["gaussian_mle"]["slope_se"] + 0.01
    assert abs(ROWS["gaussian_misspecified"]["slope"]) < 0.02


def test_fitted_mixtures_reach_their_first_order_error():
    """Five standard errors from the limit at the largest size, where second-order terms are below 3 %."""
    for name in ("mixture_known", "mixture_overfitted", "mixture_overfitted_means"):
        row = ROWS[name]
        limit = row["exact_mise"][-1]
        assert abs(row["mise"][-1] - limit) < SIGMAS * row["mise_se"][-1] + 0.03 * limit, name
        assert abs(row["slope"] - row["theory"]) < SIGMAS * row["slope_se"] + 0.06, name
    density, means = ROWS["mixture_overfitted"], ROWS["mixture_overfitted_means"]
    assert density["slope"] < means["slope"] - 0.3  # the parameter is far slower than the density


def test_distance_of_mixtures_and_the_overfitted_maximum_by_brute_force():
    p = (np.array([0.3, 0.7]), np.array([-1.0, 2.0]), np.array([0.5, 1.5]))
    q = (np.ones(1), np.zeros(1), np.ones(1))

    def pdf(t, law):
        return sum(w * stats.norm.pdf(t, m, s) for w, m, s in zip(*law, strict=True))

    literal = integrate.quad(lambda t: (pdf(t, p) - pdf(t, q)) ** 2, -12, 14)[0]
    assert rates.mixture_distance(p, q) == pytest.approx(literal, rel=1e-8)
    for seed in range(6):
        x = np.random.default_rng(seed).normal(size=100)
        grid = np.linspace(0, 2, 20001)
        likelihood = np.log(np.cosh(np.outer(grid, x))).mean(1) - grid**2 / 2
        assert rates.symmetric_mean(x) == pytest.approx(grid[likelihood.argmax()], abs=2e-4)


def test_first_order_error_of_a_mixture_by_the_delta_method():
    """The covariance of the fitted parameters is I^-1 / n: its trace with J, from finite differences."""
    truth = np.array([0.6, -1.0, 1.5, 0.6, 0.9])
    x = np.linspace(-8, 9, 6801)

    def pdf(t):
        return t[0] * stats.norm.pdf(x, t[1], t[3]) + (1 - t[0]) * stats.norm.pdf(x, t[2], t[4])

    steps = 1e-5 * np.eye(5)
    gradient = np.array([(pdf(truth + e) - pdf(truth - e)) / 2e-5 for e in steps])
    fisher = np.trapezoid(gradient[:, None] * gradient / pdf(truth), x)
    roughness = np.trapezoid(gradient[:, None] * gradient, x)
    expected = np.trace(np.linalg.inv(fisher) @ roughness) / 500
    assert rates.mixture_asymptotic(500)[0] == pytest.approx(expected, rel=1e-5)


def test_larger_samples_come_closer_to_the_asymptote():
    for name, row in ROWS.items():
        if row["far_n"]:
            assert abs(row["far_slope"] - row["theory"]) < abs(row["exact_slope"] - row["theory"]), name


def test_oracle_tuning_grows_at_its_own_exponent():
    for name, exponent in [("histogram", -1 / 3), ("kde", -1 / 5), ("knn_core", 4 / 5), ("knn_line", 2 / 3)]:
        assert ROWS[name]["best_slope"] == pytest.approx(exponent, abs=0.05), name


def test_misspecified_model_stops_at_the_best_gaussian():
    row = ROWS["gaussian_misspecified"]
    law = rates.LAW
    x, p = np.linspace(-12, 12, 48001), law.pdf(np.linspace(-12, 12, 48001))
    mean = np.trapezoid(x * p, x)
    scale = math.sqrt(np.trapezoid((x - mean) ** 2 * p, x))
    floor = np.trapezoid((stats.norm.pdf(x, mean, scale) - p) ** 2, x)
    assert row["exact_mise"][-1] == pytest.approx(floor, rel=1e-4)
    assert row["mise"][-1] == pytest.approx(floor, rel=0.01)


# ------------------------------------------------------------------ formulas against quadrature


def test_constants_of_the_target():
    """Integral of f^2, mean distance and smoothed overlaps by quadrature."""
    x = np.linspace(-14, 14, 56001)
    p, cdf = rates.LAW.pdf(x), rates.LAW.cdf(x)
    assert rates.overlap() == pytest.approx(np.trapezoid(p**2, x), rel=1e-9)
    assert rates.mean_distance() == pytest.approx(2 * np.trapezoid(cdf * (1 - cdf), x), rel=1e-6)


def test_integrated_error_of_the_empirical_distribution_function():
    n = 30
    closed = rates.ecdf_error(n, None, np.random.default_rng(3))
    sample = np.sort(rates.draw(n, np.random.default_rng(3)))
    edges = np.concatenate([[-15.0], sample, [15.0]])
    step = [
        integrate.quad(lambda t, i=i: (i / n - rates.LAW.cdf(np.array(t))) ** 2, edges[i], edges[i + 1])[0]
        for i in range(n + 1)
    ]
    assert closed == pytest.approx(sum(step), rel=1e-6)


def test_mass_in_the_ball_is_beta_and_its_quadrature_is_right():
    for n, k in [(100, 5), (1000, 100), (256_000, 10_000)]:
        mass, weight = rates.beta_nodes(n, k)
        assert weight @ mass == pytest.approx(k / (n + 1), rel=1e-9)
        assert weight @ (1 / mass) == pytest.approx(n / (k - 1), rel=1e-9)
        assert weight @ (1 / mass**2) == pytest.approx(n * (n - 1) / ((k - 1) * (k - 2)), rel=1e-6)


def test_error_outside_the_grid_is_the_integral_of_the_squared_tail():
    sample = rates.draw(50, np.random.default_rng(0))
    model = KNNDensity(8).fit(sample[:, None])
    closed = rates.tail(7 / 100, *model.radius(np.array([[-rates.HALF_LINE], [rates.HALF_LINE]])))
    right = integrate.quad(lambda t: math.exp(2 * model.log_prob([[t]])[0]), rates.HALF_LINE, np.inf)[0]
    left = integrate.quad(lambda t: math.exp(2 * model.log_prob([[t]])[0]), -np.inf, -rates.HALF_LINE)[0]
    assert closed == pytest.approx(left + right, rel=1e-6)


@pytest.mark.parametrize(
    ("coefficients", "density"),
    [
        (rates.exponential_coefficients, lambda x: 2 * math.exp(-2 * x) / (1 - math.exp(-2))),
        (rates.beta_coefficients, lambda x: 30 * x**2 * (1 - x) ** 2),
    ],
)
def test_cosine_coefficients(coefficients, density):
    for j in (1, 2, 3, 4, 7, 10):
        literal = integrate.quad(lambda x, j=j: density(x) * math.sqrt(2) * math.cos(math.pi * j * x), 0, 1)[
            0
        ]
        assert float(coefficients(np.array([float(j)]))[0]) == pytest.approx(literal, abs=1e-10)


def test_error_in_many_dimensions_by_quadrature_in_one():
    mise, h = rates.dimension_mise(1000, 1)
    x = np.linspace(-12, 12, 8001)
    mean = stats.norm.pdf(x, scale=math.sqrt(1 + h**2))
    second = stats.norm.pdf(x, scale=math.sqrt(1 + h**2 / 2)) / (2 * math.sqrt(math.pi) * h)
    variance = (second - mean**2) / 1000
    literal = np.trapezoid((mean - stats.norm.pdf(x)) ** 2 + variance, x) * 2 * math.sqrt(math.pi)
    assert mise == pytest.approx(literal, rel=1e-8)


def test_high_dimension_row():
    row = FILE["rows"]["kde_dimension"]
    assert [d[-1] for d in row["relative_mise"]] == sorted(d[-1] for d in row["relative_mise"])
    assert row["relative_mise"][0][-1] == pytest.approx(1.8e-5, rel=0.05)
    assert row["relative_mise"][-1][-1] == pytest.approx(0.45, rel=0.02)


# ------------------------------------------------------------------ the file itself


def test_an_interrupted_run_goes_on_and_other_settings_start_again(tmp_path):
    path, calls = tmp_path / "x.json", []

    def compute():
        calls.append(1)
        return {"value": np.float64(2.0), "many": np.arange(2)}

    first = Results("x", settings={"seed": 0}, path=path)
    assert first.row("a", compute)["value"] == 2.0
    again = Results("x", settings={"seed": 0}, path=path)
    assert again.row("a", compute)["many"] == [0, 1]
    assert len(calls) == 1
    assert Results("x", settings={"seed": 1}, path=path).rows == {}
    assert Results("x", settings={"seed": 0}, path=path, fresh=True).rows == {}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_json_holds_plain_rounded_numbers():
    assert plain({"a": np.float32(1 / 3), "b": (np.int64(2), math.nan), 3: np.True_}) == {
        "a": 0.333333,
        "b": [2, None],
        "3": True,
    }


def test_the_command_writes_one_row(tmp_path, capsys):
    rates.main(["--only", "kde_dimension", "--output", str(tmp_path / "r.json")])
    assert "kde_dimension" in capsys.readouterr().out
    assert json.loads((tmp_path / "r.json").read_text())["rows"]["kde_dimension"]["d"] == [1, 2, 4, 8, 16]
