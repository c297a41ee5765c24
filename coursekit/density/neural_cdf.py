r"""Neural distribution functions: fit the CDF by regression, differentiate it for the density.

.. math:: H(x) \approx G(x) = P(X \le x), \qquad h(x) = H'(x), \qquad X = H^{-1}(U)

The targets of the regression are ranks: :math:`n / (N + 1)` (SIC) or sorted uniform numbers drawn anew at
each step (SLC). :class:`NeuralCDF` is a free network with a penalty on decreases, as published; its
derivative is no density. :class:`MonotoneCDF`, :class:`LogisticMixtureCDF` and :class:`QuantileNet` increase
by construction, so theirs are. :class:`ConditionalCDF` gives each column a distribution function given the
columns before it.

Taught in :ref:`neural_cdf`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.nn import check_rows, mlp

__all__ = [
    "ConditionalCDF",
    "LogisticMixtureCDF",
    "MonotoneCDF",
    "NeuralCDF",
    "QuantileNet",
    "bisect",
    "monotonicity_penalty",
    "sic_targets",
    "slc_targets",
]

Batch: TypeAlias = "Tensor | Sequence[Tensor]"
Function: TypeAlias = Callable[[Tensor], Tensor]
Targets = Literal["sic", "slc", "mle"]

_HALVINGS = 60  # a bracket shrinks by 2^60: to rounding, in float64


# ----------------------------------------------------------------------------------------------
# Targets and losses


def sic_targets(x: Tensor) -> Tensor:
    r"""Deterministic targets :math:`n / (N + 1)`: the mean of the n-th of N sorted uniform numbers.

    Parameters
    ----------
    x : Tensor of shape (N, 1)
        Data, in any order.

    Returns
    -------
    Tensor of shape (N,)
        Target of each row, between 0 and 1. Equal rows share the mean of their ranks.

    References
    ----------
    Magdon-Ismail and Atiya, 1998, Neural networks for density estimation (SIC: smooth interpolation of the
    cumulative).

    Taught in :ref:`neural_cdf`.

    Examples
    --------
    >>> sic_targets(torch.tensor([[5.0], [-1.0], [2.0]]))
    tensor([0.7500, 0.2500, 0.5000])
    """
    values = x.detach()[:, 0].contiguous()
    ordered = values.sort().values
    below = torch.searchsorted(ordered, values)
    up_to = torch.searchsorted(ordered, values, right=True)
    return (below + up_to + 1).to(x.dtype) / (2 * (len(x) + 1))


def slc_targets(x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Stochastic targets: N uniform numbers, the smallest for the smallest row, and so on.

    Parameters
    ----------
    x : Tensor of shape (N, 1)
        Data, in any order.
    generator : torch.Generator, optional
        Source of randomness.

    Returns
    -------
    Tensor of shape (N,)
        Target of each row, between 0 and 1.

    References
    ----------
    Magdon-Ismail and Atiya, 1998 (SLC: stochastic learning of the cumulative).

    Taught in :ref:`neural_cdf`.
    """
    u = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
    targets = torch.empty_like(u)
    targets[x.detach()[:, 0].argsort(stable=True)] = u.sort().values
    return targets


def monotonicity_penalty(cdf: Function, y: Tensor, step: float) -> Tensor:
    r"""Sum of squared decreases of a function from each point to a little further right.

    .. math:: \sum_{k=1}^{N_h} \Theta\bigl(H(y_k) - H(y_k + \Delta)\bigr)
        \bigl(H(y_k) - H(y_k + \Delta)\bigr)^2

    One index runs through both factors and over all points.

    Parameters
    ----------
    cdf : callable
        Elementwise function of a tensor.
    y : Tensor of shape (N_h,)
        Where to look.
    step : float
        The distance :math:`\Delta > 0`.

    Returns
    -------
    Tensor
        A number, zero if no decrease is seen. It sees only these points.

    Raises
    ------
    ValueError
        If `step` is not positive: a negative one would reward decreases.

    References
    ----------
    Magdon-Ismail and Atiya, 1998.

    Taught in :ref:`neural_cdf`.

    Examples
    --------
    >>> monotonicity_penalty(lambda y: -y, torch.tensor([0.0, 1.0]), 0.5)
    tensor(0.5000)
    """
    if not step > 0:
        raise ValueError(f"step: got {step}, expected a positive number")
    return (cdf(y) - cdf(y + step)).relu().square().sum()


# ----------------------------------------------------------------------------------------------
# Derivatives and inverses


def _with_slope(function: Function, z: Tensor) -> tuple[Tensor, Tensor]:
    """Value and derivative of an elementwise function, by automatic differentiation."""
    wanted = torch.is_grad_enabled()
    with torch.enable_grad():
        z = z if z.requires_grad else z.detach().requires_grad_()
        value = function(z)
        (slope,) = torch.autograd.grad(value.sum(), z, create_graph=wanted)
    return (value, slope) if wanted else (value.detach(), slope)


def bisect(function: Function, target: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where an increasing function reaches each target, by halving brackets.

    Parameters
    ----------
    function : callable
        Increasing, elementwise on tensors of the shape of `target`.
    target : Tensor
        Values to reach.
    low, high : Tensor of the shape of `target`
        ``function(low) <= target <= function(high)``.

    Returns
    -------
    Tensor of the shape of `target`
        The solutions, to rounding.

    Notes
    -----
    Taught in :ref:`neural_cdf`.

    Examples
    --------
    >>> bisect(torch.tanh, torch.tensor([0.0, 0.5]), -torch.ones(2), torch.ones(2)).round(decimals=4)
    tensor([0.0000, 0.5493])
    """
    for _ in range(_HALVINGS):
        middle = low + (high - low) / 2
        right = function(middle) < target  # the solution lies right of the middle
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    return high


def _levels(u: Tensor) -> Tensor:
    """Levels moved off 0 and 1, whose quantiles are infinite."""
    tiny, eps = torch.finfo(u.dtype).tiny, torch.finfo(u.dtype).eps
    return u.clamp(tiny, 1 - eps)


def _check_levels(u: object, columns: int, like: Tensor) -> Tensor:
    levels = check_rows(u, columns, like=like, name="u")
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise ValueError("u: holds values outside [0, 1], expected probability levels")
    return _levels(levels)


# ----------------------------------------------------------------------------------------------
# What all models on the line share


class _OnTheLine(nn.Module):
    """A distribution function of one variable: units of the data, targets, and the face of a model.

    A subclass writes ``_cdf(z)`` and ``_log_density(z)`` for the standardized variable z, of shape (n,).
    """

    loc: Tensor
    scale: Tensor
    offered: tuple[str, ...] = ("sic", "slc", "mle")

    def __init__(self, dim: int, *, targets: str, loc: float, scale: float) -> None:
        super().__init__()
        name = type(self).__name__
        if dim != 1:
            raise ValueError(
                f"{name} has a distribution function of one variable, but the data have {dim} columns; "
                "for several columns use ConditionalCDF"
            )
        if targets not in self.offered:
            raise ValueError(f"targets: got {targets!r}, expected one of {self.offered}")
        if not (math.isfinite(loc) and math.isfinite(scale) and scale > 0):
            raise ValueError(
                f"loc, scale: got {loc} and {scale}, expected a finite number and a positive one"
            )
        self.dim, self.targets = dim, targets
        self.register_buffer("loc", torch.tensor(float(loc)))
        self.register_buffer("scale", torch.tensor(float(scale)))

    def _cdf(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _log_density(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _z(self, x: Tensor) -> Tensor:
        return ((x - self.loc) / self.scale)[:, 0]

    def cdf(self, x: Tensor) -> Tensor:
        """Distribution function at each row.

        Parameters
        ----------
        x : Tensor of shape (n, 1)
            Where to evaluate.

        Returns
        -------
        Tensor of shape (n,)
            Values between 0 and 1.
        """
        return self._cdf(self._z(check_rows(x, 1, like=self.loc)))

    def log_prob(self, x: Tensor) -> Tensor:
        """Logarithm of the derivative of the distribution function, in nats.

        Parameters
        ----------
        x : Tensor of shape (n, 1)
            Where to evaluate.

        Returns
        -------
        Tensor of shape (n,)
            Log-density; the factor 1 / `scale` of the chain rule is in it.
        """
        return self._log_density(self._z(check_rows(x, 1, like=self.loc))) - self.scale.log()

    def loss(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Squared distance to the targets, or the negative log-density where ``targets="mle"``.

        Parameters
        ----------
        batch : Tensor of shape (n, 1), or pair of it and its targets of shape (n,)
            Data. Without targets the ranks are those *within the batch*: train on all rows at once
            (``batch_size`` at least their number), or give targets of the whole sample.
        generator : torch.Generator, optional
            Draws the targets of ``targets="slc"``.

        Returns
        -------
        Tensor of shape (n,)
            One value per row.
        """
        x, u = (batch, None) if isinstance(batch, Tensor) else batch
        if self.targets == "mle":
            return self.scale.log() - self._log_density(self._z(x))
        if u is None:
            u = sic_targets(x) if self.targets == "sic" else slc_targets(x, generator=generator)
        return (self._cdf(self._z(x)) - u).square()


class _Sampled(_OnTheLine):
    """A model on the line whose quantiles can be found: ``_quantile(u)`` for levels of shape (n,)."""

    def _quantile(self, u: Tensor) -> Tensor:
        raise NotImplementedError

    def quantile(self, u: Tensor) -> Tensor:
        """Where the distribution function reaches each level.

        Parameters
        ----------
        u : Tensor of shape (n, 1)
            Levels in [0, 1]; the ends are moved inwards by rounding.

        Returns
        -------
        Tensor of shape (n, 1)
            Quantiles, in units of the data.
        """
        levels = _check_levels(u, 1, self.loc)
        return self.loc + self.scale * self._quantile(levels[:, 0])[:, None]

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw by inversion: the quantiles of uniform levels.

        Parameters
        ----------
        n : int
            How many rows.
        generator : torch.Generator, optional
            Source of randomness.

        Returns
        -------
        Tensor of shape (n, 1)
            The samples.
        """
        u = torch.rand(n, 1, generator=generator, dtype=self.loc.dtype, device=self.loc.device)
        return self.quantile(u)


# ----------------------------------------------------------------------------------------------
# The free network


def _free_examples(d: int) -> list[Fitted]:
    options: dict[str, Any] = {"batch_size": 4096, "lr": 0.02, "device": "cpu", "random_state": 0}
    return [Fitted(NeuralCDF, targets=targets, steps=150, **options) for targets in ("sic", "slc")]


@catalogued(
    examples=_free_examples,
    dims=(1,),
    cost={"fit": "O(steps n W)", "log_prob": "O(W), two passes", "sample": ""},
)
class NeuralCDF(_OnTheLine):
    r"""Free network with a sigmoid at its end, fitted to ranks, with a penalty on decreases.

    .. math:: \frac1N \sum_n (H(x_n) - u_n)^2 + \frac{\lambda}{N} \sum_k
        \max\bigl(0, H(y_k) - H(y_k + \Delta)\bigr)^2

    Nothing forces H to increase, to start at 0 or to end at 1: its derivative can be negative, and its mass
    is not one. ``log_prob`` is the logarithm of that derivative, and **minus infinity where it is not
    positive**. It has no ``sample``: a function that decreases, or misses levels, has no inverse.

    Parameters
    ----------
    dim : int
        Columns of the data: one.
    hidden : sequence of int
        Widths of the hidden layers (tanh).
    targets : {"sic", "slc"}
        Targets :math:`n/(N+1)`, or sorted uniform numbers drawn anew at each step.
    penalty : float
        The weight :math:`\lambda \ge 0`.
    penalty_points : int
        How many points :math:`y_k` are drawn at each step, uniformly over the range of the batch and a tenth
        of it on both sides.
    penalty_step : float
        The distance :math:`\Delta`, in units of `scale`.
    loc, scale : float
        The network sees (x - loc) / scale: give the mean and the standard deviation of the data.
    net : torch.nn.Module, optional
        Another network, from (n, 1) to (n, 1); the sigmoid is put after it.

    References
    ----------
    Magdon-Ismail and Atiya, 1998, NIPS 11; 2002, IEEE Transactions on Neural Networks 13(1).

    Taught in :ref:`neural_cdf`.
    """

    likelihood = Likelihood.UNNORMALIZED
    offered = ("sic", "slc")

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (32, 32),
        targets: Targets = "sic",
        penalty: float = 0.0,
        penalty_points: int = 100,
        penalty_step: float = 0.02,
        loc: float = 0.0,
        scale: float = 1.0,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__(dim, targets=targets, loc=loc, scale=scale)
        if not penalty >= 0:
            raise ValueError(f"penalty: got {penalty}, expected a number of at least 0")
        if penalty_points < 1 or not penalty_step > 0:
            raise ValueError(
                f"penalty_points, penalty_step: got {penalty_points} and {penalty_step}, expected at least "
                "one point and a positive step"
            )
        self.penalty, self.penalty_points, self.penalty_step = penalty, penalty_points, penalty_step
        self.net = mlp(1, 1, hidden=hidden, activation=nn.Tanh) if net is None else net

    def _cdf(self, z: Tensor) -> Tensor:
        return self.net(z[:, None])[:, 0].sigmoid()

    def _log_density(self, z: Tensor) -> Tensor:
        return _with_slope(self._cdf, z)[1].clamp_min(0).log()

    def density(self, x: Tensor) -> Tensor:
        """Differentiate the distribution function; the result may have either sign.

        Parameters
        ----------
        x : Tensor of shape (n, 1)
            Where to evaluate.

        Returns
        -------
        Tensor of shape (n,)
            The derivative, per unit of the data.
        """
        return _with_slope(self._cdf, self._z(check_rows(x, 1, like=self.loc)))[1] / self.scale

    def loss(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Squared distance to the targets, plus this row's share of the penalty.

        Parameters
        ----------
        batch : Tensor of shape (n, 1), or pair of it and its targets of shape (n,)
            Data; without targets the ranks are those within the batch.
        generator : torch.Generator, optional
            Draws the points of the penalty, and the targets of ``targets="slc"``.

        Returns
        -------
        Tensor of shape (n,)
            One value per row; their sum is the published loss.
        """
        fit = super().loss(batch, generator)
        if self.penalty == 0:
            return fit
        z = self._z(batch if isinstance(batch, Tensor) else batch[0])
        low, high = z.min(), z.max()
        share = torch.rand(self.penalty_points, generator=generator, dtype=z.dtype, device=z.device)
        y = low + (high - low) * (1.2 * share - 0.1)
        return fit + self.penalty / len(z) * monotonicity_penalty(self._cdf, y, self.penalty_step)


# ----------------------------------------------------------------------------------------------
# Monotone parametrizations


class _Increasing(nn.Module):
    r"""An increasing map of the line onto itself: positive weights, and a straight line that keeps it going.

    .. math:: M(z) = b + a z + \sum_j w_j \tanh(v_j (z - c_j)), \qquad a, v_j, w_j > 0.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        if units < 1:
            raise ValueError(f"units: got {units}, expected at least 1")
        self.bias = nn.Parameter(torch.zeros(()))
        self.raw_slope = nn.Parameter(torch.zeros(()))
        self.raw_height = nn.Parameter(-2 + 0.1 * torch.randn(units))
        self.raw_steepness = nn.Parameter(1 + 0.1 * torch.randn(units))
        self.centre = nn.Parameter(torch.linspace(-2, 2, units) if units > 1 else torch.zeros(1))

    def forward(self, z: Tensor) -> Tensor:
        steps = torch.tanh(softplus(self.raw_steepness) * (z[..., None] - self.centre))  # (..., units)
        return self.bias + softplus(self.raw_slope) * z + steps @ softplus(self.raw_height)

    def inverse(self, t: Tensor) -> Tensor:
        """Bisection; the steps move M by at most the sum of their heights, which gives the bracket."""
        slope, reach = softplus(self.raw_slope), softplus(self.raw_height).sum()
        middle, half = (t - self.bias) / slope, 1.01 * reach / slope
        return bisect(self, t, middle - half, middle + half)


def _monotone_examples(d: int) -> list[Fitted]:
    options: dict[str, Any] = {"batch_size": 4096, "lr": 0.02, "device": "cpu", "random_state": 0}
    return [Fitted(MonotoneCDF, targets=targets, steps=150, **options) for targets in ("sic", "slc", "mle")]


@catalogued(
    examples=_monotone_examples,
    dims=(1,),
    cost={"fit": "O(steps n W)", "log_prob": "O(W), two passes", "sample": "O(60 W)"},
)
class MonotoneCDF(_Sampled):
    r"""Network with positive weights: increasing from 0 to 1 whatever its parameters are.

    .. math:: H(x) = \frac{1}{1 + e^{-M(z)}}, \quad M(z) = b + a z + \sum_{j=1}^{W} w_j \tanh(v_j (z - c_j)),
        \quad a, v_j, w_j > 0, \quad z = \frac{x - \mathrm{loc}}{\mathrm{scale}}

    Positivity comes from a softplus. The line a z takes M to both infinities, so H has mass one exactly.

    Parameters
    ----------
    dim : int
        Columns of the data: one.
    units : int
        Number of steps W.
    targets : {"sic", "slc", "mle"}
        Targets :math:`n/(N+1)`; sorted uniform numbers, drawn anew at each step; or maximum likelihood.
    loc, scale : float
        The network sees (x - loc) / scale: give the mean and the standard deviation of the data.

    References
    ----------
    Sill, 1998, Monotonic networks, NIPS 10 (positive weights).
    Magdon-Ismail and Atiya, 1998, NIPS 11 (the targets).

    Taught in :ref:`neural_cdf`.
    """

    likelihood = Likelihood.EXACT

    def __init__(
        self,
        dim: int,
        *,
        units: int = 24,
        targets: Targets = "sic",
        loc: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(dim, targets=targets, loc=loc, scale=scale)
        self.map = _Increasing(units)

    def _cdf(self, z: Tensor) -> Tensor:
        return self.map(z).sigmoid()

    def _log_density(self, z: Tensor) -> Tensor:
        m, slope = _with_slope(self.map, z)
        return logsigmoid(m) + logsigmoid(-m) + slope.log()  # H' = H (1 - H) M', in logarithms

    def _quantile(self, u: Tensor) -> Tensor:
        return self.map.inverse(u.logit())


def _mixture_cdf(z: Tensor, log_weight: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Distribution function (...) at z (...) of mixtures of logistics with parameters (..., K)."""
    u = (z[..., None] - mean) / log_scale.exp()
    return (log_weight.exp() * u.sigmoid()).sum(-1)


def _mixture_log_density(z: Tensor, log_weight: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    u = (z[..., None] - mean) / log_scale.exp()
    return torch.logsumexp(log_weight + logsigmoid(u) + logsigmoid(-u) - log_scale, dim=-1)


def _mixture_quantile(u: Tensor, log_weight: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Bisection between the smallest and the largest quantile of the parts."""
    parts = mean + log_scale.exp() * u.logit()[..., None]  # (..., K)
    low, high = parts.min(-1).values, parts.max(-1).values
    return bisect(lambda z: _mixture_cdf(z, log_weight, mean, log_scale), u, low, high)


_NARROWEST = math.log(0.005)  # no part narrower than this, in standardized units: no spike of infinite height


def _mixture_examples(d: int) -> list[Fitted]:
    options: dict[str, Any] = {"batch_size": 4096, "lr": 0.02, "device": "cpu", "random_state": 0}
    return [Fitted(LogisticMixtureCDF, targets=targets, steps=150, **options) for targets in ("sic", "mle")]


@catalogued(
    examples=_mixture_examples,
    dims=(1,),
    cost={"fit": "O(steps n K)", "log_prob": "O(K)", "sample": "O(60 K)"},
)
class LogisticMixtureCDF(_Sampled):
    r"""Weighted mean of K logistic distribution functions: monotone, with a density in closed form.

    .. math:: H(x) = \sum_{k=1}^{K} \pi_k \frac{1}{1 + e^{-(z - \mu_k)/s_k}}, \qquad
        z = \frac{x - \mathrm{loc}}{\mathrm{scale}}

    Parameters
    ----------
    dim : int
        Columns of the data: one.
    components : int
        Number of parts K.
    targets : {"sic", "slc", "mle"}
        Targets :math:`n/(N+1)`; sorted uniform numbers, drawn anew at each step; or maximum likelihood.
    loc, scale : float
        The model sees (x - loc) / scale: give the mean and the standard deviation of the data.

    Notes
    -----
    No part gets narrower than 0.005 `scale`: without a floor maximum likelihood puts an infinitely narrow
    one on a datum.

    References
    ----------
    Magdon-Ismail and Atiya, 1998, NIPS 11 (the targets).

    Taught in :ref:`neural_cdf`.
    """

    likelihood = Likelihood.EXACT

    def __init__(
        self,
        dim: int,
        *,
        components: int = 24,
        targets: Targets = "sic",
        loc: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(dim, targets=targets, loc=loc, scale=scale)
        if components < 1:
            raise ValueError(f"components: got {components}, expected at least 1")
        self.logits = nn.Parameter(0.01 * torch.randn(components))
        self.means = nn.Parameter(torch.linspace(-2, 2, components) if components > 1 else torch.zeros(1))
        self.log_scales = nn.Parameter(torch.full((components,), -1.0))

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.logits.log_softmax(0), self.means, self.log_scales.clamp_min(_NARROWEST)

    def _cdf(self, z: Tensor) -> Tensor:
        return _mixture_cdf(z, *self._parts())

    def _log_density(self, z: Tensor) -> Tensor:
        return _mixture_log_density(z, *self._parts())

    def _quantile(self, u: Tensor) -> Tensor:
        return _mixture_quantile(u, *self._parts())


# ----------------------------------------------------------------------------------------------
# The learned inverse


def _quantile_examples(d: int) -> list[Fitted]:
    options: dict[str, Any] = {"batch_size": 4096, "lr": 0.02, "device": "cpu", "random_state": 0}
    return [Fitted(QuantileNet, steps=150, **options)]


@catalogued(
    examples=_quantile_examples,
    dims=(1,),
    cost={"fit": "O(steps n L W)", "log_prob": "O(60 W)", "sample": "O(W), one pass"},
)
class QuantileNet(_Sampled):
    r"""Learned inverse: an increasing network from levels to quantiles, so a sample is one pass.

    .. math:: Q(u) = \mathrm{loc} + \mathrm{scale} \cdot M\Bigl(\log \frac{u}{1 - u}\Bigr), \qquad
        \mathrm{loss}(x) = \int_0^1 \rho_u(x - Q(u)) \, du, \quad \rho_u(r) = r (u - \mathbf{1}\{r < 0\})

    with the increasing M of :class:`MonotoneCDF`. The pinball loss :math:`\rho_u` is least in expectation
    where Q(u) is the quantile. The density :math:`1 / Q'` needs the level of x: here it is evaluation that
    takes a bisection.

    Parameters
    ----------
    dim : int
        Columns of the data: one.
    units : int
        Number of steps of M.
    levels : int
        Levels at which a row's loss is evaluated, one at random in each of so many equal strips of (0, 1).
    loc, scale : float
        Units of the data: give the mean and the standard deviation.

    References
    ----------
    Koenker and Bassett, 1978, Regression quantiles.
    Dabney et al., 2018, Implicit quantile networks, arXiv:1806.06923.

    Taught in :ref:`neural_cdf`.
    """

    likelihood = Likelihood.EXACT
    offered = ("pinball",)

    def __init__(
        self, dim: int, *, units: int = 24, levels: int = 16, loc: float = 0.0, scale: float = 1.0
    ) -> None:
        super().__init__(dim, targets="pinball", loc=loc, scale=scale)
        if levels < 1:
            raise ValueError(f"levels: got {levels}, expected at least 1")
        self.levels = levels
        self.map = _Increasing(units)

    def _cdf(self, z: Tensor) -> Tensor:
        return self.map.inverse(z).sigmoid()

    def _log_density(self, z: Tensor) -> Tensor:
        with torch.no_grad():
            logit = self.map.inverse(z)
        slope = _with_slope(self.map, logit)[1]
        return logsigmoid(logit) + logsigmoid(-logit) - slope.log()

    def _quantile(self, u: Tensor) -> Tensor:
        return self.map(u.logit())

    def loss(self, batch: Batch, generator: torch.Generator | None = None) -> Tensor:
        """Pinball loss of each row, averaged over random levels.

        Parameters
        ----------
        batch : Tensor of shape (n, 1)
            Data, in batches of any size.
        generator : torch.Generator, optional
            Draws the levels.

        Returns
        -------
        Tensor of shape (n,)
            One value per row, in units of `scale`.
        """
        x = batch if isinstance(batch, Tensor) else batch[0]
        share = torch.rand(len(x), self.levels, generator=generator, dtype=x.dtype, device=x.device)
        strips = torch.arange(self.levels, dtype=x.dtype, device=x.device)
        u = _levels((strips + share) / self.levels)  # (n, levels)
        gap = self._z(x)[:, None] - self.map(u.logit())
        return (gap * (u - (gap < 0).to(u.dtype))).mean(dim=1)


# ----------------------------------------------------------------------------------------------
# Distribution functions given other columns


def _conditional_examples(d: int) -> list[Fitted]:
    if d > 2:  # the digits of the home page: small networks, few steps
        return [
            Fitted(
                ConditionalCDF, hidden=(16,), components=4, targets="mle", epochs=5, lr=0.03, loc=0.25,
                scale=0.3, device="cpu", random_state=0,
            )
        ]  # fmt: skip
    options: dict[str, Any] = {"components": 4, "hidden": (16,), "device": "cpu", "random_state": 0}
    return [
        Fitted(ConditionalCDF, targets=targets, steps=150, lr=0.02, **options)
        for targets in ("indicator", "mle")
    ]


@catalogued(
    examples=_conditional_examples,
    dims=(1, 2, 3),
    cost={"fit": "O(steps n d W)", "log_prob": "O(d W)", "sample": "O(d (W + 60 K))"},
)
class ConditionalCDF(nn.Module):
    r"""Distribution function of each column given the columns before it: mixtures of logistics from networks.

    .. math:: H_j(x_j \mid x_1, \dots, x_{j-1}) = \sum_k \pi_{jk} \,
        \sigma\Bigl(\frac{z_j - \mu_{jk}}{s_{jk}}\Bigr), \qquad
        p(x) = \prod_j \frac{\partial H_j}{\partial x_j}

    with weights, means and scales from a network of :math:`z_1, \dots, z_{j-1}`. With two columns (x, y) it
    is the conditional law H(y | x), and the marginal of x. No two rows share an x, so there are no ranks: the
    target at a threshold t is the indicator of y <= t, whose mean given x is the conditional
    distribution function.

    Parameters
    ----------
    dim : int
        Columns of the data.
    hidden : sequence of int
        Widths of the hidden layers (tanh) of each network.
    components : int
        Parts of each mixture.
    targets : {"indicator", "mle"}
        Regression on indicators at random thresholds, or maximum likelihood.
    thresholds : int
        Thresholds per row and step, other rows of the batch drawn at random.
    loc, scale : float or sequence of `dim` floats
        The networks see (x - loc) / scale: give the means and the standard deviations of the columns.

    References
    ----------
    Magdon-Ismail and Atiya, 1998, NIPS 11. Gneiting and Raftery, 2007 (why the indicator loss is proper).
    Rosenblatt, 1952 (several columns, one after the other).

    Taught in :ref:`neural_cdf`.
    """

    likelihood = Likelihood.EXACT
    loc: Tensor
    scale: Tensor
    spread: Tensor

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (32,),
        components: int = 8,
        targets: Literal["indicator", "mle"] = "indicator",
        thresholds: int = 8,
        loc: float | Sequence[float] = 0.0,
        scale: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        if dim < 1 or components < 1 or thresholds < 1:
            raise ValueError(
                f"dim, components, thresholds: got {dim}, {components}, {thresholds}, expected at least 1"
            )
        if targets not in ("indicator", "mle"):
            raise ValueError(f"targets: got {targets!r}, expected 'indicator' or 'mle'")
        self.dim, self.targets, self.thresholds = dim, targets, thresholds
        for name, value in (("loc", loc), ("scale", scale)):
            given = torch.as_tensor(value, dtype=torch.get_default_dtype())
            if given.shape not in ((), (dim,)) or not bool(torch.isfinite(given).all()):
                raise ValueError(f"{name}: got {value}, expected a finite number or {dim} of them")
            self.register_buffer(name, given.expand(dim).clone())
        if not bool((self.scale > 0).all()):
            raise ValueError(f"scale: got {scale}, expected positive numbers")
        self.register_buffer("spread", torch.linspace(-1.5, 1.5, components))
        self.first = nn.Parameter(torch.zeros(3 * components))
        self.nets = nn.ModuleList(
            mlp(j, 3 * components, hidden=hidden, activation=nn.Tanh) for j in range(1, dim)
        )

    def _parts(self, j: int, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, means and log-scales (n, K) of column j, from the columns of z before it."""
        raw = self.first.expand(len(z), -1) if j == 0 else self.nets[j - 1](z[:, :j])
        logits, shift, log_scale = raw.chunk(3, dim=1)
        return logits.log_softmax(1), self.spread + shift, (log_scale - 0.7).clamp_min(_NARROWEST)

    def cdf(self, x: Tensor) -> Tensor:
        """Each column's distribution function given the columns before it: the Rosenblatt transform.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Rows.

        Returns
        -------
        Tensor of shape (n, dim)
            Independent uniform numbers, if the model is right.
        """
        z = (check_rows(x, self.dim, like=self.loc) - self.loc) / self.scale
        return torch.stack([_mixture_cdf(z[:, j], *self._parts(j, z)) for j in range(self.dim)], dim=1)

    def _log_density(self, z: Tensor) -> Tensor:
        parts = [_mixture_log_density(z[:, j], *self._parts(j, z)) for j in range(self.dim)]
        return torch.stack(parts, dim=1).sum(1) - self.scale.log().sum()

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each row, in nats.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Rows.

        Returns
        -------
        Tensor of shape (n,)
            Log-density: the sum over the columns.
        """
        return self._log_density((check_rows(x, self.dim, like=self.loc) - self.loc) / self.scale)

    @torch.no_grad()
    def quantile(self, u: Tensor, given: Tensor | None = None) -> Tensor:
        """Rows whose columns have these levels: the inverse of ``cdf``.

        Parameters
        ----------
        u : Tensor of shape (n, dim - g)
            Levels in [0, 1] of the last columns.
        given : Tensor of shape (n, g), optional
            Values of the first columns.

        Returns
        -------
        Tensor of shape (n, dim)
            Rows that begin with `given`.
        """
        g = 0 if given is None else given.shape[-1]
        if not 0 <= g < self.dim:
            raise ValueError(f"given: got {g} columns, expected fewer than {self.dim}")
        levels = _check_levels(u, self.dim - g, self.loc)
        z = levels.new_zeros(len(levels), self.dim)
        if given is not None:
            z[:, :g] = (check_rows(given, g, like=self.loc, name="given") - self.loc[:g]) / self.scale[:g]
        for j in range(g, self.dim):
            z[:, j] = _mixture_quantile(levels[:, j - g], *self._parts(j, z))
        return self.loc + self.scale * z

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw rows, one column after the other.

        Parameters
        ----------
        n : int
            How many rows.
        generator : torch.Generator, optional
            Source of randomness.

        Returns
        -------
        Tensor of shape (n, dim)
            The samples.
        """
        u = torch.rand(n, self.dim, generator=generator, dtype=self.loc.dtype, device=self.loc.device)
        return self.quantile(u)

    def loss(self, batch: Tensor, generator: torch.Generator | None = None) -> Tensor:
        r"""Squared distance of each column's H to indicators, or the negative log-density.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Data, in batches of any size above one.
        generator : torch.Generator, optional
            Draws the thresholds.

        Returns
        -------
        Tensor of shape (n,)
            :math:`\sum_j (H_j(t \mid x_{<j}) - \mathbf{1}\{x_j \le t\})^2`, a mean over thresholds t.
        """
        z = (batch - self.loc) / self.scale
        if self.targets == "mle":
            return -self._log_density(z)
        n, m = len(z), self.thresholds
        jump = torch.randint(1, max(n, 2), (n, m), generator=generator, device=z.device)
        t = z[(torch.arange(n, device=z.device)[:, None] + jump) % n]  # (n, m, dim): other rows
        total = z.new_zeros(n)
        for j in range(self.dim):
            parts = (part[:, None] for part in self._parts(j, z))  # (n, 1, K)
            gap = _mixture_cdf(t[..., j], *parts) - (z[:, None, j] <= t[..., j]).to(z.dtype)
            total = total + gap.square().mean(1)
        return total
