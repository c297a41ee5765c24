"""Right and wrong answers to the lab on GANs; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("loss = -flip * np.logaddexp(0, flip * logits)", "loss = -flip * np.logaddexp(0, -flip * logits)")

CLEAN = """
def best_reply(p, q):
    m = p + q
    d = np.where(m > 0, p / np.where(m > 0, m, 1.0), 0.5)
    js = (scipy.special.rel_entr(p, m / 2).sum() + scipy.special.rel_entr(q, m / 2).sum()) / 2
    value = 2 * js - np.log(4)
"""


def best_reply(body: str) -> str:
    """An answer to task 1 that goes on from a right `d`, `js` and `value`."""
    return CLEAN + body


def loss_and_slope(body: str) -> str:
    """An answer to task 2 that goes on from a right `loss` and `slope`."""
    return f"""
def loss_and_slope(logits, kind):
    l, n = logits, len(logits)
    sat = kind == "saturating"
    s = scipy.special.expit
    loss = -np.logaddexp(0, l) if sat else np.logaddexp(0, -l)
    slope = -s(l) if sat else -s(-l)
{body}
"""


def hellinger_game(body: str) -> str:
    """An answer to task 3 that changes a right `best` and a right `bound`."""
    return f"""
def hellinger_game(p, q, T):
    outside = np.any(T > 1) or np.any((T == 1) & (q > 0))
    with np.errstate(all="ignore"):
        best = np.where(p > 0, 1 - np.sqrt(q / p), np.where(q > 0, -np.inf, 0.0))
        conjugate = 1 / (1 - T) - 1
        gained = np.where(p > 0, p * T, 0.0)
        paid = np.where(q > 0, q * conjugate, 0.0)
        bound = -np.inf if outside else float(np.sum(gained) - np.sum(paid))
{body}
    return bound, best
"""


def play(together: str = "", turn: str = "", ahead: str = "", *, rest: str = "") -> str:
    """An answer to task 4; each argument replaces what is right for one order of play."""
    together = together or "x, y = x - eta * A @ y, y + eta * A.T @ x"
    turn = turn or "x = x - eta * A @ y; y = y + eta * A.T @ x"
    ahead = ahead or "u, v = x - eta * A @ y, y + eta * A.T @ x; x, y = x - eta * A @ v, y + eta * A.T @ u"
    return f"""
def play(A, x, y, eta, steps, order):
    {rest or "pass"}
    for i in range(steps):
        if order == "together":
            {together}
        elif order == "in turn":
            {turn}
        else:
            {ahead}
    return x, y
"""


RIGHT = [
    # --- best-reply
    Right(
        "best-reply",
        "the theorem, entropies",
        """
def best_reply(p, q):
    with np.errstate(invalid="ignore"):
        d = np.nan_to_num(p / (p + q), nan=0.5)
    js = scipy.stats.entropy((p + q) / 2) - (scipy.stats.entropy(p) + scipy.stats.entropy(q)) / 2
    return d, float(2 * js - 2 * np.log(2))
""",
    ),
    Right(
        "best-reply",
        "logits, and a loop over the states",
        """
def best_reply(p, q):
    d, total = [], 0.0
    for a, b in zip(p.tolist(), q.tolist()):
        if a == 0 or b == 0:
            d.append(1.0 if a > 0 else 0.0 if b > 0 else 0.5)
            continue
        logit = np.log(a) - np.log(b)
        d.append(scipy.special.expit(logit))
        total += a * scipy.special.log_expit(logit) + b * scipy.special.log_expit(-logit)
    return np.array(d), total
""",
    ),
    Right(
        "best-reply",
        "scipy's distance, squared",
        """
from scipy.spatial.distance import jensenshannon

def best_reply(p, q):
    d = np.full(p.shape, 0.5)
    used = (p > 0) | (q > 0)
    d[used] = p[used] / (p[used] + q[used])
    return d, 2 * float(jensenshannon(p, q)) ** 2 - float(np.log(4))
""",
    ),
    # --- loss-and-slope
    Right(
        "loss-and-slope",
        "PyTorch and autograd",
        """
import torch

def loss_and_slope(logits, kind):
    at = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    logsigmoid = torch.nn.functional.logsigmoid
    loss = logsigmoid(-at) if kind == "saturating" else -logsigmoid(at)
    slope, = torch.autograd.grad(loss.sum(), at)
    return loss.detach().numpy(), slope.numpy()
""",
    ),
    Right(
        "loss-and-slope",
        "log1p by sign",
        """
def loss_and_slope(logits, kind):
    side = 1.0 if kind == "saturating" else -1.0
    z = side * logits
    small = np.exp(-np.abs(z))
    loss = -side * (np.maximum(z, 0) + np.log1p(small))
    return loss, -np.where(z >= 0, 1.0, small) / (1 + small)
""",
    ),
    # --- hellinger-game
    Right(
        "hellinger-game",
        "a loop over the states",
        """
def hellinger_game(p, q, T):
    best, bound = [], 0.0
    for a, b, t in zip(p, q, T):
        best.append(1 - (b / a) ** 0.5 if a > 0 else (-np.inf if b > 0 else 0.0))
        if t > 1 or (t == 1 and b > 0):
            bound = -np.inf
            continue
        if a > 0:
            bound += a * t
        if b > 0:
            bound -= b * (-1.0 if t == -np.inf else t / (1 - t))
    return float(bound), np.array(best)
""",
    ),
    Right(
        "hellinger-game",
        "masked arrays of the root of the ratio",
        """
def hellinger_game(p, q, T):
    some = p + q > 0
    a, b, t = p[some], q[some], T[some]
    best = np.zeros_like(T, dtype=float)
    with np.errstate(divide="ignore"):
        best[some] = 1 - np.sqrt(b) / np.sqrt(a)
    if (T > 1).any() or (b[t >= 1] > 0).any():
        return float("-inf"), best
    gained = np.dot(a, np.where(a > 0, t, 0.0))
    room = np.where(b > 0, 1 - t, 1.0)
    return float(gained + b.sum() - (b / room).sum()), best
""",
    ),
    # --- play
    Right(
        "play",
        "powers of a matrix",
        """
def play(A, x, y, eta, steps, order):
    m, n = A.shape
    M = eta * np.block([[np.zeros((m, m)), -A], [A.T, np.zeros((n, n))]])
    I = np.eye(m + n)
    if order == "together":
        one = I + M
    elif order == "look ahead":
        one = I + M + M @ M
    else:
        first, second = I.copy(), I.copy()
        first[:m, m:], second[m:, :m] = -eta * A, eta * A.T
        one = second @ first
    z = np.linalg.matrix_power(one, steps) @ np.r_[x, y]
    return z[:m], z[m:]
""",
    ),
    Right(
        "play",
        "autograd in PyTorch",
        """
import torch

def play(A, x, y, eta, steps, order):
    A = torch.tensor(A, dtype=torch.float64)

    def slopes(x, y):
        x, y = (v.detach().clone().requires_grad_() for v in (x, y))
        return torch.autograd.grad(x @ A @ y, (x, y))

    x, y = (torch.tensor(v, dtype=torch.float64) for v in (x, y))
    for _ in range(steps):
        if order == "in turn":
            x = x - eta * slopes(x, y)[0]
            y = y + eta * slopes(x, y)[1]
        else:
            gx, gy = slopes(x, y)
            if order == "look ahead":
                gx, gy = slopes(x - eta * gx, y + eta * gy)
            x, y = x - eta * gx, y + eta * gy
    return x.numpy(), y.numpy()
""",
    ),
    Right("play", "step by step", play()),
]

WRONG = [
    # --- best-reply
    Wrong(
        "best-reply",
        "labels swapped",
        "the discriminator gives the probability of a sample, not of data",
        "best answers",
        best_reply("    return np.where(m > 0, 1 - d, 0.5), value\n"),
    ),
    Wrong(
        "best-reply",
        "yes or no",
        "the best classifier decides, so its answer is 0 or 1",
        "best answers",
        best_reply("    return np.where(p > q, 1.0, np.where(p < q, 0.0, 0.5)), value\n"),
    ),
    Wrong(
        "best-reply",
        "ratio in place of the share",
        "the best discriminator is the ratio of the laws, cut off at one half of it",
        "best answers",
        best_reply(
            "    return np.where(q > 0, np.minimum(1, p / np.where(q > 0, 2 * q, 1)), np.where(p > 0, 1.0, 0.5)), value\n"
        ),
    ),
    Wrong(
        "best-reply",
        "divergence once",
        "V is the divergence minus log 4: its sum has been halved, and V not doubled",
        "worth",
        best_reply("    return d, js - np.log(4)\n"),
    ),
    Wrong(
        "best-reply",
        "no half in the divergence",
        "the Jensen-Shannon divergence is the sum of both KL terms, so V has twice that",
        "worth",
        best_reply("    return d, 4 * js - np.log(4)\n"),
    ),
    Wrong(
        "best-reply",
        "KL in place of Jensen-Shannon",
        "the game measures the KL divergence of the samples from the data",
        "worth",
        best_reply("    return d, scipy.special.rel_entr(p, q).sum() - np.log(4)\n"),
    ),
    Wrong(
        "best-reply",
        "the root of the divergence",
        "scipy's jensenshannon is the divergence: it is its square root",
        "worth",
        best_reply("    return d, 2 * np.sqrt(max(js, 0)) - np.log(4)\n"),
    ),
    Wrong(
        "best-reply",
        "log 2 in place of log 4",
        "two equal laws have one log 2 between them",
        VISIBLE,
        best_reply("    return d, 2 * js - np.log(2)\n"),
    ),
    Wrong(
        "best-reply",
        "loss in place of the value",
        "V is a loss, so it is positive",
        VISIBLE,
        best_reply("    return d, -value\n"),
    ),
    Wrong(
        "best-reply",
        "mean over states",
        "an expectation is a mean over the states",
        VISIBLE,
        best_reply(
            "    return d, float(np.mean(scipy.special.xlogy(p, d) + scipy.special.xlog1py(q, -d)))\n"
        ),
    ),
    Wrong(
        "best-reply",
        "undefined where nobody goes",
        "zero over zero has no answer, and none is needed",
        "empty states",
        """
def best_reply(p, q):
    with np.errstate(all="ignore"):
        d = p / (p + q)
    return d, float(np.nansum(scipy.special.xlogy(p, d)) + np.nansum(scipy.special.xlog1py(q, -d)))
""",
    ),
    Wrong(
        "best-reply",
        "zero times minus infinity",
        "0 log 0 takes care of itself",
        "empty states",
        best_reply("""
    with np.errstate(all="ignore"):
        return d, float(np.sum(p * np.log(d) + q * np.log(1 - d)))
"""),
    ),
    Wrong(
        "best-reply",
        "a small number in the denominator",
        "adding 1e-12 to a denominator changes nothing but the zeros",
        "faint states",
        best_reply("    return np.where(m > 0, p / (m + 1e-12), 0.5), value\n"),
    ),
    Wrong(
        "best-reply",
        "hard-coded",
        "the visible check is the whole test: equal laws",
        "best answers",
        """
def best_reply(p, q):
    return np.full(len(p), 0.5), -2 * np.log(2)
""",
    ),
    # --- loss-and-slope
    Wrong(
        "loss-and-slope",
        "one loss for the other",
        "the minimax loss is the one with the minus",
        VISIBLE,
        loss_and_slope("""
    loss, slope = (np.logaddexp(0, -l), -s(-l)) if sat else (-np.logaddexp(0, l), -s(l))
    return loss, slope
"""),
    ),
    Wrong(
        "loss-and-slope",
        "the generator climbs",
        "the loss is what the discriminator gains, so the generator's slope is positive",
        VISIBLE,
        loss_and_slope("    return loss, -slope"),
    ),
    Wrong(
        "loss-and-slope",
        "mean over the batch",
        "a loss is one number",
        VISIBLE,
        loss_and_slope("    return loss.mean(), slope / n"),
    ),
    Wrong(
        "loss-and-slope",
        "slopes of the mean",
        "the slope is that of the batch's mean, so it is divided by n",
        "rows apart",
        loss_and_slope("    return loss, slope / n"),
    ),
    Wrong(
        "loss-and-slope",
        "logits centred on the batch",
        "logits may be shifted like those of a softmax",
        "rows apart",
        loss_and_slope("""
    if n > 1 and np.ptp(l) > 0:
        l = l - l.mean()
    return (-np.logaddexp(0, l), -s(l)) if sat else (np.logaddexp(0, -l), -s(-l))
"""),
    ),
    Wrong(
        "loss-and-slope",
        "a hinge",
        "the loss of a logit is what it lacks: zero once the discriminator is fooled",
        "losses",
        loss_and_slope("""
    hinge = -np.maximum(l, 0) if sat else np.maximum(-l, 0)
    return np.where(l == 0, loss, hinge), slope
"""),
    ),
    Wrong(
        "loss-and-slope",
        "base two",
        "information is in bits",
        "losses",
        loss_and_slope(
            "    return np.where(np.abs(l) > 5, loss, np.where(l == 0, loss, loss / np.log(2))), slope"
        ),
    ),
    Wrong(
        "loss-and-slope",
        "slope in D",
        "the derivative in the probability is the one in the logit",
        "slopes",
        loss_and_slope("""
    with np.errstate(divide="ignore"):
        return loss, (-1 / s(-l) if sat else -1 / s(l))
"""),
    ),
    Wrong(
        "loss-and-slope",
        "slope of the other loss",
        "both losses fall at the same rate",
        "slopes",
        loss_and_slope("    return loss, -s(l)"),
    ),
    Wrong(
        "loss-and-slope",
        "all or nothing",
        "a slope is either there or has died",
        "slopes",
        loss_and_slope(
            "    return loss, np.where(np.abs(l) > 10, slope, np.where(slope < -0.5, -1.0, -0.25))"
        ),
    ),
    Wrong(
        "loss-and-slope",
        "clipped probabilities",
        "a logarithm is safe with a small number added inside",
        "sure of everything",
        loss_and_slope("""
    D = s(l)
    return (np.log(1 - D + 1e-12) if sat else -np.log(D + 1e-12)), slope
"""),
    ),
    Wrong(
        "loss-and-slope",
        "sigmoid, then logarithm",
        "the formula is right for every number that a computer holds",
        "sure of everything",
        loss_and_slope("""
    with np.errstate(all="ignore"):
        D = 1 / (1 + np.exp(-l))
        return (np.log(1 - D) if sat else -np.log(D)), slope
"""),
    ),
    Wrong(
        "loss-and-slope",
        "exponentials of the logit",
        "log(1 + exp(l)) is stable because it has no division",
        "sure of everything",
        loss_and_slope("""
    with np.errstate(all="ignore"):
        return (-np.log(1 + np.exp(l)) if sat else np.log(1 + np.exp(-l))), slope
"""),
    ),
    Wrong(
        "loss-and-slope",
        "one minus D",
        "1 - D is exact where D is nearly one",
        "faint slopes",
        loss_and_slope("    return loss, (-s(l) if sat else -(1 - s(l)))"),
    ),
    Wrong(
        "loss-and-slope",
        "logits clipped",
        "beyond 30 nothing changes, so logits may be cut there for the slopes",
        "faint slopes",
        loss_and_slope("""
    cut = np.clip(l, -30, 30)
    return loss, (-s(cut) if sat else -s(-cut))
"""),
    ),
    Wrong(
        "loss-and-slope",
        "hard-coded",
        "the visible check is the whole test: logits of zero",
        "losses",
        """
def loss_and_slope(logits, kind):
    sign = -1 if kind == "saturating" else 1
    return np.full(len(logits), sign * np.log(2)), np.full(len(logits), -0.5)
""",
    ),
    # --- hellinger-game
    Wrong(
        "hellinger-game",
        "the ratio without its root",
        "the derivative of (sqrt(u) - 1)^2 is 1 - 1/u",
        "best critic",
        hellinger_game("""
        best = np.where(p > 0, 1 - q / p, best)
"""),
    ),
    Wrong(
        "hellinger-game",
        "twice the slope",
        "the inner derivative of the root has no factor of one half",
        "best critic",
        hellinger_game("""
        best = np.where((p > 0) & (q > 0), 2 * best, best)
"""),
    ),
    Wrong(
        "hellinger-game",
        "the critic of the other direction",
        "the distance is symmetric, and so is its critic",
        "best critic",
        hellinger_game("""
        best = np.where(q > 0, 1 - np.sqrt(p / q), np.where(p > 0, -np.inf, 0.0))
"""),
    ),
    Wrong(
        "hellinger-game",
        "no conjugate",
        "a critic is worth the difference of its means, as for the Wasserstein distance",
        "any critic",
        hellinger_game("""
        bound = -np.inf if outside else float(np.sum(gained) - np.sum(np.where(q > 0, q * T, 0.0)))
"""),
    ),
    Wrong(
        "hellinger-game",
        "expectations swapped",
        "the conjugate is averaged over the data",
        "any critic",
        hellinger_game("""
        swapped = np.sum(np.where(q > 0, q * T, 0.0)) - np.sum(np.where(p > 0, p * conjugate, 0.0))
        bound = -np.inf if outside else float(swapped)
"""),
    ),
    Wrong(
        "hellinger-game",
        "f in place of its conjugate",
        "what is paid at the samples is the function f itself",
        "any critic",
        hellinger_game("""
        paid = np.where(q > 0, q * np.where(T == 0, 0.0, (np.sqrt(np.abs(T)) - 1) ** 2), 0.0)
        bound = -np.inf if outside else float(np.sum(gained) - np.sum(paid))
"""),
    ),
    Wrong(
        "hellinger-game",
        "never negative",
        "a bound on a distance cannot be negative, so it is cut at zero",
        "any critic",
        hellinger_game("""
        bound = -np.inf if outside else max(bound, 0.0)
"""),
    ),
    Wrong(
        "hellinger-game",
        "half the distance",
        "the Hellinger distance has a half in front, so its bound has one too",
        "any critic",
        hellinger_game("""
        bound = bound / 2
"""),
    ),
    Wrong(
        "hellinger-game",
        "sign of the conjugate",
        "what is paid at the samples is added",
        "any critic",
        hellinger_game("""
        bound = -np.inf if outside else float(np.sum(gained) + np.sum(paid))
"""),
    ),
    Wrong(
        "hellinger-game",
        "no domain",
        "the formula of the conjugate holds for every number",
        "outside",
        hellinger_game("""
        bound = float(np.sum(gained) - np.sum(paid))
"""),
    ),
    Wrong(
        "hellinger-game",
        "the end counted in",
        "the conjugate is finite at the end of its domain",
        "outside",
        hellinger_game("""
        outside = np.any(T > 1)
        paid = np.where((q > 0) & (T < 1), q * conjugate, 0.0)
        bound = -np.inf if outside else float(np.sum(gained) - np.sum(paid))
"""),
    ),
    Wrong(
        "hellinger-game",
        "only where the samples are",
        "what a critic says where no sample falls costs nothing, so it may be anything",
        "outside",
        hellinger_game("""
        bound = -np.inf if np.any((T >= 1) & (q > 0)) else float(np.sum(gained) - np.sum(paid))
"""),
    ),
    Wrong(
        "hellinger-game",
        "zero times infinity",
        "a product with a zero is zero, in floating point too",
        "no common state",
        hellinger_game("""
        bound = -np.inf if outside else float(np.sum(p * T - q * conjugate))
"""),
    ),
    Wrong(
        "hellinger-game",
        "a ratio with a small number added",
        "adding 1e-9 to both laws changes nothing but the zeros",
        "no common state",
        hellinger_game("""
        best = 1 - np.sqrt((q + 1e-9) / (p + 1e-9))
"""),
    ),
    Wrong(
        "hellinger-game",
        "hard-coded",
        "the visible check is the whole test: equal laws and a critic of zeros",
        "best critic",
        """
def hellinger_game(p, q, T):
    return 0.0, np.zeros(len(p))
""",
    ),
    # --- play
    Wrong(
        "play",
        "in turn for together",
        "two lines that each use the latest values are one simultaneous step",
        "together",
        play(together="x = x - eta * A @ y; y = y + eta * A.T @ x"),
    ),
    Wrong(
        "play",
        "both half a step",
        "players who move at once share the step between them",
        "together",
        play(together="x, y = x - eta / 2 * A @ y, y + eta / 2 * A.T @ x"),
    ),
    Wrong(
        "play",
        "together for in turn",
        "it makes no difference who moves first",
        "in turn",
        play(turn="x, y = x - eta * A @ y, y + eta * A.T @ x"),
    ),
    Wrong(
        "play",
        "y before x",
        "in turn means that the discriminator moves first, whatever was agreed",
        "in turn",
        play(turn="y = y + eta * A.T @ x; x = x - eta * A @ y"),
    ),
    Wrong(
        "play",
        "one player a step",
        "in turn means that one step moves one player",
        "in turn",
        play(turn="x, y = (x - eta * A @ y, y) if i % 2 == 0 else (x, y + eta * A.T @ x)"),
    ),
    Wrong(
        "play",
        "goes on from the point ahead",
        "having looked ahead, the players stay there and step on",
        "look ahead",
        play(ahead="u, v = x - eta * A @ y, y + eta * A.T @ x; x, y = u - eta * A @ v, v + eta * A.T @ u"),
    ),
    Wrong(
        "play",
        "looks half a step ahead",
        "the look ahead is taken at the middle of the step",
        "look ahead",
        play(
            ahead="u, v = x - eta / 2 * A @ y, y + eta / 2 * A.T @ x; x, y = x - eta * A @ v, y + eta * A.T @ u"
        ),
    ),
    Wrong(
        "play",
        "only one looks ahead",
        "it is enough that the discriminator looks ahead",
        "look ahead",
        play(ahead="v = y + eta * A.T @ x; x, y = x - eta * A @ v, y + eta * A.T @ x"),
    ),
    Wrong(
        "play",
        "own move not undone",
        "each looks at the other's new place and at its own old one, in turn",
        "look ahead",
        play(ahead="x = x - eta * A @ (y + eta * A.T @ x); y = y + eta * A.T @ x"),
    ),
    Wrong(
        "play",
        "both descend",
        "both players minimize",
        VISIBLE,
        play(together="x, y = x - eta * A @ y, y - eta * A.T @ x"),
    ),
    Wrong(
        "play",
        "one step too many",
        "the start counts as a step",
        VISIBLE,
        play(rest="steps += 1"),
    ),
    Wrong(
        "play",
        "moves the caller's players",
        "arguments are the function's own",
        VISIBLE,
        play(turn="x -= eta * A @ y; y += eta * A.T @ x"),
    ),
    Wrong(
        "play",
        "no transpose",
        "the gradient in y is A x",
        "any shape",
        play(
            together="x, y = x - eta * A @ y, y + eta * A @ x",
            turn="x = x - eta * A @ y; y = y + eta * A @ x",
            ahead="u, v = x - eta * A @ y, y + eta * A @ x; x, y = x - eta * A @ v, y + eta * A @ u",
        ),
    ),
    Wrong(
        "play",
        "hard-coded",
        "the visible check is the whole test: the ends of one step",
        "together",
        """
def play(A, x, y, eta, steps, order):
    return (x.copy(), y + 0.5) if steps else (x.copy(), y.copy())
""",
    ),
]
