"""Right and wrong answers to the lab on coupling flows; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("(z - shift) * np.exp(-log_scale)", "(z - shift) * np.exp(log_scale)")


def forward(body):
    return "def coupling_forward(x, mask, weights):\n" + body


def inverse(body):
    return "def coupling_inverse(z, mask, weights):\n" + body


def density(body):
    return "def flow_log_prob(path, log_dets):\n" + body


def norm(body):
    return "def batch_norm(x, mean, var, training):\n" + body


RIGHT = [
    Right(
        "coupling-forward",
        "by index",
        forward("""
    given, moved = np.flatnonzero(mask), np.flatnonzero(mask == 0)
    rows = np.zeros_like(x)
    rows[:, given] = x[:, given]
    t, s = net(rows, weights)
    z = x.copy()
    z[:, moved] = np.exp(s[:, moved]) * x[:, moved] + t[:, moved]
    return z, s[:, moved] @ np.ones(len(moved))
"""),
    ),
    Right(
        "coupling-forward",
        "log-scales set to zero where a column is given",
        forward("""
    t, s = net(np.where(mask == 1, x, 0.0), weights)
    s, t = np.where(mask == 1, 0.0, s), np.where(mask == 1, 0.0, t)
    return x * np.exp(s) + t, np.log(np.exp(s)).sum(-1)
"""),
    ),
    Right(
        "coupling-inverse",
        "by index",
        inverse("""
    moved = mask == 0
    t, s = net(np.where(moved, 0.0, z), weights)
    x = np.array(z)
    x[:, moved] -= t[:, moved]
    x[:, moved] /= np.exp(s[:, moved])
    return x
"""),
    ),
    Right(
        "coupling-inverse",
        "row by row, as a linear system",
        inverse("""
    t, s = net(mask * z, weights)
    rows = []
    for k in range(len(z)):
        matrix = np.diag(np.where(mask > 0, 1.0, np.exp(s[k])))
        rows.append(np.linalg.solve(matrix, z[k] - np.where(mask > 0, 0.0, t[k])))
    return np.array(rows)
"""),
    ),
    Right(
        "flow-log-prob",
        "scipy's multivariate normal",
        density("""
    z = path[len(log_dets)]
    log_base = scipy.stats.multivariate_normal(np.zeros(z.shape[1])).logpdf(z)
    return np.atleast_1d(log_base) + np.asarray(log_dets).sum(0)
"""),
    ),
    Right(
        "flow-log-prob",
        "column by column, layer by layer",
        density("""
    total = np.zeros(path.shape[1])
    for column in path[-1].T:
        total += scipy.stats.norm.logpdf(column)
    for log_det in log_dets:
        total += log_det
    return total
"""),
    ),
    Right(
        "batch-norm",
        "the variance by the second moment about the mean",
        norm("""
    if training:
        centre = np.sum(x, axis=0) / len(x)
        spread = np.mean((x - centre) ** 2, axis=0)
        mean, var = mean + 0.1 * (centre - mean), var + 0.1 * (spread - var)
    else:
        centre, spread = mean, var
    scale = (spread + 1e-5) ** -0.5
    return (x - centre) * scale, np.repeat(np.log(scale).sum(), len(x)), mean, var
"""),
    ),
    Right(
        "batch-norm",
        "torch's batch normalization for the images",
        norm("""
    import torch
    m, v = (x.mean(0), np.mean(x * x, 0) - x.mean(0) ** 2) if training else (mean, var)
    as_tensor = lambda a: torch.tensor(np.asarray(a))
    z = torch.nn.functional.batch_norm(as_tensor(x), as_tensor(m), as_tensor(v), eps=1e-5).numpy()
    log_det = -0.5 * np.log(v + 1e-5).sum() + np.zeros(len(x))
    return (z, log_det, 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v) if training else (z, log_det, mean, var)
"""),
    ),
]

WRONG = [
    # --- coupling-forward
    Wrong(
        "coupling-forward",
        "sign flipped",
        "the log-determinant is that of the inverse",
        "the determinant",
        forward("""
    t, s = net(x * mask, weights)
    return mask * x + (1 - mask) * (x * np.exp(s) + t), -np.sum((1 - mask) * s, axis=1)
"""),
    ),
    Wrong(
        "coupling-forward",
        "per dimension",
        "the log-determinant is the mean over the columns",
        "the determinant",
        forward("""
    t, s = net(x * mask, weights)
    return mask * x + (1 - mask) * (x * np.exp(s) + t), np.mean((1 - mask) * s, axis=1)
"""),
    ),
    Wrong(
        "coupling-forward",
        "given columns counted",
        "every log-scale that the network returns counts",
        "the determinant",
        forward("""
    t, s = net(x * mask, weights)
    return mask * x + (1 - mask) * (x * np.exp(s) + t), np.sum(s, axis=1)
"""),
    ),
    Wrong(
        "coupling-forward",
        "summed over the batch",
        "one log-determinant for the whole batch, repeated",
        "the determinant",
        forward("""
    t, s = net(x * mask, weights)
    total = np.sum((1 - mask) * s)
    return mask * x + (1 - mask) * (x * np.exp(s) + t), np.full(len(x), total)
"""),
    ),
    Wrong(
        "coupling-forward",
        "the network sees everything",
        "the network may look at what it moves",
        "the determinant",
        forward("""
    t, s = net(x, weights)
    return mask * x + (1 - mask) * (x * np.exp(s) + t), np.sum((1 - mask) * s, axis=1)
"""),
    ),
    Wrong(
        "coupling-forward",
        "mask off by one",
        "the mask is shifted by one column",
        "what is given",
        forward("""
    mask = np.roll(mask, 1)
    t, s = net(x * mask, weights)
    return mask * x + (1 - mask) * (x * np.exp(s) + t), np.sum((1 - mask) * s, axis=1)
"""),
    ),
    Wrong(
        "coupling-forward",
        "the first columns are given",
        "a mask only says how many columns are given",
        "any mask",
        forward("""
    m = int(mask.sum())
    mask = np.array([1.0] * m + [0.0] * (len(mask) - m))
    t, s = net(x * mask, weights)
    return mask * x + (1 - mask) * (x * np.exp(s) + t), np.sum((1 - mask) * s, axis=1)
"""),
    ),
    Wrong(
        "coupling-forward",
        "mask the wrong way round",
        "one means that a column moves",
        "what is given",
        forward("""
    t, s = net(x * (1 - mask), weights)
    return (1 - mask) * x + mask * (x * np.exp(s) + t), np.sum(mask * s, axis=1)
"""),
    ),
    Wrong(
        "coupling-forward",
        "shift first",
        "the order of scaling and shifting does not matter",
        "what is given",
        forward("""
    t, s = net(x * mask, weights)
    return mask * x + (1 - mask) * (x + t) * np.exp(s), np.sum((1 - mask) * s, axis=1)
"""),
    ),
    Wrong(
        "coupling-forward",
        "squeezed",
        "there are always many rows",
        "one row",
        forward("""
    t, s = net(x * mask, weights)
    z = mask * x + (1 - mask) * (x * np.exp(s) + t)
    return z, np.squeeze(np.sum((1 - mask) * s, axis=1))
"""),
    ),
    Wrong(
        "coupling-forward",
        "only the images",
        "the log-determinant is somebody else's task",
        VISIBLE,
        forward("""
    t, s = net(x * mask, weights)
    return mask * x + (1 - mask) * (x * np.exp(s) + t)
"""),
    ),
    Wrong(
        "coupling-forward",
        "hard-coded",
        "the visible check is the whole test: any shift will do",
        "what is given",
        forward("""
    return x + 1.0, np.zeros(len(x))
"""),
    ),
    # --- coupling-inverse
    Wrong(
        "coupling-inverse",
        "no brackets",
        "the inverse is z - t exp(-s), without brackets around the difference",
        "round trip",
        inverse("""
    t, s = net(z * mask, weights)
    return mask * z + (1 - mask) * (z - t * np.exp(-s))
"""),
    ),
    Wrong(
        "coupling-inverse",
        "scale first",
        "undone in the order in which it was done",
        "round trip",
        inverse("""
    t, s = net(z * mask, weights)
    return mask * z + (1 - mask) * (z * np.exp(-s) - t)
"""),
    ),
    Wrong(
        "coupling-inverse",
        "forward again",
        "the layer is its own inverse",
        "round trip",
        inverse("""
    t, s = net(z * mask, weights)
    return mask * z + (1 - mask) * (z * np.exp(s) + t)
"""),
    ),
    Wrong(
        "coupling-inverse",
        "mask off by one",
        "the mask is shifted by one column",
        "round trip",
        inverse("""
    mask = np.roll(mask, 1)
    t, s = net(z * mask, weights)
    return mask * z + (1 - mask) * (z - t) * np.exp(-s)
"""),
    ),
    Wrong(
        "coupling-inverse",
        "the first columns are given",
        "a mask only says how many columns are given",
        "any mask",
        inverse("""
    m = int(mask.sum())
    mask = np.array([1.0] * m + [0.0] * (len(mask) - m))
    t, s = net(z * mask, weights)
    return mask * z + (1 - mask) * (z - t) * np.exp(-s)
"""),
    ),
    Wrong(
        "coupling-inverse",
        "the network of the moved rows",
        "the network is evaluated on all of z",
        "round trip",
        inverse("""
    t, s = net(z, weights)
    return mask * z + (1 - mask) * (z - t) * np.exp(-s)
"""),
    ),
    Wrong(
        "coupling-inverse",
        "bisection in a box",
        "data are never large, so a root is sought between -50 and 50",
        "far away",
        inverse("""
    t, s = net(z * mask, weights)
    low, high = np.full(z.shape, -50.0), np.full(z.shape, 50.0)
    for _ in range(80):
        middle = 0.5 * (low + high)
        below = middle * np.exp(s) + t < z
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(mask > 0, z, 0.5 * (low + high))
"""),
    ),
    Wrong(
        "coupling-inverse",
        "squeezed",
        "there are always many rows",
        "one row",
        inverse("""
    t, s = net(z * mask, weights)
    return np.squeeze(mask * z + (1 - mask) * (z - t) * np.exp(-s))
"""),
    ),
    Wrong(
        "coupling-inverse",
        "hard-coded",
        "the visible check is the whole test: the identity passes",
        "round trip",
        inverse("""
    return z.copy()
"""),
    ),
    # --- flow-log-prob
    Wrong(
        "flow-log-prob",
        "base density at the data",
        "the latent law is evaluated at x, the other end of the path",
        "the formula",
        density("""
    return scipy.stats.norm.logpdf(path[0]).sum(axis=1) + np.sum(log_dets, axis=0)
"""),
    ),
    Wrong(
        "flow-log-prob",
        "normalizer of one dimension",
        "half log 2 pi once, not for every column",
        "the formula",
        density("""
    return -0.5 * np.sum(path[-1] ** 2, axis=1) - 0.5 * np.log(2 * np.pi) + np.sum(log_dets, axis=0)
"""),
    ),
    Wrong(
        "flow-log-prob",
        "no normalizer",
        "the constant of the latent law does not matter",
        "the formula",
        density("""
    return -0.5 * np.sum(path[-1] ** 2, axis=1) + np.sum(log_dets, axis=0)
"""),
    ),
    Wrong(
        "flow-log-prob",
        "per dimension",
        "the log-density is a mean over the columns",
        "the formula",
        density("""
    return scipy.stats.norm.logpdf(path[-1]).mean(axis=1) + np.sum(log_dets, axis=0)
"""),
    ),
    Wrong(
        "flow-log-prob",
        "sign flipped",
        "the log-determinants are subtracted, as on the way from latent to data",
        VISIBLE,
        density("""
    return scipy.stats.norm.logpdf(path[-1]).sum(axis=1) - np.sum(log_dets, axis=0)
"""),
    ),
    Wrong(
        "flow-log-prob",
        "the last layer only",
        "the last log-determinant holds those before it",
        VISIBLE,
        density("""
    return scipy.stats.norm.logpdf(path[-1]).sum(axis=1) + log_dets[-1]
"""),
    ),
    Wrong(
        "flow-log-prob",
        "starts from the first layer",
        "there is always a first layer",
        "no layers",
        density("""
    total = log_dets[0].copy()
    for log_det in log_dets[1:]:
        total += log_det
    return scipy.stats.norm.logpdf(path[-1]).sum(axis=1) + total
"""),
    ),
    Wrong(
        "flow-log-prob",
        "log of the product of densities",
        "the density first, its logarithm at the end: it underflows",
        "far away",
        density("""
    with np.errstate(divide="ignore"):
        return np.log(scipy.stats.norm.pdf(path[-1]).prod(axis=1)) + np.sum(log_dets, axis=0)
"""),
    ),
    Wrong(
        "flow-log-prob",
        "squeezed",
        "there are always many rows",
        "one row",
        density("""
    return np.squeeze(scipy.stats.norm.logpdf(path[-1]).sum(axis=1) + np.sum(log_dets, axis=0))
"""),
    ),
    Wrong(
        "flow-log-prob",
        "hard-coded",
        "the visible check is the whole test: the latent law drops out of its difference",
        "the formula",
        density("""
    return np.sum(log_dets, axis=0) - 4.2
"""),
    ),
    # --- batch-norm
    Wrong(
        "batch-norm",
        "running averages in training",
        "training normalizes by the running averages too",
        "training",
        norm("""
    m, v = (x.mean(axis=0), x.var(axis=0)) if training else (mean, var)
    log_det = np.full(len(x), -0.5 * np.sum(np.log(v + 1e-5)))
    z = (x - mean) / np.sqrt(var + 1e-5)
    return (z, log_det, 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v) if training else (z, log_det, mean, var)
"""),
    ),
    Wrong(
        "batch-norm",
        "divided by n - 1",
        "a variance is always divided by n - 1",
        "training",
        norm("""
    m, v = (x.mean(axis=0), x.var(axis=0)) if training else (mean, var)
    w = x.var(axis=0, ddof=1) if training else var
    log_det = np.full(len(x), -0.5 * np.sum(np.log(v + 1e-5)))
    z = (x - m) / np.sqrt(w + 1e-5)
    return (z, log_det, 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v) if training else (z, log_det, mean, var)
"""),
    ),
    Wrong(
        "batch-norm",
        "batch statistics in evaluation",
        "the batch's own statistics are better than old averages",
        "evaluation",
        norm("""
    m, v = x.mean(axis=0), x.var(axis=0)
    z = (x - m) / np.sqrt(v + 1e-5)
    if not training:
        return z, np.full(len(x), -0.5 * np.sum(np.log(var + 1e-5))), mean, var
    return z, np.full(len(x), -0.5 * np.sum(np.log(v + 1e-5))), 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v
"""),
    ),
    Wrong(
        "batch-norm",
        "not counted",
        "normalization does not change a density",
        "the determinant",
        norm("""
    m, v = (x.mean(axis=0), x.var(axis=0)) if training else (mean, var)
    z = (x - m) / np.sqrt(v + 1e-5)
    return (z, np.zeros(len(x)), 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v) if training else (z, np.zeros(len(x)), mean, var)
"""),
    ),
    Wrong(
        "batch-norm",
        "log-det of the variance",
        "a column is scaled by one over the variance, not over its root",
        "the determinant",
        norm("""
    m, v = (x.mean(axis=0), x.var(axis=0)) if training else (mean, var)
    z, log_det = (x - m) / np.sqrt(v + 1e-5), np.full(len(x), -np.sum(np.log(v + 1e-5)))
    return (z, log_det, 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v) if training else (z, log_det, mean, var)
"""),
    ),
    Wrong(
        "batch-norm",
        "sign flipped",
        "the log-determinant is that of the inverse",
        "the determinant",
        norm("""
    m, v = (x.mean(axis=0), x.var(axis=0)) if training else (mean, var)
    z, log_det = (x - m) / np.sqrt(v + 1e-5), np.full(len(x), 0.5 * np.sum(np.log(v + 1e-5)))
    return (z, log_det, 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * v) if training else (z, log_det, mean, var)
"""),
    ),
    Wrong(
        "batch-norm",
        "averages move in evaluation",
        "every batch updates the averages",
        "the averages",
        norm("""
    m, v = (x.mean(axis=0), x.var(axis=0)) if training else (mean, var)
    z, log_det = (x - m) / np.sqrt(v + 1e-5), np.full(len(x), -0.5 * np.sum(np.log(v + 1e-5)))
    return z, log_det, 0.9 * mean + 0.1 * x.mean(axis=0), 0.9 * var + 0.1 * x.var(axis=0)
"""),
    ),
    Wrong(
        "batch-norm",
        "weights exchanged",
        "the old average has weight 0.1 and the batch 0.9",
        "the averages",
        norm("""
    m, v = (x.mean(axis=0), x.var(axis=0)) if training else (mean, var)
    z, log_det = (x - m) / np.sqrt(v + 1e-5), np.full(len(x), -0.5 * np.sum(np.log(v + 1e-5)))
    return (z, log_det, 0.1 * mean + 0.9 * m, 0.1 * var + 0.9 * v) if training else (z, log_det, mean, var)
"""),
    ),
    Wrong(
        "batch-norm",
        "hard-coded",
        "the visible check is the whole test: shapes and finite numbers",
        "the determinant",
        norm("""
    return x.copy(), np.zeros(len(x)), mean, var
"""),
    ),
]
