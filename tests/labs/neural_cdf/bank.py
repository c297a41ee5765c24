"""Right and wrong answers to the lab on neural distribution functions; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

RANK = """
def rank_loss(values, x, u):
    n = len(x)
    rank = scipy.stats.rankdata(x)
    targets = TARGETS
    return float(np.mean((values - targets) ** 2))
"""

NETWORK = """
def monotone_cdf(x, bias, slope, height, steepness, centre, loc, scale):
    sp = lambda t: np.logaddexp(0, t)
    z = (x - loc) / scale
    steps = np.tanh(sp(steepness) * (z[:, None] - centre))
    m = bias + sp(slope) * z + steps @ sp(height)
    m_slope = sp(slope) + (1 - steps**2) @ (sp(height) * sp(steepness))
    log_density = -np.logaddexp(0, -m) - np.logaddexp(0, m) + np.log(m_slope) - np.log(scale)
    return np.stack([scipy.special.expit(m), log_density])
"""

INVERSE = """
def quantile(u, bias, slope, height, steepness, centre, loc, scale):
    sp = lambda t: np.logaddexp(0, t)
    target, reach = scipy.special.logit(u), np.sum(sp(height))
    low, high = (target - bias - reach) / sp(slope), (target - bias + reach) / sp(slope)
    for _ in range(100):
        middle = (low + high) / 2
        m = bias + sp(slope) * middle + np.tanh(sp(steepness) * (middle[:, None] - centre)) @ sp(height)
        low, high = np.where(m < target, middle, low), np.where(m < target, high, middle)
    return loc + scale * (low + high) / 2
"""


def changed(source: str, *pairs: tuple[str, str]) -> str:
    """A right answer with some text replaced; the text must be there."""
    for old, new in pairs:
        assert old in source, old
        source = source.replace(old, new)
    return source


# One line of the reference, and what a slip of the pen makes of it.
SLIP = ("@ (tall * steep)", "@ tall")

RIGHT = [
    Right(
        "rank-loss",
        "ranks from scipy",
        changed(RANK, ("TARGETS", "rank / (n + 1) if u is None else np.sort(u)[rank.astype(int) - 1]")),
    ),
    Right(
        "rank-loss",
        "sorts everything",
        """
def rank_loss(values, x, u):
    by_x = [value for _, value in sorted(zip(x.tolist(), values.tolist()))]
    targets = [(k + 1) / (len(x) + 1) for k in range(len(x))] if u is None else sorted(u.tolist())
    return sum((a - b) ** 2 for a, b in zip(by_x, targets)) / len(x)
""",
    ),
    Right("monotone-cdf", "with a short softplus", NETWORK),
    Right(
        "monotone-cdf",
        "torch and automatic differentiation",
        """
import torch

def monotone_cdf(x, bias, slope, height, steepness, centre, loc, scale):
    sp = torch.nn.functional.softplus
    slope, height, steepness, centre = (torch.as_tensor(v, dtype=torch.float64) for v in (slope, height, steepness, centre))
    z = ((torch.as_tensor(x) - loc) / scale).requires_grad_()
    m = bias + sp(slope) * z + torch.tanh(sp(steepness) * (z[:, None] - centre)) @ sp(height)
    (m_slope,) = torch.autograd.grad(m.sum(), z)
    m = m.detach()
    log_h = torch.nn.functional.logsigmoid(m) + torch.nn.functional.logsigmoid(-m) + m_slope.log() - np.log(scale)
    return torch.stack([m.sigmoid(), log_h]).numpy()
""",
    ),
    Right("quantile", "with a short softplus", INVERSE),
    Right(
        "quantile",
        "one root after another",
        """
import scipy.optimize

def quantile(u, bias, slope, height, steepness, centre, loc, scale):
    sp = lambda t: np.logaddexp(0, t)
    a, w, v = float(sp(slope)), sp(height), sp(steepness)

    def solve(target):
        f = lambda z: bias + a * z + float(np.sum(w * np.tanh(v * (z - centre)))) - target
        middle, half = (target - bias) / a, w.sum() / a + 1e-9
        return scipy.optimize.brentq(f, middle - half, middle + half, xtol=1e-12)

    return loc + scale * np.array([solve(t) for t in scipy.special.logit(u)])
""",
    ),
]

WRONG = [
    # --- rank-loss
    Wrong(
        "rank-loss",
        "n over N",
        "the largest observation sits at probability one",
        "deterministic targets",
        changed(RANK, ("TARGETS", "rank / n if u is None else np.sort(u)[rank.astype(int) - 1]")),
    ),
    Wrong(
        "rank-loss",
        "midpoints",
        "the n-th observation sits in the middle of its step of the staircase",
        "deterministic targets",
        changed(RANK, ("TARGETS", "(rank - 0.5) / n if u is None else np.sort(u)[rank.astype(int) - 1]")),
    ),
    Wrong(
        "rank-loss",
        "from zero to one",
        "the smallest observation has target 0 and the largest 1",
        "deterministic targets",
        changed(
            RANK, ("TARGETS", "(rank - 1) / max(n - 1, 1) if u is None else np.sort(u)[rank.astype(int) - 1]")
        ),
    ),
    Wrong(
        "rank-loss",
        "numbers not sorted",
        "any uniform number will do for any observation",
        "stochastic targets",
        changed(RANK, ("TARGETS", "rank / (n + 1) if u is None else u[rank.astype(int) - 1]")),
    ),
    Wrong(
        "rank-loss",
        "observations not ranked",
        "the observations come sorted",
        "stochastic targets",
        changed(RANK, ("TARGETS", "rank / (n + 1) if u is None else np.sort(u)")),
    ),
    Wrong(
        "rank-loss",
        "argsort is the rank",
        "the index of the smallest observation is its rank",
        "deterministic targets",
        changed(
            RANK, ("TARGETS", "(np.argsort(x) + 1) / (n + 1) if u is None else np.sort(u)[np.argsort(x)]")
        ),
    ),
    Wrong(
        "rank-loss",
        "one observation has no rank",
        "with one observation there is nothing to fit, so the loss is zero",
        "one observation",
        changed(
            RANK,
            ("TARGETS", "rank / (n + 1) if u is None else np.sort(u)[rank.astype(int) - 1]"),
            ("    n = len(x)\n", "    n = len(x)\n    if n == 1:\n        return 0.0\n"),
        ),
    ),
    Wrong(
        "rank-loss",
        "rounded before ranking",
        "observations that agree to six decimals are the same",
        "near ties",
        changed(
            RANK,
            ("scipy.stats.rankdata(x)", "scipy.stats.rankdata(np.round(x, 6))"),
            ("TARGETS", "rank / (n + 1) if u is None else np.sort(u)[rank.astype(int) - 1]"),
        ),
    ),
    Wrong(
        "rank-loss",
        "sum of squares",
        "the loss is added up, not averaged",
        VISIBLE,
        changed(
            RANK,
            ("TARGETS", "rank / (n + 1) if u is None else np.sort(u)[rank.astype(int) - 1]"),
            ("np.mean(", "np.sum("),
        ),
    ),
    Wrong(
        "rank-loss",
        "not squared",
        "the distance is absolute",
        VISIBLE,
        changed(
            RANK,
            ("TARGETS", "rank / (n + 1) if u is None else np.sort(u)[rank.astype(int) - 1]"),
            ("np.mean((values - targets) ** 2)", "np.mean(np.abs(values - targets))"),
        ),
    ),
    Wrong(
        "rank-loss",
        "hard-coded",
        "the visible check is the whole test: any curve against one half passes",
        "deterministic targets",
        changed(RANK, ("TARGETS", "0.5")),
    ),
    # --- monotone-cdf
    Wrong(
        "monotone-cdf",
        "softplus missing on the heights",
        "positive line and steepness are enough",
        "a distribution function",
        changed(
            NETWORK,
            ("steps @ sp(height)", "steps @ height"),
            ("(sp(height) * sp(steepness))", "(height * sp(steepness))"),
            ("np.log(m_slope)", "np.log(np.abs(m_slope) + 1e-12)"),
        ),
    ),
    Wrong(
        "monotone-cdf",
        "softplus missing on the steepness",
        "positive outer weights are enough",
        "a distribution function",
        changed(
            NETWORK,
            ("np.tanh(sp(steepness)", "np.tanh(steepness"),
            ("* sp(steepness))", "* steepness)"),
            ("np.log(m_slope)", "np.log(np.abs(m_slope) + 1e-12)"),
        ),
    ),
    Wrong(
        "monotone-cdf",
        "H rounded",
        "values closer to 0 and 1 than one in a thousand do not matter",
        "a distribution function",
        changed(NETWORK, ("[scipy.special.expit(m),", "[np.clip(scipy.special.expit(m), 1e-3, 1 - 1e-3),")),
    ),
    Wrong(
        "monotone-cdf",
        "inner derivative missing",
        "the derivative of tanh(v z) is 1 - tanh^2",
        "the density is the slope",
        changed(NETWORK, ("(sp(height) * sp(steepness))", "sp(height)")),
    ),
    Wrong(
        "monotone-cdf",
        "tanh differentiated wrongly",
        "the derivative of tanh is 1 - tanh",
        "the density is the slope",
        changed(NETWORK, ("(1 - steps**2)", "np.abs(1 - steps)")),
    ),
    Wrong(
        "monotone-cdf",
        "no chain rule for the units",
        "standardizing the data leaves the density as it is",
        "units",
        changed(NETWORK, (" - np.log(scale)", "")),
    ),
    Wrong(
        "monotone-cdf",
        "chain rule upside down",
        "the density is multiplied by the scale",
        "units",
        changed(NETWORK, (" - np.log(scale)", " + np.log(scale)")),
    ),
    Wrong(
        "monotone-cdf",
        "logarithm at the end",
        "H (1 - H) is computed first and its logarithm taken at the end",
        "far tails",
        changed(
            NETWORK,
            (
                "-np.logaddexp(0, -m) - np.logaddexp(0, m)",
                "np.log(scipy.special.expit(m) * scipy.special.expit(-m) + 1e-300)",
            ),
        ),
    ),
    Wrong(
        "monotone-cdf",
        "H times one minus H",
        "1 - H keeps its digits where H is one",
        "far tails",
        changed(
            NETWORK,
            (
                "-np.logaddexp(0, -m) - np.logaddexp(0, m)",
                "np.log(np.maximum(scipy.special.expit(m) * (1 - scipy.special.expit(m)), 1e-200))",
            ),
        ),
    ),
    Wrong(
        "monotone-cdf",
        "the density, not its logarithm",
        "the second row is H'",
        VISIBLE,
        changed(
            NETWORK,
            ("log_density])", "np.exp(log_density)])"),
            ("[scipy.special.expit(m),", "[scipy.special.expit(-m),"),
        ),
    ),
    Wrong(
        "monotone-cdf",
        "columns, not rows",
        "one row for each point",
        VISIBLE,
        changed(NETWORK, ("log_density])", "log_density], axis=1)")),
    ),
    Wrong(
        "monotone-cdf",
        "hard-coded",
        "the visible check is the whole test: a logistic law with slope log 2",
        "a distribution function",
        """
def monotone_cdf(x, bias, slope, height, steepness, centre, loc, scale):
    H = 1 / (1 + 2.0**-x)
    return np.stack([H, np.log(np.maximum(H * (1 - H), 1e-300))])
""",
    ),
    # --- quantile
    Wrong(
        "quantile",
        "an edge comes back",
        "after a few halvings the right edge is near enough",
        "round trip",
        changed(
            INVERSE,
            ("range(100)", "range(3)"),
            ("return loc + scale * (low + high) / 2", "return loc + scale * high"),
        ),
    ),
    Wrong(
        "quantile",
        "fixed bracket",
        "all quantiles lie between -20 and 20 standard deviations",
        "extreme levels",
        changed(
            INVERSE,
            (
                "low, high = (target - bias - reach) / sp(slope), (target - bias + reach) / sp(slope)",
                "low, high = np.full(len(u), -20.0), np.full(len(u), 20.0)",
            ),
        ),
    ),
    Wrong(
        "quantile",
        "levels clipped",
        "levels below one in ten million do not occur",
        "extreme levels",
        changed(INVERSE, ("scipy.special.logit(u)", "scipy.special.logit(np.clip(u, 1e-7, 1 - 1e-7))")),
    ),
    Wrong(
        "quantile",
        "z is not x",
        "the solution is already in units of the data",
        "units",
        changed(INVERSE, ("return loc + scale * (low + high) / 2", "return (low + high) / 2")),
    ),
    Wrong(
        "quantile",
        "loc forgotten",
        "multiplying by the scale brings back the units",
        "units",
        changed(INVERSE, ("return loc + scale * (low + high) / 2", "return scale * (low + high) / 2")),
    ),
    Wrong(
        "quantile",
        "steps left out",
        "the line alone is inverted",
        "round trip",
        changed(INVERSE, (" + np.tanh(sp(steepness) * (middle[:, None] - centre)) @ sp(height)", "")),
    ),
    Wrong(
        "quantile",
        "sorted",
        "quantiles come in increasing order",
        "round trip",
        changed(
            INVERSE,
            ("return loc + scale * (low + high) / 2", "return np.sort(loc + scale * (low + high) / 2)"),
        ),
    ),
    Wrong(
        "quantile",
        "a table of levels",
        "a thousand levels are enough, whatever is asked",
        "samples",
        changed(
            INVERSE,
            (
                "scipy.special.logit(u)",
                "scipy.special.logit(np.where(len(u) > 5000, (np.floor(u * 1000) + 0.5) / 1000, u))",
            ),
        ),
    ),
    Wrong(
        "quantile",
        "own random levels",
        "samples are wanted, so the levels may be drawn here",
        "round trip",
        changed(
            INVERSE,
            (
                "scipy.special.logit(u)",
                "scipy.special.logit(np.random.default_rng(0).random(len(u)) if len(u) > 3 else u)",
            ),
        ),
    ),
    Wrong(
        "quantile",
        "all levels share a bracket",
        "one decision serves all levels",
        "round trip",
        changed(
            INVERSE,
            (
                "np.where(m < target, middle, low), np.where(m < target, high, middle)",
                "(middle, high) if m[0] < target[0] else (low, middle)",
            ),
        ),
    ),
    Wrong(
        "quantile",
        "upside down",
        "where the curve is below the level, the solution is to the left",
        "round trip",
        changed(
            INVERSE,
            (
                "np.where(m < target, middle, low), np.where(m < target, high, middle)",
                "np.where(m > target, middle, low), np.where(m > target, high, middle)",
            ),
        ),
    ),
]
