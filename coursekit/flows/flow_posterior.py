r"""Flow posteriors: a variational autoencoder whose q(z | x) is a Gaussian behind a flow that sees x.

.. math:: z_0 \sim \mathcal N(\mu(x), \sigma^2(x)), \qquad z_K = f_K \circ \dots \circ f_1(z_0;\, h(x)),

.. math:: \log q(z_K \mid x) = \log q_0(z_0 \mid x)
    - \sum_k \log\left|\det \frac{\partial f_k}{\partial z_{k-1}}\right|

The free energy, which training minimizes, has four terms:

.. math:: F(x) = \operatorname{E}_{q_0}\Big[\log q_0(z_0 \mid x) - \sum_k \log\left|\det\right|
    - \log p(z_K) - \log p(x \mid z_K)\Big] = -\text{ELBO}(x)

Draws go from the base to the posterior, so that here *forward* is from z_0 to z_K. Shapes: latents are
(k, n, latent_dim), k draws for each of n rows; contexts are (n, context_dim); log-determinants (k, n).

Taught in :ref:`flow_posterior`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from coursekit.base import Fitted, catalogued
from coursekit.flows.autoregressive import InverseAutoregressiveFlow, MaskedMLP
from coursekit.flows.coupling import AffineCoupling
from coursekit.flows.planar import invertible_direction
from coursekit.latent.vae import LOG_2PI, VAE, DiagonalGaussian, interpolate, log_standard_normal
from coursekit.nn import Flow, check_count, mlp
from coursekit.train import train

__all__ = [
    "AmortizedPlanar",
    "ConditionalRealNVP",
    "FlowEncoder",
    "FlowVAE",
    "FlowedGaussian",
    "FreeEnergy",
    "IAFPosterior",
    "PosteriorFlow",
    "base_path",
    "fit_energy",
    "flow_prior_log_weights",
    "free_energy",
    "log_partition",
    "reverse_kl",
    "ring_energy",
    "wave_energy",
]


# ----------------------------------------------------------------------------------------------
# Flows that see a context.


class PosteriorFlow(nn.Module):
    """A bijection of latents for every row of a batch: what the three families share.

    Parameters
    ----------
    latent_dim, context_dim : int
        Columns of z and of the context.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """

    def __init__(self, latent_dim: int, context_dim: int) -> None:
        super().__init__()
        self.latent_dim = check_count("latent_dim", latent_dim)
        self.context_dim = check_count("context_dim", context_dim)

    def check_context(self, z: Tensor, context: Tensor) -> None:
        """Refuse latents and contexts that do not belong together.

        Raises
        ------
        ValueError
            If the shapes are not (k, n, latent_dim) and (n, context_dim).
        """
        if z.ndim != 3 or z.shape[2] != self.latent_dim:
            raise ValueError(f"z: got shape {tuple(z.shape)}, expected (k, n, {self.latent_dim})")
        expected = (z.shape[1], self.context_dim)
        if tuple(context.shape) != expected:
            raise ValueError(f"context: got shape {tuple(context.shape)}, expected {expected}")

    def transport(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Carry z_0 (k, n, latent_dim) to z_K, with log|det dz_K/dz_0| of shape (k, n), in nats."""
        raise NotImplementedError

    def pull_back(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Carry z_K back to z_0, with log|det dz_K/dz_0| at it. A posterior never needs it; tests do."""
        raise NotImplementedError


class AmortizedPlanar(PosteriorFlow):
    r"""Planar maps whose directions, normals and offsets are read off the context, row by row.

    .. math:: f(z) = z + \hat u(h) \tanh(w(h)^\top z + b(h)), \qquad w^\top \hat u > -1

    One affine map of the context emits all :math:`K (2L + 1)` numbers of a row.

    Parameters
    ----------
    latent_dim, context_dim : int
        Columns of z and of the context.
    layers : int
        Planar maps.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """

    def __init__(self, latent_dim: int, context_dim: int, layers: int = 4) -> None:
        super().__init__(latent_dim, context_dim)
        self.layers = check_count("layers", layers)
        self.head = nn.Linear(context_dim, layers * (2 * latent_dim + 1))
        with torch.no_grad():  # a gentle bend to start with, along planes in all directions
            normals, directions, _ = self._split(self.head.bias)
            self.head.bias.normal_()
            normals /= latent_dim**0.5
            directions *= 0.7 / latent_dim**0.5

    def _split(self, free: Tensor) -> tuple[Tensor, ...]:
        """View the head's numbers as normals, directions and offsets of all layers, (..., K, columns)."""
        return free.unflatten(-1, (self.layers, -1)).split([self.latent_dim, self.latent_dim, 1], dim=-1)

    def parameters_of(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give normals and invertible directions (n, K, latent_dim) and offsets (n, K) of each row."""
        w, u, b = self._split(self.head(context))
        return w, invertible_direction(u, w), b[..., 0]

    def transport(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Carry z_0 (k, n, latent_dim) to z_K, with log|det dz_K/dz_0| of shape (k, n), in nats."""
        self.check_context(z, context)
        w, u, b = self.parameters_of(context)
        slopes = (w * u).sum(-1)  # (n, K), above -1
        dets = []
        for layer in range(self.layers):
            bent = torch.tanh((z * w[:, layer]).sum(-1) + b[:, layer])  # (k, n)
            z = z + bent[..., None] * u[:, layer]
            dets.append(slopes[:, layer] * (1 - bent) * (1 + bent))
        return z, torch.log1p(torch.stack(dets)).sum(0)

    @torch.no_grad()
    def pull_back(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Carry z_K back to z_0, with log|det dz_K/dz_0| at it: one root per row and layer, by halving."""
        self.check_context(z, context)
        w, u, b = self.parameters_of(context)
        start = z
        for layer in reversed(range(self.layers)):
            slope, target = (w * u).sum(-1)[:, layer], (start * w[:, layer]).sum(-1)  # (n,), (k, n)
            low, high = target - slope.abs(), target + slope.abs()
            for _ in range(60):  # halves 2 |slope| to the last digit
                middle = 0.5 * (low + high)
                above = middle + slope * torch.tanh(middle + b[:, layer]) > target
                low, high = torch.where(above, low, middle), torch.where(above, middle, high)
            start = start - torch.tanh(0.5 * (low + high) + b[:, layer])[..., None] * u[:, layer]
        return start, self.transport(start, context)[1]


class ConditionalRealNVP(PosteriorFlow):
    r"""RealNVP transformations whose networks see the context beside the part that is given.

    A transformation is *two* couplings, so that no column stays as it is; the log-determinant has the sum of
    the log-scales of *both*.

    Parameters
    ----------
    latent_dim : int
        Columns of z, at least two.
    context_dim : int
        Columns of the context.
    layers : int
        Transformations, of two couplings each.
    hidden : sequence of int
        Widths of the hidden layers of each coupling's network.

    Raises
    ------
    ValueError
        If there are fewer than two latents, or no layer.

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio, 2017, arXiv:1605.08803.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """

    def __init__(
        self, latent_dim: int, context_dim: int, layers: int = 2, *, hidden: Sequence[int] = (32,)
    ) -> None:
        super().__init__(latent_dim, context_dim)

        def net(given: int, out: int) -> nn.Module:
            found = mlp(given + context_dim, out, hidden=hidden)
            _start_at_zero(found[-1])
            return found

        flips = [False, True] * check_count("layers", layers)
        self.couplings = nn.ModuleList(AffineCoupling(latent_dim, flip=flip, net=net) for flip in flips)
        self.sizes = (latent_dim // 2, latent_dim - latent_dim // 2)

    def transport(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Carry z_0 (k, n, latent_dim) to z_K, with log|det dz_K/dz_0| of shape (k, n), in nats."""
        self.check_context(z, context)
        rows = _for_each_draw(context, len(z))  # (k n, context_dim)
        given, moved = z.flatten(0, 1).split(self.sizes, dim=1)
        total = rows.new_zeros(len(rows))
        for coupling in self.couplings:
            moved, log_det = cast(AffineCoupling, coupling).move(moved, torch.cat([given, rows], dim=1))
            total = total + log_det
            given, moved = moved, given  # who has moved is given to the next
        return torch.cat([given, moved], dim=1).view(z.shape), total.view(z.shape[:2])

    def pull_back(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Carry z_K back to z_0, with log|det dz_K/dz_0| at it."""
        self.check_context(z, context)
        rows = _for_each_draw(context, len(z))
        given, moved = z.flatten(0, 1).split(self.sizes, dim=1)
        for coupling in reversed(self.couplings):
            given, moved = moved, given
            moved = cast(AffineCoupling, coupling).move_back(moved, torch.cat([given, rows], dim=1))
        start = torch.cat([given, moved], dim=1).view(z.shape)
        return start, self.transport(start, context)[1]


class IAFPosterior(PosteriorFlow):
    r"""Inverse autoregressive maps: every column is moved by what the columns before it and the context say.

    Parameters
    ----------
    latent_dim, context_dim : int
        Columns of z and of the context.
    layers : int
        Maps; the order of the columns is reversed from one to the next.
    hidden : sequence of int
        Widths of the hidden layers of each masked network.

    References
    ----------
    Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling, 2016, arXiv:1606.04934.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """

    def __init__(
        self, latent_dim: int, context_dim: int, layers: int = 2, *, hidden: Sequence[int] = (32,)
    ) -> None:
        super().__init__(latent_dim, context_dim)
        self.flow = InverseAutoregressiveFlow(
            latent_dim,
            layers=check_count("layers", layers),
            hidden=hidden,
            context_dim=context_dim,
            activation=nn.SiLU,
        )
        for layer in self.flow.layers:
            _start_at_zero(cast(MaskedMLP, layer.net).layers[-1])

    def transport(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Carry z_0 (k, n, latent_dim) to z_K, with log|det dz_K/dz_0| of shape (k, n), in nats: one pass."""
        self.check_context(z, context)
        moved, log_det = self.flow.inverse_and_log_det(z.flatten(0, 1), _for_each_draw(context, len(z)))
        return moved.view(z.shape), log_det.view(z.shape[:2])

    def pull_back(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Carry z_K back to z_0, with log|det dz_K/dz_0| at it: as many passes as columns."""
        self.check_context(z, context)
        start, log_det = self.flow.forward_and_log_det(z.flatten(0, 1), _for_each_draw(context, len(z)))
        return start.view(z.shape), -log_det.view(z.shape[:2])


def _for_each_draw(context: Tensor, k: int) -> Tensor:
    """Repeat the context (n, c) for each draw: (k n, c), draw by draw."""
    return context.expand(k, *context.shape).flatten(0, 1)


def _start_at_zero(layer: nn.Module) -> None:
    """Make the last layer of a network the constant zero, so that a flow starts as the identity."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)


# ----------------------------------------------------------------------------------------------
# The posterior, and the encoder that gives it.


class FlowedGaussian:
    """The law of a diagonal Gaussian draw after a flow, for each row of a batch.

    Parameters
    ----------
    base : DiagonalGaussian
        The law of z_0.
    flow : PosteriorFlow
        Carries z_0 to z_K.
    context : Tensor of shape (n, context_dim)
        What the flow sees of each row.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """

    def __init__(self, base: DiagonalGaussian, flow: PosteriorFlow, context: Tensor) -> None:
        self.base, self.flow, self.context = base, flow, context

    def rsample(self, k: int = 1, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw z_K of shape (k, n, latent_dim), differentiably."""
        return self.rsample_and_log_prob(k, generator=generator)[0]

    def rsample_and_log_prob(
        self, k: int = 1, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw z_K, with log q(z_K | x) (k, n): the base density at z_0, less the log-determinant."""
        z0 = self.base.rsample(k, generator=generator)
        z, log_det = self.flow.transport(z0, self.context)
        return z, self.base.log_prob(z0) - log_det

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density (k, n) of given latents, by the inverse: for checks, not for training."""
        z0, log_det = self.flow.pull_back(z, self.context)
        return self.base.log_prob(z0) - log_det


class FlowEncoder(nn.Module):
    """A network from x to a `FlowedGaussian`: features h(x), and from them the base law and the flow.

    Parameters
    ----------
    dim, latent_dim : int
        Columns of x and of z.
    flow : callable
        ``flow(latent_dim, context_dim)`` makes the `PosteriorFlow`.
    hidden : sequence of int
        Widths of the hidden layers, at least one; the last is the number of features.
    activation : callable
        Makes the activation.
    conditional : bool
        Whether the flow sees the features. If not its context is constant: one flow for all rows.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """

    def __init__(
        self,
        dim: int,
        latent_dim: int,
        flow: Callable[[int, int], PosteriorFlow],
        *,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        conditional: bool = True,
    ) -> None:
        super().__init__()
        if len(hidden) == 0:
            raise ValueError("hidden: got no layer, expected at least one: its units are what the flow sees")
        self.features = nn.Sequential(
            mlp(dim, hidden[-1], hidden=hidden[:-1], activation=activation), activation()
        )
        self.base = nn.Linear(hidden[-1], 2 * latent_dim)
        self.conditional = conditional
        self.flow = flow(latent_dim, hidden[-1] if conditional else 1)

    def posterior(self, features: Tensor) -> FlowedGaussian:
        """Posterior of rows whose features (n, hidden[-1]) are known."""
        mean, log_scale = self.base(features).chunk(2, dim=-1)
        context = features if self.conditional else features.new_ones(len(features), 1)
        return FlowedGaussian(DiagonalGaussian(mean, log_scale.clamp(-12.0, 12.0)), self.flow, context)

    def forward(self, x: Tensor) -> FlowedGaussian:
        """Map x (n, dim) to its posterior."""
        return self.posterior(self.features(x))


# ----------------------------------------------------------------------------------------------
# The model.

FlowName = Literal["planar", "realnvp", "iaf"]


def _small(d: int, flow: str, **options: object) -> Fitted:
    sizes: dict[str, Any] = {"latent_dim": 2, "hidden": (64,), "steps": 500, "lr": 5e-3}
    if d <= 8:
        sizes = {"latent_dim": 2, "hidden": (8,), "steps": 25, "lr": 1e-2}
    return Fitted(FlowVAE, flow=flow, layers=2, device="cpu", random_state=0, **(sizes | options))


@catalogued(
    examples=lambda d: [
        _small(d, "planar"),
        _small(d, "realnvp", flow_hidden=(8,)),
        _small(d, "iaf", flow_hidden=(8,), decoder="gaussian"),
    ],
    dims=(1, 2, 5),
    support="binary",
    cost={
        "fit": "O(steps * batch * weights)",
        "log_prob": "O(k * weights), a bound",
        "sample": "O(weights): the flow is not used",
    },
)
class FlowVAE(VAE):
    r"""Variational autoencoder with a flow posterior.

    Parameters
    ----------
    dim : int
        Columns of x.
    latent_dim : int
        Columns of z; at least two for "realnvp".
    flow : {"planar", "realnvp", "iaf"}
        The family.
    layers : int
        Planar maps, RealNVP transformations (of two couplings each), or inverse autoregressive maps.
    flow_hidden : sequence of int
        Widths of the hidden layers in the flow's own networks; planar maps have none.
    conditional : bool
        Whether the flow sees x. If not, the model is a Gaussian posterior under a flow *prior*: see
        `flow_prior_log_weights`.
    hidden : sequence of int
        Widths of the hidden layers, in the encoder and (backwards) in the decoder.
    activation : callable
        Makes the activation.
    decoder : {"bernoulli", "gaussian"} or torch.nn.Module
        The law p(x | z), as in `VAE`.
    objective : {"elbo", "iwae"}
        The bound that ``loss`` descends.
    k : int
        Draws for each row in ``loss``.
    beta : float
        Weight of the KL term ("elbo" only).
    warm_up : int
        Steps over which that weight rises from 0 to `beta`.

    Raises
    ------
    ValueError
        If a size or a name is out of range.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770. Kingma et al., 2016, arXiv:1606.04934.

    Notes
    -----
    Taught in :ref:`flow_posterior`.

    Examples
    --------
    >>> model = FlowVAE(6, latent_dim=2, flow="planar", layers=4)
    >>> x = torch.ones(3, 6)
    >>> model.elbo(x).shape, model.iwae(x, 50).shape, model.sample(4).shape
    (torch.Size([3]), torch.Size([3]), torch.Size([4, 6]))
    """

    encoder: FlowEncoder

    def __init__(
        self,
        dim: int,
        *,
        latent_dim: int = 2,
        flow: FlowName = "planar",
        layers: int = 4,
        flow_hidden: Sequence[int] = (32,),
        conditional: bool = True,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        decoder: str | nn.Module = "bernoulli",
        objective: Literal["elbo", "iwae"] = "elbo",
        k: int = 1,
        beta: float = 1.0,
        warm_up: int = 0,
    ) -> None:
        if objective not in ("elbo", "iwae"):
            raise ValueError(
                f"objective: got {objective!r}, expected 'elbo' or 'iwae'; the other gradients need the "
                "density of given latents, which a flow posterior has no cheap way to"
            )

        def make(columns: int, context_dim: int) -> PosteriorFlow:
            if flow == "planar":
                return AmortizedPlanar(columns, context_dim, layers)
            if flow == "realnvp":
                return ConditionalRealNVP(columns, context_dim, layers, hidden=flow_hidden)
            if flow == "iaf":
                return IAFPosterior(columns, context_dim, layers, hidden=flow_hidden)
            raise ValueError(f"flow: got {flow!r}, expected 'planar', 'realnvp' or 'iaf'")

        sizes: dict[str, Any] = {"hidden": hidden, "activation": activation}
        encoder = FlowEncoder(
            check_count("dim", dim),
            check_count("latent_dim", latent_dim),
            make,
            conditional=conditional,
            **sizes,
        )
        super().__init__(
            dim,
            latent_dim=latent_dim,
            decoder=decoder,
            encoder=encoder,
            objective=objective,
            k=k,
            beta=beta,
            warm_up=warm_up,
            **sizes,
        )


class FreeEnergy(NamedTuple):
    """The terms of the free energy of each row: tensors of shape (n,), in nats.

    Attributes
    ----------
    log_base : Tensor
        Mean of log q_0(z_0 | x): minus the entropy of the base.
    log_det : Tensor
        Mean log-determinant of the whole flow.
    log_prior : Tensor
        Mean of log p(z_K).
    log_likelihood : Tensor
        Mean of log p(x | z_K): the reconstruction term.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """

    log_base: Tensor
    log_det: Tensor
    log_prior: Tensor
    log_likelihood: Tensor

    @property
    def kl(self) -> Tensor:
        """Estimate of KL(q(z | x) || p(z))."""
        return self.log_base - self.log_det - self.log_prior

    @property
    def total(self) -> Tensor:
        """F = -ELBO, what is minimized."""
        return self.kl - self.log_likelihood


@torch.no_grad()
def free_energy(
    model: FlowVAE, x: Tensor, k: int = 1, *, generator: torch.Generator | None = None
) -> FreeEnergy:
    """Every term of the free energy of each row, over the same k draws.

    Parameters
    ----------
    model : FlowVAE
        The model.
    x : Tensor of shape (n, dim)
        Data.
    k : int
        Draws over which to average.
    generator : torch.Generator, optional
        Source of the noise; with the same one ``-total`` is ``model.elbo(x, k)`` to rounding.

    Returns
    -------
    FreeEnergy
        Its terms.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """
    found = []
    for block in model._checked(x).split(model._rows_at_once(check_count("k", k))):
        q = model.encoder(block)
        z0 = q.base.rsample(k, generator=generator)
        z, log_det = q.flow.transport(z0, q.context)
        terms = q.base.log_prob(z0), log_det, log_standard_normal(z), model.decoder.log_prob(block, z)
        found.append([term.mean(0) for term in terms])
    return FreeEnergy(*(torch.cat(term) for term in zip(*found, strict=True)))


@torch.no_grad()
def flow_prior_log_weights(
    model: FlowVAE, x: Tensor, k: int = 1, *, generator: torch.Generator | None = None
) -> Tensor:
    r"""Log-weights of the same model, read as a Gaussian posterior under a flow prior.

    With one flow T for all rows, :math:`\tilde p(z) = p(Tz)\,|\det T'(z)|` and
    :math:`\tilde p(x \mid z) = p(x \mid Tz)` give the same number for every draw:

    .. math:: \log \tilde p(x \mid z_0) + \log \tilde p(z_0) - \log q_0(z_0 \mid x)
        = \log p(x \mid z_K) + \log p(z_K) - \log q(z_K \mid x)

    Parameters
    ----------
    model : FlowVAE
        With ``conditional=False``.
    x : Tensor of shape (n, dim)
        Data.
    k : int
        Draws for each row.
    generator : torch.Generator, optional
        Source of the noise.

    Returns
    -------
    Tensor of shape (k, n)
        Log-weights in nats, equal to ``model.log_weights(x, k)`` with the same generator.

    Raises
    ------
    ValueError
        If the flow sees x: then no prior can take its place.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """
    if model.encoder.conditional:
        raise ValueError("model: its flow sees x, expected conditional=False: a prior cannot depend on x")
    x = model._checked(x)
    q = model.encoder(x).base
    z0 = q.rsample(check_count("k", k), generator=generator)
    one = x.new_ones(1, 1)
    image, log_det = model.encoder.flow.transport(z0.reshape(-1, 1, model.latent_dim), one)
    log_prior = (log_standard_normal(image) + log_det).view(z0.shape[:2])  # of z_0, under the flow prior
    return model.decoder.log_prob(x, image.view(z0.shape)) + log_prior - q.log_prob(z0)


@torch.no_grad()
def base_path(model: FlowVAE, a: Tensor, b: Tensor, steps: int = 9) -> Tensor:
    """Path of latents between two rows: straight in base and features, then through the flow.

    Parameters
    ----------
    model : FlowVAE
        The model.
    a, b : Tensor of shape (dim,)
        Its ends, as data.
    steps : int
        Points on it, ends included.

    Returns
    -------
    Tensor of shape (steps, latent_dim)
        z_K along the path; at the ends, where the flow carries the base's mean.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """
    ends = model.encoder.features(model._checked(torch.stack([a, b])))
    means = model.encoder.posterior(ends).base.mean
    features = interpolate(ends[0], ends[1], steps)
    z0 = interpolate(means[0], means[1], steps)
    q = model.encoder.posterior(features)
    return q.flow.transport(z0[None], q.context)[0][0]


# ----------------------------------------------------------------------------------------------
# Energies in two dimensions: where the divergence of a posterior family is known exactly.

Energy = Callable[[Tensor], Tensor]


def ring_energy(z: Tensor) -> Tensor:
    """Give U1: a ring of radius two with two bright sides, (n, 2) to (n,).

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770, table 1.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """
    sides = -0.5 * ((z[:, :1] + z.new_tensor([2.0, -2.0])) / 0.6).square()
    return 0.5 * ((z.norm(dim=1) - 2) / 0.4).square() - torch.logsumexp(sides, dim=1)


def wave_energy(z: Tensor) -> Tensor:
    """Give U2: a sine wave of width 0.4, (n, 2) to (n,).

    The published energy does not fall off along the wave, and its density has no integral. Here the wave
    fades with a standard deviation of two.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770, table 1.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """
    across = z[:, 1] - torch.sin(0.5 * math.pi * z[:, 0])
    return 0.5 * (across / 0.4).square() + 0.5 * (z[:, 0] / 2).square()


def log_partition(energy: Energy, *, reach: float = 12.0, nodes: int = 1200) -> float:
    """Logarithm of the integral of exp(-U) over the square of that half-width, by the midpoint rule, float64.

    Parameters
    ----------
    energy : callable
        (m, 2) to (m,).
    reach : float
        Half-width of the square.
    nodes : int
        Nodes along each axis.

    Returns
    -------
    float
        log Z, in nats.

    Notes
    -----
    Taught in :ref:`flow_posterior`.

    Examples
    --------
    >>> value = log_partition(lambda z: 0.5 * z.square().sum(1))
    >>> abs(value - math.log(2 * math.pi)) < 1e-10
    True
    """
    line = reach * (2 * (torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes - 1)
    square = torch.cartesian_prod(line, line)
    return float(torch.logsumexp(-energy(square), 0)) + 2 * math.log(2 * reach / nodes)


class _EnergyFit(nn.Module):
    """A flow from noise to a law with a known energy; its loss is the reverse divergence, less log Z."""

    def __init__(self, flow: Flow, energy: Energy) -> None:
        super().__init__()
        self.flow, self.energy = flow, energy

    def loss(self, noise: Tensor) -> Tensor:
        z, log_det = self.flow.forward_and_log_det(noise)
        return -0.5 * noise.square().sum(1) - LOG_2PI - log_det + self.energy(z)


def fit_energy(
    flow: Flow, energy: Energy, *, steps: int = 1500, batch_size: int = 256, lr: float = 1e-2, seed: int = 0
) -> Flow:
    """Fit a flow from two-dimensional noise to exp(-U) by the reverse divergence; every draw is used once.

    Parameters
    ----------
    flow : Flow
        Two columns; its forward direction carries noise to draws.
    energy : callable
        (m, 2) to (m,).
    steps, batch_size, lr :
        Options of the training.
    seed : int
        Decides the noise.

    Returns
    -------
    Flow
        The same flow, trained.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(steps * batch_size, 2, generator=generator, dtype=next(flow.parameters()).dtype)
    options = {"batch_size": batch_size, "lr": lr, "schedule": "cosine", "clip": 5.0, "random_state": seed}
    train(_EnergyFit(flow, energy), noise, steps=steps, device="cpu", **options)  # type: ignore[arg-type]
    return flow.eval()


@torch.no_grad()
def reverse_kl(
    flow: Flow, energy: Energy, *, n: int = 20_000, seed: int = 0, log_z: float | None = None
) -> tuple[float, float]:
    r"""Divergence :math:`\mathrm{KL}(q_K \Vert e^{-U}/Z)` with Z by quadrature, and its standard error.

    Parameters
    ----------
    flow : Flow
        From noise to draws.
    energy : callable
        (m, 2) to (m,).
    n : int
        Draws.
    seed : int
        Decides them.
    log_z : float, optional
        ``log_partition(energy)``, where it is known already.

    Returns
    -------
    kl, standard_error : float
        In nats.

    Notes
    -----
    Taught in :ref:`flow_posterior`.
    """
    like = next(flow.parameters())
    noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)
    values = _EnergyFit(flow, energy).loss(noise).double()
    log_z = log_partition(energy) if log_z is None else log_z
    return float(values.mean()) + log_z, float(values.std()) / math.sqrt(n)
