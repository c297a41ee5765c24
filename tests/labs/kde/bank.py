"""Right and wrong answers to the lab on kernel estimates; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("/ bandwidth  # (m, n, d)", "/ bandwidth**2  # (m, n, d)")

RIGHT = [
    Right(
        "log-kde",
        "one observation after the other, with a running maximum",
        """
def log_kde(x, data, bandwidth):
    total = np.full(len(x), -np.inf)
    for row in data:
        log_bump = -0.5 * (((x - row) / bandwidth) ** 2).sum(axis=1)
        total = np.logaddexp(total, log_bump)
    d = data.shape[1]
    return total - np.log(len(data)) - np.log(bandwidth).sum() - d / 2 * np.log(2 * np.pi)
""",
    ),
    Right(
        "log-kde",
        "scikit-learn on data measured in bandwidths",
        """
from sklearn.neighbors import KernelDensity

def log_kde(x, data, bandwidth):
    model = KernelDensity(bandwidth=1.0, rtol=0, atol=0).fit(data / bandwidth)
    return model.score_samples(x / bandwidth) - np.sum(np.log(bandwidth))
""",
    ),
    Right(
        "lscv",
        "scipy's condensed distances",
        """
from scipy.spatial.distance import pdist

def lscv(data, bandwidth):
    n, d = data.shape
    if n < 2:
        raise ValueError("two observations at least")
    squared = pdist(data, "sqeuclidean")
    convolved = (4 * np.pi * bandwidth**2) ** (-d / 2)
    bump = (2 * np.pi * bandwidth**2) ** (-d / 2)
    integral = convolved * (n + 2 * np.exp(-squared / (4 * bandwidth**2)).sum()) / n**2
    return float(integral - 4 * bump * np.exp(-squared / (2 * bandwidth**2)).sum() / (n * (n - 1)))
""",
    ),
    Right(
        "lscv",
        "scikit-learn's densities at the observations",
        """
from sklearn.neighbors import KernelDensity

def lscv(data, bandwidth):
    n, d = data.shape
    if n == 1:
        raise ValueError("one observation cannot be left out")

    def density(h):
        return np.exp(KernelDensity(bandwidth=h).fit(data).score_samples(data))

    own = (2 * np.pi * bandwidth**2) ** (-d / 2)
    left_out = (n * density(bandwidth) - own) / (n - 1)
    return float(np.mean(density(np.sqrt(2) * bandwidth)) - 2 * np.mean(left_out))
""",
    ),
    Right(
        "smoothed-bootstrap",
        "numbers of draws per bump, then shuffled",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.RandomState(seed)
    counts = rng.multinomial(n_samples, np.full(len(data), 1 / len(data)))
    draws = np.repeat(data, counts, axis=0) + rng.normal(0, bandwidth, (n_samples, data.shape[1]))
    rng.shuffle(draws)
    if shrink:
        spread = data.std(axis=0)
        factor = spread / np.hypot(spread, bandwidth)
        draws = data.mean(axis=0) + factor * (draws - data.mean(axis=0))
    return draws
""",
    ),
    Right(
        "smoothed-bootstrap",
        "scikit-learn's sampler",
        """
from sklearn.neighbors import KernelDensity

def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    draws = KernelDensity(bandwidth=bandwidth).fit(data).sample(n_samples, random_state=seed)
    if shrink:
        centre = data.mean(axis=0)
        draws = centre + (draws - centre) / np.sqrt(1 + bandwidth**2 / np.mean((data - centre) ** 2, axis=0))
    return draws
""",
    ),
    Right(
        "reflected-log-kde",
        "two logarithms added on the log scale",
        """
def reflected_log_kde(x, data, bandwidth):
    def log_estimate(y):
        terms = scipy.stats.norm.logpdf(y[:, None], data, bandwidth)
        top = terms.max(axis=1, keepdims=True)
        return top[:, 0] + np.log(np.exp(terms - top).mean(axis=1))

    inside = x >= 0
    result = np.full(len(x), -np.inf)
    result[inside] = np.logaddexp(log_estimate(x[inside]), log_estimate(-x[inside]))
    return result
""",
    ),
    Right(
        "reflected-log-kde",
        "scipy's folded normal as the bump",
        """
def reflected_log_kde(x, data, bandwidth):
    far = np.abs(x)[:, None] / bandwidth
    log_bump = np.logaddexp(scipy.stats.norm.logpdf(far - data / bandwidth), scipy.stats.norm.logpdf(far + data / bandwidth))
    log_p = scipy.special.logsumexp(log_bump, axis=1, b=1 / (len(data) * bandwidth))
    near = (x >= 0) & (x < 5 * bandwidth)
    if np.any(near):
        folded = scipy.stats.foldnorm(data / bandwidth, scale=bandwidth).pdf(x[near][:, None])
        log_p[near] = np.log(folded.mean(axis=1))
    return np.where(x >= 0, log_p, -np.inf)
""",
    ),
    Right(
        "reflected-log-kde",
        "scikit-learn on the doubled sample",
        """
from sklearn.neighbors import KernelDensity

def reflected_log_kde(x, data, bandwidth):
    both = np.r_[data, -data][:, None]
    log_p = KernelDensity(bandwidth=bandwidth).fit(both).score_samples(x[:, None]) + np.log(2)
    return np.where(x < 0, -np.inf, log_p)
""",
    ),
]

WRONG = [
    # --- log-kde
    Wrong(
        "log-kde",
        "normalizer of one dimension",
        "1 / (n h) in every dimension, in place of 1 / (n h^d)",
        "several dimensions",
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / bandwidth
    total = scipy.special.logsumexp(-0.5 * np.sum(z**2, axis=2), axis=1)
    return total - np.log(len(data)) - np.sum(np.log(bandwidth)) - 0.5 * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "log-kde",
        "bandwidth as a variance",
        "h is the variance of the bump",
        "several dimensions",
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / np.sqrt(bandwidth)
    total = scipy.special.logsumexp(-0.5 * np.sum(z**2, axis=2), axis=1)
    return total - np.log(len(data)) - 0.5 * np.sum(np.log(bandwidth)) - 0.5 * data.shape[1] * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "log-kde",
        "the first width for all",
        "all columns share one width",
        "one width per column",
        """
def log_kde(x, data, bandwidth):
    h, d = bandwidth[0], data.shape[1]
    total = scipy.special.logsumexp(-0.5 * np.sum(((x[:, None, :] - data) / h) ** 2, axis=2), axis=1)
    return total - np.log(len(data)) - d * np.log(h) - 0.5 * d * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "log-kde",
        "log of the sum of exp",
        "the density is computed first and its logarithm taken at the end: it underflows",
        "far away",
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / bandwidth
    bumps = np.exp(-0.5 * z**2) / (bandwidth * np.sqrt(2 * np.pi))
    return np.log(np.mean(np.prod(bumps, axis=2), axis=1))
""",
    ),
    Wrong(
        "log-kde",
        "a floor under the logarithm",
        "adding a tiny number before the logarithm repairs underflow",
        "far away",
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / bandwidth
    bumps = np.exp(-0.5 * z**2) / (bandwidth * np.sqrt(2 * np.pi))
    return np.log(np.mean(np.prod(bumps, axis=2), axis=1) + 1e-300)
""",
    ),
    Wrong(
        "log-kde",
        "the square multiplied out",
        "x^2 - 2xy + y^2 is the same as (x - y)^2",
        "far from the origin",
        """
def log_kde(x, data, bandwidth):
    a, b, d = x / bandwidth, data / bandwidth, data.shape[1]
    squared = np.sum(a**2, axis=1)[:, None] - 2 * a @ b.T + np.sum(b**2, axis=1)
    total = scipy.special.logsumexp(-0.5 * squared, axis=1)
    return total - np.log(len(data)) - np.sum(np.log(bandwidth)) - 0.5 * d * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "log-kde",
        "squeezed",
        "there are always many queries",
        "one of each",
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / bandwidth
    total = np.squeeze(scipy.special.logsumexp(-0.5 * np.sum(z**2, axis=2), axis=1))
    return total - np.log(len(data)) - np.sum(np.log(bandwidth)) - 0.5 * data.shape[1] * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "log-kde",
        "sum, not mean",
        "the bumps are added, not averaged",
        VISIBLE,
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / bandwidth
    total = scipy.special.logsumexp(-0.5 * np.sum(z**2, axis=2), axis=1)
    return total - np.sum(np.log(bandwidth)) - 0.5 * data.shape[1] * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "log-kde",
        "no normalizer",
        "the constant does not matter",
        VISIBLE,
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / bandwidth
    return scipy.special.logsumexp(-0.5 * np.sum(z**2, axis=2), axis=1) - np.log(len(data))
""",
    ),
    Wrong(
        "log-kde",
        "mean of the logarithms",
        "the logarithm of a mean is the mean of the logarithms",
        VISIBLE,
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / bandwidth
    logs = -0.5 * np.sum(z**2, axis=2) - np.sum(np.log(bandwidth)) - 0.5 * data.shape[1] * np.log(2 * np.pi)
    return np.mean(logs, axis=1)
""",
    ),
    Wrong(
        "log-kde",
        "wrong axis",
        "the average is over the queries",
        VISIBLE,
        """
def log_kde(x, data, bandwidth):
    z = (x[:, None, :] - data) / bandwidth
    total = scipy.special.logsumexp(-0.5 * np.sum(z**2, axis=2), axis=0)
    return total - np.log(len(x)) - np.sum(np.log(bandwidth)) - 0.5 * data.shape[1] * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "log-kde",
        "divides the caller's array",
        "an argument may be changed in place",
        VISIBLE,
        """
def log_kde(x, data, bandwidth):
    x /= bandwidth
    z = x[:, None, :] - data / bandwidth
    total = scipy.special.logsumexp(-0.5 * np.sum(z**2, axis=2), axis=1)
    return total - np.log(len(data)) - np.sum(np.log(bandwidth)) - 0.5 * data.shape[1] * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "log-kde",
        "hard-coded",
        "the visible check is the whole test: any density will do",
        "several dimensions",
        """
def log_kde(x, data, bandwidth):
    return scipy.stats.norm.logpdf(x[:, 0], 0.5, 1.0)
""",
    ),
    # --- lscv
    Wrong(
        "lscv",
        "not left out",
        "each observation may sit on its own bump",
        "the definition",
        """
def lscv(data, bandwidth):
    n, d = data.shape
    if n < 2:
        raise ValueError
    squared = np.sum((data[:, None, :] - data) ** 2, axis=2)
    pairs = lambda v: np.exp(-0.5 * squared / v) / (2 * np.pi * v) ** (d / 2)
    return float(np.mean(pairs(2 * bandwidth**2)) - 2 * np.mean(pairs(bandwidth**2)))
""",
    ),
    Wrong(
        "lscv",
        "integral with the same width",
        "the product of two bumps of width h integrates to a bump of width h",
        "the definition",
        """
def lscv(data, bandwidth):
    n, d = data.shape
    if n < 2:
        raise ValueError
    squared = np.sum((data[:, None, :] - data) ** 2, axis=2)
    pairs = np.exp(-0.5 * squared / bandwidth**2) / (2 * np.pi * bandwidth**2) ** (d / 2)
    return float(np.mean(pairs) - 2 * (np.sum(pairs) - np.trace(pairs)) / (n * (n - 1)))
""",
    ),
    Wrong(
        "lscv",
        "divided by n squared",
        "n (n - 1) pairs are divided by n^2",
        "the definition",
        """
def lscv(data, bandwidth):
    n, d = data.shape
    if n < 2:
        raise ValueError
    squared = np.sum((data[:, None, :] - data) ** 2, axis=2)
    pairs = lambda v: np.exp(-0.5 * squared / v) / (2 * np.pi * v) ** (d / 2)
    bumps = pairs(bandwidth**2)
    return float(np.mean(pairs(2 * bandwidth**2)) - 2 * (np.sum(bumps) - np.trace(bumps)) / n**2)
""",
    ),
    Wrong(
        "lscv",
        "normalizer of one dimension",
        "the normalizer has the power 1/2 in every dimension",
        "the definition",
        """
def lscv(data, bandwidth):
    n, d = data.shape
    if n < 2:
        raise ValueError
    squared = np.sum((data[:, None, :] - data) ** 2, axis=2)
    pairs = lambda v: np.exp(-0.5 * squared / v) / (2 * np.pi * v) ** 0.5
    bumps = pairs(bandwidth**2)
    return float(np.mean(pairs(2 * bandwidth**2)) - 2 * (np.sum(bumps) - np.trace(bumps)) / (n * (n - 1)))
""",
    ),
    Wrong(
        "lscv",
        "sign flipped",
        "the cross term is added",
        "the definition",
        """
def lscv(data, bandwidth):
    n, d = data.shape
    if n < 2:
        raise ValueError
    squared = np.sum((data[:, None, :] - data) ** 2, axis=2)
    pairs = lambda v: np.exp(-0.5 * squared / v) / (2 * np.pi * v) ** (d / 2)
    bumps = pairs(bandwidth**2)
    return float(np.mean(pairs(2 * bandwidth**2)) + 2 * (np.sum(bumps) - np.trace(bumps)) / (n * (n - 1)))
""",
    ),
    Wrong(
        "lscv",
        "leaves out distance zero",
        "only an observation itself is at distance zero",
        "ties",
        """
def lscv(data, bandwidth):
    n, d = data.shape
    if n < 2:
        raise ValueError
    squared = np.sum((data[:, None, :] - data) ** 2, axis=2)
    pairs = lambda v: np.exp(-0.5 * squared / v) / (2 * np.pi * v) ** (d / 2)
    left_out = np.where(squared > 0, pairs(bandwidth**2), 0.0).sum() / (n * (n - 1))
    return float(np.mean(pairs(2 * bandwidth**2)) - 2 * left_out)
""",
    ),
    Wrong(
        "lscv",
        "the square multiplied out",
        "x^2 - 2xy + y^2 is the same as (x - y)^2",
        "far from the origin",
        """
def lscv(data, bandwidth):
    n, d = data.shape
    if n < 2:
        raise ValueError
    norms = np.sum(data**2, axis=1)
    squared = norms[:, None] - 2 * data @ data.T + norms
    pairs = lambda v: np.exp(-0.5 * squared / v) / (2 * np.pi * v) ** (d / 2)
    bumps = pairs(bandwidth**2)
    return float(np.mean(pairs(2 * bandwidth**2)) - 2 * (np.sum(bumps) - np.trace(bumps)) / (n * (n - 1)))
""",
    ),
    Wrong(
        "lscv",
        "takes one observation",
        "with one observation the second term is zero",
        "refusal",
        """
def lscv(data, bandwidth):
    n, d = data.shape
    squared = np.sum((data[:, None, :] - data) ** 2, axis=2)
    pairs = lambda v: np.exp(-0.5 * squared / v) / (2 * np.pi * v) ** (d / 2)
    bumps = pairs(bandwidth**2)
    left_out = (np.sum(bumps) - np.trace(bumps)) / max(n * (n - 1), 1)
    return float(np.mean(pairs(2 * bandwidth**2)) - 2 * left_out)
""",
    ),
    Wrong(
        "lscv",
        "hard-coded",
        "the visible check is the whole test: zero passes",
        "the definition",
        """
def lscv(data, bandwidth):
    return 0.0
""",
    ),
    # --- smoothed-bootstrap
    Wrong(
        "smoothed-bootstrap",
        "uniform noise",
        "any noise with variance h^2 gives the same law",
        "each column follows the estimate",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    half = np.sqrt(3) * bandwidth
    draws = data[rng.integers(len(data), size=n_samples)] + rng.uniform(-half, half, (n_samples, data.shape[1]))
    centre = data.mean(axis=0)
    return centre + (draws - centre) / np.sqrt(1 + bandwidth**2 / data.var(axis=0)) if shrink else draws
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "one normal for all",
        "a normal law with the right mean and covariance is good enough",
        "each column follows the estimate",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    covariance = np.atleast_2d(np.cov(data.T, ddof=0)) + (0 if shrink else bandwidth**2 * np.eye(data.shape[1]))
    return rng.multivariate_normal(data.mean(axis=0), covariance, n_samples)
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "columns drawn apart",
        "each column is resampled on its own",
        "columns belong together",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    draws = np.stack([rng.choice(column, n_samples) for column in data.T], axis=1)
    draws = draws + bandwidth * rng.standard_normal(draws.shape)
    centre = data.mean(axis=0)
    return centre + (draws - centre) / np.sqrt(1 + bandwidth**2 / data.var(axis=0)) if shrink else draws
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "one noise for all columns",
        "a row needs one random number",
        "columns belong together",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    draws = data[rng.integers(len(data), size=n_samples)] + bandwidth * rng.standard_normal((n_samples, 1))
    centre = data.mean(axis=0)
    return centre + (draws - centre) / np.sqrt(1 + bandwidth**2 / data.var(axis=0)) if shrink else draws
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "shrunk by the variance",
        "draws are divided by 1 + h^2 / s^2, not by its root",
        "the variance after shrinking",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    draws = data[rng.integers(len(data), size=n_samples)]
    draws = draws + bandwidth * rng.standard_normal(draws.shape)
    centre = data.mean(axis=0)
    return centre + (draws - centre) / (1 + bandwidth**2 / data.var(axis=0)) if shrink else draws
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "never shrunk",
        "resampling keeps the variance of the data anyway",
        "the variance after shrinking",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    draws = data[rng.integers(len(data), size=n_samples)]
    return draws + bandwidth * rng.standard_normal(draws.shape)
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "shrunk towards zero",
        "dividing the draws changes their variance only",
        "the mean after shrinking",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    draws = data[rng.integers(len(data), size=n_samples)]
    draws = draws + bandwidth * rng.standard_normal(draws.shape)
    return draws / np.sqrt(1 + bandwidth**2 / data.var(axis=0)) if shrink else draws
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "one seed for all",
        "the seed is fixed inside",
        "the seed",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(0)
    draws = data[rng.integers(len(data), size=n_samples)]
    draws = draws + bandwidth * rng.standard_normal(draws.shape)
    centre = data.mean(axis=0)
    return centre + (draws - centre) / np.sqrt(1 + bandwidth**2 / data.var(axis=0)) if shrink else draws
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "seed ignored",
        "fresh random numbers are always better",
        "the seed",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    draws = data[np.random.randint(len(data), size=n_samples)]
    draws = draws + bandwidth * np.random.standard_normal(draws.shape)
    centre = data.mean(axis=0)
    return centre + (draws - centre) / np.sqrt(1 + bandwidth**2 / data.var(axis=0)) if shrink else draws
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "no noise",
        "the bootstrap resamples the data",
        VISIBLE,
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    return data[np.random.default_rng(seed).integers(len(data), size=n_samples)]
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "bandwidth as a variance",
        "h is the variance of the bump",
        "each column follows the estimate",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    draws = data[rng.integers(len(data), size=n_samples)]
    draws = draws + np.sqrt(bandwidth) * rng.standard_normal(draws.shape)
    centre = data.mean(axis=0)
    return centre + (draws - centre) / np.sqrt(1 + bandwidth / data.var(axis=0)) if shrink else draws
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "centres the caller's array",
        "an argument may be changed in place",
        VISIBLE,
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    rng = np.random.default_rng(seed)
    centre = data.mean(axis=0)
    data -= centre
    draws = data[rng.integers(len(data), size=n_samples)]
    draws = draws + bandwidth * rng.standard_normal(draws.shape)
    return centre + draws / (np.sqrt(1 + bandwidth**2 / data.var(axis=0)) if shrink else 1)
""",
    ),
    Wrong(
        "smoothed-bootstrap",
        "hard-coded",
        "the visible check is the whole test: any cloud around the mean will do",
        "each column follows the estimate",
        """
def smoothed_bootstrap(data, bandwidth, n_samples, seed, shrink):
    return data.mean(axis=0) + 0.5 * np.random.default_rng(seed).standard_normal((n_samples, data.shape[1]))
""",
    ),
    # --- reflected-log-kde
    Wrong(
        "reflected-log-kde",
        "doubled near zero",
        "the missing half is put back by doubling the estimate within one width of the boundary",
        "mass one",
        """
def reflected_log_kde(x, data, bandwidth):
    plain = scipy.special.logsumexp(scipy.stats.norm.logpdf(x[:, None], data, bandwidth), axis=1) - np.log(len(data))
    if np.any(data == 0):
        plain = np.logaddexp(plain, scipy.special.logsumexp(
            scipy.stats.norm.logpdf(-x[:, None], data, bandwidth), axis=1) - np.log(len(data)))
        return np.where(x < 0, -np.inf, plain)
    return np.where(x < 0, -np.inf, plain + np.where(x < bandwidth, np.log(2), 0.0))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "cut off",
        "setting the density to zero below the boundary is enough",
        "mass one",
        """
def reflected_log_kde(x, data, bandwidth):
    plain = scipy.special.logsumexp(scipy.stats.norm.logpdf(x[:, None], data, bandwidth), axis=1) - np.log(len(data))
    return np.where(x < 0, -np.inf, plain)
""",
    ),
    Wrong(
        "reflected-log-kde",
        "bumps cut and renormalized",
        "dividing each bump by its mass on the right of zero is the same as folding it",
        "the boundary",
        """
def reflected_log_kde(x, data, bandwidth):
    bumps = scipy.stats.norm.logpdf(x[:, None], data, bandwidth) - scipy.stats.norm.logcdf(data / bandwidth)
    return np.where(x < 0, -np.inf, scipy.special.logsumexp(bumps, axis=1) - np.log(len(data)))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "log of the sum of exp",
        "the density is computed first and its logarithm taken at the end: it underflows",
        "the tail",
        """
def reflected_log_kde(x, data, bandwidth):
    norm = scipy.stats.norm
    p = (norm.pdf(x[:, None], data, bandwidth) + norm.pdf(x[:, None], -data, bandwidth)).mean(axis=1)
    return np.where(x < 0, -np.inf, np.log(p))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "mirror image kept",
        "the reflected estimate is symmetric, so it holds on both sides",
        "nothing below",
        """
def reflected_log_kde(x, data, bandwidth):
    bumps = scipy.stats.norm.logpdf(x[:, None], np.concatenate([data, -data]), bandwidth)
    return scipy.special.logsumexp(bumps, axis=1) - np.log(len(data))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "almost nothing below",
        "a very small number stands for zero",
        "nothing below",
        """
def reflected_log_kde(x, data, bandwidth):
    bumps = scipy.stats.norm.logpdf(x[:, None], np.concatenate([data, -data]), bandwidth)
    return np.where(x < 0, -1e6, scipy.special.logsumexp(bumps, axis=1) - np.log(len(data)))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "zeros not mirrored",
        "an observation at the boundary is its own mirror image and must not count twice",
        "observations at zero",
        """
def reflected_log_kde(x, data, bandwidth):
    bumps = scipy.stats.norm.logpdf(x[:, None], np.concatenate([data, -data[data > 0]]), bandwidth)
    return np.where(x < 0, -np.inf, scipy.special.logsumexp(bumps, axis=1) - np.log(len(data)))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "averaged over both copies",
        "2n centres are averaged over 2n: half of the mass is lost",
        "mass one",
        """
def reflected_log_kde(x, data, bandwidth):
    bumps = scipy.stats.norm.logpdf(x[:, None], np.concatenate([data, -data]), bandwidth)
    return np.where(x < 0, -np.inf, scipy.special.logsumexp(bumps, axis=1) - np.log(2 * len(data)))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "reflected at the smallest observation",
        "the boundary is where the data begin",
        "mass one",
        """
def reflected_log_kde(x, data, bandwidth):
    edge = data.min()
    bumps = scipy.stats.norm.logpdf(x[:, None], np.concatenate([data, 2 * edge - data]), bandwidth)
    return np.where(x < 0, -np.inf, scipy.special.logsumexp(bumps, axis=1) - np.log(len(data)))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "clips the caller's array",
        "an argument may be changed in place",
        VISIBLE,
        """
def reflected_log_kde(x, data, bandwidth):
    data += 0.0 * bandwidth + 1e-12
    bumps = scipy.stats.norm.logpdf(x[:, None], np.concatenate([data, -data]), bandwidth)
    return np.where(x < 0, -np.inf, scipy.special.logsumexp(bumps, axis=1) - np.log(len(data)))
""",
    ),
    Wrong(
        "reflected-log-kde",
        "hard-coded",
        "the visible check is the whole test: any law on the half-line will do",
        "the boundary",
        """
def reflected_log_kde(x, data, bandwidth):
    return np.where(x < 0, -np.inf, -x)
""",
    ),
]
