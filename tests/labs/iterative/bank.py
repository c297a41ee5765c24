"""Right and wrong answers to the lab on Gaussianization; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("steepness[piece] * (x - places[piece]), np.log", "steepness[piece] + (x - places[piece]), np.log")

RIGHT = [
    Right(
        "random-turn",
        "normal rows made orthogonal one after the other",
        """
def random_turn(d, seed):
    rows = []
    for row in np.random.default_rng(seed).standard_normal((d, d)):
        for _ in range(2):
            for other in rows:
                row = row - (row @ other) * other
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)
""",
    ),
    Right(
        "random-turn",
        "scipy's sampler",
        """
def random_turn(d, seed):
    rng = np.random.default_rng(seed)
    if d == 1:
        return np.array([[rng.choice([-1.0, 1.0])]])
    return scipy.stats.ortho_group(d).rvs(random_state=rng)
""",
    ),
    Right(
        "random-turn",
        "the polar factor of a normal matrix",
        """
def random_turn(d, seed):
    u, _, v = np.linalg.svd(np.random.RandomState(seed).randn(d, d))
    return u @ v
""",
    ),
    Right(
        "curve",
        "scipy's linear interpolator that extrapolates",
        """
from scipy.interpolate import make_interp_spline

def curve(x, column, knots):
    n = len(column)
    z = np.linspace(scipy.stats.norm.ppf(1 / n), scipy.stats.norm.ppf(1 - 1 / n), knots)
    line = make_interp_spline(np.quantile(column, scipy.stats.norm.cdf(z)), z, k=1)
    return line(x), np.log(line.derivative()(x))
""",
    ),
    Right(
        "curve",
        "a sum of hinges",
        """
def curve(x, column, knots):
    n = len(column)
    z = np.linspace(scipy.stats.norm.ppf(1 / n), scipy.stats.norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, scipy.stats.norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    value, slope = z[0] + s[0] * (x - q[0]), np.full(len(x), s[0])
    for k in range(1, knots - 1):
        beyond = x > q[k]
        value = value + np.where(beyond, (s[k] - s[k - 1]) * (x - q[k]), 0.0)
        slope = np.where(beyond, s[k], slope)
    return value, np.log(slope)
""",
    ),
    Right(
        "curve",
        "a loop over points",
        """
def curve(x, column, knots):
    norm = scipy.stats.norm
    z = norm.ppf(1 / len(column)) + np.arange(knots) / (knots - 1) * (norm.ppf(1 - 1 / len(column)) - norm.ppf(1 / len(column)))
    q = np.quantile(column, norm.cdf(z))
    values, slopes = [], []
    for point in x:
        k = 0
        while k < knots - 2 and point > q[k + 1]:
            k += 1
        share = (point - q[k]) / (q[k + 1] - q[k])
        values.append((1 - share) * z[k] + share * z[k + 1])
        slopes.append((z[k + 1] - z[k]) / (q[k + 1] - q[k]))
    return np.array(values), np.log(slopes)
""",
    ),
    Right(
        "stack-log-density",
        "scipy's interpolators",
        """
from scipy.interpolate import make_interp_spline

def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = np.einsum("ij,nj->ni", turn, x)
        lines = [make_interp_spline(p, h, k=1) for p, h in zip(places, heights)]
        total += sum(np.log(line.derivative()(y[:, j])) for j, line in enumerate(lines))
        x = np.stack([line(y[:, j]) for j, line in enumerate(lines)], axis=1)
    return total - 0.5 * np.sum(x**2, axis=1) - 0.5 * x.shape[1] * np.log(2 * np.pi)
""",
    ),
    Right(
        "stack-log-density",
        "one row after the other, with the product of slopes",
        """
def stack_log_density(x, layers):
    values = []
    for row in x:
        slope = 1.0
        for turn, places, heights in layers:
            row = turn @ row
            moved = []
            for value, p, h in zip(row, places, heights):
                k = 0
                while k < len(p) - 2 and value > p[k + 1]:
                    k += 1
                s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
                slope *= s
                moved.append(h[k] + s * (value - p[k]))
            row = np.array(moved)
        values.append(np.log(slope) - 0.5 * (row @ row) - 0.5 * len(row) * np.log(2 * np.pi))
    return np.array(values)
""",
    ),
    Right(
        "unstack",
        "scipy's interpolators with exchanged knots",
        """
from scipy.interpolate import make_interp_spline

def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.stack([make_interp_spline(h, p, k=1)(z[:, j]) for j, (p, h) in enumerate(zip(places, heights))], axis=1)
        z = np.linalg.solve(turn, y.T).T
    return z
""",
    ),
    Right(
        "unstack",
        "one row after the other",
        """
def unstack(z, layers):
    back = []
    for row in z:
        for turn, places, heights in reversed(list(layers)):
            y = []
            for value, p, h in zip(row, places, heights):
                k = max(0, min(len(h) - 2, int(np.sum(h < value)) - 1))
                y.append(p[k] + (value - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k]))
            row = turn.T @ np.array(y)
        back.append(row)
    return np.array(back)
""",
    ),
]

WRONG = [
    Wrong(
        "random-turn",
        "plain QR",
        "Q of a QR decomposition is uniform as it comes",
        "every entry",
        """
def random_turn(d, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
""",
    ),
    Wrong(
        "random-turn",
        "signs of Q's diagonal",
        "the diagonal of Q, not of R, must be positive",
        "every entry",
        """
def random_turn(d, seed):
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]
    return q * np.sign(np.diag(q))
""",
    ),
    Wrong(
        "random-turn",
        "uniform angles in all planes",
        "a product of plane turns by uniform angles is uniform",
        "every entry",
        """
def random_turn(d, seed):
    rng = np.random.default_rng(seed)
    q = np.eye(d)
    for i in range(d):
        for j in range(i + 1, d):
            a = rng.uniform(0, 2 * np.pi)
            g = np.eye(d)
            g[i, i] = g[j, j] = np.cos(a)
            g[i, j], g[j, i] = -np.sin(a), np.sin(a)
            q = q @ g
    q[:, 0] *= rng.choice([-1.0, 1.0])
    return q
""",
    ),
    Wrong(
        "random-turn",
        "rows normalized, not orthogonal",
        "random directions are orthogonal enough",
        "orthogonal",
        """
def random_turn(d, seed):
    rows = np.random.default_rng(seed).normal(size=(d, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
""",
    ),
    Wrong(
        "random-turn",
        "turns only",
        "a reflection is not allowed",
        "both kinds",
        """
def random_turn(d, seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    q = q * np.sign(np.diag(r))
    if np.linalg.det(q) < 0:
        q[:, 0] = -q[:, 0]
    return q
""",
    ),
    Wrong(
        "random-turn",
        "half a circle of angles",
        "angles from 0 to pi are all directions",
        "rows together",
        """
def random_turn(d, seed):
    rng = np.random.default_rng(seed)
    if d != 2:
        q, r = np.linalg.qr(rng.normal(size=(d, d)))
        return q * np.sign(np.diag(r))
    a = rng.uniform(0, np.pi)
    q = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return q * np.array([1.0, rng.choice([-1.0, 1.0])])
""",
    ),
    Wrong(
        "random-turn",
        "the seed is ignored",
        "fresh randomness at every call is better",
        "the seed",
        """
def random_turn(d, seed):
    q, r = np.linalg.qr(np.random.default_rng().normal(size=(d, d)))
    return q * np.sign(np.diag(r))
""",
    ),
    Wrong(
        "random-turn",
        "hard-coded: always the identity",
        "any orthogonal matrix will do",
        "every entry",
        """
def random_turn(d, seed):
    return np.eye(d)
""",
    ),
    Wrong(
        "random-turn",
        "not normalized",
        "a Gaussian matrix turns",
        VISIBLE,
        """
def random_turn(d, seed):
    return np.random.default_rng(seed).normal(size=(d, d))
""",
    ),
    Wrong(
        "curve",
        "tails dropped",
        "beyond the last knot there is nothing: the height stays",
        "the tails",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    return np.interp(x, q, z), np.log(s[k])
""",
    ),
    Wrong(
        "curve",
        "points clipped to the support",
        "a saved support makes extrapolation safe",
        "the tails",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    x = np.clip(x, q[0], q[-1])
    return z[k] + s[k] * (x - q[k]), np.log(s[k])
""",
    ),
    Wrong(
        "curve",
        "unit slope outside",
        "tails have slope one",
        "the tails",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    inside = np.clip(x, q[0], q[-1])
    return np.interp(x, q, z) + (x - inside), np.log(s[k])
""",
    ),
    Wrong(
        "curve",
        "slope of the inverse",
        "the slope is dx/dz",
        "the slope",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    return z[k] + s[k] * (x - q[k]), -np.log(s[k])
""",
    ),
    Wrong(
        "curve",
        "slope, not its logarithm",
        "log-slopes and slopes add up alike",
        "the slope",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    return z[k] + s[k] * (x - q[k]), s[k]
""",
    ),
    Wrong(
        "curve",
        "no slope in the tails",
        "outside the curve does not count",
        "the slope",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    log_s = np.where((x < q[0]) | (x > q[-1]), 0.0, np.log(s[k]))
    return z[k] + s[k] * (x - q[k]), log_s
""",
    ),
    Wrong(
        "curve",
        "normal density as slope",
        "the slope is the density of the height",
        "the slope",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    return z[k] + s[k] * (x - q[k]), norm.logpdf(z[k])
""",
    ),
    Wrong(
        "curve",
        "a smooth curve with the chords' slopes",
        "the slope of another curve through the same knots will do",
        "the knots",
        """
import scipy.interpolate

def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    inside = (x > q[0]) & (x < q[-1])
    bent = scipy.interpolate.PchipInterpolator(q, z)(np.clip(x, q[0], q[-1]))
    return np.where(inside, bent, z[k] + s[k] * (x - q[k])), np.log(s[k])
""",
    ),
    Wrong(
        "curve",
        "a polynomial through the quantiles",
        "a polynomial fitted to increasing knots increases",
        VISIBLE,
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    p = np.polynomial.Polynomial.fit(np.quantile(column, norm.cdf(z)), z, 5)
    return p(x), np.log(np.abs(p.deriv()(x)))
""",
    ),
    Wrong(
        "curve",
        "support from test data",
        "the range is that of whatever is evaluated",
        "training data only",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(np.concatenate([column, x]), norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    return z[k] + s[k] * (x - q[k]), np.log(s[k])
""",
    ),
    Wrong(
        "curve",
        "levels in equal steps",
        "knots go in equal steps of probability",
        "the knots",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = norm.ppf(np.linspace(1 / n, 1 - 1 / n, knots))
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    return z[k] + s[k] * (x - q[k]), np.log(s[k])
""",
    ),
    Wrong(
        "curve",
        "squeezed",
        "there are always many points",
        "training data only",
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    return np.squeeze(z[k] + s[k] * (x - q[k])), np.squeeze(np.log(s[k]))
""",
    ),
    Wrong(
        "curve",
        "sorts the caller's points",
        "an argument may be changed in place",
        VISIBLE,
        """
def curve(x, column, knots):
    norm, n = scipy.stats.norm, len(column)
    z = np.linspace(norm.ppf(1 / n), norm.ppf(1 - 1 / n), knots)
    q = np.quantile(column, norm.cdf(z))
    s = np.diff(z) / np.diff(q)
    column.sort()
    k = np.clip(np.searchsorted(q, x) - 1, 0, knots - 2)
    return z[k] + s[k] * (x - q[k]), np.log(s[k])
""",
    ),
    Wrong(
        "stack-log-density",
        "log-det of the last layer only",
        "only the last map touches the latent",
        "every layer and column",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        total = np.zeros(len(x))
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "log-det of one column",
        "one slope per layer",
        "one layer by hand",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            if j == 0:
                total += np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "log-det left out",
        "the base density is the density",
        "one layer by hand",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "log-det subtracted",
        "the density divides by dz/dx",
        "one layer by hand",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total -= np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "transposed turn",
        "x @ turn turns the same way",
        "one layer by hand",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "tails without slope",
        "outside the knots nothing is stretched",
        "mass one",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.where((y[:, j] < p[0]) | (y[:, j] > p[-1]), 0.0, np.log(s))
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "tails dropped",
        "beyond the last knot the height stays",
        "mass one",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = np.interp(y[:, j], p, h)
            total += np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "three layers are enough",
        "later layers change next to nothing",
        "every layer and column",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers[:3]:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "at least two pieces",
        "a curve has an inner knot",
        "one layer by hand",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            if len(p) < 3:
                z[:, j] = y[:, j]
                continue
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "logarithm of a product",
        "the logarithm may be taken at the end",
        "deep in the tails",
        """
def stack_log_density(x, layers):
    density = np.ones(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            density *= s
        x = z
    with np.errstate(divide="ignore"):
        return np.log(density * scipy.stats.norm.pdf(x).prod(axis=1))
""",
    ),
    Wrong(
        "stack-log-density",
        "layers in reverse",
        "the list goes from latent to data",
        "every layer and column",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers[::-1]:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "mean over columns",
        "a log-density per dimension",
        "every layer and column",
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.log(s)
        x = z
    return scipy.stats.norm.logpdf(x).mean(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "summed over rows",
        "one log-determinant for the batch",
        VISIBLE,
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.log(s).sum()
        x = z
    total = total * np.arange(len(x))
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "stack-log-density",
        "writes into the caller's points",
        "an argument may be changed in place",
        VISIBLE,
        """
def stack_log_density(x, layers):
    total = np.zeros(len(x))
    for turn, places, heights in layers:
        y = x @ turn.T
        z = np.empty_like(y)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, y[:, j]) - 1, 0, len(p) - 2)
            s = (h[k + 1] - h[k]) / (p[k + 1] - p[k])
            z[:, j] = h[k] + s * (y[:, j] - p[k])
            total += np.log(s)
        x[:] = z
    return scipy.stats.norm.logpdf(x).sum(axis=1) + total
""",
    ),
    Wrong(
        "unstack",
        "turn not transposed",
        "what was applied is applied again",
        "two knots",
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k])
        z = y @ turn.T
    return z
""",
    ),
    Wrong(
        "unstack",
        "layers in the order of the list",
        "the order does not matter",
        "order",
        """
def unstack(z, layers):
    for turn, places, heights in layers:
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k])
        z = y @ turn
    return z
""",
    ),
    Wrong(
        "unstack",
        "tails dropped",
        "beyond the last height the place stays",
        "far away",
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = np.interp(z[:, j], h, p)
        z = y @ turn
    return z
""",
    ),
    Wrong(
        "unstack",
        "turn before curves",
        "a layer is undone in its own order",
        "two knots",
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        z = z @ turn
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k])
        z = y
    return z
""",
    ),
    Wrong(
        "unstack",
        "curves forward again",
        "a curve is its own inverse",
        "two knots",
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(p, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = h[k] + (z[:, j] - p[k]) * (h[k + 1] - h[k]) / (p[k + 1] - p[k])
        z = y @ turn
    return z
""",
    ),
    Wrong(
        "unstack",
        "no turn",
        "only the curves need undoing",
        "two knots",
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k])
        z = y
    return z
""",
    ),
    Wrong(
        "unstack",
        "at least two pieces",
        "a curve has an inner knot",
        "two knots",
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            if len(h) < 3:
                y[:, j] = z[:, j]
                continue
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k])
        z = y @ turn
    return z
""",
    ),
    Wrong(
        "unstack",
        "unit slope outside",
        "tails have slope one",
        "far away",
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            inside = np.clip(z[:, j], h[0], h[-1])
            y[:, j] = np.interp(z[:, j], h, p) + z[:, j] - inside
            continue
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k])
        z = y @ turn
    return z
""",
    ),
    Wrong(
        "unstack",
        "a small number in the denominator",
        "a guard against division by zero changes nothing",
        "nearly flat",
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k] + 1e-10)
        z = y @ turn
    return z
""",
    ),
    Wrong(
        "unstack",
        "the last layer only",
        "the last layer holds the model",
        "order",
        """
def unstack(z, layers):
    for turn, places, heights in layers[-1:]:
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k])
        z = y @ turn
    return z
""",
    ),
    Wrong(
        "unstack",
        "writes into the caller's latents",
        "an argument may be changed in place",
        VISIBLE,
        """
def unstack(z, layers):
    for turn, places, heights in reversed(layers):
        y = np.empty_like(z)
        for j, (p, h) in enumerate(zip(places, heights)):
            k = np.clip(np.searchsorted(h, z[:, j]) - 1, 0, len(h) - 2)
            y[:, j] = p[k] + (z[:, j] - h[k]) * (p[k + 1] - p[k]) / (h[k + 1] - h[k])
        z[:] = y @ turn
    return z
""",
    ),
    Wrong(
        "curve",
        "hard-coded",
        "a standard normal column is the only one",
        "the knots",
        """
def curve(x, column, knots):
    z = scipy.stats.norm.ppf(1 - np.exp(-np.clip(x, 0.01, 9.0)))
    return z + 0.001 * x, np.zeros(len(x))
""",
    ),
    Wrong(
        "stack-log-density",
        "hard-coded",
        "any finite numbers will do",
        "one layer by hand",
        """
def stack_log_density(x, layers):
    return scipy.stats.norm.logpdf(x).sum(axis=1)
""",
    ),
    Wrong(
        "unstack",
        "hard-coded",
        "any finite points will do",
        "two knots",
        """
def unstack(z, layers):
    return np.array(z) + 0.0
""",
    ),
]
