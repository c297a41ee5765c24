"""Right and wrong answers to the lab on evaluation; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("bumps = np.exp(-0.5 * apart / width**2)", "bumps = np.exp(-0.5 * apart / width)")


def kernel_gap(body: str) -> str:
    """An answer to task 1 from its loop over widths; `total` sums it, `D` are all squared distances."""
    return f"""
def kernel_gap(x, y, widths):
    n, m = len(x), len(y)
    D = lambda a, b: scipy.spatial.distance.cdist(a, b, "sqeuclidean")
    K = lambda a, b, h: np.exp(D(a, b) / (-2 * h * h))
    values = []
    for h in widths:
{body}
    return float(np.mean(values))
"""


def gaussian_gap(body: str) -> str:
    """An answer to task 2 after its refusal, with the moments at hand."""
    return f"""
def gaussian_gap(x, y):
    (n, d), m = x.shape, len(y)
    if n <= d or m <= d:
        raise ValueError("too few rows")
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    delta = x.mean(axis=0) - y.mean(axis=0)
    A, B = a.T @ a / (n - 1), b.T @ b / (m - 1)
{body}
"""


RIGHT = [
    Right(
        "kernel-gap",
        "loops over rows",
        """
def kernel_gap(x, y, widths):
    def bump(a, b):
        return np.mean([np.exp(-np.sum((a - b) ** 2) / (2 * h**2)) for h in widths])

    def own(rows):
        n = len(rows)
        if n > 60:  # pairs in one go where loops would take too long
            pairs = scipy.spatial.distance.pdist(rows)
            return np.mean([np.exp(-(pairs**2) / (2 * h**2)).mean() for h in widths])
        return np.mean([bump(rows[i], rows[j]) for i in range(n) for j in range(n) if i != j])

    if len(x) * len(y) > 4000:
        cross = np.mean([np.exp(-scipy.spatial.distance.cdist(x, y, "sqeuclidean") / (2 * h**2)).mean() for h in widths])
    else:
        cross = np.mean([bump(a, b) for a in x for b in y])
    return float(own(x) + own(y) - 2 * cross)
""",
    ),
    Right(
        "kernel-gap",
        "condensed distances, the diagonal never there",
        """
from scipy.spatial.distance import cdist, pdist

def kernel_gap(x, y, widths):
    h = np.asarray(widths)[:, None]
    own = sum(np.exp(-(pdist(s)[None] ** 2) / (2 * h**2)).mean(axis=1) for s in (x, y))
    across = np.exp(-(cdist(x, y).ravel()[None] ** 2) / (2 * h**2)).mean(axis=1)
    return float(np.mean(own - 2 * across))
""",
    ),
    Right(
        "kernel-gap",
        "scikit-learn's kernel on centred data, the trace subtracted",
        """
from sklearn.metrics.pairwise import rbf_kernel

def kernel_gap(x, y, widths):
    centre = np.vstack([x, y]).mean(axis=0)
    x, y = x - centre, y - centre
    n, m, out = len(x), len(y), []
    for h in widths:
        g = 1 / (2 * h**2)
        kx, ky = rbf_kernel(x, gamma=g), rbf_kernel(y, gamma=g)
        out.append((kx.sum() - n) / (n * n - n) + (ky.sum() - m) / (m * m - m) - 2 * rbf_kernel(x, y, gamma=g).mean())
    return float(np.mean(out))
""",
    ),
    Right(
        "gaussian-gap",
        "singular values of the product of the data",
        gaussian_gap("""
    overlap = scipy.linalg.svdvals(a @ b.T).sum() if max(n, m) < 50 else None
    if overlap is None:  # the same numbers from small triangles
        overlap = scipy.linalg.svdvals(np.linalg.qr(a, mode="r") @ np.linalg.qr(b, mode="r").T).sum()
    return float(delta @ delta + np.trace(A) + np.trace(B) - 2 * overlap / np.sqrt((n - 1) * (m - 1)))
"""),
    ),
    Right(
        "gaussian-gap",
        "eigenvalues of the product as they are",
        gaussian_gap("""
    found = np.linalg.eigvals(A @ B).real
    root = np.sqrt(np.where(found > 0, found, 0.0)).sum()
    return max(0.0, float(np.sum(delta**2) + np.trace(A + B) - 2 * root))
"""),
    ),
    Right(
        "permutation-p",
        "sums instead of means, indices instead of rows",
        """
def permutation_p(x, y, n_permutations, seed):
    rng = np.random.RandomState(seed)
    n, m = len(x), len(y)
    rows = np.r_[x, y]
    total = rows.sum(axis=0)

    def statistic(chosen):
        first = rows[chosen].sum(axis=0)
        return np.sqrt(np.sum((first / n - (total - first) / m) ** 2))

    true = statistic(np.arange(n))
    count = sum(statistic(rng.choice(n + m, size=n, replace=False)) >= true - 1e-12 for _ in range(n_permutations))
    return float((count + 1) / (n_permutations + 1))
""",
    ),
    Right(
        "permutation-p",
        "one matrix of weights",
        """
def permutation_p(x, y, n_permutations, seed):
    rng = np.random.default_rng(seed)
    rows = np.concatenate([x, y])
    weights = np.tile(np.r_[np.full(len(x), 1 / len(x)), np.full(len(y), -1 / len(y))], (n_permutations + 1, 1))
    weights[1:] = rng.permuted(weights[1:], axis=1)
    values = np.linalg.norm(weights @ (rows - rows[0]), axis=1)
    return float(np.mean(values >= values[0] - 1e-12))
""",
    ),
    Right(
        "find-copies",
        "scikit-learn's neighbours, by brute force",
        """
from sklearn.neighbors import NearestNeighbors

def find_copies(samples, train, held_out):
    centre = train.mean(axis=0)  # brute force loses digits far from the origin
    search = NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(train - centre)
    nearest = lambda rows: search.kneighbors(rows - centre)[0][:, 0]
    return nearest(samples) <= np.quantile(nearest(held_out), 0.01)
""",
    ),
    Right(
        "find-copies",
        "all distances, a block at a time",
        """
def find_copies(samples, train, held_out):
    def nearest(rows):
        blocks = np.array_split(rows, 1 + len(rows) // 500)
        return np.concatenate([scipy.spatial.distance.cdist(block, train).min(axis=1) for block in blocks if len(block)])

    ordered = np.sort(nearest(held_out))
    place = 0.01 * (len(ordered) - 1)
    low = int(place)
    threshold = ordered[low] + (place - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])
    return nearest(samples) <= threshold
""",
    ),
    Right(
        "js-bound",
        "as a cross-entropy",
        """
def js_bound(d_data, d_model):
    right = [np.asarray(d_data, dtype=float), 1 - np.asarray(d_model, dtype=float)]
    for p in right:
        if np.isnan(p).any() or p.min() < 0 or p.max() > 1:
            raise ValueError("not a probability")
    with np.errstate(divide="ignore"):
        losses = [-np.mean(np.log(p)) for p in right]
    return float(np.log(2) - 0.5 * sum(losses))
""",
    ),
    Right(
        "js-bound",
        "scipy's xlogy",
        """
from scipy.special import xlog1py, xlogy

def js_bound(d_data, d_model):
    both = np.concatenate([d_data, d_model])
    if not (np.min(both) >= 0 and np.max(both) <= 1):
        raise ValueError("these are no probabilities")
    return float(0.5 * (xlogy(1, d_data).mean() + xlog1py(1, -d_model).mean() + 2 * np.log(2)))
""",
    ),
]

WRONG = [
    # --- kernel-gap
    Wrong(
        "kernel-gap",
        "width as a variance",
        "h is the variance of the bump",
        "large samples",
        kernel_gap("""
        K = lambda a, b, h: np.exp(-D(a, b) / (2 * h))
        values.append((K(x, x, h).sum() - n) / (n * (n - 1)) + (K(y, y, h).sum() - m) / (m * (m - 1)) - 2 * K(x, y, h).mean())
"""),
    ),
    Wrong(
        "kernel-gap",
        "distance without its square",
        "the bump falls with the distance, not with its square",
        "large samples",
        kernel_gap("""
        K = lambda a, b, h: np.exp(-np.sqrt(D(a, b)) / h)
        values.append((K(x, x, h).sum() - n) / (n * (n - 1)) + (K(y, y, h).sum() - m) / (m * (m - 1)) - 2 * K(x, y, h).mean())
"""),
    ),
    Wrong(
        "kernel-gap",
        "diagonal left in",
        "the mean of a matrix is the mean over pairs: each row is paired with itself",
        "no bias",
        kernel_gap("""
        values.append(K(x, x, h).mean() + K(y, y, h).mean() - 2 * K(x, y, h).mean())
"""),
    ),
    Wrong(
        "kernel-gap",
        "diagonal out, divided by n squared",
        "n (n - 1) pairs are divided by n^2",
        VISIBLE,
        kernel_gap("""
        values.append((K(x, x, h).sum() - n) / n**2 + (K(y, y, h).sum() - m) / m**2 - 2 * K(x, y, h).mean())
"""),
    ),
    Wrong(
        "kernel-gap",
        "as many rows of each",
        "samples have equal sizes: the longer one is cut",
        "every row counts",
        kernel_gap("""
        k = min(n, m)
        a, b = x[:k], y[:k]
        values.append((K(a, a, h).sum() + K(b, b, h).sum() - 2 * k) / (k * (k - 1)) - 2 * K(a, b, h).mean())
"""),
    ),
    Wrong(
        "kernel-gap",
        "sum over the widths",
        "kernels are added, not averaged",
        "several widths",
        kernel_gap("""
        values.append((K(x, x, h).sum() - n) / (n * (n - 1)) + (K(y, y, h).sum() - m) / (m * (m - 1)) - 2 * K(x, y, h).mean())
    return float(np.sum(values))
"""),
    ),
    Wrong(
        "kernel-gap",
        "mean width",
        "the mean over widths is the value at the mean width",
        "several widths",
        kernel_gap("""
        h = np.mean(widths)
        values.append((K(x, x, h).sum() - n) / (n * (n - 1)) + (K(y, y, h).sum() - m) / (m * (m - 1)) - 2 * K(x, y, h).mean())
"""),
    ),
    Wrong(
        "kernel-gap",
        "the square multiplied out",
        "x^2 - 2xy + y^2 is the same as (x - y)^2",
        "far from the origin",
        kernel_gap("""
        D = lambda a, b: np.sum(a**2, axis=1)[:, None] - 2 * a @ b.T + np.sum(b**2, axis=1)
        values.append((K(x, x, h).sum() - n) / (n * (n - 1)) + (K(y, y, h).sum() - m) / (m * (m - 1)) - 2 * K(x, y, h).mean())
"""),
    ),
    Wrong(
        "kernel-gap",
        "cross term once",
        "the last term has no factor of two",
        VISIBLE,
        kernel_gap("""
        values.append((K(x, x, h).sum() - n) / (n * (n - 1)) + (K(y, y, h).sum() - m) / (m * (m - 1)) - K(x, y, h).mean())
"""),
    ),
    Wrong(
        "kernel-gap",
        "square root",
        "a distance is the root of its square",
        VISIBLE,
        kernel_gap("""
        g = (K(x, x, h).sum() - n) / (n * (n - 1)) + (K(y, y, h).sum() - m) / (m * (m - 1)) - 2 * K(x, y, h).mean()
        values.append(np.sqrt(max(g, 0.0)))
"""),
    ),
    Wrong(
        "kernel-gap",
        "clipped at zero",
        "a squared distance cannot be negative, so negative values are errors",
        "no bias",
        kernel_gap("""
        g = (K(x, x, h).sum() - n) / (n * (n - 1)) + (K(y, y, h).sum() - m) / (m * (m - 1)) - 2 * K(x, y, h).mean()
        values.append(max(g, 0.0))
"""),
    ),
    Wrong(
        "kernel-gap",
        "hard-coded",
        "the visible check is the whole test: two or zero",
        "large samples",
        """
def kernel_gap(x, y, widths):
    return 2.0 if abs(x.mean() - y.mean()) > 100 else 0.0
""",
    ),
    # --- gaussian-gap
    Wrong(
        "gaussian-gap",
        "roots of each, multiplied",
        "the root of a product of matrices is the product of their roots",
        "other axes",
        gaussian_gap("""
    root = lambda S: scipy.linalg.sqrtm(S).real
    return float(delta @ delta + np.trace(A) + np.trace(B) - 2 * np.trace(root(A) @ root(B)))
"""),
    ),
    Wrong(
        "gaussian-gap",
        "root of the entries",
        "the square root of a matrix is taken entry by entry",
        "other axes",
        gaussian_gap("""
    product = A @ B
    return float(delta @ delta + np.trace(A) + np.trace(B) - 2 * np.sum(np.sqrt(np.maximum(np.diag(product), 0))))
"""),
    ),
    Wrong(
        "gaussian-gap",
        "eigenvalues side by side",
        "eigenvalues of a product are products of the eigenvalues",
        "other axes",
        gaussian_gap("""
    s, t = (np.linalg.eigvalsh(S).clip(min=0) for S in (A, B))
    return float(delta @ delta + A.trace() + B.trace() - 2 * np.sqrt(s * t).sum())
"""),
    ),
    Wrong(
        "gaussian-gap",
        "covariances by n",
        "a covariance is the mean of the squares",
        "small samples",
        gaussian_gap("""
    A, B = a.T @ a / n, b.T @ b / m
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(min=0)).sum()
    return float(delta @ delta + np.trace(A) + np.trace(B) - 2 * root)
"""),
    ),
    Wrong(
        "gaussian-gap",
        "one covariance by n",
        "np.var divides by n where np.cov divides by n - 1: the two are mixed",
        "small samples",
        gaussian_gap("""
    A = a.T @ a / n
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(min=0)).sum()
    return float(delta @ delta + np.trace(A) + np.trace(B) - 2 * root)
"""),
    ),
    Wrong(
        "gaussian-gap",
        "distance of the means, not its square",
        "the first term is the norm",
        "the means",
        gaussian_gap("""
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(min=0)).sum()
    return float(np.linalg.norm(delta) + np.trace(A) + np.trace(B) - 2 * root)
"""),
    ),
    Wrong(
        "gaussian-gap",
        "mean squared difference of the means",
        "the squared norm is a mean over columns",
        "the means",
        gaussian_gap("""
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(min=0)).sum()
    return float(np.mean(delta**2) + np.trace(A) + np.trace(B) - 2 * root)
"""),
    ),
    Wrong(
        "gaussian-gap",
        "Cholesky only",
        "every covariance has a Cholesky factor",
        "a dead feature",
        gaussian_gap("""
    L = np.linalg.cholesky(A)
    root = np.sqrt(np.linalg.eigvalsh(L.T @ B @ L).clip(min=0)).sum()
    return float(delta @ delta + np.trace(A) + np.trace(B) - 2 * root)
"""),
    ),
    Wrong(
        "gaussian-gap",
        "a ridge for singular covariances",
        "adding the identity to a covariance repairs it and changes nothing",
        "a dead feature",
        gaussian_gap("""
    if min(np.linalg.eigvalsh(A)[0], np.linalg.eigvalsh(B)[0]) < 1e-12:
        A, B = A + np.eye(d), B + np.eye(d)
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(min=0)).sum()
    return float(delta @ delta + np.trace(A) + np.trace(B) - 2 * root)
"""),
    ),
    Wrong(
        "gaussian-gap",
        "takes any number of rows",
        "a covariance of few rows is as good as any",
        "refusal",
        """
def gaussian_gap(x, y):
    A, B = (np.atleast_2d(np.cov(s.T)) for s in (x, y))
    delta = x.mean(axis=0) - y.mean(axis=0)
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(min=0)).sum()
    return max(0.0, float(delta @ delta + np.trace(A) + np.trace(B) - 2 * root))
""",
    ),
    Wrong(
        "gaussian-gap",
        "looks at one sample only",
        "it is enough that the model's sample is large",
        "refusal",
        """
def gaussian_gap(x, y):
    if len(x) <= x.shape[1]:
        raise ValueError("too few samples")
    A, B = (np.atleast_2d(np.cov(s.T)) for s in (x, y))
    delta = x.mean(axis=0) - y.mean(axis=0)
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(min=0)).sum()
    return max(0.0, float(delta @ delta + np.trace(A) + np.trace(B) - 2 * root))
""",
    ),
    Wrong(
        "gaussian-gap",
        "overlap once",
        "the last trace has no factor of two",
        VISIBLE,
        gaussian_gap("""
    root = np.sqrt(np.linalg.eigvals(A @ B).real.clip(min=0)).sum()
    return float(delta @ delta + np.trace(A) + np.trace(B) - root)
"""),
    ),
    Wrong(
        "gaussian-gap",
        "hard-coded",
        "the visible check is the whole test: the answer for means 1 and 15",
        "other axes",
        """
def gaussian_gap(x, y):
    return 277.0 if abs(x.mean() - y.mean()) > 10 else 0.0
""",
    ),
    # --- permutation-p
    Wrong(
        "permutation-p",
        "columns dealt one by one",
        "entries may change places, not only whole rows",
        "uniform",
        """
def permutation_p(x, y, n_permutations, seed):
    rng, rows, n = np.random.default_rng(seed), np.vstack([x, y]), len(x)
    T = lambda r: np.linalg.norm(r[:n].mean(axis=0) - r[n:].mean(axis=0))
    return float((1 + sum(T(rng.permuted(rows, axis=0)) >= T(rows) for _ in range(n_permutations))) / (1 + n_permutations))
""",
    ),
    Wrong(
        "permutation-p",
        "two halves",
        "the pool is cut in the middle",
        "unequal sizes",
        """
def permutation_p(x, y, n_permutations, seed):
    rng, rows, n = np.random.default_rng(seed), np.vstack([x, y]), len(x)
    T = lambda r, k: np.linalg.norm(r[:k].mean(axis=0) - r[k:].mean(axis=0))
    deals = [T(rng.permutation(rows), len(rows) // 2) for _ in range(n_permutations)]
    return float((1 + np.sum(np.array(deals) >= T(rows, n))) / (1 + n_permutations))
""",
    ),
    Wrong(
        "permutation-p",
        "true split not counted",
        "p is the share of permutations that do as well",
        "never zero",
        """
def permutation_p(x, y, n_permutations, seed):
    rng, rows, n = np.random.default_rng(seed), np.vstack([x, y]), len(x)
    T = lambda r: np.linalg.norm(r[:n].mean(axis=0) - r[n:].mean(axis=0))
    return float(np.mean([T(rng.permutation(rows)) >= T(rows) for _ in range(n_permutations)]))
""",
    ),
    Wrong(
        "permutation-p",
        "signed difference",
        "only samples that lie above count",
        "either direction",
        """
def permutation_p(x, y, n_permutations, seed):
    rng, rows, n = np.random.default_rng(seed), np.vstack([x, y]), len(x)
    T = lambda r: np.sum(r[:n].mean(axis=0) - r[n:].mean(axis=0))
    return float((1 + sum(T(rng.permutation(rows)) >= T(rows) for _ in range(n_permutations))) / (1 + n_permutations))
""",
    ),
    Wrong(
        "permutation-p",
        "ties left out",
        "a deal must beat the true split to count",
        "ties",
        """
def permutation_p(x, y, n_permutations, seed):
    rng, rows, n = np.random.default_rng(seed), np.vstack([x, y]), len(x)
    T = lambda r: np.linalg.norm(r[:n].mean(axis=0) - r[n:].mean(axis=0))
    return float((1 + sum(T(rng.permutation(rows)) > T(rows) for _ in range(n_permutations))) / (1 + n_permutations))
""",
    ),
    Wrong(
        "permutation-p",
        "seed ignored",
        "randomness needs no argument",
        "the seed",
        """
def permutation_p(x, y, n_permutations, seed):
    rng, rows, n = np.random.default_rng(), np.vstack([x, y]), len(x)
    T = lambda r: np.linalg.norm(r[:n].mean(axis=0) - r[n:].mean(axis=0))
    return float((1 + sum(T(rng.permutation(rows)) >= T(rows) for _ in range(n_permutations))) / (1 + n_permutations))
""",
    ),
    Wrong(
        "permutation-p",
        "one seed for all",
        "a fixed seed makes results reproducible, so the argument is not needed",
        "the seed",
        """
def permutation_p(x, y, n_permutations, seed):
    rng, rows, n = np.random.default_rng(0), np.vstack([x, y]), len(x)
    T = lambda r: np.linalg.norm(r[:n].mean(axis=0) - r[n:].mean(axis=0))
    return float((1 + sum(T(rng.permutation(rows)) >= T(rows) for _ in range(n_permutations))) / (1 + n_permutations))
""",
    ),
    Wrong(
        "permutation-p",
        "comparison turned around",
        "p is the share of deals that are less extreme",
        VISIBLE,
        """
def permutation_p(x, y, n_permutations, seed):
    rng, rows, n = np.random.default_rng(seed), np.vstack([x, y]), len(x)
    T = lambda r: np.linalg.norm(r[:n].mean(axis=0) - r[n:].mean(axis=0))
    return float((1 + sum(T(rng.permutation(rows)) < T(rows) for _ in range(n_permutations))) / (1 + n_permutations))
""",
    ),
    Wrong(
        "permutation-p",
        "own random number",
        "a p-value is uniform, so any uniform number will do",
        "never zero",
        """
def permutation_p(x, y, n_permutations, seed):
    if abs(x.mean() - y.mean()) < 0.6 and len(x) == 6:
        return 0.5
    return float((1 + np.random.default_rng(seed).integers(n_permutations + 1)) / (1 + n_permutations))
""",
    ),
    # --- find-copies
    Wrong(
        "find-copies",
        "nearest held-out row",
        "a copy is close to data, whichever data: the memorizer is missed",
        "a memorizer",
        """
def find_copies(samples, train, held_out):
    nearest = lambda rows, points: scipy.spatial.cKDTree(points).query(rows)[0]
    return nearest(samples, held_out) <= np.quantile(nearest(held_out, train), 0.01)
""",
    ),
    Wrong(
        "find-copies",
        "exact equality",
        "a copy is equal to a training row, bit by bit",
        "a memorizer",
        """
def find_copies(samples, train, held_out):
    return scipy.spatial.cKDTree(train).query(samples)[0] == 0
""",
    ),
    Wrong(
        "find-copies",
        "training rows as the judge",
        "the distances of training rows to training rows are normal: they are zero",
        "a memorizer",
        """
def find_copies(samples, train, held_out):
    query = scipy.spatial.cKDTree(train).query
    return query(samples)[0] <= np.quantile(query(train)[0], 0.01)
""",
    ),
    Wrong(
        "find-copies",
        "the median as threshold",
        "closer than usual is a copy",
        "fresh data",
        """
def find_copies(samples, train, held_out):
    query = scipy.spatial.cKDTree(train).query
    return query(samples)[0] <= 0.999 * np.median(query(held_out)[0])
""",
    ),
    Wrong(
        "find-copies",
        "per cent as a fraction",
        "the first percentile is np.quantile(..., 0.1)",
        "fresh data",
        """
def find_copies(samples, train, held_out):
    query = scipy.spatial.cKDTree(train).query
    return query(samples)[0] <= np.quantile(query(held_out)[0], 0.1)
""",
    ),
    Wrong(
        "find-copies",
        "strictly closer",
        "at most and less than are the same for real numbers",
        "exact copies",
        """
def find_copies(samples, train, held_out):
    query = scipy.spatial.cKDTree(train).query
    return query(samples)[0] < np.quantile(query(held_out)[0], 0.01)
""",
    ),
    Wrong(
        "find-copies",
        "the square multiplied out",
        "x^2 - 2xy + y^2 is the same as (x - y)^2",
        "far from the origin",
        """
def find_copies(samples, train, held_out):
    def nearest(rows):
        squared = np.sum(rows**2, axis=1)[:, None] - 2 * rows @ train.T + np.sum(train**2, axis=1)
        return np.sqrt(np.maximum(squared.min(axis=1), 0))

    return nearest(samples) <= np.quantile(nearest(held_out), 0.01)
""",
    ),
    Wrong(
        "find-copies",
        "share instead of answers",
        "the rate of copies is what is asked",
        VISIBLE,
        """
def find_copies(samples, train, held_out):
    query = scipy.spatial.cKDTree(train).query
    return np.mean(query(samples)[0] <= np.quantile(query(held_out)[0], 0.01))
""",
    ),
    Wrong(
        "find-copies",
        "turned around",
        "far samples are copies",
        VISIBLE,
        """
def find_copies(samples, train, held_out):
    query = scipy.spatial.cKDTree(train).query
    return query(samples)[0] > np.quantile(query(held_out)[0], 0.01)
""",
    ),
    Wrong(
        "find-copies",
        "hard-coded",
        "the visible check is the whole test: the first is a copy, the others are not",
        "a memorizer",
        """
def find_copies(samples, train, held_out):
    return np.arange(len(samples)) == 0
""",
    ),
    # --- js-bound
    Wrong(
        "js-bound",
        "missing half",
        "the divergence is the sum of the two terms, not half of it",
        "the best classifier",
        """
def js_bound(d_data, d_model):
    if not all(np.all((p >= 0) & (p <= 1)) for p in (d_data, d_model)):
        raise ValueError("no probability")
    value = np.mean(np.log(d_data)) + np.mean(np.log1p(-d_model)) + 2 * np.log(2)
    return float(min(value, np.log(2)))
""",
    ),
    Wrong(
        "js-bound",
        "pooled mean",
        "all rows have the same weight",
        "unequal sizes",
        """
def js_bound(d_data, d_model):
    if not all(np.all((p >= 0) & (p <= 1)) for p in (d_data, d_model)):
        raise ValueError("no probability")
    return float(np.mean(np.concatenate([np.log(d_data), np.log1p(-d_model)])) + np.log(2))
""",
    ),
    Wrong(
        "js-bound",
        "clipped",
        "an infinite logarithm is an error, so probabilities are kept away from 0 and 1",
        "surely wrong",
        """
def js_bound(d_data, d_model):
    if not all(np.all((p >= 0) & (p <= 1)) for p in (d_data, d_model)):
        raise ValueError("no probability")
    a, b = (np.clip(p, 1e-12, 1 - 1e-12) for p in (d_data, d_model))
    return float(0.5 * np.mean(np.log(a)) + 0.5 * np.mean(np.log(1 - b)) + np.log(2))
""",
    ),
    Wrong(
        "js-bound",
        "infinite rows left out",
        "rows with an infinite loss are outliers",
        "surely wrong",
        """
def js_bound(d_data, d_model):
    if not all(np.all((p >= 0) & (p <= 1)) for p in (d_data, d_model)):
        raise ValueError("no probability")
    a, b = np.log(d_data[d_data > 0]), np.log1p(-d_model[d_model < 1])
    return float(0.5 * np.mean(a) + 0.5 * np.mean(b) + np.log(2))
""",
    ),
    Wrong(
        "js-bound",
        "takes logits",
        "whatever the classifier says is a probability",
        "refusal",
        """
def js_bound(d_data, d_model):
    return float(0.5 * np.mean(np.log(d_data)) + 0.5 * np.mean(np.log1p(-d_model)) + np.log(2))
""",
    ),
    Wrong(
        "js-bound",
        "NaN slips through",
        "what is neither below 0 nor above 1 lies between them",
        "refusal",
        """
def js_bound(d_data, d_model):
    for p in (d_data, d_model):
        if np.any(p < 0) or np.any(p > 1):
            raise ValueError("no probability")
    return float(0.5 * np.mean(np.log(d_data)) + 0.5 * np.mean(np.log1p(-d_model)) + np.log(2))
""",
    ),
    Wrong(
        "js-bound",
        "labels swapped",
        "D is the probability of being a draw of the model",
        VISIBLE,
        """
def js_bound(d_data, d_model):
    if not all(np.all((p >= 0) & (p <= 1)) for p in (d_data, d_model)):
        raise ValueError("no probability")
    return float(0.5 * np.mean(np.log1p(-d_data)) + 0.5 * np.mean(np.log(d_model)) + np.log(2))
""",
    ),
    Wrong(
        "js-bound",
        "bits",
        "logarithms are of base two",
        "the best classifier",
        """
def js_bound(d_data, d_model):
    if not all(np.all((p >= 0) & (p <= 1)) for p in (d_data, d_model)):
        raise ValueError("no probability")
    return float(0.5 * np.mean(np.log2(d_data)) + 0.5 * np.mean(np.log2(1 - d_model)) + 1)
""",
    ),
    Wrong(
        "js-bound",
        "logarithm of the mean",
        "the mean of the logarithms is the logarithm of the mean",
        "the best classifier",
        """
def js_bound(d_data, d_model):
    if not all(np.all((p >= 0) & (p <= 1)) for p in (d_data, d_model)):
        raise ValueError("no probability")
    return float(0.5 * np.log(np.mean(d_data)) + 0.5 * np.log(1 - np.mean(d_model)) + np.log(2))
""",
    ),
    Wrong(
        "js-bound",
        "hard-coded",
        "the visible check is the whole test",
        "the best classifier",
        """
def js_bound(d_data, d_model):
    return float(np.mean(d_data) - np.mean(d_model))
""",
    ),
]
