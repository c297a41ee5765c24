"""Convergence rates of the classical estimators: simulated, with their metric named.

    python -m benchmarks.rates [--fresh] [--output FILE] [--only ROW ...]

writes `results/rates.json`, row by row (resumable)::

    {"meta": {"command", "settings": {"seed", "repetitions", ...}, "device", "versions", "seconds"},
     "rows": {name: row}}

with a row for each of histogram, kde, knn_core, knn_line, ecdf, gaussian_mle, gaussian_misspecified,
mixture_known, mixture_overfitted, mixture_overfitted_means, cosine_truncexp, cosine_beta33 ::

    {"label": the method in words,       "assumption": what the exponent needs,
     "target": the density in words,     "metric": the error and its range,
     "tuning": what was tuned, or null,  "theory": asymptotic exponent of the metric in n,
     "theory_text": the exponent as text, e.g. "-2/3",
     "theory_d": the exponent in d dimensions, as text,
     "n": [...], "repetitions": R,
     "mise": [...], "mise_se": [...]     simulated mean over R repetitions, and its standard error,
     "slope", "slope_se"                 least squares of log mise on log n; bootstrap over repetitions,
     "exact_mise": [...], "exact_slope"  the same from a formula, on the same sample sizes,
     "exact_is": what that formula is    (exact MISE; first order or the limit for a Gaussian),
     "best": [...]                       the oracle's bin width, bandwidth, k or number of terms,
     "best_slope"                        its exponent in n, or null,
     "far_n", "far_mise", "far_slope"    the exact formula at larger n, closer to the asymptote,
     "seconds", "cpu_seconds"}

and one row `kde_dimension` of exact errors of a Gaussian kernel on N(0, I_d), relative to the integral
of f^2: {"n": [...], "d": [...], "relative_mise": [d][n], "slope": [d], "theory": [d], ...}.

"Oracle" means that the tuning parameter minimizes the exact mean integrated squared error (MISE):
the rate is the method's, not the rate of a rule that picks the parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, ndtr

from benchmarks._common import Results, arguments
from coursekit.data import Bimodal
from coursekit.density.histogram import Histogram, exact_mise
from coursekit.density.kde import KernelDensity
from coursekit.density.knn import KNNDensity
from coursekit.density.mixture import GaussianMixture

Float = NDArray[np.float64]
Rng = np.random.Generator

SEED = 0
REPETITIONS = 200
BOOTSTRAP = 2000

# ------------------------------------------------------------------------------------ the target
LAW = Bimodal()
WEIGHTS, MEANS, SCALES = np.array(LAW.weights), np.array(LAW.means), np.array(LAW.stds)
CORE = (-2.0, 3.0)  # the density is above 0.04 there
BIMODAL = "0.6 N(-1, 0.6^2) + 0.4 N(1.5, 0.9^2)"


def normal_pdf(x: Any, scale: Any = 1.0) -> Float:
    return np.exp(-0.5 * (x / scale) ** 2) / (np.sqrt(2 * np.pi) * scale)


def draw(n: int, rng: Rng) -> Float:
    return LAW.sample(n, random_state=rng)[:, 0]


def overlap(scale: float = 0.0) -> float:
    """Integral of f (f * N(0, scale^2)): products of normals in closed form. `overlap()` is that of f^2."""
    spread = np.sqrt(scale**2 + SCALES[:, None] ** 2 + SCALES**2)
    return float(WEIGHTS @ normal_pdf(MEANS[:, None] - MEANS, spread) @ WEIGHTS)


def best_of(risk: Callable[[Any], float], candidates: Any) -> tuple[float, Any]:
    """Smallest risk over the candidates, and the candidate that has it."""
    risks = [risk(candidate) for candidate in candidates]
    i = int(np.argmin(risks))
    return risks[i], candidates[i]


# ------------------------------------------------------------------------------------ histogram, bins at j h
def histogram_edges(h: float) -> Float:
    return h * np.arange(np.floor(-9 / h), np.ceil(11 / h) + 1)


def histogram_exact(n: int) -> tuple[float, float]:
    def risk(h: float) -> float:
        return exact_mise(LAW.cdf, histogram_edges(h), n, squared_norm=overlap()).mise

    return best_of(risk, np.geomspace(0.02, 2.5, 400))


def histogram_error(n: int, h: float, rng: Rng) -> float:
    edges = histogram_edges(h)
    model = Histogram(bins=edges).fit(draw(n, rng)[:, None])
    height = np.exp(model.log_prob(0.5 * (edges[:-1] + edges[1:])[:, None]))  # constant in each bin
    return h * height @ height - 2 * height @ np.diff(LAW.cdf(edges)) + overlap()


# ------------------------------------------------------------------------------------ kernel density
GRID = np.linspace(-7.0, 9.0, 401)  # the trapezoid rule is exact to rounding for bandwidths above 0.05


def kde_mise(n: int, h: float) -> float:
    smooth_twice = overlap(np.sqrt(2) * h)
    return 1 / (2 * np.sqrt(np.pi) * n * h) + (1 - 1 / n) * smooth_twice - 2 * overlap(h) + overlap()


def kde_exact(n: int) -> tuple[float, float]:
    return best_of(lambda h: kde_mise(n, h), np.geomspace(0.02, 1.0, 400))


def kde_error(n: int, h: float, rng: Rng) -> float:
    model = KernelDensity(bandwidth=h).fit(draw(n, rng)[:, None])
    return float(np.trapezoid((np.exp(model.log_prob(GRID[:, None])) - LAW.pdf(GRID)) ** 2, GRID))


# ------------------------------------------------------------------------------------ nearest neighbours
# The mass that the ball of radius R_k(x) catches is Beta(k, n + 1 - k) whatever the density (it is an order
# statistic of uniforms), so every moment of the estimate at x is a one-dimensional integral: exact.
HALF_LINE = 60.0


def line_grid(points: int) -> Float:
    """Points from -60 to 60, dense in the middle."""
    return 1.5 * np.sinh(np.linspace(-1, 1, points) * np.arcsinh(HALF_LINE / 1.5))


def core_grid(points: int) -> Float:
    return np.linspace(*CORE, points)


def ball_radius(x: Float, mass: Float) -> Float:
    """Radius of the interval around each x that holds each mass, by bisection: (len(x), len(mass))."""
    low, high = np.zeros((len(x), len(mass))), np.abs(x[:, None]) + np.full(len(mass), 12.0)
    for _ in range(45):
        middle = 0.5 * (low + high)
        inside = LAW.cdf(x[:, None] + middle) - LAW.cdf(x[:, None] - middle)
        low, high = np.where(inside < mass, middle, low), np.where(inside < mass, high, middle)
    return 0.5 * (low + high)


def beta_nodes(n: int, k: int, nodes: int = 56) -> tuple[Float, Float]:
    """Nodes and weights for expectations under Beta(k, n + 1 - k): the trapezoid rule in the log-odds."""
    centre, spread = np.log(k / (n + 1 - k)), np.sqrt(1 / k + 1 / (n + 1 - k))
    odds = centre + spread * np.linspace(-14, 8, nodes)
    log_weight = k * odds - (n + 1) * np.logaddexp(0, odds)
    weight = np.exp(log_weight - log_weight.max())
    return expit(odds), weight / weight.sum()


def tail(numerator: float, radius_left: Any, radius_right: Any) -> Any:
    """Integral of the squared estimate outside (-60, 60), where R_k(x) is linear in x and f is zero."""
    return numerator**2 * (1 / radius_left + 1 / radius_right)


def knn_mise(n: int, k: int, x: Float) -> float:
    mass, weight = beta_nodes(n, k)
    radius = ball_radius(x, mass)
    numerator = (k - 1) / (2 * n)
    risk = (numerator / radius - LAW.pdf(x)[:, None]) ** 2 @ weight
    beyond = tail(numerator, 1 / (weight @ (1 / radius[0])), 1 / (weight @ (1 / radius[-1])))
    return float(np.trapezoid(risk, x)) + (beyond if x[-1] == HALF_LINE else 0.0)


def knn_exact(n: int, x: Float, exponent: float) -> tuple[float, int]:
    candidates = np.unique(np.round(n**exponent * np.geomspace(0.2, 2.0, 24)).astype(int))
    return best_of(lambda k: knn_mise(n, int(k), x), candidates[candidates > 4])


def knn_error(n: int, k: int, rng: Rng, x: Float) -> float:
    model = KNNDensity(n_neighbors=int(k)).fit(draw(n, rng)[:, None])
    error = np.trapezoid((np.exp(model.log_prob(x[:, None])) - LAW.pdf(x)) ** 2, x)
    if x[-1] != HALF_LINE:
        return float(error)
    return float(error + tail((k - 1) / (2 * n), *model.radius(x[[0, -1], None])))


# ------------------------------------------------------------------------------------ distribution function
def folded(x: Any, scale: Any) -> Any:
    """E|x + scale Z| for a standard normal Z."""
    return 2 * scale * normal_pdf(x / scale) + x * (2 * ndtr(x / scale) - 1)


def mean_distance() -> float:
    """E|Y - Y'| of two draws of the target."""
    spread = np.sqrt(SCALES[:, None] ** 2 + SCALES**2)
    return float(WEIGHTS @ folded(MEANS[:, None] - MEANS, spread) @ WEIGHTS)


def ecdf_exact(n: int) -> tuple[float, None]:
    """Integral of F (1 - F) / n, which is E|Y - Y'| / (2 n)."""
    return mean_distance() / (2 * n), None


def ecdf_error(n: int, _: None, rng: Rng) -> float:
    """Integral of (F_n - F)^2 = E|X - Y| - E|X - X'| / 2 - E|Y - Y'| / 2: exact, no grid."""
    x = np.sort(draw(n, rng))
    to_target = (WEIGHTS * folded(x[:, None] - MEANS, SCALES)).sum(1).mean()
    within = 2 * (x @ (2 * np.arange(1, n + 1) - n - 1)) / n**2
    return float(to_target - within / 2 - mean_distance() / 2)


# ------------------------------------------------------------------------------------ one Gaussian, fitted
def gaussian_distance(mean: float, scale: float, weights: Float, means: Float, scales: Float) -> float:
    """Integral of (N(mean, scale^2) - mixture)^2."""
    own = 1 / (2 * np.sqrt(np.pi) * scale)
    cross = weights @ normal_pdf(mean - means, np.hypot(scale, scales))
    both = weights @ normal_pdf(means[:, None] - means, np.hypot(scales[:, None], scales)) @ weights
    return float(own - 2 * cross + both)


ONE = np.ones(1)
STANDARD = (ONE, 0 * ONE, ONE)


def gaussian_error(n: int, _: None, rng: Rng) -> float:
    x = rng.normal(size=n)
    return gaussian_distance(x.mean(), x.std(), *STANDARD)


def gaussian_asymptotic(n: int) -> tuple[float, None]:
    """First order: 7 / (16 sqrt(pi) n)."""
    return 7 / (16 * np.sqrt(np.pi) * n), None


def misspecified_error(n: int, _: None, rng: Rng) -> float:
    x = draw(n, rng)
    return gaussian_distance(x.mean(), x.std(), WEIGHTS, MEANS, SCALES)


def misspecified_floor(n: int) -> tuple[float, None]:
    """The error of the best Gaussian, the projection in Kullback-Leibler divergence."""
    mean = WEIGHTS @ MEANS
    scale = np.sqrt(WEIGHTS @ (SCALES**2 + MEANS**2) - mean**2)
    return gaussian_distance(mean, scale, WEIGHTS, MEANS, SCALES), None


# ------------------------------------------------------------------------------------ mixtures, fitted
def mixture_distance(p: tuple[Float, Float, Float], q: tuple[Float, Float, Float]) -> float:
    """Integral of (p - q)^2 for two normal mixtures, each (weights, means, standard deviations)."""
    w = np.concatenate([p[0], -q[0]])
    means, scales = np.concatenate([p[1], q[1]]), np.concatenate([p[2], q[2]])
    return float(w @ normal_pdf(means[:, None] - means, np.hypot(scales[:, None], scales)) @ w)


def mixture_error(n: int, _: None, rng: Rng) -> float:
    """Two components, as many as there are; started at the truth, so that the right maximum is found."""
    x = draw(n, rng)[:, None]
    parts = WEIGHTS * normal_pdf(x - MEANS, SCALES)
    start = parts / parts.sum(axis=1, keepdims=True)
    model = GaussianMixture(2, start=start, tol=1e-9, max_iter=20_000).fit(x)
    fitted = (model.weights_, model.means_[:, 0], np.sqrt(model.covariances_[:, 0, 0]))
    return mixture_distance(fitted, (WEIGHTS, MEANS, SCALES))


def mixture_asymptotic(n: int) -> tuple[float, None]:
    """First order: trace(I^-1 J) / n, Fisher's matrix I and the integral J of the squared gradient."""
    x = np.linspace(-12.0, 14.0, 26001)
    u = (x[:, None] - MEANS) / SCALES  # (m, 2)
    parts = normal_pdf(x[:, None] - MEANS, SCALES)
    weighted = WEIGHTS * parts
    gradient = np.column_stack(
        [parts[:, 0] - parts[:, 1], weighted * u / SCALES, weighted * (u**2 - 1) / SCALES]
    )  # (m, 5): weight, means, standard deviations
    outer = gradient[:, :, None] * gradient[:, None]  # (m, 5, 5)
    fisher = np.trapezoid(outer / weighted.sum(1)[:, None, None], x, axis=0)
    return float(np.trace(np.linalg.solve(fisher, np.trapezoid(outer, x, axis=0)))) / n, None


def symmetric_mean(x: Float) -> float:
    """Maximum likelihood of theta >= 0 in N(-theta, 1) / 2 + N(theta, 1) / 2."""
    if np.mean(x**2) <= 1:
        return 0.0  # zero is the maximum

    def slope_over_theta(theta: float) -> float:
        return float(np.mean(x * np.tanh(theta * x)) / theta - 1)

    return float(brentq(slope_over_theta, 1e-6, np.abs(x).max() + 1, xtol=1e-12))


def overfitted_error(n: int, _: None, rng: Rng) -> float:
    """Two components for one: the density."""
    theta = symmetric_mean(rng.normal(size=n))
    return mixture_distance((0.5 * np.ones(2), np.array([-theta, theta]), np.ones(2)), STANDARD)


def overfitted_means_error(n: int, _: None, rng: Rng) -> float:
    """Two components for one: the squared distance of their means from zero."""
    return symmetric_mean(rng.normal(size=n)) ** 2


def overfitted_asymptotic(n: int) -> tuple[float, None]:
    """First order: theta^2 is max(0, mean of x^2 - 1), so E theta^4 = 1 / n."""
    return 3 / (32 * np.sqrt(np.pi) * n), None


def overfitted_means_asymptotic(n: int) -> tuple[float, None]:
    """First order: E theta^2 = 1 / sqrt(pi n)."""
    return 1 / np.sqrt(np.pi * n), None


# ------------------------------------------------------------------------------------ cosine basis on [0, 1]
TERMS = 200_000
RATE = 2.0  # of the truncated exponential


def exponential_coefficients(j: Float) -> Float:
    """Coefficients of rate e^(-rate x) / (1 - e^-rate) in sqrt(2) cos(pi j x): they fall like j^-2."""
    scale = np.sqrt(2) * RATE**2 / (1 - np.exp(-RATE))
    return scale * (1 - (-1.0) ** j * np.exp(-RATE)) / (RATE**2 + (np.pi * j) ** 2)


def beta_coefficients(j: Float) -> Float:
    """Coefficients of Beta(3, 3), whose derivative vanishes at both ends: they fall like j^-4."""
    return np.where(j % 2 == 0, -720 * np.sqrt(2) / (np.pi * j) ** 4, 0.0)


def exponential_draw(n: int, rng: Rng) -> Float:
    return -np.log1p(-rng.random(n) * (1 - np.exp(-RATE))) / RATE


def beta_draw(n: int, rng: Rng) -> Float:
    return rng.beta(3, 3, size=n)


def cosine_exact(n: int, coefficients: Callable[[Float], Float]) -> tuple[float, int]:
    """MISE with M terms: variances of M empirical coefficients, plus the squares of the rest."""
    j = np.arange(1.0, TERMS + 1)
    theta = coefficients(j)
    variance = 1 + coefficients(2 * j) / np.sqrt(2) - theta**2
    risk = np.concatenate([[0.0], np.cumsum(variance / n - theta**2)]) + theta @ theta
    return float(risk.min()), int(risk.argmin())


def cosine_error(
    n: int, terms: int, rng: Rng, coefficients: Callable[[Float], Float], sample: Callable[[int, Rng], Float]
) -> float:
    theta = coefficients(np.arange(1.0, TERMS + 1))
    x = sample(n, rng)
    estimate = np.array([np.sqrt(2) * np.cos(np.pi * j * x).mean() for j in range(1, terms + 1)])
    return float(((estimate - theta[:terms]) ** 2).sum() + theta[terms:] @ theta[terms:])


# ------------------------------------------------------------------------------------ the rows
@dataclass(frozen=True)
class Experiment:
    """One row: what is estimated, how its error is simulated, and what theory says."""

    label: str
    assumption: str
    metric: str
    theory: float
    theory_text: str
    exact: Callable[[int], tuple[float, Any]]
    error: Callable[[int, Any, Rng], float]
    target: str = BIMODAL
    tuning: str | None = None
    theory_d: str = "-1"
    n: tuple[int, ...] = (100, 300, 1000, 3000, 10_000)
    repetitions: int = REPETITIONS
    far: tuple[int, ...] = ()
    exact_is: str = "exact MISE"


def experiments() -> dict[str, Experiment]:
    """Every row by name."""
    # coarse grids are enough for the smooth expectations, one realization needs finer ones
    core, line = core_grid(201), line_grid(401)
    fine_core, fine_line = core_grid(1501), line_grid(4001)
    huge = (100_000, 1_000_000, 10_000_000)
    many = (1000, 4000, 16_000, 64_000, 256_000)
    far = (10_000, 100_000, 1_000_000)
    whole = "MISE over the whole line"
    unit = "MISE over [0, 1]"
    return {
        "histogram": Experiment(
            "histogram", "f' square integrable", whole, -2 / 3, "-2/3", histogram_exact, histogram_error,
            tuning="bin width", far=far, repetitions=1000, theory_d="-2/(d+2)",
        ),
        "kde": Experiment(
            "KDE, second-order kernel", "f'' square integrable", whole, -4 / 5, "-4/5", kde_exact, kde_error,
            tuning="bandwidth", far=far, theory_d="-4/(d+4)",
        ),
        "knn_core": Experiment(
            "k nearest neighbours, core", "f twice differentiable and above a constant on the range",
            f"MISE over [{CORE[0]:g}, {CORE[1]:g}]", -4 / 5, "-4/5", lambda n: knn_exact(n, core, 0.8),
            lambda n, k, rng: knn_error(n, k, rng, fine_core), tuning="k", n=many, far=huge,
            theory_d="-4/(d+4)",
        ),
        "knn_line": Experiment(
            "k nearest neighbours, whole line", "f twice differentiable, Gaussian-type tails", whole, -2 / 3,
            "-2/3", lambda n: knn_exact(n, line, 2 / 3), lambda n, k, rng: knn_error(n, k, rng, fine_line),
            tuning="k", n=many, far=huge, theory_d="slower than -4/(d+4)",
        ),
        "ecdf": Experiment(
            "empirical distribution function", "finite mean", "mean of the integral of (F_n - F)^2",
            -1.0, "-1", ecdf_exact, ecdf_error, repetitions=1000, theory_d="-1",
        ),
        "gaussian_mle": Experiment(
            "parametric maximum likelihood, well specified", "regular model that holds the target", whole,
            -1.0, "-1", gaussian_asymptotic, gaussian_error, target="N(0, 1)", repetitions=1000,
            exact_is="first order in 1/n: 7 / (16 sqrt(pi) n)", theory_d="-1",
        ),
        "gaussian_misspecified": Experiment(
            "parametric maximum likelihood, misspecified", "none", whole, 0.0, "0", misspecified_floor,
            misspecified_error, repetitions=1000, exact_is="limit: the error of the best Gaussian",
            theory_d="0",
        ),
        "mixture_known": Experiment(
            "Gaussian mixture, K known", "components differ, Fisher information not singular", whole,
            -1.0, "-1", mixture_asymptotic, mixture_error,
            exact_is="first order in 1/n: trace(I^-1 J) / n", theory_d="-1",
        ),
        "mixture_overfitted": Experiment(
            "mixture of two normals for one", "target inside the model, Fisher information singular", whole,
            -1.0, "-1", overfitted_asymptotic, overfitted_error, target="N(0, 1)", repetitions=1000,
            exact_is="first order in 1/n: 3 / (32 sqrt(pi) n)", theory_d="-1",
        ),
        "mixture_overfitted_means": Experiment(
            "mixture of two normals for one, its parameter", "the same", "mean squared error of the means",
            -1 / 2, "-1/2", overfitted_means_asymptotic, overfitted_means_error, target="N(0, 1)",
            repetitions=1000, exact_is="first order: 1 / sqrt(pi n)", theory_d="-1/2 or slower",
        ),
        "cosine_truncexp": Experiment(
            "cosine basis, slope not zero at the ends", "f smooth, coefficients fall like j^-2", unit, -3 / 4,
            "-3/4", lambda n: cosine_exact(n, exponential_coefficients),
            lambda n, m, rng: cosine_error(n, m, rng, exponential_coefficients, exponential_draw),
            target="exponential of rate 2 truncated to [0, 1]", tuning="number of terms",
            n=(100, 1000, 10_000, 100_000), far=far, theory_d="slower than -3/4",
        ),
        "cosine_beta33": Experiment(
            "cosine basis, slope zero at the ends", "coefficients fall like j^-4", unit, -7 / 8, "-7/8",
            lambda n: cosine_exact(n, beta_coefficients),
            lambda n, m, rng: cosine_error(n, m, rng, beta_coefficients, beta_draw),
            target="Beta(3, 3)", tuning="number of terms", n=(100, 1000, 10_000, 100_000), far=far,
            theory_d="slower than -7/8",
        ),
    }  # fmt: skip


def slope(n: Any, error: Any) -> Any:
    """Least squares of log error on log n; `error` may carry leading axes."""
    t = np.log(np.asarray(n, dtype=float))
    t -= t.mean()
    return np.log(error) @ t / (t @ t)


def repetition_rng(name: str, n: int, repetition: int, seed: int = SEED) -> Rng:
    """The generator of one repetition: any slice can be run again alone."""
    return np.random.default_rng([seed, *name.encode(), n, repetition])


def errors(name: str, n: int, best: Any, repetitions: int, *, seed: int = SEED) -> Float:
    """Integrated squared errors of the first repetitions of one row at one sample size."""
    error = experiments()[name].error
    return np.array([error(n, best, repetition_rng(name, n, r, seed)) for r in range(repetitions)])


def simulate(name: str) -> dict[str, Any]:
    """One row of the file: see the top of this module."""
    job = experiments()[name]
    exact, best = zip(*(job.exact(n) for n in job.n), strict=True)
    ise = np.array([errors(name, n, b, job.repetitions) for n, b in zip(job.n, best, strict=True)])  # (N, R)
    rng = np.random.default_rng(SEED)
    again = rng.integers(job.repetitions, size=(BOOTSTRAP, *ise.shape))  # resampled apart at each n
    means = np.take_along_axis(ise[None], again, axis=2).mean(2)  # (B, N)
    far = [job.exact(n)[0] for n in job.far]
    return {
        "label": job.label,
        "assumption": job.assumption,
        "target": job.target,
        "metric": job.metric,
        "tuning": job.tuning,
        "theory": job.theory,
        "theory_text": job.theory_text,
        "theory_d": job.theory_d,
        "n": job.n,
        "repetitions": job.repetitions,
        "mise": ise.mean(1),
        "mise_se": ise.std(1, ddof=1) / np.sqrt(job.repetitions),
        "slope": slope(job.n, ise.mean(1)),
        "slope_se": slope(job.n, means).std(ddof=1),
        "exact_is": job.exact_is,
        "exact_mise": exact,
        "exact_slope": slope(job.n, exact),
        "best": best,
        "best_slope": slope(job.n, np.array(best, float)) if job.tuning else None,
        "far_n": job.far,
        "far_mise": far,
        "far_slope": slope(job.far, far) if far else None,
    }


def dimension_mise(n: int, d: int) -> tuple[float, float]:
    """Exact relative MISE of the best Gaussian kernel on N(0, I_d), and its bandwidth."""

    def risk(h: float) -> float:
        # products of normals in d dimensions, all relative to the integral of f^2 = (4 pi)^(-d/2)
        return h**-d / n + (1 - 1 / n) * (1 + h**2) ** (-d / 2) - 2 * (1 + h**2 / 2) ** (-d / 2) + 1

    return best_of(risk, np.geomspace(0.02, 5.0, 1000))


def dimension() -> dict[str, Any]:
    """The row `kde_dimension`."""
    n, d = [1000, 10_000, 100_000, 1_000_000], [1, 2, 4, 8, 16]
    table = np.array([[dimension_mise(size, dim)[0] for size in n] for dim in d])
    return {
        "label": "KDE in d dimensions, exact",
        "assumption": "f'' square integrable",
        "target": "N(0, I_d)",
        "metric": "MISE over R^d divided by the integral of f^2",
        "tuning": "bandwidth",
        "n": n,
        "d": d,
        "relative_mise": table,
        "slope": slope(n, table),
        "theory": [-4 / (dim + 4) for dim in d],
    }


def main(argv: list[str] | None = None) -> None:
    """Compute what the file lacks and print the table."""
    parser = arguments("Convergence rates, simulated and exact.")
    parser.add_argument(
        "--only", nargs="+", choices=[*experiments(), "kde_dimension"], help="these rows only"
    )
    options = parser.parse_args(argv)
    settings = {"seed": SEED, "repetitions": REPETITIONS, "bootstrap": BOOTSTRAP, "core": CORE}
    results = Results(
        "rates", settings=settings, device=options.device, path=options.output, fresh=options.fresh
    )
    for name in options.only or experiments():
        if name == "kde_dimension":
            continue
        row = results.row(name, lambda name=name: simulate(name))  # type: ignore[misc]
        print(
            f"{name:22s} slope {row['slope']:+.3f} +- {row['slope_se']:.3f}   "
            f"exact {row['exact_slope']:+.3f}   "
            f"theory {row['theory']:+.3f}   {row['metric']}   ({row['cpu_seconds']:.1f} CPU s)"
        )
    if not options.only or "kde_dimension" in options.only:
        row = results.row("kde_dimension", dimension)
        print("kde_dimension          slopes", row["slope"], "theory", row["theory"])


if __name__ == "__main__":
    main()
