r"""Generative adversarial networks: a sampler trained against a classifier of true and false.

.. math:: \min_G \max_D \; V(D, G) = \operatorname{E}_{x \sim p} \log D(x)
    + \operatorname{E}_{z} \log\bigl(1 - D(G(z))\bigr), \qquad \max_D V = 2\,\mathrm{JSD}(p, p_G) - \log 4

Everywhere a discriminator gives a *logit*, :math:`D = \sigma(\ell)`, one for each row; losses are pure
functions of logits, one value per row. :math:`p` is the data's law and :math:`p_G` that of the samples.

How another model uses the loop: subclass `GAN` and replace `discriminator_loss`, `generator_loss`, or both
(and `players`, `after_step` where it needs them); then :py:func:`coursekit.train.train` alternates, saves,
resumes and reports as for any model.

Taught in :ref:`gan`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import special
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.nn import check_count, check_rows, mlp

__all__ = [
    "DIVERGENCES",
    "GAN",
    "DiffAugment",
    "Discriminator",
    "FDivergence",
    "Generator",
    "ModeReport",
    "bilinear_game",
    "dcgan_nets",
    "discriminator_loss",
    "game_value",
    "jensen_shannon",
    "mode_report",
    "non_saturating_loss",
    "optimal_discriminator",
    "saturating_loss",
]

Float = NDArray[np.float64]


# ----------------------------------------------------------------------------------------------
# Losses: logits in, one value per row out.


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    r"""Cross-entropy of true against false: :math:`-\log\sigma(\ell_{real}) - \log(1 - \sigma(\ell_{fake}))`.

    The mean is minus the value V(D, G) of the game, and equals log 4 where D cannot tell.

    Parameters
    ----------
    real, fake : Tensor of shape (n,)
        Logits at data, where the label is 1, and at samples, where it is 0.

    Returns
    -------
    Tensor of shape (n,)
        Nats.

    References
    ----------
    Goodfellow et al., 2014, arXiv:1406.2661, equation 1.

    Examples
    --------
    >>> round(float(discriminator_loss(torch.zeros(1), torch.zeros(1))), 4)
    1.3863
    """
    return F.softplus(-real) + F.softplus(fake)


def saturating_loss(fake: Tensor) -> Tensor:
    r"""Minimax loss of the generator, :math:`\log(1 - \sigma(\ell))`: its gradient dies where D is sure.

    Parameters
    ----------
    fake : Tensor of shape (n,)
        Logits at samples.

    Returns
    -------
    Tensor of shape (n,)
        Nats; the derivative in the logit is :math:`-\sigma(\ell)`, which is 0 where D(x) = 0.

    References
    ----------
    Goodfellow et al., 2014, arXiv:1406.2661, section 3.
    """
    return -F.softplus(fake)


def non_saturating_loss(fake: Tensor) -> Tensor:
    r"""Loss with swapped labels in place of a minus, :math:`-\log\sigma(\ell)`: alive where D is sure.

    Parameters
    ----------
    fake : Tensor of shape (n,)
        Logits at samples.

    Returns
    -------
    Tensor of shape (n,)
        Nats; the derivative in the logit is :math:`-(1 - \sigma(\ell))`, which is -1 where D(x) = 0.

    References
    ----------
    Goodfellow et al., 2014, arXiv:1406.2661, section 3.
    """
    return F.softplus(-fake)


# ----------------------------------------------------------------------------------------------
# What the game measures.


def optimal_discriminator(log_p: ArrayLike, log_q: ArrayLike) -> Float:
    r"""Best classifier of two known laws, point by point: :math:`D^*(x) = p(x) / (p(x) + q(x))`.

    Its logit is :math:`\log p(x) - \log q(x)`. Where both densities vanish any value is best; 1/2 is given.

    Parameters
    ----------
    log_p, log_q : array_like of shape (n,)
        Log-densities of the data's law and of the samples' at the same points.

    Returns
    -------
    ndarray of shape (n,)
        Probabilities that the points are data.

    References
    ----------
    Goodfellow et al., 2014, arXiv:1406.2661, proposition 1.

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> optimal_discriminator(np.log([0.3, 0.1]), np.log([0.1, 0.1])).round(3).tolist()
    [0.75, 0.5]
    """
    log_p, log_q = np.asarray(log_p, dtype=np.float64), np.asarray(log_q, dtype=np.float64)
    if log_p.shape != log_q.shape:
        raise ValueError(f"log_p, log_q: got shapes {log_p.shape} and {log_q.shape}, expected the same")
    nowhere = np.isneginf(log_p) & np.isneginf(log_q)
    return special.expit(np.where(nowhere, 0.0, log_p) - np.where(nowhere, 0.0, log_q))


def _laws(p: ArrayLike, q: ArrayLike) -> tuple[Float, Float]:
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if p.ndim != 1 or p.shape != q.shape:
        raise ValueError(f"p, q: got shapes {p.shape} and {q.shape}, expected (S,) twice")
    for name, law in (("p", p), ("q", q)):
        if not ((law >= 0).all() and abs(law.sum() - 1) < 1e-6):
            raise ValueError(f"{name}: got least value {law.min():g} and sum {law.sum():g}, expected a law")
    return p, q


def jensen_shannon(p: ArrayLike, q: ArrayLike) -> float:
    r"""Jensen-Shannon divergence of two laws on finitely many states, **half** a sum of two terms.

    .. math:: \mathrm{JSD}(p, q) = \tfrac12 \mathrm{KL}(p \,\|\, m) + \tfrac12 \mathrm{KL}(q \,\|\, m),
        \qquad m = \tfrac12 (p + q), \qquad 0 \le \mathrm{JSD} \le \log 2

    Parameters
    ----------
    p, q : array_like of shape (S,)
        Probabilities. For densities give them times the weights of a quadrature.

    Returns
    -------
    float
        Nats.

    Raises
    ------
    ValueError
        If they are no two laws on the same states.

    References
    ----------
    Lin, 1991, Divergence measures based on the Shannon entropy.

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> round(jensen_shannon([1.0, 0.0], [0.0, 1.0]) / math.log(2), 12)
    1.0
    """
    p, q = _laws(p, q)
    m = 0.5 * (p + q)
    return float(0.5 * special.rel_entr(p, m).sum() + 0.5 * special.rel_entr(q, m).sum())


def game_value(p: ArrayLike, q: ArrayLike, d: ArrayLike) -> float:
    r"""Value of the game on finitely many states, :math:`V = \sum_s p_s \log d_s + q_s \log(1 - d_s)`.

    Parameters
    ----------
    p, q : array_like of shape (S,)
        Probabilities of data and samples.
    d : array_like of shape (S,)
        What the discriminator says, in [0, 1].

    Returns
    -------
    float
        Nats; minus infinity where `d` is sure and wrong.

    Raises
    ------
    ValueError
        If p, q are no laws, or `d` is no vector of probabilities on their states.

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> round(game_value([0.5, 0.5], [0.5, 0.5], [0.5, 0.5]) + math.log(4), 12)
    0.0
    """
    p, q = _laws(p, q)
    d = np.asarray(d, dtype=np.float64)
    if d.shape != p.shape or not ((d >= 0) & (d <= 1)).all():
        raise ValueError(f"d: got shape {d.shape}, expected {p.shape} with values in [0, 1]")
    return float(special.xlogy(p, d).sum() + special.xlog1py(q, -d).sum())


@dataclass(frozen=True)
class FDivergence:
    r"""A divergence :math:`D_f(p \| q) = \int q\, f(p/q)` with its variational bound.

    For every function T, with the Fenchel conjugate :math:`f^*(t) = \sup_u ut - f(u)`,

    .. math:: D_f(p \| q) \ge \operatorname{E}_p T(x) - \operatorname{E}_q f^*(T(x)), \qquad
        T^* = f'(p/q)

    and the bound is met at :math:`T^*`. A network's output v becomes :math:`T = a(v)` by an activation
    that stays where :math:`f^*` is finite; larger v always means "more like data".

    Attributes
    ----------
    name : str
        For people.
    f : callable
        The convex function, f(1) = 0, of ratios u > 0.
    derivative : callable
        Its derivative.
    conjugate : callable
        :math:`f^*`, where it is finite.
    activation : callable
        From the network's output to T.
    on_fake : callable
        :math:`f^*(a(v))`, in a form that does not overflow early.

    References
    ----------
    Nowozin, Cseke and Tomioka, 2016, arXiv:1606.00709, tables 1, 2 and 6. Nguyen, Wainwright and Jordan,
    2010, arXiv:0809.0853. Their "Jensen-Shannon" is twice the one here, which has the usual half.

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> kl = DIVERGENCES["kl"]
    >>> log_ratio = torch.tensor([0.5])
    >>> bool(torch.isclose(kl.conjugate(kl.optimal(log_ratio)), log_ratio.exp()))
    True
    """

    name: str
    f: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    on_fake: Callable[[Tensor], Tensor]

    def optimal(self, log_ratio: Tensor) -> Tensor:
        """Best T at points where log p - log q is `log_ratio`."""
        return self.derivative(log_ratio.exp())

    def exact(self, log_p: Tensor, log_q: Tensor, weights: Tensor) -> float:
        """Divergence by quadrature.

        Parameters
        ----------
        log_p, log_q : Tensor of shape (n,)
            Log-densities at the nodes, the samples' law nowhere zero.
        weights : Tensor of shape (n,)
            Weights of the nodes.

        Returns
        -------
        float
            The integral of q f(p/q).
        """
        return float((weights * log_q.exp() * self.f((log_p - log_q).exp())).sum())

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Minus the bound, for each row: outputs (n,) at data and (n,) at samples, to (n,)."""
        return self.on_fake(fake) - self.activation(real)

    def generator_loss(self, fake: Tensor) -> Tensor:
        """Give the part of the bound that the generator moves: outputs (n,) at samples, to (n,)."""
        return -self.on_fake(fake)


_LOG_2 = math.log(2)

DIVERGENCES: Mapping[str, FDivergence] = {
    "kl": FDivergence(
        "KL of q from p",
        f=lambda u: torch.xlogy(u, u),
        derivative=lambda u: 1 + u.log(),
        conjugate=lambda t: (t - 1).exp(),
        activation=lambda v: v,
        on_fake=lambda v: (v - 1).exp(),
    ),
    "reverse_kl": FDivergence(
        "KL of p from q",
        f=lambda u: -u.log(),
        derivative=lambda u: -1 / u,
        conjugate=lambda t: -1 - (-t).log(),  # t < 0
        activation=lambda v: -(-v).exp(),
        on_fake=lambda v: v - 1,
    ),
    "pearson": FDivergence(
        "Pearson chi-squared",
        f=lambda u: (u - 1).square(),
        derivative=lambda u: 2 * (u - 1),
        conjugate=lambda t: t.square() / 4 + t,  # t >= -2, as every 2 (u - 1) is
        activation=lambda v: v,
        on_fake=lambda v: v.square() / 4 + v,
    ),
    "js": FDivergence(
        "Jensen-Shannon",
        f=lambda u: 0.5 * (torch.xlogy(u, u) - torch.xlogy(u + 1, (u + 1) / 2)),
        derivative=lambda u: 0.5 * (2 * u / (u + 1)).log(),
        conjugate=lambda t: -0.5 * (2 - (2 * t).exp()).log(),  # t < log(2) / 2
        activation=lambda v: 0.5 * (_LOG_2 - F.softplus(-v)),
        on_fake=lambda v: 0.5 * (F.softplus(v) - _LOG_2),
    ),
    "total_variation": FDivergence(
        "total variation",
        f=lambda u: 0.5 * (u - 1).abs(),
        derivative=lambda u: 0.5 * (u - 1).sign(),
        conjugate=lambda t: t,  # -1/2 <= t <= 1/2
        activation=lambda v: 0.5 * v.tanh(),
        on_fake=lambda v: 0.5 * v.tanh(),
    ),
}


# ----------------------------------------------------------------------------------------------
# The two networks.


class Generator(nn.Module):
    """A network from noise to data.

    Parameters
    ----------
    dim, latent_dim : int
        Columns of x and of z.
    hidden : sequence of int
        Widths of the hidden layers; none gives an affine map.
    activation : callable
        Makes the activation.
    net : torch.nn.Module, optional
        Another network, from (n, latent_dim) to (n, dim).

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> Generator(3, 2)(torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        dim: int,
        latent_dim: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.ReLU,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.latent_dim = check_count("dim", dim), check_count("latent_dim", latent_dim)
        self.net = mlp(latent_dim, dim, hidden=hidden, activation=activation) if net is None else net

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw standard normal noise z of shape (n, latent_dim)."""
        like = next(self.parameters())
        shape = (check_count("n", n), self.latent_dim)
        return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)

    def forward(self, z: Tensor) -> Tensor:
        """Map noise (n, latent_dim) to samples (n, dim)."""
        return self.net(z)


class Discriminator(nn.Module):
    """A network from data to one logit for each row: positive where it takes the row for real.

    Parameters
    ----------
    dim : int
        Columns of x.
    hidden : sequence of int
        Widths of the hidden layers.
    activation : callable
        Makes the activation.
    net : torch.nn.Module, optional
        Another network, from (n, dim) to (n, 1) or (n,).

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> Discriminator(3)(torch.zeros(5, 3)).shape
    torch.Size([5])
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = lambda: nn.LeakyReLU(0.2),
        net: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.dim = check_count("dim", dim)
        self.net = mlp(dim, 1, hidden=hidden, activation=activation) if net is None else net

    def forward(self, x: Tensor) -> Tensor:
        """Map x (n, dim) to logits (n,)."""
        return self.net(x).reshape(len(x))


# ----------------------------------------------------------------------------------------------
# The model, and through its players the alternating loop.

_GENERATOR_LOSSES = {"non-saturating": non_saturating_loss, "saturating": saturating_loss}


@catalogued(
    examples=lambda d: [
        Fitted(
            GAN,
            latent_dim=d,
            generator_hidden=(),
            hidden=(16,),
            steps=60,
            lr=1e-2,
            device="cpu",
            random_state=0,
        ),
    ],
    dims=(1, 2),
    cost={"fit": "O(steps * batch * weights)", "log_prob": "none", "sample": "O(weights)"},
)
class GAN(nn.Module):
    r"""Generative adversarial network: trained by turns of its two players.

    To reuse the loop: a subclass replaces ``discriminator_loss(real, fake)`` and ``generator_loss(fake)``,
    which get *points* (n, dim) and give one value per row; ``train(model, X, steps=..., lr=...)`` then calls
    them in the turns that `d_steps` and `g_steps` set, freezes the other player's weights, keeps an optimizer
    for each, and saves, resumes and reports both. A subclass that owns more weights (a code's posterior)
    replaces ``players()``; one that must repair its weights after a step (clipping) defines
    ``after_step(player)``. ``history.of("discriminator")`` is that player's curve.

    Parameters
    ----------
    dim : int
        Columns of x.
    latent_dim : int
        Columns of the noise z, drawn from a standard normal law.
    hidden : sequence of int
        Widths of the hidden layers, in both networks.
    generator_hidden : sequence of int, optional
        Those of the generator, where they differ; none of them gives an affine map.
    objective : {"non-saturating", "saturating"} or a key of `DIVERGENCES`
        What the players descend. The first two share the discriminator's loss; a divergence trains by its
        variational bound (f-GAN).
    d_steps, g_steps : int
        Turns: so many steps of the discriminator, then so many of the generator.
    generator, discriminator : torch.nn.Module, optional
        Other networks: from (n, latent_dim) to (n, dim), and from (n, dim) to (n,) or (n, 1) logits.
    augment : callable, optional
        ``augment(x, generator=)``, differentiable, applied to whatever the discriminator sees, data and
        samples alike, such as a `DiffAugment`.

    Raises
    ------
    ValueError
        If a size, a number of steps or a name is out of range.

    References
    ----------
    Goodfellow et al., 2014, arXiv:1406.2661. Nowozin, Cseke and Tomioka, 2016, arXiv:1606.00709 (f-GAN).

    Notes
    -----
    Adam's usual momentum of 0.9 makes the players chase each other; give
    ``optimizer=partial(torch.optim.Adam, betas=(0.5, 0.999))``.

    Taught in :ref:`gan`.

    Examples
    --------
    >>> model = GAN(2, d_steps=2, g_steps=1)
    >>> model.turns
    ('discriminator', 'discriminator', 'generator')
    >>> model.sample(3).shape
    torch.Size([3, 2])
    """

    likelihood = Likelihood.NONE

    def __init__(
        self,
        dim: int,
        *,
        latent_dim: int = 2,
        hidden: Sequence[int] = (64, 64),
        generator_hidden: Sequence[int] | None = None,
        objective: str = "non-saturating",
        d_steps: int = 1,
        g_steps: int = 1,
        generator: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        augment: Callable[..., Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.latent_dim = check_count("dim", dim), check_count("latent_dim", latent_dim)
        if objective not in _GENERATOR_LOSSES and objective not in DIVERGENCES:
            known = [*_GENERATOR_LOSSES, *DIVERGENCES]
            raise ValueError(f"objective: got {objective!r}, expected one of {known}")
        self.objective, self.augment = objective, augment
        widths = hidden if generator_hidden is None else generator_hidden
        self.generator = Generator(dim, latent_dim, hidden=widths, net=generator)
        self.discriminator = Discriminator(dim, hidden=hidden, net=discriminator)
        self.turns: tuple[str, ...] = ("discriminator",) * check_count("d_steps", d_steps)
        self.turns += ("generator",) * check_count("g_steps", g_steps)

    # --- estimation

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Name the weights that each player moves."""
        return {
            "discriminator": list(self.discriminator.parameters()),
            "generator": list(self.generator.parameters()),
        }

    def loss(
        self, batch: Tensor, *, player: str = "discriminator", generator: torch.Generator | None = None
    ) -> Tensor:
        """Loss of one player, for each row of the batch.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Data; the generator's turn looks only at how many rows there are.
        player : {"discriminator", "generator"}
            Whose loss.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            What that player's step descends, in the mean.

        Raises
        ------
        ValueError
            If there is no such player.
        """
        z = self.generator.draw(len(batch), generator=generator)
        if player == "discriminator":
            with torch.no_grad():  # the sample is a fact for this player: no gradient goes into it
                fake = self.generator(z)
            return self.discriminator_loss(batch, fake, generator=generator)
        if player == "generator":
            return self.generator_loss(self.generator(z), generator=generator)
        raise ValueError(f"player: got {player!r}, expected 'discriminator' or 'generator'")

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Loss of the discriminator: points (n, dim) twice, to (n,)."""
        on_real = self.discriminator(self._shown(real, generator))
        on_fake = self.discriminator(self._shown(fake, generator))
        if self.objective in DIVERGENCES:
            return DIVERGENCES[self.objective].discriminator_loss(on_real, on_fake)
        return discriminator_loss(on_real, on_fake)

    def generator_loss(self, fake: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Loss of the generator: samples (n, dim) with their gradient, to (n,)."""
        on_fake = self.discriminator(self._shown(fake, generator))
        if self.objective in DIVERGENCES:
            return DIVERGENCES[self.objective].generator_loss(on_fake)
        return _GENERATOR_LOSSES[self.objective](on_fake)

    def _shown(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Give what the discriminator is shown."""
        return x if self.augment is None else self.augment(x, generator=generator)

    # --- evaluation and sampling

    def logit(self, x: Tensor) -> Tensor:
        """Discriminator's logit of each row: of data against samples.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Points.

        Returns
        -------
        Tensor of shape (n,)
            Logits; at the optimum log p(x) - log p_G(x).

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of that shape in the module's dtype.
        """
        return self.discriminator(check_rows(x, self.dim, like=next(self.parameters())))

    def log_prob(self, x: Tensor) -> Tensor:
        """Refuse: the law of the samples need not have a density, and none is computed.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no log_prob: it is a sampler, and its law need not have a density. "
            "Use sample(n) with coursekit.metrics (mmd, c2st, precision_recall) instead, or a flow"
        )

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw noise and map it.

        Parameters
        ----------
        n : int
            How many rows.
        generator : torch.Generator, optional
            Source of the noise, on the module's device.

        Returns
        -------
        Tensor of shape (n, dim)
            The samples.

        Raises
        ------
        ValueError
            If `n` is less than one.
        """
        return self.generator(self.generator.draw(n, generator=generator))


# ----------------------------------------------------------------------------------------------
# Images.


def dcgan_nets(
    side: int, *, channels: int = 1, latent_dim: int = 32, width: int = 32
) -> tuple[nn.Module, nn.Module]:
    """Convolutional networks for square images, in the manner of DCGAN, for values in [-1, 1].

    Strides instead of pooling; batch normalization and ReLU in the generator, tanh at its end; leaky ReLU in
    the discriminator, which is left without batch normalization so that a row's logit is that row's.

    Parameters
    ----------
    side : int
        Pixels along an edge, a multiple of four; a row of data has channels * side^2 columns.
    channels : int
        1 for grey, 3 for colour.
    latent_dim : int
        Columns of the noise.
    width : int
        Feature maps at half size; there are twice as many at a quarter.

    Returns
    -------
    generator, discriminator : torch.nn.Module
        From (n, latent_dim) to (n, channels * side^2), and from there to (n, 1).

    Raises
    ------
    ValueError
        If `side` is no multiple of four.

    References
    ----------
    Radford, Metz and Chintala, 2016, arXiv:1511.06434, section 3.

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> generator, discriminator = dcgan_nets(8, latent_dim=4, width=8)
    >>> discriminator(generator(torch.zeros(3, 4))).shape
    torch.Size([3, 1])
    """
    if not isinstance(side, int) or side < 4 or side % 4:
        raise ValueError(f"side: got {side!r}, expected a multiple of 4")
    channels, width = check_count("channels", channels), check_count("width", width)
    quarter, wide = side // 4, 2 * width
    generator = nn.Sequential(
        nn.Linear(check_count("latent_dim", latent_dim), wide * quarter**2, bias=False),
        nn.Unflatten(1, (wide, quarter, quarter)),
        nn.BatchNorm2d(wide),
        nn.ReLU(),
        nn.ConvTranspose2d(wide, width, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
        nn.Tanh(),
        nn.Flatten(),
    )
    discriminator = nn.Sequential(
        nn.Unflatten(1, (channels, side, side)),
        nn.Conv2d(channels, width, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, wide, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(wide * quarter**2, 1),
    )
    return generator, discriminator


class DiffAugment:
    r"""Random changes of images through which gradients flow, for data and samples alike.

    Augmenting the data alone teaches the generator the law of the augmented data, :math:`T_\# p`: the change
    leaks into the samples. Shown to the discriminator on both sides, the generator is only asked that
    :math:`T_\# p_G = T_\# p`, which :math:`p_G = p` solves.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of an image; a row has their product as columns.
    shift : int
        Largest shift in pixels, in each direction.
    brightness : float
        Half the width of the law of a number added to a whole image.
    cutout : int
        Side of a square that is blanked, placed at random; 0 for none.
    fill : float
        Value of pixels that come from outside, and of the square.

    Raises
    ------
    ValueError
        If a setting is out of range.

    References
    ----------
    Zhao, Liu, Lin, Zhu and Han, 2020, arXiv:2006.10738. Karras et al., 2020, arXiv:2006.06676.

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> augment = DiffAugment((1, 8, 8), shift=1)
    >>> augment(torch.ones(2, 64), generator=torch.Generator().manual_seed(0)).shape
    torch.Size([2, 64])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        shift: int = 1,
        brightness: float = 0.0,
        cutout: int = 0,
        fill: float = -1.0,
    ) -> None:
        if len(shape) != 3 or any(check_count("shape", size) < 1 for size in shape):
            raise ValueError(f"shape: got {shape!r}, expected (channels, height, width)")
        most = min(shape[1:])
        for name, value in (("shift", shift), ("cutout", cutout)):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < most:
                raise ValueError(f"{name}: got {value!r}, expected a whole number from 0 to {most - 1}")
        if not 0 <= brightness < math.inf:
            raise ValueError(f"brightness: got {brightness!r}, expected a number of at least 0")
        self.shape, self.shift, self.cutout = shape, shift, cutout
        self.brightness, self.fill = brightness, fill

    def __call__(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Change each image in its own way.

        Parameters
        ----------
        x : Tensor of shape (n, channels * height * width)
            Images.
        generator : torch.Generator, optional
            Source of the randomness, on the device of `x`.

        Returns
        -------
        Tensor of the same shape
            Changed images, differentiable in `x`.

        Raises
        ------
        ValueError
            If rows have another number of columns.
        """
        if x.ndim != 2 or x.shape[1] != math.prod(self.shape):
            expected = math.prod(self.shape)
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (n, {expected})")
        n, (_, height, width) = len(x), self.shape
        images = x.reshape(n, *self.shape)

        def draw(low: int, high: int) -> Tensor:
            return torch.randint(low, high + 1, (n, 1), generator=generator, device=x.device)

        if self.brightness:
            noise = torch.rand((n, 1, 1, 1), generator=generator, device=x.device, dtype=x.dtype)
            images = images + self.brightness * (2 * noise - 1)
        rows = torch.arange(height, device=x.device).expand(n, -1)
        columns = torch.arange(width, device=x.device).expand(n, -1)
        if self.shift:
            s = self.shift
            images = F.pad(images, (s, s, s, s), value=self.fill)
            down, right = rows + s + draw(-s, s), columns + s + draw(-s, s)  # (n, height), (n, width)
            each = torch.arange(n, device=x.device)[:, None, None]
            images = images.movedim(1, -1)[each, down[:, :, None], right[:, None, :]].movedim(-1, 1)
        if self.cutout:
            c = self.cutout
            top, left = draw(0, height - c), draw(0, width - c)
            tall, broad = (rows >= top) & (rows < top + c), (columns >= left) & (columns < left + c)
            hole = (tall[:, :, None] & broad[:, None, :])[:, None]  # (n, 1, height, width)
            images = torch.where(hole, self.fill, images)
        return images.reshape(n, -1)


# ----------------------------------------------------------------------------------------------
# How the game goes.


def bilinear_game(
    method: Literal["simultaneous", "alternating", "extragradient"],
    *,
    eta: float = 0.1,
    steps: int = 200,
    start: tuple[float, float] = (1.0, 1.0),
) -> Float:
    r"""Gradient play of :math:`\min_x \max_y xy`, whose only equilibrium is the origin.

    Simultaneous steps multiply the radius by :math:`\sqrt{1 + \eta^2}`; alternating ones run on an ellipse;
    extragradient steps, which use the gradient at the point that a plain step would reach, multiply the
    radius by :math:`\sqrt{(1 - \eta^2)^2 + \eta^2} < 1` for :math:`0 < \eta < 1`.

    Parameters
    ----------
    method : {"simultaneous", "alternating", "extragradient"}
        How the players move.
    eta : float
        Step size of both.
    steps : int
        How many steps.
    start : tuple of float
        Where x and y begin.

    Returns
    -------
    ndarray of shape (steps + 1, 2)
        The path, its start included.

    Raises
    ------
    ValueError
        If `method` is unknown, `eta` not positive, or `steps` less than one.

    References
    ----------
    Mescheder, Geiger and Nowozin, 2018, arXiv:1801.04406. Gidel et al., 2019, arXiv:1802.10551.

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> path = bilinear_game("simultaneous", eta=0.1, steps=200)
    >>> round(float(np.linalg.norm(path[-1])), 3)
    3.825
    """
    if not 0 < eta < math.inf:
        raise ValueError(f"eta: got {eta!r}, expected a positive number")
    x, y = (float(value) for value in start)
    path = [(x, y)]
    for _ in range(check_count("steps", steps)):
        if method == "simultaneous":
            x, y = x - eta * y, y + eta * x
        elif method == "alternating":
            x = x - eta * y
            y = y + eta * x
        elif method == "extragradient":
            ahead_x, ahead_y = x - eta * y, y + eta * x
            x, y = x - eta * ahead_y, y + eta * ahead_x
        else:
            known = "'simultaneous', 'alternating' or 'extragradient'"
            raise ValueError(f"method: got {method!r}, expected {known}")
        path.append((x, y))
    return np.array(path)


class ModeReport(NamedTuple):
    """How samples fall on known modes.

    Attributes
    ----------
    modes : int
        Modes that got their share.
    high_quality : float
        Fraction of the samples that lie near a mode.
    kl : float
        KL divergence of the histogram of nearest modes from the uniform law, in nats: 0 is even, log(K) is
        all on one.
    """

    modes: int
    high_quality: float
    kl: float


def mode_report(
    samples: ArrayLike, means: ArrayLike, *, std: float, within: float = 4.0, least: float = 0.02
) -> ModeReport:
    """Count the modes that samples found.

    A sample is of high quality if it lies within `within` standard deviations of its nearest mode. A mode is
    found if at least the fraction `least` of all samples are of high quality and nearest to it.

    Parameters
    ----------
    samples : array_like of shape (n, d)
        What the model drew.
    means : array_like of shape (K, d)
        The modes.
    std : float
        Standard deviation about each.
    within : float
        Radius that counts, in standard deviations.
    least : float
        Fraction of the samples that finds a mode.

    Returns
    -------
    ModeReport
        Modes found, high-quality share, and KL of the histogram of nearest modes from the even one.

    Raises
    ------
    ValueError
        If shapes do not fit, a sample is not finite, or a setting is out of range.

    References
    ----------
    Srivastava et al., 2017, arXiv:1705.07761 (VEEGAN), section 4.1.

    Notes
    -----
    Taught in :ref:`gan`.

    Examples
    --------
    >>> mode_report([[0.0], [0.1], [5.0]], [[0.0], [1.0]], std=0.1)._asdict()["modes"]
    1
    """
    x, centres = np.asarray(samples, dtype=np.float64), np.asarray(means, dtype=np.float64)
    if x.ndim != 2 or len(x) == 0 or centres.ndim != 2 or centres.shape[1] != x.shape[1]:
        raise ValueError(
            f"samples, means: got shapes {x.shape} and {centres.shape}, expected (n, d) and (K, d)"
        )
    if not np.isfinite(x).all():
        raise ValueError("samples: hold NaN or infinity; did the training diverge?")
    if not (std > 0 and within > 0 and 0 < least < 1):
        raise ValueError(f"std, within, least: got {std!r}, {within!r}, {least!r}, expected positive numbers")
    distance = np.linalg.norm(x[:, None] - centres, axis=2)  # (n, K)
    nearest, near = distance.argmin(axis=1), distance.min(axis=1) <= within * std
    found = np.bincount(nearest[near], minlength=len(centres)) >= least * len(x)
    share = np.bincount(nearest, minlength=len(centres)) / len(x)
    kl = float(special.xlogy(share, share * len(centres)).sum())
    return ModeReport(int(found.sum()), float(near.mean()), kl)
