r"""Denoising autoencoders: a network that repairs corrupted data is the kernel of a Markov chain.

.. math:: \tilde X_t \sim C(\tilde x \mid X_t), \qquad X_{t+1} \sim P_\theta(x \mid \tilde X_t)

Corrupt, repair, and again: if the repair is the Bayes posterior, the law of :math:`X_t` is the law of the
data. The model has samples and no density. For finitely many states everything here is a matrix and is
computed exactly.

Taught in :ref:`denoising`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.nn import check_rows, mlp

__all__ = [
    "CORRUPTIONS",
    "DenoisingAutoencoder",
    "bayes_posterior",
    "corrupt",
    "corruption_matrix",
    "dae_chain",
    "empirical_denoiser",
    "exact_chain",
    "factorize",
    "perturbation_bound",
    "spectral_gap",
    "stationary_law",
    "total_variation",
    "tweedie_score",
    "walkback_posterior",
    "walkback_weights",
]

Array = NDArray[np.float64]
CORRUPTIONS = ("salt_and_pepper", "masking", "gaussian")

# ----------------------------------------------------------------------------------------------
# Corruptions


def _check_level(kind: str, level: float) -> None:
    if kind not in CORRUPTIONS:
        raise ValueError(f"corruption: got {kind!r}, expected one of {', '.join(map(repr, CORRUPTIONS))}")
    top, what = (math.inf, "standard deviation") if kind == "gaussian" else (1.0, "probability")
    number = isinstance(level, int | float) and not isinstance(level, bool) and math.isfinite(level)
    if not number or not 0 < level <= top:
        wanted = "above 0" if kind == "gaussian" else "above 0 and at most 1"
        raise ValueError(f"level: got {level!r}, expected a {what} {wanted} for {kind!r}")


def corrupt(x: Tensor, kind: str, level: float, *, generator: torch.Generator | None = None) -> Tensor:
    """Corrupt every entry of `x` on its own.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        Clean rows.
    kind : {"salt_and_pepper", "masking", "gaussian"}
        Replace an entry by a fair coin; set it to zero; add normal noise.
    level : float
        Probability that an entry is replaced or set to zero, in (0, 1]; or the standard deviation of the
        noise, in units of the data.
    generator : torch.Generator, optional
        Where the noise comes from.

    Returns
    -------
    Tensor of shape (n, d)
        Corrupted rows; `x` is left alone.

    Raises
    ------
    ValueError
        If `kind` is unknown or `level` is outside its range.

    Notes
    -----
    Taught in :ref:`denoising`. Salt and pepper at level q flips a bit with probability q / 2: half of the
    coins show what was there.

    References
    ----------
    Vincent, Larochelle, Bengio, Manzagol (2008), Extracting and composing robust features with denoising
    autoencoders.

    Examples
    --------
    >>> corrupt(torch.ones(1, 3), "masking", 1.0)
    tensor([[0., 0., 0.]])
    """
    _check_level(kind, level)
    like: dict[str, Any] = {"generator": generator, "device": x.device, "dtype": x.dtype}
    if kind == "gaussian":
        return x + level * torch.randn(x.shape, **like)
    u = torch.rand(x.shape, **like)
    if kind == "masking":
        return torch.where(u < level, torch.zeros_like(x), x)
    # One uniform decides both: below level / 2 the pixel turns 0, below level it turns 1.
    return torch.where(u < level, (u >= level / 2).to(x.dtype), x)


def corruption_matrix(states: ArrayLike, kind: str, level: float) -> Array:
    r"""Corruption of binary rows as a matrix: entry (i, j) is :math:`C(\tilde x_j \mid x_i)`.

    Parameters
    ----------
    states : array_like of shape (S, d)
        Every binary row that can occur, once.
    kind : {"salt_and_pepper", "masking"}
        As in :func:`corrupt`.
    level : float
        Probability that an entry is replaced, in (0, 1].

    Returns
    -------
    ndarray of shape (S, S)
        Rows are clean states, columns corrupted ones. Rows sum to one where `states` lists all 2^d rows.

    Raises
    ------
    ValueError
        If a state is not binary, or the corruption leaves the bits.

    Notes
    -----
    Taught in :ref:`denoising`.

    Examples
    --------
    >>> corruption_matrix([[0], [1]], "salt_and_pepper", 0.2)
    array([[0.9, 0.1],
           [0.1, 0.9]])
    """
    _check_level(kind, level)
    bits = np.asarray(states, dtype=np.float64)
    if kind == "gaussian":
        raise ValueError("kind: Gaussian noise leaves the bits, so it has no matrix; use another corruption")
    if bits.ndim != 2 or not np.isin(bits, (0.0, 1.0)).all():
        raise ValueError(f"states: got shape {bits.shape}, expected binary rows of shape (S, d)")
    flip = level / 2
    salt = kind == "salt_and_pepper"
    entry = np.array([[1 - flip, flip], [flip, 1 - flip]] if salt else [[1.0, 0.0], [level, 1 - level]])
    whole = bits.astype(int)
    return entry[whole[:, None, :], whole[None, :, :]].prod(axis=2)


# ----------------------------------------------------------------------------------------------
# The chain on finitely many states, exactly


def _law(pi: ArrayLike, name: str = "pi") -> Array:
    p = np.asarray(pi, dtype=np.float64)
    if p.ndim != 1 or not p.size or not (p >= 0).all() or abs(p.sum() - 1) > 1e-9:
        raise ValueError(f"{name}: expected probabilities of shape (S,) that sum to one, got {pi!r}")
    return p


def _kernel(T: ArrayLike, name: str, rows: int | None = None) -> Array:
    matrix = np.asarray(T, dtype=np.float64)
    if matrix.ndim != 2 or (rows is not None and len(matrix) != rows):
        wanted = "a matrix" if rows is None else f"a matrix with {rows} rows"
        raise ValueError(f"{name}: got shape {matrix.shape}, expected {wanted}")
    if not (matrix >= -1e-12).all() or not np.allclose(matrix.sum(axis=1), 1, atol=1e-9):
        raise ValueError(f"{name}: rows must be probabilities that sum to one; is it transposed?")
    return matrix


def bayes_posterior(pi: ArrayLike, C: ArrayLike) -> Array:
    r"""Perfect denoiser :math:`P(x \mid \tilde x) = \pi(x)\,C(\tilde x \mid x) / (\pi C)(\tilde x)`.

    Parameters
    ----------
    pi : array_like of shape (S,)
        Law of the clean state.
    C : array_like of shape (S, R)
        Corruption; each row sums to one.

    Returns
    -------
    ndarray of shape (R, S)
        Row r is the law of the clean state given corrupted state r. A corrupted state that never occurs has
        no posterior; its row is `pi`.

    Raises
    ------
    ValueError
        If `pi` or a row of `C` is no law.

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    pi = _law(pi)
    joint = pi[:, None] * _kernel(C, "C", len(pi))  # (S, R)
    seen = joint.sum(axis=0)
    occurs = seen > 0
    return np.where(occurs, joint / np.where(occurs, seen, 1.0), pi[:, None]).T


def stationary_law(T: ArrayLike) -> Array:
    r"""Only law with :math:`\pi T = \pi`.

    Parameters
    ----------
    T : array_like of shape (S, S)
        Transition matrix; each row sums to one.

    Returns
    -------
    ndarray of shape (S,)
        The stationary law.

    Raises
    ------
    ValueError
        If `T` is no transition matrix, or has more than one stationary law (the states fall apart into
        classes that do not communicate).

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    T = _kernel(T, "T", len(np.atleast_1d(T)))
    _, size, vectors = np.linalg.svd(T.T - np.eye(len(T)))
    if len(T) > 1 and size[-2] < 1e-12:
        raise ValueError(
            "T: more than one stationary law; the chain cannot get from everywhere to everywhere"
        )
    return np.abs(vectors[-1]) / np.abs(vectors[-1]).sum()


def spectral_gap(T: ArrayLike) -> float:
    """One minus the second largest modulus of an eigenvalue: how much is forgotten per step.

    Parameters
    ----------
    T : array_like of shape (S, S)
        Transition matrix; each row sums to one.

    Returns
    -------
    float
        Between 0 (never forgets) and 1 (forgets at once). After about 1 / gap steps a reversible chain is e
        times nearer to its stationary law.

    Raises
    ------
    ValueError
        If `T` is no transition matrix.

    References
    ----------
    Levin, Peres (2017), Markov Chains and Mixing Times, chapter 12.

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    T = _kernel(T, "T", len(np.atleast_1d(T)))
    moduli = np.sort(np.abs(np.linalg.eigvals(T)))
    return float(1 - moduli[-2]) if len(T) > 1 else 1.0


def total_variation(p: ArrayLike, q: ArrayLike) -> float:
    """Half of the sum of absolute differences of two laws: the largest difference in any event's probability.

    Parameters
    ----------
    p, q : array_like of shape (S,)
        Two laws on the same states.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If one is no law, or they have different lengths.

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    p, q = _law(p, "p"), _law(q, "q")
    if p.shape != q.shape:
        raise ValueError(f"q: got {q.size} states, expected {p.size}, as p has")
    return float(np.abs(p - q).sum() / 2)


def perturbation_bound(pi: ArrayLike, T: ArrayLike, T_learned: ArrayLike) -> float:
    r"""Bound on the total variation between the stationary laws of a reversible chain and a wrong copy of it.

    .. math:: \mathrm{TV}(\hat\pi, \pi) \le \frac{\varepsilon}{\mathrm{gap}(T)}, \qquad
              \varepsilon = \frac12 \Bigl\| \frac{\hat\pi \hat T - \hat\pi T}{\pi} \Bigr\|_{L^2(\pi)}

    Parameters
    ----------
    pi : array_like of shape (S,)
        Stationary law of `T`, positive everywhere, with which it is in detailed balance.
    T, T_learned : array_like of shape (S, S)
        The right transition matrix and the wrong one.

    Returns
    -------
    float
        The bound; it may exceed one, and then says nothing.

    Raises
    ------
    ValueError
        If `pi` has a zero, or a matrix is no transition matrix.

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    pi = _law(pi)
    if not (pi > 0).all():
        raise ValueError("pi: a state has probability 0, expected all positive; leave it out")
    T, learned = _kernel(T, "T", len(pi)), _kernel(T_learned, "T_learned", len(pi))
    change = stationary_law(learned) @ (learned - T)
    return float(0.5 * np.sqrt(np.sum(change**2 / pi)) / spectral_gap(T))


def walkback_weights(p: float, max_steps: int) -> Array:
    """Law of the number of corruptions in a walk that goes on with probability `p` after each.

    Parameters
    ----------
    p : float
        Probability of another round, in [0, 1).
    max_steps : int
        Largest number of corruptions.

    Returns
    -------
    ndarray of shape (max_steps,)
        Entry k - 1 is the probability of k corruptions.

    Raises
    ------
    ValueError
        If `p` or `max_steps` is outside its range.

    Notes
    -----
    Taught in :ref:`denoising`.

    Examples
    --------
    >>> walkback_weights(0.5, 3)
    array([0.5 , 0.25, 0.25])
    """
    _check_walk(p, max_steps)
    weights = (1 - p) * p ** np.arange(max_steps, dtype=np.float64)
    weights[-1] = p ** (max_steps - 1)
    return weights


def factorize(P: ArrayLike, states: ArrayLike) -> Array:
    """Replace each conditional law of binary rows by independent columns with the same means.

    It is the nearest that a decoder with one probability per pixel comes to `P`, in cross-entropy.

    Parameters
    ----------
    P : array_like of shape (R, S)
        Row r is a law on the states.
    states : array_like of shape (S, d)
        All 2^d binary rows.

    Returns
    -------
    ndarray of shape (R, S)
        Products of Bernoulli laws.

    Raises
    ------
    ValueError
        If a row of `P` is no law, or the states do not fit.

    Notes
    -----
    Taught in :ref:`denoising`.

    Examples
    --------
    >>> factorize([[0.5, 0, 0, 0.5]], [[0, 0], [0, 1], [1, 0], [1, 1]])
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    P, bits = _kernel(P, "P"), np.asarray(states, dtype=np.float64)
    if bits.ndim != 2 or bits.shape != (P.shape[1], bits.shape[1]) or len(bits) != 2 ** bits.shape[1]:
        raise ValueError(f"states: got shape {bits.shape}, expected all 2^d rows, {P.shape[1]} of them")
    return _bernoulli_rows(P @ bits, bits)


def _bernoulli_rows(means: Array, bits: Array) -> Array:
    """Probability of each binary row, (S, d), under independent columns with these means, (R, d): (R, S)."""
    return np.where(bits[None] == 1, means[:, None], 1 - means[:, None]).prod(axis=2)


def walkback_posterior(
    pi: ArrayLike,
    C: ArrayLike,
    weights: ArrayLike,
    *,
    project: Callable[[Array], Array] | None = None,
    tolerance: float = 1e-13,
    max_iterations: int = 10_000,
) -> Array:
    r"""Denoiser that walkback training aims at, by fixed-point iteration.

    It is the Bayes posterior for the corruption that the chain itself makes,
    :math:`\tilde C = \sum_k w_k (C P)^{k-1} C`, which depends on the denoiser P in turn.

    Parameters
    ----------
    pi : array_like of shape (S,)
        Law of the data.
    C : array_like of shape (S, R)
        Corruption of one step.
    weights : array_like of shape (K,)
        Probability of a walk with 1, ..., K corruptions.
    project : callable, optional
        Maps each P to what a restricted network can represent, such as ``lambda P: factorize(P, states)``.
    tolerance : float
        Stop when no entry of P moves by more.
    max_iterations : int
        Give up after so many.

    Returns
    -------
    ndarray of shape (R, S)
        P at the fixed point. Without `project`, the chain ``C @ P`` keeps `pi`.

    Raises
    ------
    ValueError
        If an argument is no law.
    RuntimeError
        If the iteration does not settle.

    References
    ----------
    Bengio, Yao, Alain, Vincent (2013), arXiv:1305.6663, section 3 (the walkback algorithm).

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    pi, weights = _law(pi), _law(weights, "weights")
    C = _kernel(C, "C", len(pi))
    project = project or (lambda P: P)
    P = project(bayes_posterior(pi, C))
    for _ in range(max_iterations):
        walk, seen = np.zeros_like(C), C
        for w in weights:
            walk, seen = walk + w * seen, C @ P @ seen
        new = project(bayes_posterior(pi, walk / walk.sum(axis=1, keepdims=True)))
        moved, P = np.abs(new - P).max(), new
        if moved <= tolerance:
            return P
    raise RuntimeError(f"walkback_posterior: still moving by {moved:.1g} after {max_iterations} iterations")


# ----------------------------------------------------------------------------------------------
# Gaussian corruption: the denoiser is a score


def empirical_denoiser(x: ArrayLike, data: ArrayLike, std: float) -> Array:
    r"""Best denoiser for a finite training set: :math:`\mathbb E[X \mid \tilde X = x]` with X a training row.

    Parameters
    ----------
    x : array_like of shape (m, d)
        Noisy rows.
    data : array_like of shape (n, d)
        The training rows.
    std : float
        Standard deviation of the noise, in units of the data.

    Returns
    -------
    ndarray of shape (m, d)
        An average of training rows, weighted by how well each explains the noisy one.

    Raises
    ------
    ValueError
        If the shapes do not fit, a value is not finite or `std` is not positive.

    References
    ----------
    Vincent (2011), A connection between score matching and denoising autoencoders.

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    x, data = np.asarray(x, dtype=np.float64), np.asarray(data, dtype=np.float64)
    if x.ndim != 2 or data.ndim != 2 or x.shape[1] != data.shape[1] or not len(data):
        raise ValueError(
            f"x, data: got shapes {x.shape} and {data.shape}, expected (m, d) and (n, d), n >= 1"
        )
    if not (np.isfinite(x).all() and np.isfinite(data).all()):
        raise ValueError("x, data: NaN or infinity found; remove or repair such rows")
    _check_level("gaussian", std)
    exponent = -0.5 * (((x[:, None] - data[None]) / std) ** 2).sum(axis=2)  # (m, n)
    weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
    return weight @ data / weight.sum(axis=1, keepdims=True)


def tweedie_score(reconstruction: ArrayLike, x: ArrayLike, std: float) -> Array:
    r"""Score :math:`(r(x) - x) / \sigma^2` of the *noisy* law, from the mean reconstruction of a denoiser.

    Parameters
    ----------
    reconstruction : array_like of shape (m, d)
        The denoiser's output at `x`, a conditional mean.
    x : array_like of shape (m, d)
        Noisy rows.
    std : float
        Standard deviation of the noise.

    Returns
    -------
    ndarray of shape (m, d)
        Gradient of the log-density of data plus noise. It is the score of the data themselves only as `std`
        goes to zero.

    Raises
    ------
    ValueError
        If the shapes differ or `std` is not positive.

    References
    ----------
    Robbins (1956), An empirical Bayes approach to statistics; Efron (2011), Tweedie's formula and selection
    bias.

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    r, x = np.asarray(reconstruction, dtype=np.float64), np.asarray(x, dtype=np.float64)
    if r.shape != x.shape:
        raise ValueError(f"reconstruction: got shape {r.shape}, expected {x.shape}, as x has")
    _check_level("gaussian", std)
    return (r - x) / std**2


# ----------------------------------------------------------------------------------------------
# The model


def _check_walk(p: float, max_steps: int) -> None:
    if not isinstance(p, int | float) or not 0 <= p < 1:
        raise ValueError(f"walkback: got {p!r}, expected a probability of going on, at least 0 and below 1")
    if not isinstance(max_steps, int) or max_steps < 1:
        raise ValueError(f"max_steps: got {max_steps!r}, expected a whole number of at least 1")


def _examples(d: int) -> list[Fitted]:
    long: dict[str, Any] = {"hidden": (128,), "steps": 500} if d > 16 else {"hidden": (16,), "steps": 60}
    common: dict[str, Any] = {"lr": 3e-3, "device": "cpu", "random_state": 0, **long}
    return [
        Fitted(DenoisingAutoencoder, level=0.3, burn_in=30, **common),
        Fitted(DenoisingAutoencoder, level=0.2, walkback=0.5, burn_in=30, **common),
        Fitted(DenoisingAutoencoder, corruption="masking", level=0.5, burn_in=30, **common),
    ]


_COST = {
    "fit": "O(n) network passes per epoch; up to twice that with walkback",
    "log_prob": "none",
    "sample": "one network pass per step of the chain",
}


@catalogued(examples=_examples, dims=(1, 3), support="binary", cost=_COST)
class DenoisingAutoencoder(nn.Module):
    r"""Denoising autoencoder for binary data, and the Markov chain that it makes.

    .. math:: P_\theta(x \mid \tilde x) = \prod_j p_j^{x_j} (1 - p_j)^{1 - x_j}, \quad
              p = \mathrm{sigmoid}(f_\theta(\tilde x))

    The pixels are independent *given the corrupted image*. That is right where little is corrupted, and wrong
    where a corrupted image has several explanations.

    Parameters
    ----------
    dim : int
        Number of columns d.
    corruption : {"salt_and_pepper", "masking", "gaussian"}
        See :func:`corrupt`.
    level : float
        Probability in (0, 1], or a standard deviation for "gaussian".
    walkback : float
        Probability, in [0, 1), that a training row walks another round of the chain before the network has to
        repair it. Zero is plain training.
    max_steps : int
        Largest number of corruptions in such a walk.
    hidden : sequence of int
        Widths of the hidden layers.
    burn_in : int
        Steps of the chain, from coin noise, before ``sample`` reports.
    net : torch.nn.Module, optional
        Maps (n, d) to (n, d) logits, in place of the multilayer perceptron.

    Raises
    ------
    ValueError
        If a setting is outside its range.

    Notes
    -----
    Taught in :ref:`denoising`.

    References
    ----------
    Vincent et al. (2008); Bengio, Yao, Alain, Vincent (2013), Generalized denoising auto-encoders as
    generative models, arXiv:1305.6663.

    Examples
    --------
    >>> model = DenoisingAutoencoder(4, level=0.2)
    >>> model.sample(3, generator=torch.Generator().manual_seed(0)).shape
    torch.Size([3, 4])
    """

    likelihood = Likelihood.NONE

    def __init__(
        self,
        dim: int,
        *,
        corruption: str = "salt_and_pepper",
        level: float = 0.3,
        walkback: float = 0.0,
        max_steps: int = 4,
        hidden: Sequence[int] = (128, 128),
        burn_in: int = 100,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        _check_level(corruption, level)
        _check_walk(walkback, max_steps)
        if not isinstance(burn_in, int) or burn_in < 1:
            raise ValueError(f"burn_in: got {burn_in!r}, expected a whole number of at least 1")
        self.dim, self.corruption, self.level = dim, corruption, level
        self.walkback, self.max_steps, self.burn_in = walkback, max_steps, burn_in
        self.net = mlp(dim, dim, hidden=hidden) if net is None else net

    def corrupt(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw from the corruption.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Clean rows.
        generator : torch.Generator, optional
            Where the noise comes from.

        Returns
        -------
        Tensor of shape (n, d)
            Corrupted rows.
        """
        return corrupt(x, self.corruption, self.level, generator=generator)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Probability that each clean pixel is one, given corrupted rows.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Corrupted rows.

        Returns
        -------
        Tensor of shape (n, d)
            Probabilities.
        """
        return torch.sigmoid(self.net(x))

    @torch.no_grad()
    def denoise(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw clean rows given corrupted ones.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Corrupted rows.
        generator : torch.Generator, optional
            Where the draw comes from.

        Returns
        -------
        Tensor of shape (n, d)
            Bits.
        """
        return torch.bernoulli(self.reconstruct(x), generator=generator)

    @torch.no_grad()
    def walk(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Corrupted rows to train on: one corruption, and with probability `walkback` round after round.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Clean rows.
        generator : torch.Generator, optional
            Where the noise comes from.

        Returns
        -------
        Tensor of shape (n, d)
            Where each row's walk ended.
        """
        seen = self.corrupt(x, generator=generator)
        walking = torch.arange(len(x), device=x.device)
        for _ in range(self.max_steps - 1 if self.walkback else 0):
            more = torch.rand(len(walking), generator=generator, device=x.device) < self.walkback
            walking = walking[more]
            if len(walking):
                clean = self.denoise(seen[walking], generator=generator)
                seen[walking] = self.corrupt(clean, generator=generator)
        return seen

    def loss(self, batch: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Cross-entropy of the clean row under the reconstruction of a corrupted one, in nats per row.

        Parameters
        ----------
        batch : Tensor of shape (n, d)
            Clean rows, each value between 0 and 1.
        generator : torch.Generator, optional
            Where the corruption comes from.

        Returns
        -------
        Tensor of shape (n,)
            One value per row. It is a bound on nothing: it scores a repair, not the data.

        Raises
        ------
        ValueError
            If a value is outside [0, 1].
        """
        low, high = torch.aminmax(batch)
        if not (low >= 0 and high <= 1):
            raise ValueError(
                f"batch: values from {float(low):g} to {float(high):g}, expected 0 to 1 "
                "(bits, or grey values divided by their largest)"
            )
        logits = self.net(self.walk(batch, generator=generator))
        return F.binary_cross_entropy_with_logits(logits, batch, reduction="none").sum(dim=1)

    def log_prob(self, x: Tensor) -> Tensor:
        """There is none.

        Parameters
        ----------
        x : Tensor of shape (n, d)
            Ignored.

        Returns
        -------
        Tensor
            Never.

        Raises
        ------
        NotImplementedError
            Always, with what to use instead.
        """
        raise NotImplementedError(
            "DenoisingAutoencoder has samples and no density: the law of its chain is known only through the "
            "chain. Compare samples instead (coursekit.metrics: spurious_rate, energy_distance, c2st), or, "
            "up to 12 columns, use exact_chain and stationary_law."
        )

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw from `n` independent chains, each started at coin noise and run for `burn_in` steps.

        Parameters
        ----------
        n : int
            How many rows.
        generator : torch.Generator, optional
            Where the randomness comes from.

        Returns
        -------
        Tensor of shape (n, d)
            Bits: the last clean state of each chain.
        """
        weight = next(self.parameters(), torch.zeros(()))
        start = torch.full((n, self.dim), 0.5, dtype=weight.dtype, device=weight.device)
        start = torch.bernoulli(start, generator=generator)
        return dae_chain(self, start, self.burn_in, every=self.burn_in, generator=generator)[-1]


def dae_chain(
    model: DenoisingAutoencoder,
    x: Tensor,
    n_steps: int,
    *,
    every: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Run the chain of a denoising autoencoder and report the clean states.

    The reported variable is :math:`X_t`. The corrupted :math:`\tilde X_t` have another law, :math:`\pi C`.

    Parameters
    ----------
    model : DenoisingAutoencoder
        Has ``corrupt`` and ``denoise``.
    x : Tensor of shape (n, d)
        Where the n chains start, X_0.
    n_steps : int
        Steps, each a corruption and a repair.
    every : int
        Keep each so manieth state.
    generator : torch.Generator, optional
        Where the randomness comes from.

    Returns
    -------
    Tensor of shape (n_steps // every, n, d)
        Clean states, X_0 not among them.

    Raises
    ------
    TypeError, ValueError
        If `x` is no tensor of finite rows, or a count is out of range.

    Notes
    -----
    Taught in :ref:`denoising`.

    References
    ----------
    Bengio, Yao, Alain, Vincent (2013), arXiv:1305.6663.
    """
    x = check_rows(x, model.dim, like=next(model.parameters(), None))
    if not isinstance(n_steps, int) or not isinstance(every, int) or not 1 <= every <= n_steps:
        raise ValueError(
            f"n_steps, every: got {n_steps!r} and {every!r}, expected whole numbers, 1 <= every <= n_steps"
        )
    kept = []
    for t in range(1, n_steps + 1):
        x = model.denoise(model.corrupt(x, generator=generator), generator=generator)
        if t % every == 0:
            kept.append(x)
    return torch.stack(kept)


@torch.no_grad()
def exact_chain(model: DenoisingAutoencoder) -> tuple[Array, Array]:
    """Transition matrix of a trained model's chain, by enumeration of all binary rows.

    Parameters
    ----------
    model : DenoisingAutoencoder
        At most 12 columns; its corruption keeps bits bits.

    Returns
    -------
    states : ndarray of shape (2^d, d)
        All binary rows.
    T : ndarray of shape (2^d, 2^d)
        Entry (i, j) is the probability of going from state i to state j in one step.

    Raises
    ------
    ValueError
        If there are too many columns, or the corruption is Gaussian.

    Notes
    -----
    Taught in :ref:`denoising`.
    """
    if model.dim > 12:
        raise ValueError(f"model: got {model.dim} columns, expected at most 12: there are 2^d states")
    states = np.array(list(itertools.product([0.0, 1.0], repeat=model.dim)))
    C = corruption_matrix(states, model.corruption, model.level)
    rows = torch.tensor(states).to(next(model.parameters(), torch.zeros((), dtype=torch.float64)))
    p = model.reconstruct(rows).double().cpu().numpy()  # (R, d)
    return states, C @ _bernoulli_rows(p, states)
