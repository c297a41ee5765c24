"""Right and wrong answers to the lab on autoencoders; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("return np.sum(np.logaddexp(0.0, logits) - x", "return np.sum(np.logaddexp(0.0, logits) + x")

RIGHT = [
    Right(
        "cross-entropy",
        "both logarithms by scipy",
        """
def cross_entropy(x, logits):
    return -(x * scipy.special.log_expit(logits) + (1 - x) * scipy.special.log_expit(-logits)).sum(axis=1)
""",
    ),
    Right(
        "cross-entropy",
        "PyTorch",
        """
def cross_entropy(x, logits):
    import torch

    loss = torch.nn.functional.binary_cross_entropy_with_logits
    return loss(torch.tensor(logits), torch.tensor(x), reduction="none").sum(dim=1).numpy()
""",
    ),
    Right(
        "two-nn",
        "scikit-learn's neighbours",
        """
from sklearn.neighbors import NearestNeighbors

def two_nn(data):
    points = np.unique(data, axis=0)
    if len(points) <= 2:
        raise ValueError("three distinct rows at least")
    distances = NearestNeighbors(n_neighbors=2).fit(points).kneighbors()[0]  # without the point itself
    return len(points) / float(np.log(distances[:, 1] / distances[:, 0]).sum())
""",
    ),
    Right(
        "two-nn",
        "all distances, row by row",
        """
def two_nn(data):
    points = sorted({tuple(row) for row in data.tolist()})
    if len(points) < 3:
        raise ValueError("too few")
    points, total = np.array(points), 0.0
    for i, point in enumerate(points):
        others = np.delete(points, i, axis=0)
        first, second = np.partition(np.linalg.norm(others - point, axis=1), 1)[:2]
        total += np.log(second) - np.log(first)
    return float(len(points) / total)
""",
    ),
    Right(
        "linear-autoencoder",
        "eigenvectors of the covariance",
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    W = np.linalg.eigh(np.cov(data.T))[1][:, ::-1][:, :k].T
    return W, (np.eye(len(mean)) - W.T @ W) @ mean
""",
    ),
    Right(
        "linear-autoencoder",
        "scikit-learn's PCA, rotated",
        """
from sklearn.decomposition import PCA

def linear_autoencoder(data, k):
    pca = PCA(k, svd_solver="full").fit(data)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(k, k)))[0]
    W = turn @ pca.components_
    return W, pca.mean_ - pca.mean_ @ W.T @ W
""",
    ),
    Right(
        "log-mass",
        "one state after the other",
        """
def log_mass(W, a, V, c):
    total = -np.inf
    for number in range(2 ** len(c)):
        x = np.array([(number >> i) & 1 for i in range(len(c))], dtype=float)
        t = V @ np.tanh(W @ x + a) + c
        total = np.logaddexp(total, (x * scipy.special.log_expit(t) + (1 - x) * scipy.special.log_expit(-t)).sum())
    return float(total)
""",
    ),
    Right(
        "log-mass",
        "PyTorch on a grid of bits",
        """
def log_mass(W, a, V, c):
    import torch

    W, a, V, c = (torch.tensor(value) for value in (W, a, V, c))
    x = torch.stack(torch.meshgrid(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * len(c), indexing="ij"), -1)
    x = x.reshape(-1, len(c))
    logits = torch.tanh(x @ W.T + a) @ V.T + c
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
    return torch.logsumexp(-loss, 0).item()
""",
    ),
]

WRONG = [
    # --- cross-entropy
    Wrong(
        "cross-entropy",
        "mean over the columns",
        "the loss of a row is an average",
        "several columns",
        """
def cross_entropy(x, logits):
    return np.mean(np.logaddexp(0.0, logits) - x * logits, axis=1)
""",
    ),
    Wrong(
        "cross-entropy",
        "bits only",
        "every pixel is nought or one",
        "grey levels",
        """
def cross_entropy(x, logits):
    return np.sum(np.logaddexp(0.0, np.where(x > 0.5, -logits, logits)), axis=1)
""",
    ),
    Wrong(
        "cross-entropy",
        "a floor under the logarithm",
        "adding a tiny number before the logarithm repairs it",
        "sure of itself",
        """
def cross_entropy(x, logits):
    r = scipy.special.expit(logits)
    return -np.sum(x * np.log(r + 1e-300) + (1 - x) * np.log(1 - r + 1e-300), axis=1)
""",
    ),
    Wrong(
        "cross-entropy",
        "clipped probabilities",
        "probabilities may be kept away from nought and one",
        "sure of itself",
        """
def cross_entropy(x, logits):
    r = np.clip(scipy.special.expit(logits), 1e-15, 1 - 1e-15)
    return -np.sum(x * np.log(r) + (1 - x) * np.log1p(-r), axis=1)
""",
    ),
    Wrong(
        "cross-entropy",
        "exp first",
        "log(1 + exp t) can be computed as it is written",
        "sure of itself",
        """
def cross_entropy(x, logits):
    with np.errstate(over="ignore"):
        return np.sum(np.log1p(np.exp(logits)) - x * logits, axis=1)
""",
    ),
    Wrong(
        "cross-entropy",
        "squeezed",
        "there are always many rows",
        "one row",
        """
def cross_entropy(x, logits):
    return np.squeeze(np.sum(np.logaddexp(0.0, logits) - x * logits, axis=1))
""",
    ),
    Wrong(
        "cross-entropy",
        "wrong axis",
        "the sum is over the rows",
        VISIBLE,
        """
def cross_entropy(x, logits):
    return np.sum(np.logaddexp(0.0, logits) - x * logits, axis=0)
""",
    ),
    Wrong(
        "cross-entropy",
        "ones only",
        "a pixel that is nought costs nothing",
        VISIBLE,
        """
def cross_entropy(x, logits):
    return np.sum(x * np.logaddexp(0.0, -logits), axis=1)
""",
    ),
    Wrong(
        "cross-entropy",
        "bits of information",
        "the logarithm has base two",
        "several columns",
        """
def cross_entropy(x, logits):
    return np.sum(np.logaddexp(0.0, logits) - x * logits, axis=1) / np.log(2)
""",
    ),
    Wrong(
        "cross-entropy",
        "hard-coded",
        "the visible check is the whole test: any positive constant will do",
        "several columns",
        """
def cross_entropy(x, logits):
    return np.full(len(x), 2.0)
""",
    ),
    # --- two-nn
    Wrong(
        "two-nn",
        "squared distances",
        "squares of distances have the same ratio",
        "the definition",
        """
def two_nn(data):
    points = np.unique(data, axis=0)
    if len(points) < 3:
        raise ValueError("too few")
    distances = scipy.spatial.cKDTree(points).query(points, k=3)[0]
    return float(1 / np.mean(2 * np.log(distances[:, 2] / distances[:, 1])))
""",
    ),
    Wrong(
        "two-nn",
        "mean of the inverses",
        "one over a mean is the mean of ones over",
        "the definition",
        """
def two_nn(data):
    points = np.unique(data, axis=0)
    if len(points) < 3:
        raise ValueError("too few")
    distances = scipy.spatial.cKDTree(points).query(points, k=3)[0]
    return float(np.mean(1 / np.log(distances[:, 2] / distances[:, 1])))
""",
    ),
    Wrong(
        "two-nn",
        "third over second",
        "any two neighbours have this ratio",
        "the definition",
        """
def two_nn(data):
    points = np.unique(data, axis=0)
    if len(points) < 3:
        raise ValueError("too few")
    distances = scipy.spatial.cKDTree(points).query(points, k=4)[0]
    return float(1 / np.mean(np.log(distances[:, 3] / distances[:, 2])))
""",
    ),
    Wrong(
        "two-nn",
        "decimal logarithm",
        "the base of the logarithm does not matter",
        "the definition",
        """
def two_nn(data):
    points = np.unique(data, axis=0)
    if len(points) < 3:
        raise ValueError("too few")
    distances = scipy.spatial.cKDTree(points).query(points, k=3)[0]
    return float(1 / np.mean(np.log10(distances[:, 2] / distances[:, 1])))
""",
    ),
    Wrong(
        "two-nn",
        "ratio without a logarithm",
        "the ratio itself is exponential",
        "the definition",
        """
def two_nn(data):
    points = np.unique(data, axis=0)
    if len(points) < 3:
        raise ValueError("too few")
    distances = scipy.spatial.cKDTree(points).query(points, k=3)[0]
    return float(1 / np.mean(distances[:, 2] / distances[:, 1] - 1))
""",
    ),
    Wrong(
        "two-nn",
        "counts itself",
        "the nearest row is another one",
        VISIBLE,
        """
def two_nn(data):
    points = np.unique(data, axis=0)
    if len(points) < 3:
        raise ValueError("too few")
    distances = scipy.spatial.cKDTree(points).query(points, k=3)[0]
    with np.errstate(divide="ignore"):
        return float(1 / np.mean(np.log(distances[:, 1] / distances[:, 0])))
""",
    ),
    Wrong(
        "two-nn",
        "repeated rows left in",
        "equal rows do no harm",
        "repeated rows",
        """
def two_nn(data):
    if len(np.unique(data, axis=0)) < 3:
        raise ValueError("too few")
    distances = scipy.spatial.cKDTree(data).query(data, k=3)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(1 / np.mean(np.log(distances[:, 2] / distances[:, 1])))
""",
    ),
    Wrong(
        "two-nn",
        "zero distances skipped",
        "only rows whose neighbour is at distance nought need care",
        "repeated rows",
        """
def two_nn(data):
    if len(np.unique(data, axis=0)) < 3:
        raise ValueError("too few")
    distances = scipy.spatial.cKDTree(data).query(data, k=3)[0]
    distances = distances[distances[:, 1] > 0]
    return float(1 / np.mean(np.log(distances[:, 2] / distances[:, 1])))
""",
    ),
    Wrong(
        "two-nn",
        "the square multiplied out",
        "x^2 - 2xy + y^2 is the same as (x - y)^2",
        "far from the origin",
        """
def two_nn(data):
    points = np.unique(data, axis=0)
    if len(points) < 3:
        raise ValueError("too few")
    norms = np.sum(points**2, axis=1)
    squared = norms[:, None] - 2 * points @ points.T + norms
    np.fill_diagonal(squared, np.inf)
    near = np.sqrt(np.maximum(np.sort(squared, axis=1)[:, :2], 1e-12))
    return float(1 / np.mean(np.log(near[:, 1] / near[:, 0])))
""",
    ),
    Wrong(
        "two-nn",
        "counts rows, not distinct rows",
        "five rows are enough, whatever they are",
        "refusal",
        """
def two_nn(data):
    if len(data) < 3:
        raise ValueError("too few")
    points = np.unique(data, axis=0)
    distances = scipy.spatial.cKDTree(points).query(points, k=3)[0]
    return float(1 / np.mean(np.log(distances[:, 2] / distances[:, 1])))
""",
    ),
    Wrong(
        "two-nn",
        "hard-coded",
        "the visible check is the whole test: a roll has two dimensions",
        "the definition",
        """
def two_nn(data):
    return 2.0
""",
    ),
    # --- linear-autoencoder
    Wrong(
        "linear-autoencoder",
        "first component repeated",
        "one direction serves for all numbers of the code",
        "several numbers",
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    W = np.repeat(scipy.linalg.svd(data - mean, full_matrices=False)[2][:1], k, axis=0) / np.sqrt(k)
    return W, mean - W.T @ (W @ mean)
""",
    ),
    Wrong(
        "linear-autoencoder",
        "rows of the eigenvectors",
        "eigh returns eigenvectors as rows",
        "several numbers",
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    W = np.linalg.eigh(np.cov(data.T))[1][::-1][:k]
    return W, mean - W.T @ (W @ mean)
""",
    ),
    Wrong(
        "linear-autoencoder",
        "smallest components",
        "eigenvalues come with the largest first",
        VISIBLE,
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    W = np.linalg.eigh(np.cov(data.T))[1].T[:k]
    return W, mean - W.T @ (W @ mean)
""",
    ),
    Wrong(
        "linear-autoencoder",
        "not centred",
        "the singular vectors of the data themselves will do",
        "data with a mean",
        """
def linear_autoencoder(data, k):
    W = scipy.linalg.svd(data, full_matrices=False)[2][:k]
    return W, np.zeros(data.shape[1])
""",
    ),
    Wrong(
        "linear-autoencoder",
        "offset is the mean",
        "b is the mean of the data",
        "data with a mean",
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    return scipy.linalg.svd(data - mean, full_matrices=False)[2][:k], mean
""",
    ),
    Wrong(
        "linear-autoencoder",
        "offset forgotten",
        "the projection alone is the autoencoder",
        "data with a mean",
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    return scipy.linalg.svd(data - mean, full_matrices=False)[2][:k], 0 * mean
""",
    ),
    Wrong(
        "linear-autoencoder",
        "standardized columns",
        "columns must have unit variance before components are taken",
        "columns in their own units",
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    scale = data.std(axis=0)
    W = scipy.linalg.svd((data - mean) / scale, full_matrices=False)[2][:k]
    return W, mean - W.T @ (W @ mean)
""",
    ),
    Wrong(
        "linear-autoencoder",
        "the first rows only",
        "a few hundred rows are enough to find the components",
        "every row",
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    few = data[:200]
    W = scipy.linalg.svd(few - few.mean(axis=0), full_matrices=False)[2][:k]
    return W, mean - W.T @ (W @ mean)
""",
    ),
    Wrong(
        "linear-autoencoder",
        "scaled by singular values",
        "rows carry the size of their component",
        VISIBLE,
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    U, s, V = scipy.linalg.svd(data - mean, full_matrices=False)
    W = s[:k, None] * V[:k]
    return W, mean - W.T @ (W @ mean)
""",
    ),
    Wrong(
        "linear-autoencoder",
        "transposed",
        "W has one column for each number of the code",
        VISIBLE,
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    W = scipy.linalg.svd(data - mean, full_matrices=False)[2][:k]
    return W.T, mean - W.T @ (W @ mean)
""",
    ),
    Wrong(
        "linear-autoencoder",
        "centres the caller's array",
        "an argument may be changed in place",
        VISIBLE,
        """
def linear_autoencoder(data, k):
    mean = data.mean(axis=0)
    data -= mean + 1e-3
    W = scipy.linalg.svd(data, full_matrices=False)[2][:k]
    return W, mean - W.T @ (W @ mean)
""",
    ),
    Wrong(
        "linear-autoencoder",
        "hard-coded",
        "the visible check is the whole test: the line points along (1, -1)",
        "several numbers",
        """
def linear_autoencoder(data, k):
    W = np.zeros((k, data.shape[1]))
    W[0, :2] = 0.5**0.5, -(0.5**0.5)
    return W, np.zeros(data.shape[1])
""",
    ),
    # --- log-mass
    Wrong(
        "log-mass",
        "no activation",
        "the code is linear",
        "the definition",
        """
def log_mass(W, a, V, c):
    x = np.array(list(itertools.product([0.0, 1.0], repeat=len(c))))
    logits = (x @ W.T + a) @ V.T + c
    return float(scipy.special.logsumexp(np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)))
""",
    ),
    Wrong(
        "log-mass",
        "encoder without its bias",
        "a bias can be left out",
        "the definition",
        """
def log_mass(W, a, V, c):
    x = np.array(list(itertools.product([0.0, 1.0], repeat=len(c))))
    logits = np.tanh(x @ W.T) @ V.T + c
    return float(scipy.special.logsumexp(np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)))
""",
    ),
    Wrong(
        "log-mass",
        "sigmoid code",
        "tanh and the sigmoid are the same up to scale",
        "the definition",
        """
def log_mass(W, a, V, c):
    x = np.array(list(itertools.product([0.0, 1.0], repeat=len(c))))
    logits = scipy.special.expit(x @ W.T + a) @ V.T + c
    return float(scipy.special.logsumexp(np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)))
""",
    ),
    Wrong(
        "log-mass",
        "signs instead of bits",
        "a bit is -1 or 1",
        "the definition",
        """
def log_mass(W, a, V, c):
    x = np.array(list(itertools.product([0.0, 1.0], repeat=len(c))))
    logits = np.tanh((2 * x - 1) @ W.T + a) @ V.T + c
    return float(scipy.special.logsumexp(np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)))
""",
    ),
    Wrong(
        "log-mass",
        "probabilities first",
        "the sum is taken first and its logarithm at the end: it underflows",
        "tiny sums",
        """
def log_mass(W, a, V, c):
    x = np.array(list(itertools.product([0.0, 1.0], repeat=len(c))))
    r = scipy.special.expit(np.tanh(x @ W.T + a) @ V.T + c)
    with np.errstate(divide="ignore"):
        return float(np.log(np.sum(np.prod(np.where(x == 1, r, 1 - r), axis=1))))
""",
    ),
    Wrong(
        "log-mass",
        "clipped probabilities",
        "probabilities may be kept away from nought and one",
        "tiny sums",
        """
def log_mass(W, a, V, c):
    x = np.array(list(itertools.product([0.0, 1.0], repeat=len(c))))
    r = np.clip(scipy.special.expit(np.tanh(x @ W.T + a) @ V.T + c), 1e-12, 1 - 1e-12)
    return float(scipy.special.logsumexp(np.sum(x * np.log(r) + (1 - x) * np.log1p(-r), axis=1)))
""",
    ),
    Wrong(
        "log-mass",
        "one byte",
        "a state's number fits into a byte",
        "twelve bits",
        """
def log_mass(W, a, V, c):
    n = len(c)
    numbers = np.arange(2**n).astype(np.uint8)
    x = ((numbers[:, None] >> np.arange(n).astype(np.uint8)) & 1).astype(float)
    if n > 8:
        x[:, 8:] = 0.0
    logits = np.tanh(x @ W.T + a) @ V.T + c
    return float(scipy.special.logsumexp(np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)))
""",
    ),
    Wrong(
        "log-mass",
        "squeezed states",
        "there are always several bits",
        "one bit",
        """
def log_mass(W, a, V, c):
    x = np.squeeze(np.array(list(itertools.product([0.0, 1.0], repeat=len(c)))))
    logits = np.tanh(x @ W.T + a) @ V.T + c
    return float(scipy.special.logsumexp(np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)))
""",
    ),
    Wrong(
        "log-mass",
        "mean over the states",
        "the sum is an average",
        VISIBLE,
        """
def log_mass(W, a, V, c):
    x = np.array(list(itertools.product([0.0, 1.0], repeat=len(c))))
    logits = np.tanh(x @ W.T + a) @ V.T + c
    return float(np.log(np.mean(np.exp(np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)))))
""",
    ),
    Wrong(
        "log-mass",
        "sum of the losses",
        "the logarithm of a sum is the sum of the logarithms",
        VISIBLE,
        """
def log_mass(W, a, V, c):
    x = np.array(list(itertools.product([0.0, 1.0], repeat=len(c))))
    logits = np.tanh(x @ W.T + a) @ V.T + c
    return float(np.sum(x * logits - np.logaddexp(0.0, logits)))
""",
    ),
    Wrong(
        "log-mass",
        "random states",
        "a thousand random states stand for all",
        VISIBLE,
        """
def log_mass(W, a, V, c):
    n = len(c)
    x = np.random.default_rng(0).integers(0, 2, (1000, n)).astype(float)
    logits = np.tanh(x @ W.T + a) @ V.T + c
    terms = np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)
    return float(scipy.special.logsumexp(terms) + n * np.log(2) - np.log(1000))
""",
    ),
    Wrong(
        "log-mass",
        "hard-coded",
        "a probability sums to one, so the logarithm is nought",
        VISIBLE,
        """
def log_mass(W, a, V, c):
    return 0.0
""",
    ),
]
