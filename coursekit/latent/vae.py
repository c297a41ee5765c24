r"""Variational autoencoders: a latent variable, a bound on the evidence, and oracles that know the truth.

.. math:: \log p_\theta(x) = \log \int p_\theta(x \mid z)\, p(z)\, dz \;\ge\;
    \operatorname{E}_{q_\phi(z \mid x)}\!\left[\log \frac{p_\theta(x \mid z)\, p(z)}{q_\phi(z \mid x)}\right]

The prior p(z) is standard normal throughout. Shapes: x is (n, d); latents are (k, n, latent_dim), k draws
for each of n rows; log-weights are (k, n).

Taught in :ref:`vae`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.base import DensityEstimator, Fitted, Likelihood, catalogued
from coursekit.nn import check_count, check_rows, mlp
from coursekit.train import train

__all__ = [
    "GLO",
    "VAE",
    "BernoulliDecoder",
    "DiagonalGaussian",
    "GaussianDecoder",
    "GaussianEncoder",
    "ProbabilisticPCA",
    "active_units",
    "conv_nets",
    "infer_per_row",
    "interpolate",
    "linear_vae",
    "log_evidence",
]

LOG_2PI = math.log(2 * math.pi)
Objective = Literal["elbo", "iwae", "dreg", "reinforce"]
_CELLS = 2**19  # numbers in a block of an evaluation: what stays in the cache (2^22 takes 1.5 times as long)


def log_standard_normal(z: Tensor) -> Tensor:
    """Log-density of N(0, I): (..., latent_dim) to (...), in nats."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * LOG_2PI)


# ----------------------------------------------------------------------------------------------
# The posterior q(z | x): what an encoder returns.


class Posterior(Protocol):
    """What a VAE asks of q(z | x). Any encoder that returns one may take the Gaussian's place.

    A posterior that also has ``kl_to_prior()`` gets the analytic term in its ELBO, otherwise draws are used.
    One that has ``detached()`` can be trained by "dreg".
    """

    def rsample_and_log_prob(self, k: int, *, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw z of shape (k, n, latent_dim), differentiably, with log q(z | x) of shape (k, n)."""
        ...

    def log_prob(self, z: Tensor) -> Tensor:
        """Give log q(z | x) of given latents: (k, n, latent_dim) to (k, n)."""
        ...


class DiagonalGaussian:
    """Normal laws with independent coordinates, one for each row of a batch.

    Parameters
    ----------
    mean, log_scale : Tensor of shape (n, latent_dim)
        Means, and logarithms of the *standard deviations*.

    References
    ----------
    Kingma and Welling, 2014, arXiv:1312.6114, appendix B.

    Notes
    -----
    Taught in :ref:`vae`.

    Examples
    --------
    >>> q = DiagonalGaussian(torch.zeros(5, 2), torch.zeros(5, 2))
    >>> q.kl_to_prior().tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, mean: Tensor, log_scale: Tensor) -> None:
        self.mean, self.log_scale = mean, log_scale

    def rsample(self, k: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw z = mean + scale * noise, differentiable in both.

        Parameters
        ----------
        k : int
            Draws for each row.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (k, n, latent_dim)
            The draws.
        """
        shape = (k, *self.mean.shape)
        noise = torch.randn(shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + self.log_scale.exp() * noise

    def rsample_and_log_prob(
        self, k: int = 1, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw as ``rsample`` does, with the log-density (k, n) of each draw."""
        z = self.rsample(k, generator=generator)
        return z, self.log_prob(z)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of latents.

        Parameters
        ----------
        z : Tensor of shape (k, n, latent_dim)
            Where to evaluate.

        Returns
        -------
        Tensor of shape (k, n)
            Log-densities in nats.
        """
        standard = (z - self.mean) * (-self.log_scale).exp()
        return log_standard_normal(standard) - self.log_scale.sum(-1)

    def kl_to_prior(self) -> Tensor:
        r"""KL divergence of N(0, I) from each law: :math:`\frac12 \sum_j (\mu_j^2 + s_j^2 - 1) - \log s_j`.

        Returns
        -------
        Tensor of shape (n,)
            Divergences in nats, summed over the coordinates.
        """
        variance = (2 * self.log_scale).exp()
        return (0.5 * (self.mean.square() + variance - 1) - self.log_scale).sum(-1)

    def detached(self) -> DiagonalGaussian:
        """Return the same laws, with parameters through which no gradient flows."""
        return DiagonalGaussian(self.mean.detach(), self.log_scale.detach())


class GaussianEncoder(nn.Module):
    """A network from x to the mean and log standard deviation of q(z | x).

    Parameters
    ----------
    dim, latent_dim : int
        Columns of x and of z.
    hidden : sequence of int
        Widths of the hidden layers.
    activation : callable
        Makes the activation.
    net : torch.nn.Module, optional
        Another network, from (n, dim) to (n, 2 latent_dim).

    Notes
    -----
    Taught in :ref:`vae`.
    """

    def __init__(
        self,
        dim: int,
        latent_dim: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.net = mlp(dim, 2 * latent_dim, hidden=hidden, activation=activation) if net is None else net

    def forward(self, x: Tensor) -> DiagonalGaussian:
        """Map x (n, dim) to its posterior."""
        mean, log_scale = self.net(x).chunk(2, dim=-1)
        return DiagonalGaussian(mean, log_scale.clamp(-12.0, 12.0))


# ----------------------------------------------------------------------------------------------
# The decoder p(x | z).


class BernoulliDecoder(nn.Module):
    r"""Independent bits given z: :math:`\log p(x \mid z) = \sum_j x_j \ell_j(z) - \log(1 + e^{\ell_j(z)})`.

    The logits :math:`\ell` come from a network. For 0 and 1 this is a probability; for values between, its
    exponential does not integrate to one over the cube, so it must not be compared with a density.

    Parameters
    ----------
    latent_dim, dim : int
        Columns of z and of x.
    hidden : sequence of int
        Widths of the hidden layers.
    activation : callable
        Makes the activation.
    net : torch.nn.Module, optional
        Another network, from (m, latent_dim) to (m, dim) logits.

    References
    ----------
    Loaiza-Ganem and Cunningham, 2019, arXiv:1907.06845 (what values between 0 and 1 would need).

    Notes
    -----
    Taught in :ref:`vae`.
    """

    def __init__(
        self,
        latent_dim: int,
        dim: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.net = mlp(latent_dim, dim, hidden=hidden, activation=activation) if net is None else net

    def check_values(self, x: Tensor, name: str = "x") -> Tensor:
        """Refuse values outside [0, 1].

        Raises
        ------
        ValueError
            If a value is outside.
        """
        low, high = (float(value) for value in x.aminmax()) if x.numel() else (0.0, 0.0)
        if low < 0 or high > 1:
            raise ValueError(
                f"{name}: reaches from {low:g} to {high:g}, a Bernoulli decoder expects values in [0, 1]; "
                "binarize or scale the data, or use a Gaussian decoder"
            )
        return x

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        """Log-probability of x given z.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Values in [0, 1].
        z : Tensor of shape (k, n, latent_dim) or (k, 1, latent_dim)
            Latents for each row, or the same ones for all rows.

        Returns
        -------
        Tensor of shape (k, n)
            Log-probabilities in nats, summed over the columns.
        """
        logits = self.net(z)  # (k, n, d)
        on = logits[:, 0] @ x.mT if logits.shape[1] == 1 else torch.einsum("knd,nd->kn", logits, x)
        return on - F.softplus(logits).sum(-1)

    def mean(self, z: Tensor) -> Tensor:
        """Probability that each column is 1: (..., latent_dim) to (..., dim)."""
        return torch.sigmoid(self.net(z))

    def sample(self, z: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw x of zeros and ones: (..., latent_dim) to (..., dim)."""
        return torch.bernoulli(self.mean(z), generator=generator)


class GaussianDecoder(nn.Module):
    r"""A normal law around a network: :math:`p(x \mid z) = \mathcal N(x;\, m(z), s^2 I)`.

    The standard deviation s is one number. Learn it: a fixed s decides how many latents survive.

    Parameters
    ----------
    latent_dim, dim : int
        Columns of z and of x.
    hidden : sequence of int
        Widths of the hidden layers.
    activation : callable
        Makes the activation.
    scale : float
        Standard deviation, at the start or for ever.
    learn_scale : bool
        Whether it is trained.
    net : torch.nn.Module, optional
        Another network, from (m, latent_dim) to (m, dim) means.

    Raises
    ------
    ValueError
        If `scale` is not positive.

    Notes
    -----
    Taught in :ref:`vae`.
    """

    def __init__(
        self,
        latent_dim: int,
        dim: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        scale: float = 1.0,
        learn_scale: bool = True,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ValueError(f"scale: got {scale!r}, expected a positive number: a standard deviation")
        self.net = mlp(latent_dim, dim, hidden=hidden, activation=activation) if net is None else net
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=learn_scale)

    def check_values(self, x: Tensor, name: str = "x") -> Tensor:
        """Accept everything: a normal law lives on all of space."""
        return x

    def log_prob(self, x: Tensor, z: Tensor) -> Tensor:
        """Log-density of x given z, with its normalizer d (log s + log(2 pi) / 2).

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Where to evaluate.
        z : Tensor of shape (k, n, latent_dim) or (k, 1, latent_dim)
            Latents for each row, or the same ones for all rows.

        Returns
        -------
        Tensor of shape (k, n)
            Log-densities in nats, summed over the columns.
        """
        standard = (x - self.net(z)) * (-self.log_scale).exp()
        return log_standard_normal(standard) - x.shape[-1] * self.log_scale

    def mean(self, z: Tensor) -> Tensor:
        """Mean of x: (..., latent_dim) to (..., dim)."""
        return self.net(z)

    def sample(self, z: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw x, noise included: (..., latent_dim) to (..., dim)."""
        mean = self.mean(z)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + self.log_scale.exp() * noise


def conv_nets(side: int, latent_dim: int, *, channels: int = 16) -> tuple[nn.Module, nn.Module]:
    """Convolutional networks for square images: one for an encoder, one for a decoder.

    Both halve or double the image twice: 28 to 14 to 7 pixels, or 8 to 4 to 2.

    Parameters
    ----------
    side : int
        Pixels along an edge, a multiple of four; a row of data has side^2 columns.
    latent_dim : int
        Columns of z.
    channels : int
        Channels of the first layer; the second has twice as many.

    Returns
    -------
    encoder, decoder : torch.nn.Module
        From (n, side^2) to (n, 2 latent_dim), and from (..., latent_dim) to (..., side^2).

    Raises
    ------
    ValueError
        If `side` is no multiple of four.

    Notes
    -----
    Taught in :ref:`vae`.

    Examples
    --------
    >>> encoder, decoder = conv_nets(8, 2)
    >>> decoder(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5, 64])
    """
    if side < 4 or side % 4:
        raise ValueError(f"side: got {side}, expected a multiple of 4")
    small, wide = side // 4, 2 * channels
    encoder = nn.Sequential(
        nn.Unflatten(-1, (1, side, side)),
        nn.Conv2d(1, channels, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Conv2d(channels, wide, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(wide * small**2, 2 * latent_dim),
    )
    decoder = nn.Sequential(
        nn.Linear(latent_dim, wide * small**2),
        nn.SiLU(),
        nn.Unflatten(-1, (wide, small, small)),
        nn.ConvTranspose2d(wide, channels, 4, stride=2, padding=1),
        nn.SiLU(),
        nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1),
        nn.Flatten(-3),
    )
    return encoder, _AnyBatch(decoder)


class _AnyBatch(nn.Module):
    """Lets a network that wants (m, columns) take any number of batch dimensions."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z.flatten(0, -2)).unflatten(0, z.shape[:-1])


# ----------------------------------------------------------------------------------------------
# The model.


@catalogued(
    examples=lambda d: [
        Fitted(VAE, latent_dim=2, hidden=(64,), steps=600, lr=5e-3, device="cpu", random_state=0)
        if d > 8
        else Fitted(VAE, latent_dim=2, hidden=(8,), steps=30, lr=1e-2, device="cpu", random_state=0),
        Fitted(VAE, latent_dim=1, decoder="gaussian", hidden=(8,), steps=30, device="cpu", random_state=0),
    ],
    dims=(1, 2, 5),
    support="binary",
    cost={"fit": "O(steps * batch * weights)", "log_prob": "O(k * weights), a bound", "sample": "O(weights)"},
)
class VAE(nn.Module):
    r"""Variational autoencoder with a standard normal prior.

    Parameters
    ----------
    dim : int
        Columns of x.
    latent_dim : int
        Columns of z.
    hidden : sequence of int
        Widths of the hidden layers, in the encoder and (backwards) in the decoder.
    activation : callable
        Makes the activation.
    decoder : {"bernoulli", "gaussian"} or torch.nn.Module
        The law p(x | z); a module has ``log_prob(x, z)``, ``mean(z)``, ``sample(z)`` and ``check_values(x)``,
        as `BernoulliDecoder` does.
    encoder : torch.nn.Module, optional
        Another encoder: maps x to a `Posterior`.
    objective : {"elbo", "iwae", "dreg", "reinforce"}
        What ``loss`` descends. "elbo": the bound, by reparametrized draws. "iwae": the tighter bound with `k`
        draws. "dreg": the same bound with the doubly reparametrized gradient, which does not lose the encoder
        as `k` grows. "reinforce": the ELBO by the score function, for comparison (with `k` > 1 each draw has
        the mean of the others as its baseline).
    k : int
        Draws for each row in ``loss``.
    beta : float
        Weight of the KL term in ``loss`` ("elbo" only); 1 gives the bound.
    warm_up : int
        Steps over which that weight rises from 0 to `beta`.

    Raises
    ------
    ValueError
        If a size, `k` or a name is out of range.

    References
    ----------
    Kingma and Welling, 2014, arXiv:1312.6114. Rezende, Mohamed and Wierstra, 2014, arXiv:1401.4082. Burda,
    Grosse and Salakhutdinov, 2016, arXiv:1509.00519 (IWAE). Tucker et al., 2019, arXiv:1810.04152 (DReG).

    Notes
    -----
    Taught in :ref:`vae`.

    Examples
    --------
    >>> model = VAE(6, latent_dim=2)
    >>> x = torch.ones(3, 6)
    >>> model.iwae(x, 50).shape, model.sample(4).shape
    (torch.Size([3]), torch.Size([4, 6]))
    """

    likelihood = Likelihood.BOUND
    steps_done: Tensor

    def __init__(
        self,
        dim: int,
        *,
        latent_dim: int = 2,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        decoder: str | nn.Module = "bernoulli",
        encoder: nn.Module | None = None,
        objective: Objective = "elbo",
        k: int = 1,
        beta: float = 1.0,
        warm_up: int = 0,
    ) -> None:
        super().__init__()
        self.dim, self.latent_dim, self.k = (
            check_count("dim", dim),
            check_count("latent_dim", latent_dim),
            check_count("k", k),
        )
        if objective not in ("elbo", "iwae", "dreg", "reinforce"):
            raise ValueError(f"objective: got {objective!r}, expected 'elbo', 'iwae', 'dreg' or 'reinforce'")
        if not (beta >= 0 and warm_up >= 0):
            raise ValueError(f"beta, warm_up: got {beta!r} and {warm_up!r}, expected numbers of at least 0")
        if beta != 1 and objective != "elbo":
            raise ValueError(f"beta: got {beta!r}, which works with objective='elbo' only")
        self.objective, self.beta, self.warm_up = objective, beta, warm_up
        sizes: dict[str, Any] = {"activation": activation, "hidden": tuple(hidden)[::-1]}
        if isinstance(decoder, nn.Module):
            self.decoder: Any = decoder
        elif decoder in ("bernoulli", "gaussian"):
            kind = BernoulliDecoder if decoder == "bernoulli" else GaussianDecoder
            self.decoder = kind(latent_dim, dim, **sizes)
        else:
            raise ValueError(f"decoder: got {decoder!r}, expected 'bernoulli', 'gaussian' or a module")
        self.encoder: Any = encoder
        if encoder is None:
            self.encoder = GaussianEncoder(dim, latent_dim, hidden=hidden, activation=activation)
        self.register_buffer("steps_done", torch.zeros(()))

    # --- evaluation

    def _checked(self, x: object) -> Tensor:
        like = next(self.parameters())
        return self.decoder.check_values(check_rows(x, self.dim, like=like))

    def _rows_at_once(self, k: int) -> int:
        return max(1, _CELLS // (k * self.dim))

    def log_weights(self, x: Tensor, k: int, *, generator: torch.Generator | None = None) -> Tensor:
        r"""Log-weights :math:`\log p(x, z_i) - \log q(z_i \mid x)` of k draws for each row, differentiable.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.
        k : int
            Draws for each row.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (k, n)
            Log-weights in nats. Their mean over k estimates the ELBO, the logarithm of the mean of their
            exponentials the IWAE bound.
        """
        z, log_q = self.encoder(x).rsample_and_log_prob(check_count("k", k), generator=generator)
        return self.decoder.log_prob(x, z) + log_standard_normal(z) - log_q

    @torch.no_grad()
    def elbo(
        self, x: Tensor, k: int = 1, *, analytic_kl: bool = True, generator: torch.Generator | None = None
    ) -> Tensor:
        """Evidence lower bound of each row, by k draws.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.
        k : int
            Draws over which to average; more make it less noisy, not tighter.
        analytic_kl : bool
            Whether the KL term is taken in closed form where the posterior has one. Both ways have the same
            mean.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            Estimates in nats, unbiased for the bound.

        Raises
        ------
        TypeError
            If `x` is no tensor of the module's dtype.
        ValueError
            If `x` has a wrong shape or value, or `k` is less than one.
        """
        x, k = self._checked(x), check_count("k", k)
        blocks = x.split(self._rows_at_once(k))
        return torch.cat([self._elbo(block, k, 1.0, analytic_kl, generator) for block in blocks])

    def _elbo(
        self, x: Tensor, k: int, beta: float | Tensor, analytic_kl: bool, generator: torch.Generator | None
    ) -> Tensor:
        posterior = self.encoder(x)
        if analytic_kl and hasattr(posterior, "kl_to_prior"):
            z, kl = posterior.rsample(k, generator=generator), posterior.kl_to_prior()
        else:
            z, log_q = posterior.rsample_and_log_prob(k, generator=generator)
            kl = (log_q - log_standard_normal(z)).mean(0)
        return self.decoder.log_prob(x, z).mean(0) - beta * kl

    @torch.no_grad()
    def iwae(self, x: Tensor, k: int, *, generator: torch.Generator | None = None) -> Tensor:
        r"""Importance-weighted bound of each row: :math:`\log \frac1k \sum_i w_i`, all draws at once.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.
        k : int
            Draws for each row; the bound rises with k towards the evidence.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            Estimates in nats, unbiased for the bound with k draws.

        Raises
        ------
        TypeError
            If `x` is no tensor of the module's dtype.
        ValueError
            If `x` has a wrong shape or value, or `k` is less than one.
        """
        x, k = self._checked(x), check_count("k", k)
        return torch.cat([self._iwae(block, k, generator) for block in x.split(self._rows_at_once(k))])

    def _iwae(self, x: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
        return torch.logsumexp(self.log_weights(x, k, generator=generator), dim=0) - math.log(k)

    def log_prob(self, x: Tensor) -> Tensor:
        """Refuse: the evidence is an integral that this model only bounds.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            "VAE has no log_prob: the evidence is an integral over z. Use elbo(x) or iwae(x, k), which are "
            "lower bounds, or log_evidence(model, x) where there are one or two latents"
        )

    # --- sampling

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw z from the prior and x from p(x | z): (n, dim)."""
        weights = next(self.parameters())
        shape = (check_count("n", n), self.latent_dim)
        z = torch.randn(shape, generator=generator, dtype=weights.dtype, device=weights.device)
        return self.decoder.sample(z, generator=generator)

    # --- estimation

    def loss(self, batch: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Negative bound of each row, with the gradient that `objective` names.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Data.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            What is minimized, in nats; during warm-up the KL term counts less.

        Raises
        ------
        ValueError
            If a value is outside of what the decoder accepts (looked at on the CPU only, where it is cheap).
        """
        if batch.device.type == "cpu":
            self.decoder.check_values(batch, "batch")
        if self.objective == "elbo":
            return -self._elbo(batch, self.k, self._kl_weight(), True, generator)
        if self.objective == "iwae":
            return -self._iwae(batch, self.k, generator)
        if self.objective == "dreg":
            return -self._dreg(batch, generator)
        return -self._reinforce(batch, generator)

    def _kl_weight(self) -> float | Tensor:
        if not (self.training and self.warm_up):
            return self.beta
        self.steps_done += 1
        return self.beta * (self.steps_done / self.warm_up).clamp(max=1.0)

    def _dreg(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """IWAE bound whose gradient is: weights w for the decoder, w^2 along z for the encoder."""
        posterior = self.encoder(x)
        z = posterior.rsample(self.k, generator=generator)
        log_w = self.decoder.log_prob(x, z) + log_standard_normal(z) - posterior.detached().log_prob(z)
        w = torch.softmax(log_w, dim=0).detach()  # (k, n)
        if z.requires_grad:
            z.register_hook(lambda gradient: gradient * w[..., None])
        along = (w * log_w).sum(0)
        bound = torch.logsumexp(log_w.detach(), dim=0) - math.log(self.k)
        return bound + along - along.detach()

    def _reinforce(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """ELBO whose encoder gradient is that of log q, weighted by the draw's value minus a baseline."""
        posterior = self.encoder(x)
        with torch.no_grad():
            z, _ = posterior.rsample_and_log_prob(self.k, generator=generator)
        log_q = posterior.log_prob(z)
        log_joint = self.decoder.log_prob(x, z) + log_standard_normal(z)
        value = (log_joint - log_q).detach()  # (k, n)
        baseline = (value.sum(0) - value) / (self.k - 1) if self.k > 1 else 0.0
        score = (value - baseline) * log_q
        return (log_joint - log_joint.detach() + score - score.detach() + value).mean(0)


# ----------------------------------------------------------------------------------------------
# What can be known exactly, and diagnostics.


@torch.no_grad()
def log_evidence(model: VAE, x: Tensor, *, nodes: int = 200, reach: float = 6.0) -> Tensor:
    """Log-evidence of each row by quadrature over the latent: an oracle for one or two latents.

    The midpoint rule on [-reach, reach]; for the smooth integrand it converges faster than any power once
    the spacing is below the posterior's standard deviation. Double `nodes` to see whether that is so.

    Parameters
    ----------
    model : VAE
        With one or two latents.
    x : Tensor of shape (n, dim)
        Data.
    nodes : int
        Nodes along each latent.
    reach : float
        Half-width of the square; the prior's mass beyond 6 is 4e-9.

    Returns
    -------
    Tensor of shape (n,)
        Log-evidence in nats.

    Raises
    ------
    ValueError
        If the model has more than two latents, or `nodes` is less than one.

    Notes
    -----
    Taught in :ref:`vae`.
    """
    if model.latent_dim > 2:
        raise ValueError(f"model: has {model.latent_dim} latents, expected one or two; use model.iwae(x, k)")
    x, nodes = model._checked(x), check_count("nodes", nodes)
    line = reach * (2 * (torch.arange(nodes, dtype=x.dtype, device=x.device) + 0.5) / nodes - 1)
    z = torch.cartesian_prod(*[line] * model.latent_dim).reshape(-1, 1, model.latent_dim)  # (m, 1, latents)
    log_cell = model.latent_dim * math.log(2 * reach / nodes)
    total = x.new_full((len(x),), -math.inf)
    for block in z.split(max(1, _CELLS // max(1, len(x) * model.dim))):
        log_joint = model.decoder.log_prob(x, block) + log_standard_normal(block)
        total = torch.logaddexp(total, torch.logsumexp(log_joint, dim=0))
    return total + log_cell


def infer_per_row(
    model: VAE,
    x: Tensor,
    *,
    steps: int = 300,
    lr: float = 0.05,
    k: int = 16,
    generator: torch.Generator | None = None,
) -> DiagonalGaussian:
    """Fit a Gaussian posterior to every row on its own, starting from the encoder's.

    The ELBO that this gains is the amortization gap: what one shared encoder loses.

    Parameters
    ----------
    model : VAE
        Its encoder must return a `DiagonalGaussian`. Nothing in it is changed.
    x : Tensor of shape (n, dim)
        Data.
    steps : int
        Steps of Adam; the learning rate falls to zero along a cosine.
    lr : float
        First learning rate.
    k : int
        Draws for each row and step.
    generator : torch.Generator, optional
        Source of the noise.

    Returns
    -------
    DiagonalGaussian
        One law for each row.

    References
    ----------
    Cremer, Li and Duvenaud, 2018, arXiv:1801.03558.

    Notes
    -----
    Taught in :ref:`vae`.
    """
    x = model._checked(x)
    with torch.no_grad():
        start = model.encoder(x)
    mean, log_scale = (part.clone().requires_grad_() for part in (start.mean, start.log_scale))
    adam = torch.optim.Adam([mean, log_scale], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, check_count("steps", steps))
    for _ in range(steps):
        q = DiagonalGaussian(mean, log_scale)
        z = q.rsample(k, generator=generator)
        bound = model.decoder.log_prob(x, z).mean(0) - q.kl_to_prior()
        mean.grad, log_scale.grad = torch.autograd.grad(-bound.sum(), [mean, log_scale])
        adam.step()
        schedule.step()
    return DiagonalGaussian(mean.detach(), log_scale.detach())


@torch.no_grad()
def active_units(model: VAE, x: Tensor) -> Tensor:
    """Variance of each latent's posterior mean over the data: near zero where the latent has collapsed.

    Parameters
    ----------
    model : VAE
        Its encoder must return a `DiagonalGaussian`.
    x : Tensor of shape (n, dim)
        Data, at least two rows.

    Returns
    -------
    Tensor of shape (latent_dim,)
        Variances. A unit is called active where it exceeds 0.01.

    Raises
    ------
    ValueError
        If there are fewer than two rows.

    References
    ----------
    Burda, Grosse and Salakhutdinov, 2016, arXiv:1509.00519, section 5.

    Notes
    -----
    Taught in :ref:`vae`.
    """
    x = model._checked(x)
    if len(x) < 2:
        raise ValueError(f"x: got {len(x)} row, expected at least 2 to have a variance")
    return model.encoder(x).mean.var(dim=0)


def interpolate(
    a: Tensor, b: Tensor, steps: int = 9, *, kind: Literal["linear", "spherical"] = "linear"
) -> Tensor:
    """Path between two latents.

    Parameters
    ----------
    a, b : Tensor of shape (latent_dim,)
        Its ends.
    steps : int
        Points on it, ends included.
    kind : {"linear", "spherical"}
        Straight, or with direction and length changing evenly. In many dimensions the middle of a straight
        path between draws of the prior is shorter than nearly every draw; a spherical path keeps the length.

    Returns
    -------
    Tensor of shape (steps, latent_dim)
        The path.

    Raises
    ------
    ValueError
        If `kind` is unknown, `steps` is less than two, or a spherical path is not defined: an end is zero, or
        the ends are opposite.

    References
    ----------
    White, 2016, arXiv:1609.04468.

    Notes
    -----
    Taught in :ref:`vae`.

    Examples
    --------
    >>> path = interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3, kind="spherical")
    >>> round(path[1].norm().item(), 6)
    1.0
    """
    if kind not in ("linear", "spherical"):
        raise ValueError(f"kind: got {kind!r}, expected 'linear' or 'spherical'")
    if check_count("steps", steps) < 2:
        raise ValueError(f"steps: got {steps}, expected at least 2: the two ends")
    t = torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device)[:, None]
    if kind == "linear":
        return (1 - t) * a + t * b
    lengths = a.norm(), b.norm()
    if min(lengths) == 0:
        raise ValueError("a, b: one of them is zero and has no direction, expected two directions")
    u, v = a / lengths[0], b / lengths[1]
    angle = torch.atan2((u - v).norm(), (u + v).norm()) * 2  # accurate for small angles too
    if float(math.pi - angle) < 1e-3:
        raise ValueError("a, b: opposite directions, expected ends with one shortest arc between them")
    if float(angle) < 1e-6:
        direction = (1 - t) * u + t * v
    else:
        direction = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / torch.sin(angle)
    return direction * ((1 - t) * lengths[0] + t * lengths[1])


# ----------------------------------------------------------------------------------------------
# The linear case, where everything is known: probabilistic PCA.


@catalogued(
    examples=lambda d: [ProbabilisticPCA(n_components=min(8, d - 1))],
    dims=(2, 3),
    support="real",
    cost={"fit": "O(n d^2 + d^3)", "log_prob": "O(d^2)", "sample": "O(d)"},
)
class ProbabilisticPCA(DensityEstimator):
    r"""The linear VAE at its optimum, in closed form: :math:`x = W z + \mu + \sigma \varepsilon`.

    .. math:: p(x) = \mathcal N(\mu,\; W W^\top + \sigma^2 I)

    Parameters
    ----------
    n_components : int
        Latents, fewer than columns.

    Attributes
    ----------
    mean_ : ndarray of shape (d,)
        The mean.
    weight_ : ndarray of shape (d, n_components)
        W: orthogonal columns, the first the longest. A column is zero where data have no more variance than
        noise.
    noise_variance_ : float
        The variance :math:`\sigma^2`.
    eigenvalues_ : ndarray of shape (d,)
        Eigenvalues of the sample covariance (divided by n), largest first.

    References
    ----------
    Tipping and Bishop, 1999, "Probabilistic principal component analysis", J. R. Stat. Soc. B 61(3).

    Notes
    -----
    Taught in :ref:`vae`.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((100, 3)) * [3.0, 1.0, 1.0]
    >>> ProbabilisticPCA(1).fit(X).weight_.shape
    (3, 1)
    """

    likelihood = Likelihood.EXACT

    def __init__(self, n_components: int = 1) -> None:
        self.n_components = n_components

    def fit(self, X: ArrayLike, y: object = None) -> ProbabilisticPCA:
        """Maximize the likelihood: an eigendecomposition.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training data.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        ProbabilisticPCA
            Itself.

        Raises
        ------
        ValueError
            If there are not more columns than components, or the data vary in no other direction.
        """
        X = self._training_data(X, at_least=2)
        k, d = check_count("n_components", self.n_components), X.shape[1]
        if k >= d:
            raise ValueError(f"n_components: got {k} for {d} feature(s), expected fewer: noise needs its own")
        self.mean_ = X.mean(axis=0)
        centred = X - self.mean_
        values, vectors = np.linalg.eigh(centred.T @ centred / len(X))
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        self.eigenvalues_ = values
        self.noise_variance_ = float(values[k:].mean())
        if not self.noise_variance_ > 1e-12 * values[0]:
            raise ValueError(
                f"X: no variance is left beside {k} component(s), so the density would be infinite; "
                "give more rows, or ask for fewer components"
            )
        self.weight_ = vectors[:, :k] * np.sqrt(np.maximum(values[:k] - self.noise_variance_, 0.0))
        return self

    def _covariance(self) -> NDArray[np.float64]:
        return self.weight_ @ self.weight_.T + self.noise_variance_ * np.eye(len(self.mean_))

    def log_prob(self, x: ArrayLike) -> NDArray[np.float64]:
        """Log-evidence of each row, exactly.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Points at which to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            Log-densities in nats.
        """
        check_is_fitted(self)
        root = np.linalg.cholesky(self._covariance())
        z = np.linalg.solve(root, (self._query(x) - self.mean_).T)  # (d, n)
        with np.errstate(over="ignore"):  # beyond 1e154 a square is infinite, and the density zero
            squares = np.square(z).sum(axis=0)
        return -0.5 * (squares + len(root) * LOG_2PI) - np.log(np.diag(root)).sum()

    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[np.float64]:
        """Draw rows: a latent, its image, and noise.

        Parameters
        ----------
        n_samples : int
            How many rows.
        random_state : int, RandomState or None
            Decides the draw.

        Returns
        -------
        ndarray of shape (n_samples, d)
            New rows.
        """
        check_is_fitted(self)
        rng = check_random_state(random_state)
        z = rng.standard_normal((n_samples, self.weight_.shape[1]))
        noise = rng.standard_normal((n_samples, len(self.mean_)))
        return z @ self.weight_.T + self.mean_ + np.sqrt(self.noise_variance_) * noise

    def posterior(self, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the exact posterior of the latent: normal, with the same covariance for every row.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Data.

        Returns
        -------
        mean : ndarray of shape (n, n_components)
            Its means.
        covariance : ndarray of shape (n_components, n_components)
            Its covariance; diagonal, because the columns of the weight are orthogonal.
        """
        check_is_fitted(self)
        W, s2 = self.weight_, self.noise_variance_
        precision = np.eye(W.shape[1]) + W.T @ W / s2
        mean = np.linalg.solve(precision, W.T @ (self._query(x) - self.mean_).T / s2).T
        return mean, np.linalg.inv(precision)


def linear_vae(ppca: ProbabilisticPCA, *, posterior_scale: float = 1.0) -> VAE:
    """Build the VAE that is this pPCA: one affine layer each way, the encoder the exact posterior.

    It is in float64, and its ELBO is the log-evidence to the last digits: the oracle for all bounds.

    Parameters
    ----------
    ppca : ProbabilisticPCA
        Fitted.
    posterior_scale : float
        Factor on the encoder's standard deviations; other values than 1 open a gap of known size.

    Returns
    -------
    VAE
        In evaluation mode.

    Notes
    -----
    Taught in :ref:`vae`.
    """
    check_is_fitted(ppca)
    d, k = ppca.weight_.shape
    _, covariance = ppca.posterior(ppca.mean_[None])
    decoder = GaussianDecoder(k, d, hidden=(), scale=math.sqrt(ppca.noise_variance_))
    model = VAE(d, latent_dim=k, hidden=(), decoder=decoder).double()
    gain = torch.as_tensor(covariance @ ppca.weight_.T / ppca.noise_variance_)  # (k, d)
    mean = torch.as_tensor(ppca.mean_)
    log_scale = 0.5 * torch.as_tensor(np.log(np.diag(covariance))) + math.log(posterior_scale)
    with torch.no_grad():
        decoder.log_scale.fill_(0.5 * math.log(ppca.noise_variance_))
        decoder.net[0].weight.copy_(torch.as_tensor(ppca.weight_))
        decoder.net[0].bias.copy_(mean)
        layer = model.encoder.net[0]
        layer.weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
        layer.bias.copy_(torch.cat([-gain @ mean, log_scale]))
    return model.eval()


# ----------------------------------------------------------------------------------------------
# A baseline without a posterior.


class _Codes(nn.Module):
    """A decoder and one free code for each row of the training data."""

    def __init__(self, dim: int, rows: int, latent_dim: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(rows, latent_dim))
        self.decoder = mlp(latent_dim, dim, hidden=hidden)

    def project(self, z: Tensor) -> Tensor:
        """Pull codes outside the ball of radius sqrt(latent_dim) back to its surface."""
        radius = math.sqrt(z.shape[-1])
        return z * (radius / z.norm(dim=-1, keepdim=True).clamp(min=radius))

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, row = batch
        return (x - self.decoder(self.project(self.codes[row]))).square().sum(-1)


@catalogued(
    examples=lambda d: [GLO(latent_dim=8 if d > 8 else 1, epochs=60 if d > 8 else 5, random_state=0)],
    dims=(1, 2),
    support="real",
    cost={"fit": "O(epochs * n * weights)", "log_prob": "none", "sample": "O(weights)"},
)
class GLO(BaseEstimator):
    r"""Generative latent optimization: a decoder and a free code for every training row, no encoder.

    .. math:: \min_{\theta,\, z_1, \dots, z_n} \; \frac1n \sum_i \lVert x_i - g_\theta(z_i) \rVert^2,
        \qquad \lVert z_i \rVert^2 \le \text{latent\_dim}

    New samples decode draws from a normal law fitted to the codes. There is no likelihood: nothing in the
    fit makes codes cover the ball, or two codes disagree about what they mean.

    Parameters
    ----------
    latent_dim : int
        Columns of a code.
    hidden : sequence of int
        Widths of the decoder's hidden layers.
    epochs, batch_size, lr :
        Options of ``coursekit.train.train``.
    device : str, optional
        Where to train.
    random_state : int, RandomState or None
        Decides the first weights and codes, and the order of training.

    Attributes
    ----------
    module_ : torch.nn.Module
        The decoder and the codes.
    codes_ : ndarray of shape (n, latent_dim)
        One code for each training row.

    References
    ----------
    Bojanowski, Joulin, Lopez-Paz and Szlam, 2018, "Optimizing the latent space of generative networks",
    arXiv:1707.05776 (there with a Laplacian pyramid loss).

    Notes
    -----
    Taught in :ref:`vae`.
    """

    likelihood = Likelihood.NONE

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        hidden: Sequence[int] = (64,),
        epochs: int = 100,
        batch_size: int = 128,
        lr: float = 1e-2,
        device: str | None = "cpu",
        random_state: Any = None,
    ) -> None:
        self.latent_dim, self.hidden, self.epochs = latent_dim, hidden, epochs
        self.batch_size, self.lr, self.device, self.random_state = batch_size, lr, device, random_state

    def fit(self, X: ArrayLike, y: object = None) -> GLO:
        """Fit the decoder and all codes together.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training data, at least two rows.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        GLO
            Itself.
        """
        data = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        seed = int(check_random_state(self.random_state).randint(2**31))
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            latent_dim = check_count("latent_dim", self.latent_dim)
            self.module_ = _Codes(data.shape[1], len(data), latent_dim, self.hidden)
        self.history_ = train(
            self.module_,
            (torch.tensor(data, dtype=torch.float32), torch.arange(len(data))),
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            schedule="cosine",
            device=self.device,
            random_state=seed,
        )
        codes = self.module_.project(self.module_.codes.detach())
        self.codes_ = codes.cpu().double().numpy()
        return self

    def decode(self, z: ArrayLike) -> NDArray[np.float64]:
        """Map codes to data: (m, latent_dim) to (m, d)."""
        check_is_fitted(self)
        weights = next(self.module_.decoder.parameters())
        with torch.no_grad():
            x = self.module_.decoder(torch.as_tensor(np.asarray(z)).to(weights))
        return x.cpu().double().numpy()

    def log_prob(self, x: ArrayLike) -> NDArray[np.float64]:
        """Refuse: there is no likelihood.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            "GLO has no density: it fits codes and a decoder by squared error. Compare samples instead (see "
            "coursekit.metrics), or use VAE for a bound"
        )

    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[np.float64]:
        """Decode draws from a normal law fitted to the codes.

        Parameters
        ----------
        n_samples : int
            How many rows.
        random_state : int, RandomState or None
            Decides the draw.

        Returns
        -------
        ndarray of shape (n_samples, d)
            The samples.
        """
        check_is_fitted(self)
        rng = check_random_state(random_state)
        mean, covariance = self.codes_.mean(axis=0), np.atleast_2d(np.cov(self.codes_.T))
        return self.decode(rng.multivariate_normal(mean, covariance, size=n_samples))
