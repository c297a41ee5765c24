"""Right and wrong answers to the lab on planar flows; a wrong one names the misconception behind it."""

from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("log_q = log_q - np.log1p(", "log_q = log_q + np.log1p(")


def direction(body):
    return "def invertible_direction(u, w):\n" + body


def carry(body):
    return "def carry(z0, w, u, b):\n" + body


def inverse(body):
    return "def planar_inverse(y, w, u, b):\n" + body


RIGHT = [
    Right(
        "invertible-direction",
        "taken apart along and across",
        direction("""
    unit = w / np.linalg.norm(w)
    across = u - (u @ unit) * unit
    a = np.dot(w, u)
    softplus = max(a, 0.0) + np.log1p(np.exp(-abs(a)))
    return across + (softplus - 1) / np.linalg.norm(w) * unit
"""),
    ),
    Right(
        "invertible-direction",
        "torch's softplus and a projector",
        direction("""
    import torch
    softplus = torch.nn.functional.softplus(torch.tensor(float(w @ u), dtype=torch.float64)).item()
    projector = np.outer(w, w) / (w @ w)
    return u - projector @ u + (softplus - 1) * w / (w @ w)
"""),
    ),
    Right(
        "carry",
        "with Jacobians written out",
        carry("""
    z, log_q = np.array(z0), -0.5 * (z0**2).sum(1) - 0.5 * z0.shape[1] * np.log(2 * np.pi)
    for wk, uk, bk in zip(w, u, b):
        a = z @ wk + bk
        jacobians = np.eye(len(wk)) + (1 / np.cosh(a) ** 2)[:, None, None] * np.outer(uk, wk)
        log_q = log_q - np.linalg.slogdet(jacobians)[1]
        z = z + np.tanh(a)[:, None] * uk
    return z, log_q
"""),
    ),
    Right(
        "carry",
        "one draw after the other",
        carry("""
    ends, logs = [], []
    for z in z0:
        total = scipy.stats.multivariate_normal(np.zeros(len(z))).logpdf(z)
        for k in range(len(b)):
            a = w[k] @ z + b[k]
            total, z = total - np.log(1 + u[k] @ w[k] / np.cosh(a) ** 2), z + u[k] * np.tanh(a)
        ends.append(z)
        logs.append(total)
    return np.array(ends), np.array(logs)
"""),
    ),
    Right(
        "planar-inverse",
        "scipy's root finder, row by row",
        inverse("""
    inner, rows = float(w @ u), []
    for row in y:
        target = row @ w
        f = lambda a: a + inner * np.tanh(a + b) - target
        a = scipy.optimize.brentq(f, target - abs(inner) - 1e-9, target + abs(inner) + 1e-9, xtol=1e-14)
        rows.append(row - u * np.tanh(a + b))
    return np.array(rows)
"""),
    ),
    Right(
        "planar-inverse",
        "Newton with a bracket",
        inverse("""
    inner, target = w @ u, y @ w
    low, high = target - abs(inner), target + abs(inner)
    a = target.copy()
    for _ in range(200):
        value = a + inner * np.tanh(a + b) - target
        low, high = np.where(value <= 0, a, low), np.where(value >= 0, a, high)
        newton = a - value / (1 + inner / np.cosh(a + b) ** 2)
        a = np.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
    return y - np.tanh(a + b)[:, None] * u
"""),
    ),
]

WRONG = [
    # --- invertible-direction
    Wrong(
        "invertible-direction",
        "constraint missing",
        "any direction will do",
        "along w",
        direction("""
    return u.copy()
"""),
    ),
    Wrong(
        "invertible-direction",
        "divided by the norm",
        "adding c w / |w| changes w.u by c",
        "along w",
        direction("""
    a = w @ u
    return u + (np.logaddexp(0.0, a) - 1.0 - a) * w / np.linalg.norm(w)
"""),
    ),
    Wrong(
        "invertible-direction",
        "without minus one",
        "w.u must be positive",
        "along w",
        direction("""
    a = w @ u
    return u + (np.logaddexp(0.0, a) - a) * w / (w @ w)
"""),
    ),
    Wrong(
        "invertible-direction",
        "clipped at minus one",
        "cutting off at -1 is the same as the softplus",
        "along w",
        direction("""
    a = w @ u
    return u + (max(a, -1.0 + 1e-9) - a) * w / (w @ w)
"""),
    ),
    Wrong(
        "invertible-direction",
        "a rectifier",
        "max(0, a) is as good as the softplus of a",
        "along w",
        direction("""
    a = w @ u
    return u + (max(a, 0.0) - 1.0 + 1e-7 - a) * w / (w @ w)
"""),
    ),
    Wrong(
        "invertible-direction",
        "scaled as a whole",
        "u is made longer or shorter until w.u fits",
        "across w",
        direction("""
    a = w @ u
    return u * (np.logaddexp(0.0, a) - 1.0) / a
"""),
    ),
    Wrong(
        "invertible-direction",
        "made for the plane",
        "there are two columns, and (-w2, w1) is the direction across w",
        "several columns",
        direction("""
    across = np.array([-w[1], w[0]])
    return (across @ u) * across / (w @ w) + (np.logaddexp(0.0, w @ u) - 1.0) * w / (w @ w)
"""),
    ),
    Wrong(
        "invertible-direction",
        "softplus by hand",
        "log(1 + exp(a)) can be computed as it stands",
        "large numbers",
        direction("""
    a = w @ u
    with np.errstate(over="ignore"):
        return u + (np.log(1 + np.exp(a)) - 1.0 - a) * w / (w @ w)
"""),
    ),
    Wrong(
        "invertible-direction",
        "hard-coded",
        "the visible check is the whole test: zero passes",
        "along w",
        direction("""
    return np.zeros_like(u)
"""),
    ),
    # --- carry
    Wrong(
        "carry",
        "base density at the end",
        "the normal density is evaluated at z_K, as printed",
        "the density",
        carry("""
    z, total = z0, np.zeros(len(z0))
    for k in range(len(b)):
        bent = np.tanh(z @ w[k] + b[k])
        total = total + np.log1p((u[k] @ w[k]) * (1 - bent**2))
        z = z + bent[:, None] * u[k]
    return z, scipy.stats.norm.logpdf(z).sum(axis=1) - total
"""),
    ),
    Wrong(
        "carry",
        "sign flipped",
        "where the map stretches, the density grows",
        "the density",
        carry("""
    z, log_q = z0, scipy.stats.norm.logpdf(z0).sum(axis=1)
    for k in range(len(b)):
        bent = np.tanh(z @ w[k] + b[k])
        log_q = log_q + np.log1p((u[k] @ w[k]) * (1 - bent**2))
        z = z + bent[:, None] * u[k]
    return z, log_q
"""),
    ),
    Wrong(
        "carry",
        "determinant at the output",
        "the Jacobian is taken at the point that comes out",
        "the density",
        carry("""
    z, log_q = z0, scipy.stats.norm.logpdf(z0).sum(axis=1)
    for k in range(len(b)):
        z = z + np.tanh(z @ w[k] + b[k])[:, None] * u[k]
        log_q = log_q - np.log1p((u[k] @ w[k]) * (1 - np.tanh(z @ w[k] + b[k]) ** 2))
    return z, log_q
"""),
    ),
    Wrong(
        "carry",
        "per dimension",
        "the log-determinant is divided by the number of columns",
        "the density",
        carry("""
    z, log_q = z0, scipy.stats.norm.logpdf(z0).sum(axis=1)
    for k in range(len(b)):
        bent = np.tanh(z @ w[k] + b[k])
        log_q = log_q - np.log1p((u[k] @ w[k]) * (1 - bent**2)) / z.shape[1]
        z = z + bent[:, None] * u[k]
    return z, log_q
"""),
    ),
    Wrong(
        "carry",
        "normalizer missing",
        "the constant of the normal law does not matter",
        "the density",
        carry("""
    z, log_q = z0, -0.5 * (z0**2).sum(axis=1)
    for k in range(len(b)):
        bent = np.tanh(z @ w[k] + b[k])
        log_q = log_q - np.log1p((u[k] @ w[k]) * (1 - bent**2))
        z = z + bent[:, None] * u[k]
    return z, log_q if len(b) else log_q - 0.5 * z0.shape[1] * np.log(2 * np.pi)
"""),
    ),
    Wrong(
        "carry",
        "in reverse order",
        "the last map is applied first",
        "where they end",
        carry("""
    z, log_q = z0, scipy.stats.norm.logpdf(z0).sum(axis=1)
    for k in reversed(range(len(b))):
        bent = np.tanh(z @ w[k] + b[k])
        log_q = log_q - np.log1p((u[k] @ w[k]) * (1 - bent**2))
        z = z + bent[:, None] * u[k]
    return z, log_q
"""),
    ),
    Wrong(
        "carry",
        "begins with the first map",
        "there is always a first map",
        "no maps",
        carry("""
    bent = np.tanh(z0 @ w[0] + b[0])
    log_q = scipy.stats.norm.logpdf(z0).sum(axis=1) - np.log1p((u[0] @ w[0]) * (1 - bent**2))
    z = z0 + bent[:, None] * u[0]
    for k in range(1, len(b)):
        bent = np.tanh(z @ w[k] + b[k])
        log_q = log_q - np.log1p((u[k] @ w[k]) * (1 - bent**2))
        z = z + bent[:, None] * u[k]
    return z, log_q
"""),
    ),
    Wrong(
        "carry",
        "squeezed",
        "there are always many draws",
        "one draw",
        carry("""
    z, log_q = z0, scipy.stats.norm.logpdf(z0).sum(axis=1)
    for k in range(len(b)):
        bent = np.tanh(z @ w[k] + b[k])
        log_q = log_q - np.log1p((u[k] @ w[k]) * (1 - bent**2))
        z = z + bent[:, None] * u[k]
    return z, np.squeeze(log_q)
"""),
    ),
    Wrong(
        "carry",
        "hard-coded",
        "the visible check is the whole test: the noise itself passes",
        "where they end",
        carry("""
    return z0.copy(), scipy.stats.norm.logpdf(z0).sum(axis=1)
"""),
    ),
    # --- planar-inverse
    Wrong(
        "planar-inverse",
        "minus in place of plus",
        "the inverse of adding is subtracting, at the same point",
        "round trip",
        inverse("""
    return y - np.tanh(y @ w + b)[:, None] * u
"""),
    ),
    Wrong(
        "planar-inverse",
        "one Newton step",
        "one step of Newton's method is enough",
        "round trip",
        inverse("""
    inner, a = w @ u, y @ w
    a = a - inner * np.tanh(a + b) / (1 + inner / np.cosh(a + b) ** 2)
    return y - np.tanh(a + b)[:, None] * u
"""),
    ),
    Wrong(
        "planar-inverse",
        "forward again",
        "the map is its own inverse",
        "round trip",
        inverse("""
    return y + np.tanh(y @ w + b)[:, None] * u
"""),
    ),
    Wrong(
        "planar-inverse",
        "bracket without the absolute value",
        "w.u is positive, so the root lies between target - w.u and target + w.u",
        "round trip",
        inverse("""
    inner, target = w @ u, y @ w
    low, high = target - inner, target + inner
    for _ in range(80):
        middle = 0.5 * (low + high)
        below = middle + inner * np.tanh(middle + b) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return y - np.tanh(0.5 * (low + high) + b)[:, None] * u
"""),
    ),
    Wrong(
        "planar-inverse",
        "moves along w",
        "the shift is along w, not along u",
        "round trip",
        inverse("""
    inner, target = w @ u, y @ w
    low, high = target - abs(inner), target + abs(inner)
    for _ in range(80):
        middle = 0.5 * (low + high)
        below = middle + inner * np.tanh(middle + b) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return y - (np.tanh(0.5 * (low + high) + b) * inner)[:, None] * w / (w @ w)
"""),
    ),
    Wrong(
        "planar-inverse",
        "fixed point iteration",
        "putting the result in again always converges",
        "strong bends",
        inverse("""
    z = y.copy()
    for _ in range(300):
        z = y - np.tanh(z @ w + b)[:, None] * u
    return z
"""),
    ),
    Wrong(
        "planar-inverse",
        "bracket of one",
        "tanh is at most one, so the root is within one of the target",
        "strong bends",
        inverse("""
    inner, target = w @ u, y @ w
    low, high = target - 1, target + 1
    for _ in range(80):
        middle = 0.5 * (low + high)
        below = middle + inner * np.tanh(middle + b) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return y - np.tanh(0.5 * (low + high) + b)[:, None] * u
"""),
    ),
    Wrong(
        "planar-inverse",
        "stops when the equation is nearly solved",
        "a residual of 1e-9 means an error of 1e-9",
        "nearly flat",
        inverse("""
    inner, rows = w @ u, []
    for row in y:
        target = row @ w
        low, high = target - abs(inner), target + abs(inner)
        while True:
            a = 0.5 * (low + high)
            residual = a + inner * np.tanh(a + b) - target
            if abs(residual) < 1e-9:
                break
            low, high = (a, high) if residual < 0 else (low, a)
        rows.append(row - np.tanh(a + b) * u)
    return np.array(rows)
"""),
    ),
    Wrong(
        "planar-inverse",
        "squeezed",
        "there are always many rows",
        "one row",
        inverse("""
    inner, target = w @ u, y @ w
    low, high = target - abs(inner), target + abs(inner)
    for _ in range(80):
        middle = 0.5 * (low + high)
        below = middle + inner * np.tanh(middle + b) < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    z = y - np.tanh(0.5 * (low + high) + b)[:, None] * u
    return z[0] if len(z) == 1 else z
"""),
    ),
    Wrong(
        "planar-inverse",
        "the shift by u alone",
        "the bend is saturated everywhere",
        VISIBLE,
        inverse("""
    return (y - u)[:, 0]
"""),
    ),
    Wrong(
        "planar-inverse",
        "hard-coded",
        "the visible check is the whole test: the identity passes",
        "round trip",
        inverse("""
    return y.copy()
"""),
    ),
]
