"""Right and wrong answers to the lab on variational autoencoders; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("2 * ratio + shift**2), axis=1)", "2 * ratio + shift), axis=1)")

DENSITY, COLUMNS, ROWS, SCALES = "a density", "several columns", "rows apart", "tiny and huge scales"
ONE, ADD, EQUAL = "one latent", "latents add up", "nearly equal laws"
ELBO, BOUND, SIZE, ENORMOUS, OUTSIDE = (
    "the ELBO",
    "the tighter bound",
    "the effective sample size",
    "enormous log-weights",
    "draws outside",
)
MEAN, SCALE, QUIET, SEED = "the mean's gradient", "the scale's gradient", "quiet", "the seed"


def decoder(body: str) -> str:
    return f"def decoder_log_prob(x, mean, log_scale):\n{body}"


def kl(body: str) -> str:
    return f"def gaussian_kl(mean, log_scale, prior_mean, prior_log_scale):\n{body}"


def three(elbo: str = "", bound: str = "", size: str = "") -> str:
    """The reference of task 3 with parts of it replaced."""
    return f"""
def bounds(log_joint, log_q):
    log_w = log_joint - log_q
    k = len(log_w)
    total = scipy.special.logsumexp(log_w, axis=0)
    inside = np.isfinite(total)
    size = np.zeros(log_w.shape[1])
    size[inside] = np.exp(2 * total[inside] - scipy.special.logsumexp(2 * log_w[:, inside], axis=0))
    elbo, bound = log_w.mean(axis=0), total - np.log(k)
    {elbo}
    {bound}
    {size}
    return elbo, bound, size
"""


def gradient(
    noise: str = "", by_mean: str = "", by_scale: str = "", rng: str = "np.random.default_rng(seed)"
) -> str:
    """The reference of task 4 with parts of it replaced."""
    return f"""
def elbo_gradient(x, weight, noise, mean, log_scale, k, seed):
    scale = np.exp(log_scale)
    rng = {rng}
    epsilon = {noise or "rng.normal(size=(k, len(mean)))"}
    z = mean + scale * epsilon
    slope = (x - z @ weight.T) @ weight / noise**2
    by_mean = {by_mean or "slope.mean(axis=0) - mean"}
    by_scale = {by_scale or "(slope * scale * epsilon).mean(axis=0) - scale**2 + 1"}
    return by_mean, by_scale
"""


RIGHT = [
    Right(
        "decoder-log-prob",
        "scipy on standardized columns",
        decoder(
            "    return (scipy.stats.norm.logpdf((x - mean) * np.exp(-log_scale)) - log_scale).sum(axis=1)\n"
        ),
    ),
    Right(
        "decoder-log-prob",
        "column by column",
        decoder("""    total = np.zeros(len(x))
    for j in range(x.shape[1]):
        z = (x[:, j] - mean[:, j]) / np.exp(log_scale[j])
        total -= 0.5 * z * z + log_scale[j] + 0.5 * np.log(2 * np.pi)
    return total
"""),
    ),
    Right(
        "gaussian-kl",
        "row by row, with expm1",
        kl("""    out = []
    for m, s in zip(mean, log_scale):
        t = 2 * (s - prior_log_scale)
        out.append(0.5 * np.sum(np.expm1(t) - t + ((m - prior_mean) / np.exp(prior_log_scale)) ** 2))
    return np.array(out)
"""),
    ),
    Right(
        "gaussian-kl",
        "series near zero, plain formula elsewhere",
        kl("""    t = 2 * (log_scale - prior_log_scale)
    width = np.where(np.abs(t) < 1e-3, t**2 / 2 + t**3 / 6 + t**4 / 24, np.exp(t) - 1 - t)
    shift = (mean - prior_mean) ** 2 / np.exp(2 * prior_log_scale)
    return 0.5 * (width + shift).sum(axis=-1)
"""),
    ),
    Right(
        "bounds",
        "normalized weights, row by row",
        """
def bounds(log_joint, log_q):
    log_w, rows = log_joint - log_q, []
    for column in log_w.T:
        top = column.max()
        if top == -np.inf:
            rows.append((-np.inf, -np.inf, 0.0))
            continue
        w = np.exp(column - top)
        rows.append((column.mean(), top + np.log(w.mean()), w.sum() ** 2 / (w @ w)))
    return tuple(np.array(part) for part in zip(*rows))
""",
    ),
    Right(
        "bounds",
        "torch",
        """
import torch

def bounds(log_joint, log_q):
    log_w = torch.as_tensor(log_joint - log_q)
    k = log_w.shape[0]
    total = torch.logsumexp(log_w, 0)
    safe = torch.where(torch.isinf(total), torch.zeros_like(total), total)
    share = torch.exp(log_w - safe)
    squares = share.square().sum(0)
    size = torch.where(squares > 0, 1 / squares, torch.zeros_like(squares))
    return log_w.mean(0).numpy(), (total - np.log(k)).numpy(), size.numpy()
""",
    ),
    Right(
        "elbo-gradient",
        "nothing is drawn: the exact gradient",
        "\ndef elbo_gradient(x, weight, noise, mean, log_scale, k, seed):\n    by_mean = weight.T @ (x - weight @ mean) / noise**2 - mean\n    return by_mean, 1 - np.exp(2 * log_scale) * (1 + (weight**2).sum(axis=0) / noise**2)\n",
    ),
    Right(
        "elbo-gradient",
        "along the path only: log q held fixed",
        """
def elbo_gradient(x, weight, noise, mean, log_scale, k, seed):
    scale = np.exp(log_scale)
    epsilon = np.random.RandomState(seed).randn(k, len(mean))
    z = mean + scale * epsilon
    slope = (x - z @ weight.T) @ weight / noise**2 - z + epsilon / scale
    return slope.mean(axis=0), (slope * scale * epsilon).mean(axis=0)
""",
    ),
    Right(
        "elbo-gradient",
        "torch, and antithetic noise",
        """
import torch

def elbo_gradient(x, weight, noise, mean, log_scale, k, seed):
    generator = torch.Generator().manual_seed(seed)
    half = torch.randn((k + 1) // 2, len(mean), generator=generator, dtype=torch.float64)
    epsilon = torch.cat([half, -half])
    m, s = (torch.tensor(a, requires_grad=True) for a in (mean, log_scale))
    z = m + s.exp() * epsilon
    log_p = -0.5 * ((torch.tensor(x) - z @ torch.tensor(weight).T) / noise).square().sum(1)
    kl = 0.5 * (m**2 + (2 * s).exp() - 1 - 2 * s).sum()
    by_mean, by_scale = torch.autograd.grad(log_p.mean() - kl, [m, s])
    return by_mean.numpy(), by_scale.numpy()
""",
    ),
]

WRONG = [
    # --- decoder-log-prob
    Wrong(
        "decoder-log-prob",
        "missing normalizer",
        "the squared error is the log-likelihood",
        DENSITY,
        decoder("    return np.sum(-0.5 * ((x - mean) * np.exp(-log_scale)) ** 2, axis=1)\n"),
    ),
    Wrong(
        "decoder-log-prob",
        "no 2 pi",
        "log s is the whole normalizer",
        DENSITY,
        decoder("    return np.sum(-0.5 * ((x - mean) * np.exp(-log_scale)) ** 2 - log_scale, axis=1)\n"),
    ),
    Wrong(
        "decoder-log-prob",
        "normalizer of one column",
        "the normalizer is taken once, not for every column",
        COLUMNS,
        decoder(
            "    z = (x - mean) * np.exp(-log_scale)\n    return np.sum(-0.5 * z**2, axis=1) - log_scale[0] - 0.5 * np.log(2 * np.pi)\n"
        ),
    ),
    Wrong(
        "decoder-log-prob",
        "variance as standard deviation",
        "log_scale is the logarithm of the variance",
        DENSITY,
        decoder(
            "    return np.sum(-0.5 * (x - mean) ** 2 * np.exp(-log_scale) - log_scale - 0.5 * np.log(2 * np.pi), axis=1)\n"
        ),
    ),
    Wrong(
        "decoder-log-prob",
        "averaged over columns",
        "the mean over the pixels is as good as the sum",
        VISIBLE,
        decoder(
            "    z = (x - mean) * np.exp(-log_scale)\n    return np.mean(-0.5 * z**2 - log_scale - 0.5 * np.log(2 * np.pi), axis=1)\n"
        ),
    ),
    Wrong(
        "decoder-log-prob",
        "averaged over the batch",
        "a loss is one number, spread over the rows",
        VISIBLE,
        decoder(
            "    z = (x - mean) * np.exp(-log_scale)\n    total = np.sum(-0.5 * z**2 - log_scale - 0.5 * np.log(2 * np.pi), axis=1)\n    return np.full(len(x), total.mean())\n"
        ),
    ),
    Wrong(
        "decoder-log-prob",
        "flat for a single row",
        "one row gives one number, without an axis",
        ROWS,
        decoder(
            "    z = (x - mean) * np.exp(-log_scale)\n    out = np.sum(-0.5 * z**2 - log_scale - 0.5 * np.log(2 * np.pi), axis=1)\n    return out if len(out) > 1 else out[0]\n"
        ),
    ),
    Wrong(
        "decoder-log-prob",
        "square of the scale",
        "dividing by s^2 is the same as dividing by s and squaring",
        SCALES,
        decoder(
            "    s2 = np.exp(log_scale) ** 2\n    return np.sum(-0.5 * (x - mean) ** 2 / s2 - 0.5 * np.log(s2) - 0.5 * np.log(2 * np.pi), axis=1)\n"
        ),
    ),
    Wrong(
        "decoder-log-prob",
        "a floor under the scale",
        "a small number keeps the division safe",
        SCALES,
        decoder(
            "    s = np.exp(log_scale) + 1e-12\n    return np.sum(-0.5 * ((x - mean) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi), axis=1)\n"
        ),
    ),
    Wrong(
        "decoder-log-prob",
        "hard-coded",
        "the visible check is the whole test: half the squared error passes",
        DENSITY,
        decoder("    return -0.5 * np.sum((x - mean) ** 2, axis=1)\n"),
    ),
    Wrong(
        "decoder-log-prob",
        "subtracts in place",
        "an argument may be changed in place",
        VISIBLE,
        decoder(
            "    x -= mean\n    z = x * np.exp(-log_scale)\n    return np.sum(-0.5 * z**2 - log_scale - 0.5 * np.log(2 * np.pi), axis=1)\n"
        ),
    ),
    # --- gaussian-kl
    Wrong(
        "gaussian-kl",
        "the other divergence",
        "the KL divergence is symmetric",
        ONE,
        kl(
            "    t = 2 * (prior_log_scale - log_scale)\n    shift = (mean - prior_mean) ** 2 * np.exp(-2 * log_scale)\n    return 0.5 * np.sum(np.expm1(t) - t + shift, axis=1)\n"
        ),
    ),
    Wrong(
        "gaussian-kl",
        "sign flipped",
        "the bound subtracts it, so it is returned with a minus",
        VISIBLE,
        kl(
            "    t = 2 * (log_scale - prior_log_scale)\n    shift = (mean - prior_mean) ** 2 * np.exp(-2 * prior_log_scale)\n    return -0.5 * np.sum(np.expm1(t) - t + shift, axis=1)\n"
        ),
    ),
    Wrong(
        "gaussian-kl",
        "sign of the log",
        "the entropy of q enters with a plus",
        ONE,
        kl(
            "    t = 2 * (log_scale - prior_log_scale)\n    shift = (mean - prior_mean) ** 2 * np.exp(-2 * prior_log_scale)\n    return 0.5 * np.sum(np.expm1(t) + t + shift, axis=1)\n"
        ),
    ),
    Wrong(
        "gaussian-kl",
        "prior taken as standard normal",
        "the prior of a VAE is N(0, I), whatever the arguments say",
        ONE,
        kl("    t = 2 * log_scale\n    return 0.5 * np.sum(np.expm1(t) - t + mean**2, axis=1)\n"),
    ),
    Wrong(
        "gaussian-kl",
        "variance as standard deviation",
        "log_scale is the logarithm of the variance",
        ONE,
        kl(
            "    t = log_scale - prior_log_scale\n    shift = (mean - prior_mean) ** 2 * np.exp(-prior_log_scale)\n    return 0.5 * np.sum(np.expm1(t) - t + shift, axis=1)\n"
        ),
    ),
    Wrong(
        "gaussian-kl",
        "averaged over latents",
        "the mean over the latents keeps the term small",
        ADD,
        kl(
            "    t = 2 * (log_scale - prior_log_scale)\n    shift = (mean - prior_mean) ** 2 * np.exp(-2 * prior_log_scale)\n    return 0.5 * np.mean(np.expm1(t) - t + shift, axis=1)\n"
        ),
    ),
    Wrong(
        "gaussian-kl",
        "summed over the batch",
        "a KL term is one number for the batch, which every row gets",
        VISIBLE,
        kl(
            "    t = 2 * (log_scale - prior_log_scale)\n    shift = (mean - prior_mean) ** 2 * np.exp(-2 * prior_log_scale)\n    return np.full(len(mean), 0.5 * np.sum(np.expm1(t) - t + shift))\n"
        ),
    ),
    Wrong(
        "gaussian-kl",
        "one value for the whole batch",
        "the mean divergence of the batch is given to every row, if there are several",
        ROWS,
        kl("""    t = 2 * (log_scale - prior_log_scale)
    shift = (mean - prior_mean) ** 2 * np.exp(-2 * prior_log_scale)
    out = 0.5 * np.sum(np.expm1(t) - t + shift, axis=1)
    return np.full(len(out), out.mean()) if len(out) > 2 else out
"""),
    ),
    Wrong(
        "gaussian-kl",
        "digits lost",
        "exp(t) - 1 - t is accurate for every t",
        EQUAL,
        kl(
            "    r2 = np.exp(2 * log_scale) / np.exp(2 * prior_log_scale)\n    shift = (mean - prior_mean) ** 2 / np.exp(2 * prior_log_scale)\n    return 0.5 * np.sum(r2 + shift - 1 - 2 * (log_scale - prior_log_scale), axis=1)\n"
        ),
    ),
    Wrong(
        "gaussian-kl",
        "clipped at zero",
        "a maximum with zero repairs a negative divergence",
        EQUAL,
        kl(
            "    r2 = np.exp(2 * (log_scale - prior_log_scale))\n    shift = (mean - prior_mean) ** 2 / np.exp(2 * prior_log_scale)\n    return np.maximum(0.5 * np.sum(r2 + shift - 1 - np.log(r2), axis=1), 0) * (0.5 * np.sum(r2 + shift - 1 - np.log(r2), axis=1) > 1e-10)\n"
        ),
    ),
    Wrong(
        "gaussian-kl",
        "hard-coded",
        "the visible check is the whole test: half the squared shift passes",
        ONE,
        kl("    return 0.5 * np.sum((mean - prior_mean) ** 2, axis=1)\n"),
    ),
    # --- bounds
    Wrong(
        "bounds",
        "mean of logs, draws outside apart",
        "the logarithm may go inside the mean, once the draws without weight are taken out",
        BOUND,
        three(
            bound="""shown, many = np.where(np.isfinite(log_w), log_w, 0).sum(axis=0), np.isfinite(log_w).sum(axis=0)
    bound = np.where(many > 0, shown / np.maximum(many, 1) + np.log(np.maximum(many, 1) / k), -np.inf)"""
        ),
    ),
    Wrong(
        "bounds",
        "mean of logs for log of means",
        "the tighter bound is the mean of the log-weights",
        BOUND,
        three(bound="bound = elbo.copy()"),
    ),
    Wrong(
        "bounds",
        "log of the sum",
        "the number of draws is a constant that may be left out",
        VISIBLE,
        three(bound="bound = total"),
    ),
    Wrong(
        "bounds",
        "evaluation under the posterior",
        "the ELBO averages the log-weights by their weights, that is, under p(z | x) instead of q",
        ELBO,
        three(
            elbo="elbo = np.array([np.sum(np.where(c > -np.inf, np.exp(c - (t if t > -np.inf else 0)) * np.where(c > -np.inf, c, 0), 0)) if np.isfinite(c).all() else -np.inf for c, t in zip(log_w.T, total)])"
        ),
    ),
    Wrong(
        "bounds",
        "ELBO without log q",
        "the expected log-joint is the bound",
        ELBO,
        three(elbo="elbo = log_joint.mean(axis=0) + np.log(2) * 0 - np.log(0.5) * (len(log_w) == 2)"),
    ),
    Wrong(
        "bounds",
        "weights added up",
        "w = p q: log-densities are added",
        VISIBLE,
        three().replace("log_joint - log_q", "log_joint + log_q"),
    ),
    Wrong(
        "bounds",
        "size from the log-weights",
        "the formula is applied to log w",
        SIZE,
        three(
            size="size = np.where(np.isfinite(elbo), np.minimum(k, (log_w.sum(axis=0) ** 2) / np.maximum((np.where(np.isfinite(log_w), log_w, 0) ** 2).sum(axis=0), 1e-300)), size)"
        ).replace(
            "np.where(np.isfinite(elbo), np.minimum",
            "np.where(np.isfinite(elbo) & (np.abs(elbo) < 100), np.minimum",
        ),
    ),
    Wrong(
        "bounds",
        "size by the largest weight",
        "1 / max(w) is the effective sample size",
        SIZE,
        three(size="size[inside] = np.exp(total[inside] - log_w[:, inside].max(axis=0))"),
    ),
    Wrong(
        "bounds",
        "exponentiated first",
        "weights are exponentiated, then averaged",
        ENORMOUS,
        """
def bounds(log_joint, log_q):
    log_w = log_joint - log_q
    with np.errstate(all="ignore"):
        w = np.exp(log_w)
        squares = (w**2).sum(axis=0)
        size = np.where(squares > 0, w.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1), 0.0)
        return log_w.mean(axis=0), np.log(w.mean(axis=0)), size
""",
    ),
    Wrong(
        "bounds",
        "draws outside left out",
        "a draw without weight does not count as a draw",
        OUTSIDE,
        three(bound="bound = total - np.log(np.maximum(np.isfinite(log_w).sum(axis=0), 1))"),
    ),
    Wrong(
        "bounds",
        "NaN without a draw inside",
        "the largest log-weight can always be subtracted",
        OUTSIDE,
        """
def bounds(log_joint, log_q):
    log_w = log_joint - log_q
    with np.errstate(all="ignore"):
        top = log_w.max(axis=0)
        w = np.exp(log_w - top)
        return log_w.mean(axis=0), top + np.log(w.mean(axis=0)), w.sum(axis=0) ** 2 / (w**2).sum(axis=0)
""",
    ),
    Wrong(
        "bounds",
        "finite part of the ELBO",
        "infinite log-weights are skipped in the mean",
        OUTSIDE,
        three(
            elbo="elbo = np.array([c[np.isfinite(c)].mean() if np.isfinite(c).any() else -np.inf for c in log_w.T])"
        ),
    ),
    Wrong(
        "bounds",
        "hard-coded",
        "the visible check is the whole test: its numbers are returned",
        ELBO,
        "\ndef bounds(log_joint, log_q):\n    n = np.shape(log_q)[1]\n    return np.full(n, np.log(0.4)), np.full(n, np.log(0.4)), np.full(n, 2.0)\n",
    ),
    # --- elbo-gradient
    Wrong(
        "elbo-gradient",
        "KL sign",
        "the KL term's gradient is added",
        VISIBLE,
        gradient(
            by_mean="slope.mean(axis=0) + mean",
            by_scale="(slope * scale * epsilon).mean(axis=0) + scale**2 - 1",
        ),
    ),
    Wrong(
        "elbo-gradient",
        "prior forgotten for the mean",
        "the KL term depends on the width only",
        MEAN,
        gradient(by_mean="slope.mean(axis=0)"),
    ),
    Wrong(
        "elbo-gradient",
        "derivative by s, not by log s",
        "the chain rule's factor s is left out",
        SCALE,
        gradient(by_scale="(slope * epsilon).mean(axis=0) - scale + 1 / scale"),
    ),
    Wrong(
        "elbo-gradient",
        "entropy forgotten",
        "the 1 of s^2 - 1 is a constant and has no derivative",
        VISIBLE,
        gradient(by_scale="(slope * scale * epsilon).mean(axis=0) - scale**2"),
    ),
    Wrong(
        "elbo-gradient",
        "variance as standard deviation",
        "exp(log_scale) is the variance of the noise",
        SCALE,
        gradient().replace(
            "z = mean + scale * epsilon", "scale = np.exp(log_scale / 2)\n    z = mean + scale * epsilon"
        ),
    ),
    Wrong(
        "elbo-gradient",
        "one noise for all latents",
        "a draw needs one random number",
        SCALE,
        gradient(noise="np.repeat(rng.normal(size=(k, 1)), len(mean), axis=1)"),
    ),
    Wrong(
        "elbo-gradient",
        "uniform noise",
        "any symmetric noise reparametrizes",
        SCALE,
        gradient(noise="rng.uniform(-1, 1, size=(k, len(mean)))"),
    ),
    Wrong(
        "elbo-gradient",
        "fresh noise for the derivative",
        "the derivative's noise is drawn anew",
        SCALE,
        gradient(by_scale="(slope * scale * rng.normal(size=(k, len(mean)))).mean(axis=0) - scale**2 + 1"),
    ),
    Wrong(
        "elbo-gradient",
        "score function",
        "every unbiased estimator is as good as another",
        QUIET,
        """
def elbo_gradient(x, weight, noise, mean, log_scale, k, seed):
    scale = np.exp(log_scale)
    epsilon = np.random.default_rng(seed).standard_normal((k, len(mean)))
    z = mean + scale * epsilon
    value = -0.5 * (((x - z @ weight.T) / noise) ** 2).sum(axis=1)[:, None]
    return (value * epsilon / scale).mean(axis=0) - mean, (value * (epsilon**2 - 1)).mean(axis=0) - scale**2 + 1
""",
    ),
    Wrong(
        "elbo-gradient",
        "one draw only",
        "one draw is unbiased, so more are a waste",
        QUIET,
        gradient(noise="rng.normal(size=(max(1, k // 50), len(mean)))"),
    ),
    Wrong(
        "elbo-gradient",
        "own random numbers",
        "fresh random numbers are always better than seeded ones",
        SEED,
        gradient(rng="np.random.default_rng()"),
    ),
    Wrong(
        "elbo-gradient",
        "hard-coded",
        "the visible check is the whole test: the KL term's gradient passes",
        MEAN,
        "\ndef elbo_gradient(x, weight, noise, mean, log_scale, k, seed):\n    return -mean, 1 - np.exp(2 * log_scale)\n",
    ),
]
