"""Right and wrong answers to the lab on Wasserstein GANs; a wrong one names the misconception behind it."""

from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("at = fake + t[:, None] * (real - fake)", "at = fake + t[:, None] * (real + fake)")

RIGHT = [
    Right(
        "line-distance",
        "levels without repetition",
        """
def line_distance(x, y, a, b, r):
    i, j = np.argsort(x), np.argsort(y)
    x, y, A, B = x[i], y[j], np.cumsum(a[i]) / a.sum(), np.cumsum(b[j]) / b.sum()
    u = np.unique(np.concatenate([A, B]))
    w = np.diff(u, prepend=0.0)
    m = u - w / 2
    X, Y = (p[np.minimum(np.searchsorted(P, m), len(p) - 1)] for p, P in ((x, A), (y, B)))
    return float(np.sum(w * np.abs(X - Y) ** r) ** (1 / r))
""",
    ),
    Right(
        "line-distance",
        "two fingers",
        """
def line_distance(x, y, a, b, r):
    left, right = sorted(zip(x, a / a.sum())), sorted(zip(y, b / b.sum()))
    i = j = 0
    here, there, total = left[0][1], right[0][1], 0.0
    while True:
        moved = min(here, there)
        total += moved * abs(left[i][0] - right[j][0]) ** r
        here, there = here - moved, there - moved
        if here <= there:
            i += 1
            if i == len(left):
                break
            here = left[i][1]
        else:
            j += 1
            if j == len(right):
                break
            there = right[j][1]
        if here < 0 or there < 0:
            break
    return float(total ** (1 / r))
""",
    ),
    Right(
        "line-distance",
        "linear program",
        """
def line_distance(x, y, a, b, r):
    n, m = len(x), len(y)
    rows = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    cost = (np.abs(np.subtract.outer(x, y)) ** r).ravel()
    masses = np.concatenate([a / a.sum(), b / b.sum()])
    return float(max(scipy.optimize.linprog(cost, A_eq=rows[:-1], b_eq=masses[:-1]).fun, 0.0) ** (1 / r))
""",
    ),
    Right(
        "penalty",
        "hyperbolic cosine",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return (np.sqrt((g**2).sum(axis=1)) - 1) ** 2
""",
    ),
    Right(
        "penalty",
        "one row after the other",
        """
def penalty(W, c, v, real, fake, t):
    paid = []
    for x, y, s in zip(real, fake, t):
        slope = W.T @ (v * (1 - np.tanh(W @ (s * x + (1 - s) * y) + c) ** 2))
        paid.append((np.linalg.norm(slope) - 1) ** 2)
    return np.array(paid)
""",
    ),
    Right(
        "penalty",
        "PyTorch",
        """
def penalty(W, c, v, real, fake, t):
    import torch

    W, c, v, real, fake, t = (torch.tensor(part) for part in (W, c, v, real, fake, t))
    x = torch.lerp(fake, real, t[:, None]).requires_grad_()
    (slope,) = torch.autograd.grad((torch.tanh(x @ W.T + c) @ v).sum(), x)
    return (slope.norm(dim=1) - 1).square().numpy()
""",
    ),
    Right(
        "critic-step",
        "PyTorch",
        """
def critic_step(W, c, v, real, fake, t, weight):
    import torch

    real, fake, t = (torch.tensor(part) for part in (real, fake, t))
    parts = [torch.tensor(part, requires_grad=True) for part in (W, c, v)]
    f = lambda x: torch.tanh(x @ parts[0].T + parts[1]) @ parts[2]
    x = torch.lerp(fake, real, t[:, None]).requires_grad_()
    (slope,) = torch.autograd.grad(f(x).sum(), x, create_graph=True)
    loss = (f(fake) - f(real) + weight * (slope.norm(dim=1) - 1) ** 2).mean()
    return loss.item(), *(g.numpy() for g in torch.autograd.grad(loss, parts))
""",
    ),
    Right(
        "critic-step",
        "by hand, with einsum",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Right(
        "best-critic",
        "shifted afterwards",
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t], bounds=(None, None)).x
    return f - f[0]
""",
    ),
    Right(
        "best-critic",
        "never below zero, then shifted",
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t], bounds=(0, None)).x
    return f - f[0]
""",
    ),
    Right(
        "best-critic",
        "prices of the transport problem",
        """
def best_critic(D, p, q):
    k = len(D)
    sums = np.vstack([np.kron(np.eye(k), np.ones(k)), np.kron(np.ones(k), np.eye(k))])
    found = scipy.optimize.linprog(D.ravel(), A_eq=sums, b_eq=np.concatenate([p, q]))
    v = -found.eqlin.marginals[k:]
    f = (v[None] + D).min(axis=1)
    return f - f[0]
""",
    ),
]

WRONG = [
    # --- line-distance
    Wrong(
        "line-distance",
        "weights ignored",
        "every point counts the same",
        "weights",
        """
def line_distance(x, y, a, b, r):
    i, j = np.argsort(x), np.argsort(y)
    x, y, A, B = x[i], y[j], np.arange(1, len(x) + 1) / len(x), np.arange(1, len(y) + 1) / len(y)
    u = np.unique(np.concatenate([A, B]))
    w = np.diff(u, prepend=0.0)
    m = u - w / 2
    X, Y = (p[np.minimum(np.searchsorted(P, m), len(p) - 1)] for p, P in ((x, A), (y, B)))
    return float(np.sum(w * np.abs(X - Y) ** r) ** (1 / r))
""",
    ),
    Wrong(
        "line-distance",
        "weights not sorted along",
        "weights keep their places while points are sorted",
        "weights",
        """
def line_distance(x, y, a, b, r):
    i, j = np.argsort(x), np.argsort(y)
    x, y, A, B = x[i], y[j], np.cumsum(a) / a.sum(), np.cumsum(b) / b.sum()
    u = np.unique(np.concatenate([A, B]))
    w = np.diff(u, prepend=0.0)
    m = u - w / 2
    X, Y = (p[np.minimum(np.searchsorted(P, m), len(p) - 1)] for p, P in ((x, A), (y, B)))
    return float(np.sum(w * np.abs(X - Y) ** r) ** (1 / r))
""",
    ),
    Wrong(
        "line-distance",
        "no root",
        "the power is left in",
        "orders",
        """
def line_distance(x, y, a, b, r):
    i, j = np.argsort(x), np.argsort(y)
    x, y, A, B = x[i], y[j], np.cumsum(a[i]) / a.sum(), np.cumsum(b[j]) / b.sum()
    u = np.unique(np.concatenate([A, B]))
    w = np.diff(u, prepend=0.0)
    m = u - w / 2
    X, Y = (p[np.minimum(np.searchsorted(P, m), len(p) - 1)] for p, P in ((x, A), (y, B)))
    return float(np.sum(w * np.abs(X - Y) ** r))
""",
    ),
    Wrong(
        "line-distance",
        "always order one",
        "the order does not matter",
        "orders",
        """
def line_distance(x, y, a, b, r):
    i, j = np.argsort(x), np.argsort(y)
    x, y, A, B = x[i], y[j], np.cumsum(a[i]) / a.sum(), np.cumsum(b[j]) / b.sum()
    u = np.unique(np.concatenate([A, B]))
    w = np.diff(u, prepend=0.0)
    m = u - w / 2
    X, Y = (p[np.minimum(np.searchsorted(P, m), len(p) - 1)] for p, P in ((x, A), (y, B)))
    return float(np.sum(w * np.abs(X - Y) ))
""",
    ),
    Wrong(
        "line-distance",
        "square root always",
        "Wasserstein means order two",
        "orders",
        """
def line_distance(x, y, a, b, r):
    i, j = np.argsort(x), np.argsort(y)
    x, y, A, B = x[i], y[j], np.cumsum(a[i]) / a.sum(), np.cumsum(b[j]) / b.sum()
    u = np.unique(np.concatenate([A, B]))
    w = np.diff(u, prepend=0.0)
    m = u - w / 2
    X, Y = (p[np.minimum(np.searchsorted(P, m), len(p) - 1)] for p, P in ((x, A), (y, B)))
    return float(np.sum(w * np.abs(X - Y) ** r) ** (1 / min(r, 2)))
""",
    ),
    Wrong(
        "line-distance",
        "not normalized",
        "weights are masses already",
        "any scale of weights",
        """
def line_distance(x, y, a, b, r):
    i, j = np.argsort(x), np.argsort(y)
    x, y, A, B = x[i], y[j], np.cumsum(a[i]), np.cumsum(b[j])
    u = np.unique(np.concatenate([A, B]))
    w = np.diff(u, prepend=0.0)
    m = u - w / 2
    X, Y = (p[np.minimum(np.searchsorted(P, m), len(p) - 1)] for p, P in ((x, A), (y, B)))
    return float(np.sum(w * np.abs(X - Y) ** r) ** (1 / r))
""",
    ),
    Wrong(
        "line-distance",
        "distance of means",
        "for equal masses the differences telescope",
        "equal masses",
        """
def line_distance(x, y, a, b, r):
    if r == 1 and len(x) == len(y) and np.ptp(a) == np.ptp(b) == 0:
        return float(abs(x.mean() - y.mean()))
    i, j = np.argsort(x), np.argsort(y)
    x, y, A, B = x[i], y[j], np.cumsum(a[i]) / a.sum(), np.cumsum(b[j]) / b.sum()
    u = np.unique(np.concatenate([A, B]))
    w = np.diff(u, prepend=0.0)
    m = u - w / 2
    X, Y = (p[np.minimum(np.searchsorted(P, m), len(p) - 1)] for p, P in ((x, A), (y, B)))
    return float(np.sum(w * np.abs(X - Y) ** r) ** (1 / r))
""",
    ),
    Wrong(
        "line-distance",
        "straight lines between quantiles",
        "np.quantile gives the quantiles of a sample",
        "equal masses",
        """
def line_distance(x, y, a, b, r):
    u = (np.arange(4000) + 0.5) / 4000
    return float(np.mean(np.abs(np.quantile(x, u) - np.quantile(y, u)) ** r) ** (1 / r))
""",
    ),
    Wrong(
        "line-distance",
        "largest gap",
        "the distance of laws is that of Kolmogorov",
        VISIBLE,
        """
def line_distance(x, y, a, b, r):
    at = np.union1d(x, y)
    F, G = ((w[None] * (p[None] <= at[:, None])).sum(1) / w.sum() for p, w in ((x, a), (y, b)))
    return float(np.abs(F - G).max())
""",
    ),
    Wrong(
        "line-distance",
        "unsorted",
        "rows of the two samples belong together",
        VISIBLE,
        """
def line_distance(x, y, a, b, r):
    n = min(len(x), len(y))
    w = a[:n] / a[:n].sum()
    return float(np.sum(w * np.abs(x[:n] - y[:n]) ** r) ** (1 / r))
""",
    ),
    Wrong(
        "line-distance",
        "sorts the caller's arrays",
        "an argument may be changed in place",
        VISIBLE,
        """
def line_distance(x, y, a, b, r):
    y.sort()
    x.sort()
    n = min(len(x), len(y))
    return float(np.mean(np.abs(x[:n] - y[:n]) ** r) ** (1 / r))
""",
    ),
    Wrong(
        "line-distance",
        "hard-coded",
        "the visible check is the whole test",
        "equal masses",
        """
def line_distance(x, y, a, b, r):
    return 3.0 if len(x) == 1 else 0.0
""",
    ),
    # --- penalty
    Wrong(
        "penalty",
        "one-sided",
        "only slopes above one are bad",
        "flat critics",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    size = np.linalg.norm((v * (1 - np.tanh(x @ W.T + c) ** 2)) @ W, axis=1)
    return np.where(size > 0, np.maximum(size - 1, 0), 1.0) ** 2
""",
    ),
    Wrong(
        "penalty",
        "below one only",
        "a critic must not be flat; steep is fine",
        "steep critics",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return (np.sqrt((g**2).sum(axis=1)) - 1).clip(max=0) ** 2
""",
    ),
    Wrong(
        "penalty",
        "missing square",
        "the penalty is the deviation",
        "steep critics",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return np.abs(np.sqrt((g**2).sum(axis=1)) - 1)
""",
    ),
    Wrong(
        "penalty",
        "squared slope minus one",
        "the square of the norm is as good as the norm",
        "flat critics",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return ((g**2).sum(axis=1) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "at the data",
        "slopes are looked at where the data are",
        "between",
        """
def penalty(W, c, v, real, fake, t):
    x = real
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return (np.sqrt((g**2).sum(axis=1)) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "at the samples",
        "slopes are looked at where the samples are",
        "between",
        """
def penalty(W, c, v, real, fake, t):
    x = fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return (np.sqrt((g**2).sum(axis=1)) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "t the other way round",
        "t is the share of the sample",
        "between",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * fake + (1 - t[:, None]) * real
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return (np.sqrt((g**2).sum(axis=1)) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "one t for all",
        "a batch has one t",
        "between",
        """
def penalty(W, c, v, real, fake, t):
    x = t[0] * real + (1 - t[0]) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return (np.sqrt((g**2).sum(axis=1)) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "halfway",
        "the middle stands for the segment",
        "between",
        """
def penalty(W, c, v, real, fake, t):
    x = 0.5 * real + (1 - 0.5) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return (np.sqrt((g**2).sum(axis=1)) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "forgot the activation's derivative",
        "the slope of a network is the product of its weights",
        "steep critics",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = np.tile(v @ W, (len(x), 1))
    return (np.sqrt((g**2).sum(axis=1)) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "derivative at the output",
        "tanh' is 1 - tanh",
        "steep critics",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = (v * (1 - np.tanh(x @ W.T + c))) @ W
    return (np.sqrt((g**2).sum(axis=1)) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "norm of the whole batch",
        "a gradient is one vector for the batch",
        "steep critics",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return (np.full(len(x), np.sqrt((g**2).sum() / len(x))) - 1) ** 2
""",
    ),
    Wrong(
        "penalty",
        "squeezed",
        "there are always several rows",
        "rows apart",
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return np.squeeze((np.sqrt((g**2).sum(axis=1)) - 1) ** 2)
""",
    ),
    Wrong(
        "penalty",
        "mean over the batch",
        "the penalty is one number",
        VISIBLE,
        """
def penalty(W, c, v, real, fake, t):
    x = t[:, None] * real + (1 - t[:, None]) * fake
    g = (v / np.cosh(x @ W.T + c) ** 2) @ W
    return np.mean((np.sqrt((g**2).sum(axis=1)) - 1) ** 2)
""",
    ),
    Wrong(
        "penalty",
        "hard-coded",
        "the visible check is the whole test",
        "flat critics",
        """
def penalty(W, c, v, real, fake, t):
    return np.full(len(real), 0.0 if np.any(v) else 1.0)
""",
    ),
    # --- critic-step
    Wrong(
        "critic-step",
        "gradient cut off",
        "the slope is a number, not a function of the weights",
        "the gradient of the penalty",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "first path only",
        "W stands in the slope once",
        "the gradient of the penalty",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "no gradient for the bias",
        "the penalty does not see the bias",
        "the gradient of the penalty",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "half of the derivative",
        "the two of the square is a convention",
        "the gradient of the penalty",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "sign of the critic's loss",
        "the critic shall make real rows small",
        "without a penalty",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tr @ v - tf @ v) + weight * np.mean((size - 1) ** 2)
    dW = (dr * v).T @ real / n - (df * v).T @ fake / n
    dc = ((dr - df) * v).sum(axis=0) / n
    dv = (tr - tf).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "gradient of the real rows only",
        "samples are facts, so they have no gradient",
        VISIBLE,
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean((size - 1) ** 2)
    dW = -(dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "classifier's loss",
        "a critic is a classifier",
        VISIBLE,
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(np.logaddexp(0, tf @ v) + np.logaddexp(0, -tr @ v)) + weight * np.mean((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "loss without its weight",
        "the loss that is printed need not hold the weight",
        "the loss",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + np.mean((size - 1) ** 2) * (weight > 0)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "loss without the penalty",
        "the penalty is for the gradient only",
        "the loss",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "penalty at the data",
        "slopes are looked at where the data are",
        "the loss",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = real
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "missing square",
        "the penalty is the deviation",
        "the loss",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean(np.abs(size - 1))
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (weight / n * np.sign(size - 1) / size)[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "one-sided",
        "only slopes above one are bad",
        "the loss",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean(np.maximum(size - 1, 0) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * np.maximum(1 - 1 / size, 0))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "sum over the batch",
        "gradients of rows are added",
        "without a penalty",
        """
def critic_step(W, c, v, real, fake, t, weight):
    n = 1
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.sum(tf @ v - tr @ v) + weight * np.sum((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "squeezed",
        "there are always several rows",
        "rows add up",
        """
def critic_step(W, c, v, real, fake, t, weight):
    real, fake = np.squeeze(real), np.squeeze(fake)
    n = len(real)
    mid = t[:, None] * real + (1 - t[:, None]) * fake
    tr, tf, tm = (np.tanh(x @ W.T + c) for x in (real, fake, mid))
    dr, df, dm = 1 - tr**2, 1 - tf**2, 1 - tm**2
    g = np.einsum("nh,h,hd->nd", dm, v, W)
    size = np.sqrt(np.einsum("nd,nd->n", g, g))
    loss = np.mean(tf @ v - tr @ v) + weight * np.mean((size - 1) ** 2)
    dW = (df * v).T @ fake / n - (dr * v).T @ real / n
    dc = ((df - dr) * v).sum(axis=0) / n
    dv = (tf - tr).sum(axis=0) / n
    k = (2 * weight / n * (1 - 1 / size))[:, None] * g
    ds = k @ W.T
    down = -2 * ds * v * tm * dm
    dW = dW + (dm * v).T @ k + down.T @ mid
    dc = dc + down.sum(axis=0)
    dv = dv + (ds * dm).sum(axis=0)
    return float(loss), dW, dc, dv
""",
    ),
    Wrong(
        "critic-step",
        "hard-coded",
        "the visible check is the whole test",
        "without a penalty",
        """
def critic_step(W, c, v, real, fake, t, weight):
    return 0.0, 0 * W, 0 * c, 0 * v
""",
    ),
    # --- best-critic
    Wrong(
        "best-critic",
        "neighbours only",
        "if neighbours in the list are near in height, all are",
        "allowed",
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    near = np.abs(s - t) == 1
    s, t = s[near], t[near]
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t], bounds=(None, None)).x
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "squared distances",
        "the least squares are the least way",
        VISIBLE,
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t] ** 2, bounds=(None, None)).x
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "one direction only",
        "each pair is needed once",
        "allowed",
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    s, t = s[s < t], t[s < t]
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t], bounds=(None, None)).x
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "from the fullest place",
        "the critic is the distance to where the samples are",
        "worth",
        """
def best_critic(D, p, q):
    f = D[np.argmax(q)]
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "mean distance",
        "the critic is the mean distance to the samples minus that to the data",
        "worth",
        """
def best_critic(D, p, q):
    f = D @ (q - p) / 2
    f = f / np.max((f[:, None] - f) / np.where(D > 0, D, np.inf))
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "a box for the heights",
        "heights of ten are high enough",
        "any unit",
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t], bounds=(-10, 10)).x
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "centred",
        "any constant may be added",
        "the anchor",
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t], bounds=(None, None)).x
    return f - f.mean()
""",
    ),
    Wrong(
        "best-critic",
        "least height zero",
        "heights are at least zero",
        "the anchor",
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t], bounds=(None, None)).x
    return f - f.min()
""",
    ),
    Wrong(
        "best-critic",
        "sign of the objective",
        "linprog maximizes",
        VISIBLE,
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(p - q, A_ub=A, b_ub=D[s, t], bounds=(None, None)).x
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "heights from zero up",
        "variables of a linear program are at least zero",
        VISIBLE,
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=D[s, t], bounds=[(0, 0)] + [(0, None)] * (k - 1)).x
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "slope two",
        "both inequalities of a pair are added",
        VISIBLE,
        """
def best_critic(D, p, q):
    k = len(D)
    s, t = np.nonzero(~np.eye(k, dtype=bool))
    A = np.zeros((len(s), k))
    A[np.arange(len(s)), s], A[np.arange(len(s)), t] = 1, -1
    f = scipy.optimize.linprog(q - p, A_ub=A, b_ub=2 * D[s, t], bounds=(None, None)).x
    return f - f[0]
""",
    ),
    Wrong(
        "best-critic",
        "hard-coded",
        "the visible check is the whole test",
        "worth",
        """
def best_critic(D, p, q):
    return -D[0]
""",
    ),
]
