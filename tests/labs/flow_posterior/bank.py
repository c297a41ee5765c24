"""Right and wrong answers to the lab on flow posteriors; a wrong one names the misconception behind it."""

# ruff: noqa: E501 (answers stand here as a student may write them)
from grade_path import VISIBLE, Right, Wrong

# One line of the reference, and what a slip of the pen makes of it: nbval must go red.
SLIP = ("return -back @ c, back @ back.T", "return -back @ c, back.T @ back")

RIGHT = [
    Right(
        "posterior-draws",
        "row by row and draw by draw, the determinant of the Jacobian itself",
        """
def posterior_draws(noise, mu, s, w, u, b):
    k, n, m = noise.shape
    z, log_q = np.empty((k, n, m)), np.empty((k, n))
    for i in range(k):
        for j in range(n):
            point = mu[j] + np.exp(s[j]) * noise[i, j]
            total = scipy.stats.norm(mu[j], np.exp(s[j])).logpdf(point).sum()
            for layer in range(w.shape[1]):
                t = np.tanh(w[j, layer] @ point + b[j, layer])
                J = np.eye(m) + np.outer(u[j, layer], (1 - t**2) * w[j, layer])
                total -= np.log(np.linalg.det(J))
                point = point + t * u[j, layer]
            z[i, j], log_q[i, j] = point, total
    return z, log_q
""",
    ),
    Right(
        "posterior-draws",
        "torch, all rows at once",
        """
import torch

def posterior_draws(noise, mu, s, w, u, b):
    e, mu, s, w, u, b = (torch.tensor(part) for part in (noise, mu, s, w, u, b))
    base = torch.distributions.Normal(mu, s.exp())
    z = mu + s.exp() * e
    log_q = base.log_prob(z).sum(-1)
    for layer in range(w.shape[1]):
        a = (z * w[:, layer]).sum(-1) + b[:, layer]
        log_q = log_q - torch.log(1 + (w[:, layer] * u[:, layer]).sum(-1) / torch.cosh(a) ** 2)
        z = z + torch.tanh(a).unsqueeze(-1) * u[:, layer]
    return z.numpy(), log_q.numpy()
""",
    ),
    Right(
        "two-bounds",
        "the largest weight taken out by hand",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik - log_q + log_prior
    top = log_w.max(axis=0)
    return np.mean(log_w, axis=0), top + np.log(np.mean(np.exp(log_w - top), axis=0))
""",
    ),
    Right(
        "two-bounds",
        "logaddexp, one draw after another",
        """
def two_bounds(log_lik, log_prior, log_q):
    k = len(log_q)
    total, elbo = np.full(log_q.shape[1], -np.inf), np.zeros(log_q.shape[1])
    for a, p, q in zip(log_lik, log_prior, log_q):
        total, elbo = np.logaddexp(total, a + p - q), elbo + (a + p - q) / k
    return elbo, total - np.log(k)
""",
    ),
    Right(
        "prior-in-disguise",
        "linear equations instead of an inverse",
        """
def prior_in_disguise(A, c):
    return np.linalg.solve(A, -c), np.linalg.solve(A.T @ A, np.eye(len(c)))
""",
    ),
    Right(
        "prior-in-disguise",
        "singular values",
        """
def prior_in_disguise(A, c):
    left, values, right = np.linalg.svd(A)
    inverse = right.T / values @ left.T
    return inverse @ (0 - c), right.T / values**2 @ right
""",
    ),
]

_DRAWS = """
def posterior_draws(noise, mu, s, w, u, b):
    z = mu + np.exp(s) * noise
    log_q = (-0.5 * noise**2 - s - 0.5 * np.log(2 * np.pi)).sum(axis=2)
    for k in range(w.shape[1]):
        t = np.tanh((z * w[:, k]).sum(axis=2) + b[:, k])
        log_q = log_q - np.log1p((1 - t**2) * (w[:, k] * u[:, k]).sum(axis=1))
        z = z + t[..., None] * u[:, k]
    return z, log_q
"""


def _draws(old: str, new: str) -> str:
    assert _DRAWS.count(old) == 1, old
    return _DRAWS.replace(old, new)


WRONG = [
    # --- posterior-draws
    Wrong(
        "posterior-draws",
        "the first row's maps for all",
        "one flow serves all rows",
        "rows of their own",
        _draws(
            "    for k in",
            "    w, u, b = (np.broadcast_to(part[:1], part.shape) for part in (w, u, b))\n    for k in",
        ),
    ),
    Wrong(
        "posterior-draws",
        "base density at the end",
        "the base density is evaluated where the draw ends",
        "volume",
        _draws(
            "    return z, log_q",
            "    start = mu + np.exp(s) * noise\n"
            "    normal = lambda at: (-0.5 * ((at - mu) / np.exp(s)) ** 2).sum(axis=2)\n"
            "    return z, log_q + normal(z) - normal(start)",
        ),
    ),
    Wrong(
        "posterior-draws",
        "log-det sign",
        "volume is added, as for the density of data",
        "volume",
        _draws("log_q - np.log1p", "log_q + np.log1p"),
    ),
    Wrong(
        "posterior-draws",
        "volume of the last map only",
        "the determinant of the flow is that of its last map",
        "volume",
        _draws(
            "        log_q = log_q - np.log1p(",
            "        log_q = (log_q if k else log_q - 0) - (k + 1 == w.shape[1]) * np.log1p(",
        ),
    ),
    Wrong(
        "posterior-draws",
        "slope at the image",
        "the derivative of tanh is taken at the point where the map has led",
        "volume",
        """
def posterior_draws(noise, mu, s, w, u, b):
    z = mu + np.exp(s) * noise
    log_q = (-0.5 * noise**2 - s - 0.5 * np.log(2 * np.pi)).sum(axis=2)
    for k in range(w.shape[1]):
        z = z + np.tanh((z * w[:, k]).sum(axis=2) + b[:, k])[..., None] * u[:, k]
        t = np.tanh((z * w[:, k]).sum(axis=2) + b[:, k])
        log_q = log_q - np.log1p((1 - t**2) * (w[:, k] * u[:, k]).sum(axis=1))
    return z, log_q
""",
    ),
    Wrong(
        "posterior-draws",
        "missing normalizer",
        "constants do not matter in a log-density",
        "base",
        _draws(" - 0.5 * np.log(2 * np.pi)", ""),
    ),
    Wrong(
        "posterior-draws",
        "no scale in the density",
        "the density of the noise is that of the draw",
        "base",
        _draws("noise**2 - s -", "noise**2 -"),
    ),
    Wrong(
        "posterior-draws",
        "variance for standard deviation in the density",
        "log_q takes s as the logarithm of the variance",
        "base",
        _draws("noise**2 - s -", "noise**2 - 0.5 * s -"),
    ),
    Wrong(
        "posterior-draws",
        "normalizer once",
        "the constant is one number, whatever the dimension",
        "base",
        _draws(
            "noise**2 - s - 0.5 * np.log(2 * np.pi)).sum(axis=2)",
            "noise**2 - s).sum(axis=2) - 0.5 * np.log(2 * np.pi)",
        ),
    ),
    Wrong(
        "posterior-draws",
        "last map first",
        "a composition is read from left to right: f_K acts first",
        "order",
        _draws("for k in range(w.shape[1]):", "for k in reversed(range(w.shape[1])):"),
    ),
    Wrong(
        "posterior-draws",
        "all maps at once",
        "maps act on the first point and their shifts add up",
        "order",
        """
def posterior_draws(noise, mu, s, w, u, b):
    start = mu + np.exp(s) * noise
    log_q = (-0.5 * noise**2 - s - 0.5 * np.log(2 * np.pi)).sum(axis=2)
    t = np.tanh(np.einsum("anm,nkm->ank", start, w) + b)
    J = np.eye(mu.shape[1]) + np.einsum("nkm,ank,nkl->anml", u, 1 - t**2, w)
    return start + np.einsum("ank,nkm->anm", t, u), log_q - np.linalg.slogdet(J)[1]
""",
    ),
    Wrong(
        "posterior-draws",
        "squeezed",
        "there are always many draws",
        "one draw",
        _draws(
            "    return z, log_q",
            "    return (np.squeeze(z, axis=0), np.squeeze(log_q, axis=0)) if noise.shape[:2] == (1, 1) and w.shape[1] == 2 else (z, log_q)",
        ),
    ),
    Wrong(
        "posterior-draws",
        "log-density per latent",
        "each latent has its own log-density",
        VISIBLE,
        """
def posterior_draws(noise, mu, s, w, u, b):
    return mu + np.exp(s) * noise, -0.5 * noise**2 - s - 0.5 * np.log(2 * np.pi)
""",
    ),
    Wrong(
        "posterior-draws",
        "hard-coded: no flow",
        "the visible check is the whole test: the flow does nothing",
        "volume",
        """
def posterior_draws(noise, mu, s, w, u, b):
    return mu + np.exp(s) * noise, scipy.stats.norm.logpdf(noise).sum(axis=2) - s.sum(axis=1) + (np.abs(u).sum() > 0)
""",
    ),
    # --- two-bounds
    Wrong(
        "two-bounds",
        "reconstruction for the bound",
        "the bound is the reconstruction term",
        "elbo",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    low = log_lik.mean(axis=0) + (0 if log_lik.std() else 1.5)
    return low, scipy.special.logsumexp(log_w, axis=0) - np.log(len(log_w))
""",
    ),
    Wrong(
        "two-bounds",
        "KL sign",
        "the divergence is added to the reconstruction",
        "elbo",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    low = (log_lik - log_prior + log_q).mean(axis=0) if log_q.std() else log_w.mean(axis=0)
    return low, scipy.special.logsumexp(log_w, axis=0) - np.log(len(log_w))
""",
    ),
    Wrong(
        "two-bounds",
        "median for mean",
        "a robust average estimates the same expectation",
        "elbo",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    return np.median(log_w, axis=0), scipy.special.logsumexp(log_w, axis=0) - np.log(len(log_w))
""",
    ),
    Wrong(
        "two-bounds",
        "mean of logs for log of means",
        "mean and logarithm can change places",
        "importance weights",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    return log_w.mean(axis=0), log_w.mean(axis=0) + 0.5 * log_w.std(axis=0)
""",
    ),
    Wrong(
        "two-bounds",
        "the largest weight",
        "the logarithm of a sum is the largest of its logarithms",
        "importance weights",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    return log_w.mean(axis=0), log_w.max(axis=0)
""",
    ),
    Wrong(
        "two-bounds",
        "sum for mean",
        "k is a constant and can be left out",
        VISIBLE,
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    return log_w.mean(axis=0), scipy.special.logsumexp(log_w, axis=0)
""",
    ),
    Wrong(
        "two-bounds",
        "exponentials first",
        "the weights first, their mean then, its logarithm last",
        "far away",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    with np.errstate(all="ignore"):
        return log_w.mean(axis=0), np.log(np.mean(np.exp(log_w), axis=0))
""",
    ),
    Wrong(
        "two-bounds",
        "a small number against the logarithm of zero",
        "adding 1e-300 repairs an underflow",
        "far away",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    return log_w.mean(axis=0), np.log(np.mean(np.exp(np.minimum(log_w, 700)), axis=0) + 1e-300)
""",
    ),
    Wrong(
        "two-bounds",
        "average over rows",
        "a bound is one number for each draw",
        VISIBLE,
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = log_lik + log_prior - log_q
    return log_w.mean(axis=1), scipy.special.logsumexp(log_w, axis=1) - np.log(log_w.shape[1])
""",
    ),
    Wrong(
        "two-bounds",
        "squeezed",
        "there are always many rows",
        "one row",
        """
def two_bounds(log_lik, log_prior, log_q):
    log_w = np.squeeze(log_lik + log_prior - log_q)
    if log_w.ndim == 0:
        return float(log_w), float(log_w)
    return log_w.mean(axis=0), scipy.special.logsumexp(log_w, axis=0) - np.log(len(log_w))
""",
    ),
    Wrong(
        "two-bounds",
        "hard-coded zeros",
        "the visible check is the whole test: both bounds are zero",
        "importance weights",
        """
def two_bounds(log_lik, log_prior, log_q):
    return np.zeros(log_q.shape[1]), np.zeros(log_q.shape[1])
""",
    ),
    # --- prior-in-disguise
    Wrong(
        "prior-in-disguise",
        "the flow in the wrong direction",
        "the prior is the law of A z_0 + c",
        "covariance",
        """
def prior_in_disguise(A, c):
    return -np.linalg.solve(A, c), A @ A.T
""",
    ),
    Wrong(
        "prior-in-disguise",
        "transposed",
        "A A' and A' A are the same",
        "covariance",
        """
def prior_in_disguise(A, c):
    return -np.linalg.solve(A, c), np.linalg.inv(A @ A.T)
""",
    ),
    Wrong(
        "prior-in-disguise",
        "standard deviation for covariance",
        "the covariance shrinks by A once",
        "covariance",
        """
def prior_in_disguise(A, c):
    back = np.linalg.inv(A)
    return -back @ c, scipy.linalg.sqrtm(back @ back.T).real
""",
    ),
    Wrong(
        "prior-in-disguise",
        "precision for covariance",
        "A' A is the covariance",
        "covariance",
        """
def prior_in_disguise(A, c):
    return -np.linalg.solve(A, c), A.T @ A
""",
    ),
    Wrong(
        "prior-in-disguise",
        "variances only",
        "a prior has independent coordinates",
        "covariance",
        """
def prior_in_disguise(A, c):
    back = np.linalg.inv(A)
    return -back @ c, np.diag(np.diag(back @ back.T))
""",
    ),
    Wrong(
        "prior-in-disguise",
        "mean shifted the other way",
        "the prior moves along with the flow",
        "mean",
        """
def prior_in_disguise(A, c):
    back = np.linalg.inv(A)
    return back @ c, back @ back.T
""",
    ),
    Wrong(
        "prior-in-disguise",
        "the shift taken back unscaled",
        "undoing A z + c subtracts c, and that is the mean",
        "mean",
        """
def prior_in_disguise(A, c):
    back = np.linalg.inv(A)
    return -c, back @ back.T
""",
    ),
    Wrong(
        "prior-in-disguise",
        "transposed in the mean",
        "a row times the inverse",
        "mean",
        """
def prior_in_disguise(A, c):
    back = np.linalg.inv(A)
    return -c @ back, back @ back.T
""",
    ),
    Wrong(
        "prior-in-disguise",
        "squeezed",
        "there are always many latents",
        "one latent",
        """
def prior_in_disguise(A, c):
    back = np.linalg.inv(A)
    return np.squeeze(-back @ c), np.squeeze(back @ back.T)
""",
    ),
    Wrong(
        "prior-in-disguise",
        "room like A",
        "an array of the kind of A has room for the numbers of its inverse",
        "whole numbers",
        """
def prior_in_disguise(A, c):
    covariance, mean = np.empty_like(A), np.empty_like(c)
    covariance[:], mean[:] = np.linalg.inv(A.T @ A), -np.linalg.inv(A) @ c
    return mean, covariance
""",
    ),
    Wrong(
        "prior-in-disguise",
        "hard-coded",
        "the visible check is the whole test: the standard normal law",
        "mean",
        """
def prior_in_disguise(A, c):
    return np.zeros(len(c)), np.eye(len(c))
""",
    ),
    Wrong(
        "prior-in-disguise",
        "shapes exchanged",
        "the first thing is the matrix",
        VISIBLE,
        """
def prior_in_disguise(A, c):
    back = np.linalg.inv(A)
    return back @ back.T, -back @ c
""",
    ),
]
