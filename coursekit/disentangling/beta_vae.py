r"""Disentangling: a weight on the KL term, scores with known answers, and what no score can see.

.. math:: L_\beta(x) = \operatorname{E}_{q(z \mid x)}[\log p(x \mid z)]
    - \beta \operatorname{KL}\bigl(q(z \mid x) \,\Vert\, p(z)\bigr)

Codes are (n, latent_dim), one row per image; factors are (n, K) whole numbers, the values that made it.

Taught in :ref:`beta_vae`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.utils import check_random_state
from torch import Tensor, nn

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.latent.vae import VAE
from coursekit.nn import check_count

__all__ = [
    "DCI",
    "BetaVAE",
    "RotatedPosterior",
    "dci",
    "factor_vae_score",
    "mig",
    "mutual_information",
    "rate_distortion",
    "rotate_latents",
    "sap",
    "traverse",
    "water_filling",
]

Array = NDArray[np.float64]


# ----------------------------------------------------------------------------------------------
# The model.


@catalogued(
    examples=lambda d: [
        Fitted(BetaVAE, beta=4.0, latent_dim=2, hidden=(8,), steps=30, device="cpu", random_state=0),
        Fitted(
            BetaVAE,
            beta=10.0,
            capacity=0.5,
            capacity_steps=20,
            latent_dim=2,
            hidden=(8,),
            steps=30,
            device="cpu",
            random_state=0,
        ),
    ],
    dims=(2, 5),
    support="binary",
    cost={"fit": "O(steps * batch * weights)", "log_prob": "O(k * weights), a bound", "sample": "O(weights)"},
)
class BetaVAE(VAE):
    r"""VAE whose loss weighs the KL term by beta, or holds it at a capacity.

    Without `capacity`, ``loss`` is :math:`-\mathrm E[\log p(x \mid z)] + \beta\, \mathrm{KL}`. With it,
    :math:`-\mathrm E[\log p(x \mid z)] + \beta\, |\overline{\mathrm{KL}} - C|`, where the bar is the mean
    over the batch. ``elbo`` and ``iwae`` stay the bounds that they are for beta = 1: a loss is no bound by
    itself (see `lagrangian`).

    Parameters
    ----------
    dim : int
        Columns of x.
    beta : float
        Weight of the KL term, at least 0.
    capacity : float, optional
        Nats per image at which to hold the KL term.
    capacity_steps : int
        Steps over which the capacity rises from 0 to `capacity`; 0 has it there from the start.
    **options
        Options of `coursekit.latent.vae.VAE`: `latent_dim`, `hidden`, `decoder`, `warm_up` and so on.

    Raises
    ------
    ValueError
        If `beta`, `capacity` or `capacity_steps` is negative or not finite, or steps come without a capacity.

    References
    ----------
    Higgins et al., 2017, "beta-VAE: Learning basic visual concepts with a constrained variational framework",
    ICLR. Burgess et al., 2018, arXiv:1804.03599 (capacity). Alemi et al., 2018, arXiv:1711.00464 (rates).

    Notes
    -----
    Taught in :ref:`beta_vae`.

    Examples
    --------
    >>> model = BetaVAE(6, beta=4.0, latent_dim=2)
    >>> model.loss(torch.ones(3, 6)).shape
    torch.Size([3])
    """

    likelihood = Likelihood.BOUND

    def __init__(
        self,
        dim: int,
        *,
        beta: float = 4.0,
        capacity: float | None = None,
        capacity_steps: int = 0,
        **options: Any,
    ) -> None:
        for name, value in {"beta": beta, "capacity": capacity, "capacity_steps": capacity_steps}.items():
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"{name}: got {value!r}, expected a number of at least 0")
        if capacity is None and capacity_steps:
            raise ValueError(f"capacity_steps: got {capacity_steps!r} without a capacity to reach")
        if capacity is not None and options.get("warm_up"):
            raise ValueError("warm_up: a capacity rises by itself, expected capacity_steps instead")
        super().__init__(dim, beta=beta, **options)
        self.capacity, self.capacity_steps = capacity, capacity_steps

    def loss(self, batch: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Weighted loss of each row.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Data.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            What is minimized, in nats. With a capacity, the penalty is that of the batch's mean KL, the same
            for every row.

        Raises
        ------
        ValueError
            If a value is outside of what the decoder accepts.
        """
        if self.capacity is None:
            return super().loss(batch, generator=generator)
        if batch.device.type == "cpu":
            self.decoder.check_values(batch, "batch")
        posterior = self.encoder(batch)
        z = posterior.rsample(self.k, generator=generator)
        excess = posterior.kl_to_prior().mean() - self._capacity_now()
        return self.beta * excess.abs() - self.decoder.log_prob(batch, z).mean(0)

    def _capacity_now(self) -> float | Tensor:
        assert self.capacity is not None
        if not (self.training and self.capacity_steps):
            return self.capacity
        self.steps_done += 1
        return self.capacity * (self.steps_done / self.capacity_steps).clamp(max=1.0)

    @torch.no_grad()
    def lagrangian(
        self,
        x: Tensor,
        k: int = 1,
        *,
        capacity: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        r"""Give :math:`\mathrm E[\log p(x \mid z)] - \beta (\mathrm{KL} - \epsilon)` of each row.

        With `capacity` 0 it is a lower bound of log p(x) if beta is at least 1, and need not be one below.
        With a capacity it exceeds the ELBO by :math:`\beta\epsilon - (\beta - 1) \mathrm{KL}`: no bound.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.
        k : int
            Draws over which to average.
        capacity : float
            The constant epsilon, in nats.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            Values in nats.
        """
        bound = self.elbo(x, k, generator=generator)
        kl = self.encoder(x).kl_to_prior()
        return bound + self.beta * capacity - (self.beta - 1) * kl

    def log_prob(self, x: Tensor) -> Tensor:
        """Refuse: the evidence is an integral that this model only bounds.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            "BetaVAE has no log_prob: use elbo(x) or iwae(x, k), which are lower bounds whatever beta is"
        )


class RateDistortion(NamedTuple):
    """What an encoder sends, and what its decoder gets wrong.

    Attributes
    ----------
    rate : float
        Mean KL term, in nats per row.
    distortion : float
        Mean of minus log p(x | z), in nats per row.
    """

    rate: float
    distortion: float


@torch.no_grad()
def rate_distortion(
    model: VAE, x: Tensor, k: int = 1, *, generator: torch.Generator | None = None
) -> RateDistortion:
    """Measure the two terms of the ELBO, which is minus their sum.

    Parameters
    ----------
    model : VAE
        Its posterior must have ``kl_to_prior``.
    x : Tensor of shape (n, dim)
        Data.
    k : int
        Draws for each row.
    generator : torch.Generator, optional
        Source of the noise.

    Returns
    -------
    RateDistortion
        Means over the rows.

    References
    ----------
    Alemi et al., 2018, arXiv:1711.00464.

    Notes
    -----
    Taught in :ref:`beta_vae`.
    """
    bound = model.elbo(x, k, generator=generator)
    rate = float(model.encoder(x).kl_to_prior().mean())
    return RateDistortion(rate, -float(bound.mean()) - rate)


def water_filling(eigenvalues: ArrayLike, beta: float, noise_variance: float) -> RateDistortion:
    r"""Rate and distortion of the best linear beta-VAE, in closed form.

    Along an eigenvector of the covariance with eigenvalue :math:`\lambda` the error that is left is
    :math:`D = \min(\lambda, \beta\sigma^2)`, and costs :math:`\frac12 \log(\lambda / D)` nats: Shannon's
    reverse water-filling, with the water at :math:`\beta\sigma^2`.

    Parameters
    ----------
    eigenvalues : array_like of shape (d,)
        Of the covariance of the data; as many latents as columns, or the others below the water.
    beta : float
        Weight of the KL term.
    noise_variance : float
        Variance of the decoder, fixed.

    Returns
    -------
    RateDistortion
        In nats per row; along this curve the distortion falls by `beta` for each nat of rate.

    Raises
    ------
    ValueError
        If something is not positive.

    References
    ----------
    Cover and Thomas, 2006, "Elements of information theory", section 10.3. Lucas et al., 2019,
    arXiv:1911.02469 (the linear VAE).

    Notes
    -----
    Taught in :ref:`beta_vae`.

    Examples
    --------
    >>> float(round(water_filling([4.0, 1.0], beta=1.0, noise_variance=1.0).rate, 4))
    0.6931
    """
    values = np.asarray(eigenvalues, dtype=np.float64)
    if values.ndim != 1 or not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"eigenvalues: got {eigenvalues!r}, expected positive numbers")
    for name, value in {"beta": beta, "noise_variance": noise_variance}.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}: got {value!r}, expected a positive number")
    left = np.minimum(values, beta * noise_variance)
    rate = 0.5 * np.log(values / left).sum()
    normalizer = 0.5 * len(values) * math.log(2 * math.pi * noise_variance)
    return RateDistortion(float(rate), float(left.sum() / (2 * noise_variance) + normalizer))


@torch.no_grad()
def traverse(model: VAE, z: Tensor, values: Tensor) -> Tensor:
    """Decode a latent with one coordinate at a time replaced.

    Parameters
    ----------
    model : VAE
        The model.
    z : Tensor of shape (latent_dim,)
        Where to start.
    values : Tensor of shape (steps,)
        What each coordinate is set to; -2 to 2 covers what the prior uses.

    Returns
    -------
    Tensor of shape (latent_dim, steps, dim)
        Means of x, a row of images for each latent.

    Raises
    ------
    ValueError
        If a shape is wrong.

    Notes
    -----
    Taught in :ref:`beta_vae`.
    """
    if z.shape != (model.latent_dim,):
        raise ValueError(f"z: got shape {tuple(z.shape)}, expected ({model.latent_dim},)")
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values: got shape {tuple(values.shape)}, expected (steps,)")
    path = z.repeat(len(z), len(values), 1)  # (latents, steps, latents)
    each = torch.arange(len(z))
    path[each, :, each] = values.to(z)
    return model.decoder.mean(path)


# ----------------------------------------------------------------------------------------------
# What the data cannot tell: a rotation of the latents.


class RotatedPosterior:
    """The law of R z, where z follows a Gaussian posterior: its covariance is no longer diagonal.

    Parameters
    ----------
    base : Posterior
        The law of z.
    rotation : Tensor of shape (latent_dim, latent_dim)
        The orthogonal matrix R.

    Notes
    -----
    Taught in :ref:`beta_vae`.
    """

    def __init__(self, base: Any, rotation: Tensor) -> None:
        self.base, self.rotation = base, rotation

    @property
    def mean(self) -> Tensor:
        """Means, (n, latent_dim)."""
        return self.base.mean @ self.rotation.mT

    def rsample(self, k: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw, differentiably: (k, n, latent_dim)."""
        return self.base.rsample(k, generator=generator) @ self.rotation.mT

    def rsample_and_log_prob(
        self, k: int = 1, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw with the log-density (k, n) of each draw; a rotation keeps volumes."""
        z, log_q = self.base.rsample_and_log_prob(k, generator=generator)
        return z @ self.rotation.mT, log_q

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of latents: (k, n, latent_dim) to (k, n)."""
        return self.base.log_prob(z @ self.rotation)

    def kl_to_prior(self) -> Tensor:
        """KL divergence of N(0, I), (n,): that of the base, as the prior looks alike from all sides."""
        return self.base.kl_to_prior()


class _RotatedEncoder(nn.Module):
    rotation: Tensor

    def __init__(self, encoder: nn.Module, rotation: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("rotation", rotation)

    def forward(self, x: Tensor) -> RotatedPosterior:
        return RotatedPosterior(self.encoder(x), self.rotation)


class _RotatedDecoder(nn.Module):
    rotation: Tensor

    def __init__(self, decoder: nn.Module, rotation: Tensor) -> None:
        super().__init__()
        self.decoder: Any = decoder
        self.register_buffer("rotation", rotation)

    def check_values(self, x: Tensor, name: str = "x") -> Tensor:
        return self.decoder.check_values(x, name)

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        return self.decoder.log_prob(x, z @ self.rotation)

    def mean(self, z: Tensor) -> Tensor:
        return self.decoder.mean(z @ self.rotation)

    def sample(self, z: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        return self.decoder.sample(z @ self.rotation, generator=generator)


def rotate_latents(model: VAE, rotation: Tensor) -> VAE:
    """Build the model whose latent is R z: the same law of x, the same bounds, other axes.

    Parameters
    ----------
    model : VAE
        Its networks are shared with the new model, not copied.
    rotation : Tensor of shape (latent_dim, latent_dim)
        An orthogonal matrix R.

    Returns
    -------
    VAE
        In the same mode (training or evaluation) as `model`.

    Raises
    ------
    ValueError
        If `rotation` is not orthogonal or has another size.

    References
    ----------
    Locatello et al., 2019, arXiv:1811.12359, theorem 1.

    Notes
    -----
    Taught in :ref:`beta_vae`.

    Examples
    --------
    >>> model, x = VAE(6, latent_dim=2), torch.ones(1, 6)
    >>> turned = rotate_latents(model, torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    >>> a, b = (m.elbo(x, generator=torch.Generator().manual_seed(0)) for m in (model, turned))
    >>> torch.allclose(a, b)
    True
    """
    size, weights = model.latent_dim, next(model.parameters())
    if rotation.shape != (size, size):
        raise ValueError(f"rotation: got shape {tuple(rotation.shape)}, expected ({size}, {size})")
    off = float(
        (rotation.double() @ rotation.double().mT - torch.eye(size, device=rotation.device)).abs().max()
    )
    if not off < 1e-4:
        raise ValueError(
            f"rotation: R R^T differs from the identity by {off:.2g}, expected an orthogonal matrix"
        )
    rotation = rotation.to(weights)
    turned = VAE(
        model.dim,
        latent_dim=size,
        encoder=_RotatedEncoder(model.encoder, rotation),
        decoder=_RotatedDecoder(model.decoder, rotation),
        k=model.k,
        beta=model.beta,
        warm_up=model.warm_up,
    )
    return turned.to(weights.dtype).to(weights.device).train(model.training)


# ----------------------------------------------------------------------------------------------
# Scores: how well do single latents match single factors?


def _checked(codes: ArrayLike, factors: ArrayLike) -> tuple[Array, NDArray[np.int64]]:
    """Codes as float64 (n, latent_dim), factors as indices (n, K) from 0, both checked."""
    z, v = np.asarray(codes), np.asarray(factors)
    for name, array in (("codes", z), ("factors", v)):
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name}: got shape {array.shape}, expected (n, columns) with none of them 0")
    if z.dtype.kind not in "fiu" or not np.isfinite(z).all():
        raise ValueError("codes: hold NaN, infinity or no real numbers, expected finite ones")
    if len(z) != len(v):
        raise ValueError(f"codes, factors: got {len(z)} and {len(v)} rows, expected equally many")
    if v.dtype.kind not in "iu":
        raise ValueError(f"factors: got {v.dtype}, expected whole numbers: which value a factor has")
    columns = [np.unique(column, return_inverse=True) for column in v.T]
    for number, (values, _) in enumerate(columns):
        if len(values) < 2:
            raise ValueError(
                f"factors: column {number} has one value only ({values[0]}), so no code can tell anything "
                "about it; leave it out"
            )
    return z.astype(np.float64), np.stack([index for _, index in columns], axis=1).astype(np.int64)


def _entropy(counts: NDArray[Any]) -> Array:
    """Entropy of each table (..., cells) of counts, in nats."""
    p = counts / counts.sum(-1, keepdims=True)
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)


def _bins(z: Array, bins: int) -> NDArray[np.int64]:
    """Which of `bins` intervals of equal width, from its smallest to its largest value, each code is in."""
    low, high = z.min(axis=0), z.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    # A value on an edge belongs to the interval above, on every processor: hence the last digits.
    return np.minimum((z - low) / width * bins + 1e-9, bins - 1).astype(np.int64)


def mutual_information(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20) -> Array:
    """Mutual information of every latent with every factor, from counts in bins.

    Parameters
    ----------
    codes : array_like of shape (n, latent_dim)
        One code for each image.
    factors : array_like of shape (n, K)
        Whole numbers: the value of each factor.
    bins : int
        Intervals of equal width into which the range of each latent is cut.

    Returns
    -------
    ndarray of shape (latent_dim, K)
        In nats. The estimate from counts is too high by about (bins - 1)(values - 1) / 2n.

    Raises
    ------
    ValueError
        If shapes or values are wrong, or a factor has one value only.

    Notes
    -----
    Taught in :ref:`beta_vae`.

    Examples
    --------
    >>> table = mutual_information([[0.0], [0.0], [1.0], [1.0]], [[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> table.round(4).tolist()
    [[0.6931, 0.0]]
    """
    z, v = _checked(codes, factors)
    bins = check_count("bins", bins, 2)
    index = _bins(z, bins)
    table = np.empty((z.shape[1], v.shape[1]))
    for j, code in enumerate(index.T):
        for k, factor in enumerate(v.T):
            values = int(factor.max()) + 1
            joint = np.bincount(code * values + factor, minlength=bins * values).reshape(bins, values)
            table[j, k] = _entropy(joint.sum(1)) + _entropy(joint.sum(0)) - _entropy(joint.ravel())
    return np.maximum(table, 0.0)  # rounding may give -1e-16


def _gaps(table: Array) -> Array:
    """How far the best latent is ahead of the second best, for each factor: (latent_dim, K) to (K,)."""
    if len(table) == 1:
        return table[0]
    best = np.sort(table, axis=0)
    return best[-1] - best[-2]


def mig(codes: ArrayLike, factors: ArrayLike, *, bins: int = 20) -> float:
    r"""Mutual information gap: how far, for each factor, the best latent is ahead of the second best.

    .. math:: \frac1K \sum_k \frac{1}{H(v_k)} \Bigl(I(z_{(1)}; v_k) - I(z_{(2)}; v_k)\Bigr)

    Parameters
    ----------
    codes : array_like of shape (n, latent_dim)
        One code for each image.
    factors : array_like of shape (n, K)
        Whole numbers: the value of each factor.
    bins : int
        See `mutual_information`.

    Returns
    -------
    float
        1 if each factor is a function of one latent that alone knows about it. 0 if for each factor two
        latents know equally much.

    Raises
    ------
    ValueError
        If shapes or values are wrong, or a factor has one value only.

    References
    ----------
    Chen, Li, Grosse and Duvenaud, 2018, arXiv:1802.04942.

    Notes
    -----
    Taught in :ref:`beta_vae`.
    """
    z, v = _checked(codes, factors)
    entropies = np.array([_entropy(np.bincount(column)) for column in v.T])
    return float((_gaps(mutual_information(z, v, bins=bins)) / entropies).mean())


def sap(codes: ArrayLike, factors: ArrayLike, *, categorical: Sequence[int] = ()) -> float:
    r"""Separated attribute predictability: the gap of squared correlations instead of information.

    For a factor with an order, the squared Pearson correlation of latent and factor. For a categorical one,
    the share of the latent's variance that lies between the categories (the original trains a classifier).

    Parameters
    ----------
    codes : array_like of shape (n, latent_dim)
        One code for each image.
    factors : array_like of shape (n, K)
        Whole numbers: the value of each factor.
    categorical : sequence of int
        Columns of `factors` whose values have no order.

    Returns
    -------
    float
        1 if each factor is a linear function of one latent that is uncorrelated with the others. For the code
        R v, with uncorrelated factors v of equal variance, the mean gap of the squares in R's columns.

    Raises
    ------
    ValueError
        If shapes or values are wrong, or a factor has one value only.

    References
    ----------
    Kumar, Sattigeri and Balakrishnan, 2018, arXiv:1711.00848.

    Notes
    -----
    Taught in :ref:`beta_vae`.
    """
    z, v = _checked(codes, factors)
    if not set(categorical) <= set(range(v.shape[1])):
        raise ValueError(f"categorical: got {categorical!r}, expected columns of factors, below {v.shape[1]}")
    z = z - z.mean(axis=0)
    total = np.square(z).sum(axis=0)
    shares = np.empty((z.shape[1], v.shape[1]))
    for k, factor in enumerate(v.T):
        if k in categorical:
            member = np.eye(factor.max() + 1)[factor]  # (n, values)
            between = (np.square(member.T @ z) / member.sum(axis=0)[:, None]).sum(axis=0)
        else:
            centred = factor - factor.mean()
            between = np.square(centred @ z) / np.square(centred).sum()
        shares[:, k] = np.where(total > 1e-20, between / np.where(total > 1e-20, total, 1.0), 0.0)
    return float(_gaps(shares).mean())


class DCI(NamedTuple):
    """Three scores in [0, 1] and the table that they come from.

    Attributes
    ----------
    disentanglement : float
        Does each latent serve one factor? Latents are weighted by their importance.
    completeness : float
        Is each factor served by one latent?
    informativeness : float
        Share of held-out rows whose factor is predicted, mean over the factors.
    importance : ndarray of shape (latent_dim, K)
        Columns sum to one.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Array


def dci(codes: ArrayLike, factors: ArrayLike, *, n_trees: int = 10, random_state: Any = 0) -> DCI:
    """Disentanglement, completeness and informativeness, by random forests.

    For each factor a forest predicts its value from all latents; how much each latent is used is its
    importance. Entropies of the rows and columns of that table, on the scale from 0 to 1, give the scores.
    Half of the rows train, the others judge.

    Parameters
    ----------
    codes : array_like of shape (n, latent_dim)
        One code for each image.
    factors : array_like of shape (n, K), K at least 2
        Whole numbers: the value of each factor.
    n_trees : int
        Trees of each forest.
    random_state : int, RandomState or None
        Decides the halves and the forests.

    Returns
    -------
    DCI
        The scores. They do not depend on the order of the latents.

    Raises
    ------
    ValueError
        If shapes or values are wrong, a factor has one value only, or there are too few factors or rows.

    References
    ----------
    Eastwood and Williams, 2018, "A framework for the quantitative evaluation of disentangled
    representations", ICLR.

    Notes
    -----
    Taught in :ref:`beta_vae`.
    """
    z, v = _checked(codes, factors)
    if v.shape[1] < 2 or len(z) < 10:
        raise ValueError(f"factors: got shape {v.shape}, expected at least ten rows of two factors")
    rng = check_random_state(random_state)
    order = rng.permutation(len(z))
    train, test = order[: len(z) // 2], order[len(z) // 2 :]
    columns = np.lexsort(z)  # the forest sees the latents in an order of its own
    importance, right = np.zeros((z.shape[1], v.shape[1])), []
    for k, factor in enumerate(v.T):
        forest = RandomForestClassifier(
            check_count("n_trees", n_trees, 1), max_features=None, random_state=rng.randint(2**31)
        ).fit(z[train][:, columns], factor[train])
        importance[columns, k] = forest.feature_importances_
        right.append(forest.score(z[test][:, columns], factor[test]))
    total = importance.sum()
    if not total > 0:
        raise ValueError("codes: are constant, expected at least one latent that varies")
    by_latent = importance.sum(axis=1)
    alive = by_latent > 0
    rows = 1 - _entropy(importance[alive]) / math.log(v.shape[1])
    columns_ = 1 - _entropy(importance.T) / math.log(len(importance)) if len(importance) > 1 else np.ones(1)
    disentanglement = float((rows * by_latent[alive]).sum() / total)
    return DCI(disentanglement, float(np.mean(columns_)), float(np.mean(right)), importance)


def factor_vae_score(
    codes: ArrayLike,
    factors: ArrayLike,
    *,
    votes: int = 400,
    rows_per_vote: int = 64,
    random_state: Any = 0,
) -> float:
    """Share of votes in which the latent that stands still names the factor that was held still.

    A vote: choose a factor, hold it at a random value, draw rows that have it, and find the latent whose
    variance is the smallest share of its overall variance. A table from latents to factors is made by
    majority on half of the votes, and judged on the others.

    Parameters
    ----------
    codes : array_like of shape (n, latent_dim)
        One code for each image.
    factors : array_like of shape (n, K)
        Whole numbers: the value of each factor.
    votes : int
        Votes in each half.
    rows_per_vote : int
        Rows drawn for a vote, with replacement.
    random_state : int, RandomState or None
        Decides the votes.

    Returns
    -------
    float
        From about 1 / K, by chance, to 1.

    Raises
    ------
    ValueError
        If shapes or values are wrong, a factor has one value only, or all codes are constant.

    References
    ----------
    Kim and Mnih, 2018, arXiv:1802.05983.

    Notes
    -----
    Taught in :ref:`beta_vae`.
    """
    z, v = _checked(codes, factors)
    votes, rows_per_vote = check_count("votes", votes, 1), check_count("rows_per_vote", rows_per_vote, 2)
    variance = z.var(axis=0)
    alive = variance > 1e-20
    if not alive.any():
        raise ValueError("codes: are constant, expected at least one latent that varies")
    z = z[:, alive] / np.sqrt(variance[alive])
    rng = check_random_state(random_state)
    counts = np.zeros((2, z.shape[1], v.shape[1]), dtype=int)
    having = [[np.flatnonzero(column == value) for value in range(column.max() + 1)] for column in v.T]
    for half in counts:
        for _ in range(votes):
            k = rng.randint(v.shape[1])
            rows = having[k][rng.randint(len(having[k]))]
            still = z[rows[rng.randint(len(rows), size=rows_per_vote)]].var(axis=0).argmin()
            half[still, k] += 1
    majority = counts[0].argmax(axis=1)
    return float(counts[1][np.arange(z.shape[1]), majority].sum() / votes)
