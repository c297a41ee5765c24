r"""Planar and radial flows: bend space along a direction, or around a point.

.. math:: f(z) = z + \hat u \tanh(w^\top z + b), \qquad
    \det \frac{\partial f}{\partial z} = 1 + \hat u^\top w\, \tanh'(w^\top z + b) > 0

Forward is from data to latent, as everywhere: a planar flow is fitted to data with closed formulas and
sampled by solving one equation in one unknown per layer. To fit an unnormalized density instead,
`transport` carries noise through the layers.

Taught in :ref:`planar`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from coursekit.base import Fitted, catalogued
from coursekit.nn import Flow

__all__ = [
    "PlanarFlow",
    "PlanarLayer",
    "RadialFlow",
    "RadialLayer",
    "invertible_direction",
    "planar",
    "transport",
]


Map = Callable[[Tensor], Tensor]


def invertible_direction(u: Tensor, w: Tensor) -> Tensor:
    r"""Change `u` along `w` so that :math:`w^\top \hat u > -1`, which makes the planar map invertible.

    .. math:: \hat u = u + \left(m(w^\top u) - w^\top u\right) \frac{w}{\|w\|^2}, \qquad
        m(a) = -1 + \log(1 + e^a)

    Parameters
    ----------
    u, w : Tensor of shape (..., d)
        Direction of the shift, and normal of the planes.

    Returns
    -------
    Tensor of shape (..., d)
        The direction :math:`\hat u`. A softplus that is linear for large arguments does not overflow.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770, appendix A.1.

    Taught in :ref:`planar`.

    Examples
    --------
    >>> w = torch.tensor([1.0, 0.0])
    >>> bool(invertible_direction(torch.tensor([-50.0, 0.0]), w) @ w >= -1)
    True
    """
    inner = (w * u).sum(dim=-1, keepdim=True)
    square = w.square().sum(dim=-1, keepdim=True).clamp(min=torch.finfo(w.dtype).tiny)
    return u + (functional.softplus(inner) - 1 - inner) * w / square


def planar(z: Tensor, w: Tensor, u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    r"""Planar map of each row, with its log-determinant.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Points.
    w, u : Tensor of shape (d,) or (n, d)
        Normal of the planes and direction of the shift, for all rows or for each; `u` is made invertible.
    b : Tensor of shape () or (n,)
        Offset.

    Returns
    -------
    z : Tensor of shape (n, d)
        Images.
    log_det : Tensor of shape (n,)
        Log-determinant, in nats.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770, section 4.1.

    Taught in :ref:`planar`.
    """
    u = invertible_direction(u, w)
    bent = torch.tanh((z * w).sum(dim=-1) + b)  # (n,)
    slope = (u * w).sum(dim=-1) * (1 - bent) * (1 + bent)
    return z + bent[:, None] * u, torch.log1p(slope)


class PlanarLayer(nn.Module):
    """One planar map.

    Parameters
    ----------
    dim : int
        Number of columns.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770.

    Taught in :ref:`planar`.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(dim) / dim**0.5)
        self.u = nn.Parameter(0.1 * torch.randn(dim))
        self.b = nn.Parameter(torch.randn(()))

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (n, dim) to latent (n, dim), with the log-determinant (n,) in nats."""
        return planar(x, self.w, self.u, self.b)

    @torch.no_grad()
    def inverse(self, z: Tensor) -> Tensor:
        r"""Map latent (n, dim) to data (n, dim), by one root per row.

        With :math:`\alpha = w^\top x` the equation is
        :math:`\alpha + w^\top \hat u \tanh(\alpha + b) = w^\top z`: increasing in :math:`\alpha`, and its
        root lies within :math:`|w^\top \hat u|` of the right-hand side.
        """
        u = invertible_direction(self.u, self.w)
        slope, target = u @ self.w, z @ self.w
        root = _increasing_root(
            lambda a: a + slope * torch.tanh(a + self.b) - target,
            lambda a: 1 + slope * (1 - torch.tanh(a + self.b).square()),
            target - slope.abs(),
            target + slope.abs(),
        )
        return z - torch.tanh(root + self.b)[:, None] * u


def _increasing_root(f: Map, slope: Map, low: Tensor, high: Tensor, steps: int = 100) -> Tensor:
    """Root of an increasing function: Newton's step where it stays between `low` and `high`, else halving."""
    x = 0.5 * (low + high)
    for _ in range(steps):
        value = f(x)
        low, high = torch.where(value <= 0, x, low), torch.where(value >= 0, x, high)
        middle, newton = 0.5 * (low + high), x - value / slope(x)
        x_next = torch.where((newton > low) & (newton < high), newton, middle)
        if bool((x_next == x).all()):
            break
        x = x_next
    return x


class RadialLayer(nn.Module):
    r"""One radial map: stretch or squeeze space around a point.

    .. math:: f(z) = z + \frac{\beta\,(z - c)}{\alpha + r}, \quad r = \|z - c\|,\ \alpha > 0,\ \beta > -\alpha

    Its inverse is closed form: the new radius is an increasing function of the old, and a quadratic.

    Parameters
    ----------
    dim : int
        Number of columns.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770, section 4.1 and appendix A.2.

    Taught in :ref:`planar`.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.center = nn.Parameter(torch.randn(dim))
        self.free_alpha = nn.Parameter(torch.zeros(()))
        self.free_beta = nn.Parameter(torch.tensor(0.5413))  # softplus of it is one: close to beta = 0

    def _strengths(self) -> tuple[Tensor, Tensor]:
        alpha = 0.01 + functional.softplus(self.free_alpha)
        return alpha, -alpha + alpha * functional.softplus(self.free_beta)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (n, dim) to latent (n, dim), with the log-determinant (n,) in nats."""
        alpha, beta = self._strengths()
        away = x - self.center
        r = away.norm(dim=1)  # (n,)
        pull = beta / (alpha + r)
        along = pull * (alpha / (alpha + r))  # slope of the new radius, less one
        return x + pull[:, None] * away, (x.shape[1] - 1) * torch.log1p(pull) + torch.log1p(along)

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent (n, dim) to data (n, dim)."""
        alpha, beta = self._strengths()
        away = z - self.center
        new = away.norm(dim=1)
        half = 0.5 * (new - alpha - beta)
        root = torch.hypot(half, (alpha * new).sqrt())
        r = torch.where(half > 0, half + root, alpha * new / (root - half))  # without cancellation
        return self.center + away * ((alpha + r) / (alpha + r + beta))[:, None]


def transport(layers: nn.ModuleList | list[nn.Module], z: Tensor) -> tuple[Tensor, Tensor]:
    r"""Carry draws through layers, and give the log-determinant of the whole map.

    For :math:`z_0 \sim q_0` the law of :math:`z_K` is
    :math:`\log q_K(z_K) = \log q_0(z_0) - \log|\det|`: the base density belongs at the *start* of the path.

    Parameters
    ----------
    layers : sequence of torch.nn.Module
        Bijections with ``forward_and_log_det``.
    z : Tensor of shape (n, d)
        Draws :math:`z_0`.

    Returns
    -------
    z : Tensor of shape (n, d)
        Where they end.
    log_det : Tensor of shape (n,)
        Sum of the layers' log-determinants, in nats.

    Notes
    -----
    Taught in :ref:`planar`.
    """
    total = z.new_zeros(len(z))
    for layer in layers:
        z, log_det = layer.forward_and_log_det(z)
        total = total + log_det
    return z, total


def _count(layers: int) -> range:
    if not isinstance(layers, int) or layers < 1:
        raise ValueError(f"layers: got {layers!r}, expected a whole number of at least 1")
    return range(layers)


@catalogued(
    examples=lambda d: [Fitted(PlanarFlow, layers=4, epochs=20, lr=1e-2, device="cpu", random_state=0)],
    dims=(1, 2, 3),
    cost={"fit": "O(epochs n K d)", "log_prob": "O(K d)", "sample": "O(K d), one root per layer"},
)
class PlanarFlow(Flow):
    """Planar maps one after another, from data to a standard normal law.

    Parameters
    ----------
    dim : int
        Number of columns.
    layers : int
        Number of planar maps.

    Raises
    ------
    ValueError
        If `layers` is less than one.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770.

    Taught in :ref:`planar`.

    Examples
    --------
    >>> PlanarFlow(2, layers=3).log_prob(torch.zeros(4, 2)).shape
    torch.Size([4])
    """

    def __init__(self, dim: int, *, layers: int = 8) -> None:
        super().__init__(dim, [PlanarLayer(dim) for _ in _count(layers)])


@catalogued(
    examples=lambda d: [Fitted(RadialFlow, layers=4, epochs=20, lr=1e-2, device="cpu", random_state=0)],
    dims=(1, 2, 3),
    cost={"fit": "O(epochs n K d)", "log_prob": "O(K d)", "sample": "O(K d)"},
)
class RadialFlow(Flow):
    """Radial maps one after another, from data to a standard normal law.

    Parameters
    ----------
    dim : int
        Number of columns.
    layers : int
        Number of radial maps.

    Raises
    ------
    ValueError
        If `layers` is less than one.

    References
    ----------
    Rezende and Mohamed, 2015, arXiv:1505.05770.

    Taught in :ref:`planar`.

    Examples
    --------
    >>> RadialFlow(2, layers=3).sample(4).shape
    torch.Size([4, 2])
    """

    def __init__(self, dim: int, *, layers: int = 8) -> None:
        super().__init__(dim, [RadialLayer(dim) for _ in _count(layers)])
