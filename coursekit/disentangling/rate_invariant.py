r"""Rate-invariant sequences: a code for what happens, a warp for when it happens.

.. math:: \hat x(t) = D(c(x))\bigl(\gamma_x(t)\bigr), \qquad
    \gamma(0) = 0, \quad \gamma(1) = 1, \quad \gamma' > 0

A warp is a row of its values at the times 0, 1 / (T - 1), ..., 1, and is straight between them; series are
rows of T values at the same times. :math:`D(c)` is the rate-invariant sequence: the decoder's output before
the warp.

Taught in :ref:`rate_invariant`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.nn import check_count, check_rows, mlp

__all__ = [
    "MonotoneWarp",
    "RateInvariantAutoencoder",
    "TCNAutoencoder",
    "TCNEncoder",
    "centring_warp",
    "compose",
    "identity_warp",
    "invert",
    "karcher_mean",
    "receptive_field",
    "resample",
    "warp_correlation",
    "warp_distance",
    "within_class_share",
]


# ----------------------------------------------------------------------------------------------
# Warps.


def identity_warp(length: int, *, like: Tensor | None = None) -> Tensor:
    """Give the times of a series: the warp that changes nothing.

    Parameters
    ----------
    length : int
        Values of a series, at least 2.
    like : Tensor, optional
        Gives the dtype and the device.

    Returns
    -------
    Tensor of shape (length,)
        0, 1 / (length - 1), ..., 1.

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """
    check_count("length", length, 2)
    options = {} if like is None else {"dtype": like.dtype, "device": like.device}
    return torch.linspace(0, 1, length, **options)


class MonotoneWarp(nn.Module):
    r"""Free numbers to warps: softmax, cumulative sum, straight lines. It has no weights of its own.

    With :math:`K` pieces and :math:`\delta = \ell + (1 - K\ell)\, \mathrm{softmax}(h)`,

    .. math:: \gamma(k / K) = \delta_1 + \dots + \delta_k ,

    so that :math:`\gamma(0) = 0`, :math:`\gamma(1) = 1` and every slope is at least :math:`K\ell > 0`, for
    every real :math:`h`. Equal numbers give the identity.

    Parameters
    ----------
    length : int
        Times at which to evaluate the warp, at least 2.
    pieces : int
        Straight pieces :math:`K`, and columns of :math:`h`.
    least : float
        Smallest increment :math:`\ell`, above 0 and below 1 / `pieces`: without it a softmax that underflows
        would give a flat piece, which has no inverse.

    Raises
    ------
    ValueError
        If a count is too small, or `least` is outside of its range.

    Notes
    -----
    Taught in :ref:`rate_invariant`.

    Examples
    --------
    >>> MonotoneWarp(5, pieces=2)(torch.tensor([[0.0, 0.0]])).tolist()
    [[0.0, 0.25, 0.5, 0.75, 1.0]]
    """

    def __init__(self, length: int, *, pieces: int = 10, least: float = 1e-3) -> None:
        super().__init__()
        self.length = check_count("length", length, 2)
        self.pieces = check_count("pieces", pieces, 1)
        if not 0 < least < 1 / pieces:
            raise ValueError(f"least: got {least!r}, expected a number above 0 and below 1 / {pieces}")
        self.least = least

    def knots(self, h: Tensor) -> Tensor:
        """Values at the ends of the pieces.

        Parameters
        ----------
        h : Tensor of shape (n, pieces)
            Any real numbers.

        Returns
        -------
        Tensor of shape (n, pieces + 1)
            From exactly 0 to exactly 1, strictly increasing.

        Raises
        ------
        TypeError, ValueError
            If `h` is no finite tensor of that shape.
        """
        check_rows(h, self.pieces, name="h")
        return self._knots(h)

    def _knots(self, h: Tensor) -> Tensor:
        rise = self.least + (1 - self.pieces * self.least) * h.softmax(dim=1)
        inner = rise.cumsum(dim=1)[:, :-1]
        return torch.cat([h.new_zeros(len(h), 1), inner, h.new_ones(len(h), 1)], dim=1)

    def forward(self, h: Tensor) -> Tensor:
        """Make a warp of each row.

        Parameters
        ----------
        h : Tensor of shape (n, pieces)
            Any real numbers.

        Returns
        -------
        Tensor of shape (n, length)
            Values of the warps.

        Raises
        ------
        TypeError, ValueError
            If `h` is no finite tensor of that shape.
        """
        return self._warp(check_rows(h, self.pieces, name="h"))

    def _warp(self, h: Tensor) -> Tensor:
        return _between(self._knots(h), identity_warp(self.length, like=h).expand(len(h), -1))


def _between(x: Tensor, at: Tensor) -> Tensor:
    """Straight lines between the values of each row at equally spaced times: (n, T) and (n, S) to (n, S)."""
    place = at * (x.shape[1] - 1)
    left = place.detach().floor().long().clamp(0, x.shape[1] - 2)  # the last time belongs to the last piece
    share = place - left
    return (1 - share) * x.gather(1, left) + share * x.gather(1, left + 1)


def resample(x: Tensor, gamma: Tensor) -> Tensor:
    r"""Read series at other times: the rows :math:`x_i(\gamma_i(t))`.

    Straight lines join the values of a series. The result can be differentiated by `x` and by `gamma`.

    Parameters
    ----------
    x : Tensor of shape (n, T)
        Series of at least two values.
    gamma : Tensor of shape (n, S)
        Times in [0, 1] at which to read them; for a warp S is T.

    Returns
    -------
    Tensor of shape (n, S)
        The values there.

    Raises
    ------
    TypeError, ValueError
        If a tensor is not finite, the shapes or dtypes differ, or a time lies outside of [0, 1].

    Notes
    -----
    Taught in :ref:`rate_invariant`.

    Examples
    --------
    >>> resample(torch.tensor([[0.0, 10.0, 20.0]]), torch.tensor([[0.0, 0.05, 1.0]])).tolist()
    [[0.0, 1.0, 20.0]]
    """
    x, gamma = _series("x", x), _series("gamma", gamma, least=1)
    if len(x) != len(gamma) or x.dtype != gamma.dtype:
        raise ValueError(
            f"gamma: got {len(gamma)} rows of {gamma.dtype}, expected as x: {len(x)} of {x.dtype}"
        )
    if len(gamma) and not (gamma.min() >= 0 and gamma.max() <= 1):
        raise ValueError(
            f"gamma: got times from {float(gamma.min()):g} to {float(gamma.max()):g}, expected times "
            "in [0, 1]"
        )
    return _between(x, gamma)


def _series(name: str, x: object, *, least: int = 2) -> Tensor:
    """Refuse what is not a finite matrix of at least `least` columns."""
    if isinstance(x, Tensor) and x.ndim == 2 and x.shape[1] < least:
        raise ValueError(f"{name}: got series of {x.shape[1]} values, expected at least {least}")
    columns = x.shape[1] if isinstance(x, Tensor) and x.ndim == 2 else -1
    if columns < 0 and isinstance(x, Tensor):
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected (n, T): one series per row")
    return check_rows(x, columns, name=name)


def _warps(name: str, gamma: object) -> Tensor:
    """Refuse what is no matrix of warps."""
    rows = _series(name, gamma)
    bad = (rows[:, 0] != 0) | (rows[:, -1] != 1) | (rows.diff(dim=1) <= 0).any(dim=1)
    if bool(bad.any()):
        i = int(bad.nonzero()[0])
        raise ValueError(
            f"{name}: row {i} goes from {float(rows[i, 0]):g} to {float(rows[i, -1]):g} with steps of at "
            f"least {float(rows[i].diff().min()):g}; expected a warp: from 0 to 1, strictly increasing"
        )
    return rows


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    r"""Values of :math:`\gamma_{\text{outer}}(\gamma_{\text{inner}}(t))` at the times of the inner warp.

    Exact at these times; between them the composition has more corners than the row can hold.

    Parameters
    ----------
    outer, inner : Tensor of shape (n, T)
        Warps.

    Returns
    -------
    Tensor of shape (n, T)
        The compositions, row by row.

    Raises
    ------
    TypeError, ValueError
        If one of them is no warp.

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """
    return resample(_warps("outer", outer), _warps("inner", inner))


def invert(gamma: Tensor) -> Tensor:
    r"""Values of :math:`\gamma^{-1}` at the times of a series.

    Exact at these times, since a warp is straight between its values: ``compose(gamma, invert(gamma))`` is
    the identity to rounding. In the other order the rows are only as good as straight lines.

    Parameters
    ----------
    gamma : Tensor of shape (n, T)
        Warps.

    Returns
    -------
    Tensor of shape (n, T)
        Their inverses.

    Raises
    ------
    TypeError, ValueError
        If it is no warp.

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """
    gamma = _warps("gamma", gamma)
    n, length = gamma.shape
    times = identity_warp(length, like=gamma).expand(n, -1).contiguous()
    left = (torch.searchsorted(gamma.detach().contiguous(), times, right=True) - 1).clamp(0, length - 2)
    low, high = gamma.gather(1, left), gamma.gather(1, left + 1)
    found = (left + (times - low) / (high - low)) / (length - 1)
    return torch.cat([torch.zeros_like(found[:, :1]), found[:, 1:-1], torch.ones_like(found[:, :1])], dim=1)


def _roots(gamma: Tensor) -> Tensor:
    """Square roots of the increments: points of a sphere, since increments add up to one."""
    return gamma.diff(dim=-1).clamp(min=0).sqrt()


def warp_distance(first: Tensor, second: Tensor) -> Tensor:
    r"""Angle between warps: the Fisher-Rao distance of their slopes.

    .. math:: d(\alpha, \gamma) = \arccos \int_0^1 \sqrt{\alpha'(t) \gamma'(t)} \, dt

    Reading both warps at other times changes nothing: :math:`d(\alpha \circ \phi, \gamma \circ \phi) =
    d(\alpha, \gamma)`.

    Parameters
    ----------
    first, second : Tensor of shape (n, T)
        Warps.

    Returns
    -------
    Tensor of shape (n,)
        Angles in radians, below pi / 2.

    Raises
    ------
    TypeError, ValueError
        If one of them is no warp, or the shapes differ.

    References
    ----------
    Srivastava, Wu, Kurtek, Klassen and Marron, 2011, arXiv:1103.3817, section 3.

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """
    a, b = _roots(_warps("first", first)), _roots(_warps("second", second))
    if a.shape != b.shape:
        raise ValueError(f"second: got shape {tuple(second.shape)}, expected {tuple(first.shape)} as first")
    # From the chord: the arccosine of a number near one loses half of the digits.
    return 2 * ((a - b).norm(dim=1) / 2).clamp(max=1).asin()


def karcher_mean(gamma: Tensor, *, steps: int = 50, tolerance: float = 1e-10) -> Tensor:
    """Mean of warps: the warp with the smallest sum of squared distances.

    Gradient descent on the sphere of the square roots: the mean of the directions to all warps, followed
    along a great circle. All warps lie within a quarter of a sphere, where the mean is unique.

    Parameters
    ----------
    gamma : Tensor of shape (n, T)
        Warps.
    steps : int
        Most steps.
    tolerance : float
        Length of a step, in radians, at which to stop.

    Returns
    -------
    Tensor of shape (T,)
        The mean.

    Raises
    ------
    TypeError, ValueError
        If it is no set of warps, or empty.

    References
    ----------
    Srivastava, Wu, Kurtek, Klassen and Marron, 2011, arXiv:1103.3817, section 3.

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """
    roots = _roots(_warps("gamma", gamma))
    if not len(roots):
        raise ValueError("gamma: got no warps, expected at least one")
    centre = roots.mean(dim=0) / roots.mean(dim=0).norm()
    for _ in range(check_count("steps", steps, 0)):
        chord = (roots - centre).norm(dim=1)
        angle = 2 * (chord / 2).clamp(max=1).asin()
        flat = roots - (roots @ centre)[:, None] * centre  # perpendicular to the centre, of length sin(angle)
        scale = torch.where(angle > 1e-9, angle / angle.sin().clamp(min=1e-30), 1.0)
        step = (scale[:, None] * flat).mean(dim=0)
        size = step.norm()
        if float(size) < tolerance:
            break
        centre = size.cos() * centre + size.sin() * step / size
        centre = centre / centre.norm()
    inner = centre.square().cumsum(dim=0)[:-1]
    return torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])


def centring_warp(gamma: Tensor) -> Tensor:
    r"""Find the warp :math:`\mu` for which the inverses of :math:`\mu \circ \gamma_i` have the mean identity.

    The inverses :math:`\gamma_i^{-1}` align the series. Their mean is :math:`\mu`; since distances do not
    change when both warps are read at other times, the mean of :math:`\gamma_i^{-1} \circ \mu^{-1}` is the
    identity, and :math:`\gamma_i^{-1} \circ \mu^{-1} = (\mu \circ \gamma_i)^{-1}`.

    Parameters
    ----------
    gamma : Tensor of shape (n, T)
        Warps of *training* series.

    Returns
    -------
    Tensor of shape (T,)
        The mean of the inverses. Replace each warp by ``compose(mu, gamma)`` and each rate-invariant sequence
        by itself read at the inverse of mu: the series do not change.

    Raises
    ------
    TypeError, ValueError
        As in `karcher_mean`.

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """
    return karcher_mean(invert(gamma))


# ----------------------------------------------------------------------------------------------
# Networks.


def receptive_field(kernel: int, dilations: Sequence[int]) -> int:
    r"""Count the inputs that one output of dilated convolutions sees: :math:`1 + (k - 1) \sum_l d_l`.

    Parameters
    ----------
    kernel : int
        Values that one convolution reads.
    dilations : sequence of int
        Steps between them, for each layer.

    Returns
    -------
    int
        Inputs.

    Raises
    ------
    ValueError
        If something is less than one.

    Notes
    -----
    Taught in :ref:`rate_invariant`.

    Examples
    --------
    >>> receptive_field(5, (1, 2, 4, 8))
    61
    """
    check_count("kernel", kernel, 1)
    return 1 + (kernel - 1) * sum(check_count("dilations", d, 1) for d in dilations)


class TCNEncoder(nn.Module):
    """Temporal convolutional network: dilated convolutions with shortcuts, then one row of features.

    Each layer adds to its input a convolution of it, padded by zeros on both sides, so that all layers have
    the same length. At the end `pool` neighbouring times are averaged and an affine map makes the features.

    Parameters
    ----------
    length : int
        Values of a series; at least the receptive field, so that padding never outweighs the data.
    features : int
        Columns that come out.
    channels : int
        Channels of each layer.
    kernel : int
        Values that a convolution reads, an odd number.
    dilations : sequence of int
        Steps between them, for each layer.
    pool : int
        Neighbouring times that are averaged at the end; a rest shorter than this is cut off.

    Raises
    ------
    ValueError
        If a count is wrong, or the series are shorter than the receptive field.

    References
    ----------
    Bai, Kolter and Koltun, 2018, arXiv:1803.01271 (there causal, padded on one side).

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """

    def __init__(
        self,
        length: int,
        features: int,
        *,
        channels: int = 16,
        kernel: int = 5,
        dilations: Sequence[int] = (1, 2, 4, 8),
        pool: int = 8,
    ) -> None:
        super().__init__()
        self.length = check_count("length", length, 2)
        check_count("features", features, 1)
        check_count("channels", channels, 1)
        if check_count("kernel", kernel, 1) % 2 == 0:
            raise ValueError(f"kernel: got {kernel}, expected an odd number: as much on either side")
        self.receptive_field = receptive_field(kernel, dilations)
        if length < self.receptive_field:
            raise ValueError(
                f"length: got series of {length} values, shorter than the receptive field of "
                f"{self.receptive_field} (kernel {kernel}, dilations {tuple(dilations)}); expected longer "
                "series, fewer dilations, or series brought to more values"
            )
        if check_count("pool", pool, 1) > length:
            raise ValueError(f"pool: got {pool}, expected at most the length, {length}")
        widths = [1] + [channels] * len(dilations)
        self.layers = nn.ModuleList(
            nn.Conv1d(a, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2)
            for a, d in zip(widths, dilations, strict=False)
        )
        self.pool = nn.AvgPool1d(pool)
        self.head = mlp(widths[-1] * (length // pool), features, hidden=(64,))

    def forward(self, x: Tensor) -> Tensor:
        """Series to features.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            Series.

        Returns
        -------
        Tensor of shape (n, features)
            Features.
        """
        y = x[:, None, :]  # (n, 1, T)
        for layer in self.layers:
            y = y + nn.functional.silu(layer(y))  # (n, channels, T)
        return self.head(self.pool(y).flatten(1))


_COST = {"fit": "O(steps * batch * weights * T)", "log_prob": "none", "sample": "none"}
_SMALL: dict[str, Any] = {
    "channels": 4, "kernel": 3, "dilations": (1, 2), "hidden": (8,),
    "steps": 20, "device": "cpu", "random_state": 0,
}  # fmt: skip


@catalogued(
    examples=lambda d: [Fitted(TCNAutoencoder, latent_dim=3, **_SMALL)],
    dims=(12, 16),
    cost=_COST,
)
class TCNAutoencoder(nn.Module):
    r"""Autoencoder of series: temporal convolutions make the code, a small network the series. The baseline.

    Parameters
    ----------
    length : int
        Values of a series.
    latent_dim : int
        Columns of the code.
    hidden : sequence of int
        Widths of the decoder's hidden layers.
    **options
        Of `TCNEncoder`: `channels`, `kernel`, `dilations`, `pool`.

    Raises
    ------
    ValueError
        If a count is wrong, or the series are shorter than the receptive field.

    Notes
    -----
    Taught in :ref:`rate_invariant`.

    Examples
    --------
    >>> model = TCNAutoencoder(64, latent_dim=3)
    >>> model.encode(torch.zeros(5, 64)).shape
    torch.Size([5, 3])
    """

    likelihood = Likelihood.NONE

    def __init__(
        self, length: int, *, latent_dim: int = 13, hidden: Sequence[int] = (64,), **options: Any
    ) -> None:
        super().__init__()
        self.length, self.latent_dim = length, check_count("latent_dim", latent_dim, 1)
        self.encoder = TCNEncoder(length, latent_dim, **options)
        self.decoder = mlp(self._code_columns(), length, hidden=tuple(hidden))

    def _code_columns(self) -> int:
        return self.latent_dim

    def encode(self, x: Tensor) -> Tensor:
        """Find the code of each series.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            Series.

        Returns
        -------
        Tensor of shape (n, latent_dim)
            Codes.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of this shape and the module's dtype.
        """
        return self.encoder(self._checked(x))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Pass series through the bottleneck and back.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            Series.

        Returns
        -------
        Tensor of shape (n, length)
            Reconstructions.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``.
        """
        return self._reconstruct(self._checked(x))

    def _reconstruct(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))

    def loss(self, batch: Tensor) -> Tensor:
        """Squared distance of each series from its reconstruction, summed over time.

        Parameters
        ----------
        batch : Tensor of shape (n, length)
            Series.

        Returns
        -------
        Tensor of shape (n,)
            In squared units of the data.
        """
        return (batch - self._reconstruct(batch)).square().sum(dim=1)

    def check_data(self, x: Tensor) -> None:
        """Refuse training data of another length; ``train`` asks before its first step.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            Series.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``.
        """
        self._checked(x, name="data")

    def log_prob(self, x: Tensor) -> NoReturn:
        """Refuse: an autoencoder has no density.

        Raises
        ------
        NotImplementedError
            Always; it says what to use instead.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has no density: compare reconstructions by loss(x), or use a model that "
            "has a density instead, such as a variational autoencoder (a bound)"
        )

    def _checked(self, x: Tensor, name: str = "x") -> Tensor:
        if isinstance(x, Tensor) and x.ndim == 2 and x.shape[1] != self.length:
            raise ValueError(
                f"{name}: got series of {x.shape[1]} values, expected {self.length}; bring them to one "
                "length by coursekit.data.to_length"
            )
        return check_rows(x, self.length, like=next(self.parameters()), name=name)


@catalogued(
    examples=lambda d: [Fitted(RateInvariantAutoencoder, code_dim=2, pieces=4, **_SMALL)],
    dims=(12, 16),
    cost=_COST,
)
class RateInvariantAutoencoder(TCNAutoencoder):
    r"""Autoencoder whose bottleneck is a code and a warp: what happens, and when.

    .. math:: \hat x(t) = D(c(x))\bigl(\gamma_x(t)\bigr)

    :math:`D(c)` is the rate-invariant sequence. The pair is unique only up to a warp: for any :math:`\mu`,
    which may depend on the code, :math:`D(c) \circ \mu^{-1}` with :math:`\mu \circ \gamma` gives the same
    series. ``fix_gauge`` chooses one :math:`\mu` for all, on training data.

    Parameters
    ----------
    length : int
        Values of a series.
    code_dim : int
        Columns of the code.
    pieces : int
        Straight pieces of a warp: the bottleneck has `code_dim` + `pieces` columns.
    hidden : sequence of int
        Widths of the decoder's hidden layers.
    **options
        Of `TCNEncoder`: `channels`, `kernel`, `dilations`, `pool`.

    Attributes
    ----------
    gauge : Tensor of shape (length,)
        The warp :math:`\mu`; the identity until ``fix_gauge``. It is saved with the weights.

    Raises
    ------
    ValueError
        If a count is wrong, or the series are shorter than the receptive field.

    References
    ----------
    Lohit, Wang and Turaga, 2019, arXiv:1906.05947 (a network that warps before it classifies). Shapira
    Weber et al., 2019, "Diffeomorphic temporal alignment nets", NeurIPS.

    Notes
    -----
    Taught in :ref:`rate_invariant`.

    Examples
    --------
    >>> model = RateInvariantAutoencoder(64)
    >>> x = torch.zeros(5, 64)
    >>> model.code(x).shape, model.warp(x).shape, model.rate_invariant(x).shape
    (torch.Size([5, 3]), torch.Size([5, 64]), torch.Size([5, 64]))
    """

    gauge: Tensor

    def __init__(
        self,
        length: int,
        *,
        code_dim: int = 3,
        pieces: int = 10,
        hidden: Sequence[int] = (64,),
        **options: Any,
    ) -> None:
        self.code_dim = check_count("code_dim", code_dim, 1)
        check_count("pieces", pieces, 1)
        super().__init__(length, latent_dim=code_dim + pieces, hidden=hidden, **options)
        self.monotone = MonotoneWarp(length, pieces=pieces)
        self.register_buffer("gauge", identity_warp(length))
        last = [layer for layer in self.encoder.head if isinstance(layer, nn.Linear)][-1]
        nn.init.zeros_(last.weight[code_dim:])  # training starts without a warp
        nn.init.zeros_(last.bias[code_dim:])

    def _code_columns(self) -> int:
        return self.code_dim

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Code (n, code_dim) and warp (n, length), before the gauge is fixed."""
        both = self.encoder(x)
        return both[:, : self.code_dim], self.monotone._warp(both[:, self.code_dim :])

    def _reconstruct(self, x: Tensor) -> Tensor:
        code, gamma = self._parts(x)
        return _between(self.decoder(code), gamma)

    def code(self, x: Tensor) -> Tensor:
        """Say what happens: the code of each series, without its warp.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            Series.

        Returns
        -------
        Tensor of shape (n, code_dim)
            Codes.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``.
        """
        return self._parts(self._checked(x))[0]

    def warp(self, x: Tensor) -> Tensor:
        """Say when it happens: the warp of each series, in the gauge that was fixed.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            Series.

        Returns
        -------
        Tensor of shape (n, length)
            Warps, from 0 to 1, strictly increasing.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``.
        """
        gamma = self._parts(self._checked(x))[1]
        return _between(self.gauge.to(gamma).expand(len(gamma), -1), gamma)

    def rate_invariant(self, x: Tensor) -> Tensor:
        """Rate-invariant sequence of each series: the decoder's output before the warp, in the fixed gauge.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            Series.

        Returns
        -------
        Tensor of shape (n, length)
            Sequences. ``resample(rate_invariant(x), warp(x))`` is ``reconstruct(x)``, up to straight lines.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``.
        """
        sequence = self.decoder(self.code(x))
        back = invert(self.gauge[None].to(sequence)).expand(len(sequence), -1)
        return _between(sequence, back)

    def align(self, x: Tensor) -> Tensor:
        """Read the series themselves at the inverse of their warps: noise and all, on common time.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            Series.

        Returns
        -------
        Tensor of shape (n, length)
            Aligned series.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``.
        """
        return resample(self._checked(x), invert(self.warp(x)))

    @torch.no_grad()
    def fix_gauge(self, x: Tensor) -> RateInvariantAutoencoder:
        """Choose the common time: inverse warps of these series get the identity as their mean.

        Parameters
        ----------
        x : Tensor of shape (n, length)
            *Training* series: the gauge is a part of the model, so test series must not move it.

        Returns
        -------
        RateInvariantAutoencoder
            Itself.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``, or if there is no series.
        """
        gamma = self._parts(self._checked(x))[1].double()
        self.gauge.copy_(centring_warp(gamma).to(self.gauge))
        return self


# ----------------------------------------------------------------------------------------------
# Scores.


def _labelled(name: str, values: ArrayLike, classes: ArrayLike) -> tuple[NDArray[np.float64], list[Any]]:
    """Rows as an array, and the indices of each class."""
    rows, labels = np.asarray(values, dtype=np.float64), np.asarray(classes)
    if rows.ndim != 2 or labels.shape != (len(rows),) or not len(rows):
        raise ValueError(
            f"{name}: got shape {rows.shape} with classes of shape {labels.shape}, expected (n, T) and (n,)"
        )
    if not np.isfinite(rows).all():
        raise ValueError(f"{name}: hold NaN or infinity")
    return rows, [np.flatnonzero(labels == value) for value in np.unique(labels)]


def within_class_share(x: ArrayLike, classes: ArrayLike) -> float:
    """Share of the variance that lies within the classes, over all times.

    Parameters
    ----------
    x : array_like of shape (n, T)
        Series.
    classes : array_like of shape (n,)
        Their classes.

    Returns
    -------
    float
        Between 0, where all series of a class are alike, and 1.

    Raises
    ------
    ValueError
        If shapes are wrong, a value is not finite, or all series are alike.

    Notes
    -----
    Taught in :ref:`rate_invariant`.

    Examples
    --------
    >>> within_class_share([[0.0, 1.0], [0.0, 1.0], [2.0, 0.0]], [0, 0, 1])
    0.0
    """
    rows, members = _labelled("x", x, classes)
    total = np.square(rows - rows.mean(axis=0)).sum()
    if not total > 0:
        raise ValueError("x: all series are alike, so that no variance can be split")
    within = sum(np.square(rows[own] - rows[own].mean(axis=0)).sum() for own in members)
    return float(within / total)


def warp_correlation(found: ArrayLike, true: ArrayLike, classes: ArrayLike) -> float:
    """Correlation of found and true warps, after the mean of each class has been taken off at each time.

    A warp is known only up to a common reparametrization that may differ between codes, so the means of the
    classes say nothing. The ends, which all warps share, are left out.

    Parameters
    ----------
    found, true : array_like of shape (n, T)
        Warps.
    classes : array_like of shape (n,)
        Classes.

    Returns
    -------
    float
        Pearson's correlation over all series and inner times.

    Raises
    ------
    ValueError
        If shapes are wrong or differ, a value is not finite, or the warps of a class are all alike.

    Notes
    -----
    Taught in :ref:`rate_invariant`.
    """
    centred = []
    for name, values in {"found": found, "true": true}.items():
        rows, members = _labelled(name, values, classes)
        rows = rows[:, 1:-1].copy()
        for own in members:
            rows[own] -= rows[own].mean(axis=0)
        if not math.sqrt(float(np.square(rows).sum())) > 1e-12:
            raise ValueError(f"{name}: the warps of each class are all alike, so that nothing can correlate")
        centred.append(rows)
    a, b = centred
    if a.shape != b.shape:
        raise ValueError(f"true: got shape {np.shape(true)}, expected {np.shape(found)} as found")
    return float((a * b).sum() / math.sqrt(float(np.square(a).sum() * np.square(b).sum())))
