r"""One-dimensional increasing maps, fitted column by column: the half of a layer that bends.

If :math:`F` is the distribution function of a column, :math:`z = \Phi^{-1}(F(x))` is standard normal. The
maps here differ in how they estimate :math:`F`. All but the polynomial are then stored in one form, a table
of knots :math:`(x_k, z_k)` with slopes, evaluated by one rational-quadratic formula that is increasing for
*any* increasing knots and positive slopes, with linear tails beyond the last knots. So the map that is used
is a bijection of the line with an exact derivative, whatever was estimated, and the density of a model made
of such maps integrates to one.

Taught in :ref:`iterative`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.nn import check_count

__all__ = [
    "ECDFMap",
    "KDEMap",
    "KnotMap",
    "MarginalMap",
    "MixtureMap",
    "PolynomialMap",
    "QuantileMap",
    "SplineMap",
    "all_sum",
]

_LEAST, _MOST = 1e-3, 1e3  # slopes stay between these, in units of the column's mean slope


def _phi(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _normal_cdf(x: Tensor) -> Tensor:
    """Evaluate the normal distribution function; ``torch.special.ndtr`` loses its lower tail below -8."""
    return 0.5 * torch.special.erfc(-x / math.sqrt(2))


def _team() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def all_sum(value: Tensor, op: str = "SUM") -> Tensor:
    """Sum (or "MIN", "MAX") of `value` over the processes of ``torch.distributed``; of one, `value` itself.

    Parameters
    ----------
    value : Tensor
        This process's part.
    op : {"SUM", "MIN", "MAX"}
        How to join the parts.

    Returns
    -------
    Tensor
        The whole, the same on every process.
    """
    if _team():
        value = value.clone()
        torch.distributed.all_reduce(value, op=getattr(torch.distributed.ReduceOp, op))
    return value


def _alone(name: str) -> None:
    if _team():
        raise RuntimeError(
            f"{name} sorts its column, which several processes cannot do apart: use KDEMap, QuantileMap or "
            "SplineMap with cells=, whose histograms merge exactly"
        )


def _check_columns(x: Tensor) -> None:
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"x: got shape {tuple(x.shape)}, expected (n, d) with at least 2 rows")
    _check_range(x.amin(dim=0), x.amax(dim=0))


def _check_range(low: Tensor, high: Tensor) -> None:
    if not bool(torch.isfinite(low).all() and torch.isfinite(high).all()):
        raise ValueError("x: holds NaN or infinity; remove or repair such rows")
    if bool((low == high).any()):
        j = int((low == high).nonzero()[0])
        raise ValueError(f"x: column {j} is constant, so that it has no density; drop it or add noise")


class MarginalMap(nn.Module):
    """An increasing map of each column, fitted so that the column becomes standard normal.

    Subclasses write ``fit``, ``forward_and_log_det`` and ``inverse``. ``shrink`` pulls the fitted map towards
    the straight line.
    """

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> MarginalMap:
        """Estimate the map of each column of `x` (n, d), and return itself."""
        raise NotImplementedError

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, d) column by column; the log-determinant (n,) is the sum of the columns' log-slopes."""
        raise NotImplementedError

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map."""
        raise NotImplementedError


class KnotMap(MarginalMap):
    r"""A table of knots with slopes: rational-quadratic between them, linear beyond the last ones.

    In a bin of width :math:`w`, height :math:`h` and chord :math:`s = h/w`, with slopes :math:`\delta_0,
    \delta_1` at its ends and :math:`\xi = (x - x_k)/w`,

    .. math:: z = z_k + h\,\frac{s\xi^2 + \delta_0\,\xi(1-\xi)}{s + (\delta_0 + \delta_1 - 2s)\,\xi(1-\xi)} .

    With both slopes equal to the chord it is the straight line: a piecewise linear map is a table too.

    Parameters
    ----------
    shrink : float
        Weight of the identity in :math:`(1 - a) z(x) + a x`: 0 is the plain estimate, near 1 hardly moves.

    Raises
    ------
    ValueError
        If `shrink` is outside [0, 1).

    References
    ----------
    Gregory and Delbourgo, 1982 (the formula); Dai and Seljak, 2021, arXiv:2007.00674 (shrinking).

    Taught in :ref:`iterative`.
    """

    x: Tensor
    z: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, *, shrink: float = 0.0) -> None:
        super().__init__()
        if not 0 <= shrink < 1:
            raise ValueError(f"shrink: got {shrink!r}, expected a number in [0, 1)")
        self.shrink = shrink
        self._table: Tensor | None = None
        for name in ("x", "z", "left", "right"):
            self.register_buffer(name, torch.empty(0))

    # -------------------------------------------------------------------- storing

    def set_knots(
        self, x: Tensor, z: Tensor, slopes: Tensor | None = None, *, like: Tensor | None = None
    ) -> KnotMap:
        """Store knots `x`, `z` (d, K) and slopes at them (d, K); without slopes the map is piecewise linear.

        They are kept in the dtype of `like`. Where `z` rises at less than a thousandth of the column's mean
        slope it is made to rise so much, and slopes above a thousand times it are cut: in units of the
        column, so that the map of grams is the map of tons.

        Raises
        ------
        ValueError
            If the knots do not increase: such a map is no bijection.
        """
        width, height = x.diff(dim=1), z.diff(dim=1)
        if not bool((width > 0).all() and (height >= 0).all()):
            raise ValueError("knots: expected increasing x and increasing z in every column")
        unit = (z[:, -1:] - z[:, :1]) / (x[:, -1:] - x[:, :1])
        unit = torch.where(unit > 0, unit, 1.0)
        height = torch.maximum(height, _LEAST * unit * width)
        z = z[:, :1] + nn.functional.pad(height.cumsum(dim=1), (1, 0))
        if slopes is None:
            left, right = height / width, height / width
        else:
            slopes = torch.minimum(torch.maximum(slopes, _LEAST * unit), _MOST * unit)
            left, right = slopes[:, :-1], slopes[:, 1:]
        a, dtype = self.shrink, (x if like is None else like).dtype
        self.x, self.z = x.to(dtype).contiguous(), ((1 - a) * z + a * x).to(dtype).contiguous()
        self.left, self.right = ((1 - a) * d.to(dtype) + a for d in (left, right))  # (d, K - 1)
        self._table = None
        return self

    def _rows(self) -> Tensor:
        """Per bin: where it starts, 1/width, z at the start, height, two slopes; (d * (K - 1), 6)."""
        if self._table is None or self._table.dtype != self.x.dtype or self._table.device != self.x.device:
            if self.x.numel() == 0:
                raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(x) first")
            parts = [self.x[:, :-1], 1 / self.x.diff(dim=1), self.z[:, :-1], self.z.diff(dim=1)]
            self._table = torch.stack([*parts, self.left, self.right], dim=-1).flatten(0, 1)
        return self._table

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("x", "z", "left", "right"):  # the number of knots is that of the file
            if prefix + name in state and getattr(self, name).shape != state[prefix + name].shape:
                setattr(self, name, torch.empty_like(state[prefix + name]))
        self._table = None
        super()._load_from_state_dict(state, prefix, *args)

    # -------------------------------------------------------------------- evaluating

    def _bin(self, value: Tensor, knots: Tensor) -> Tensor:
        """Row of the table for each number of `value` (n, d)."""
        if knots is self.x and self._uniform:
            low, step = knots[:, 0], (knots[:, -1] - knots[:, 0]) / (knots.shape[1] - 1)
            k = ((value - low) / step).clamp(0, knots.shape[1] - 2).long()
        else:
            k = torch.searchsorted(knots[:, 1:-1].contiguous(), value.T.contiguous(), right=True).T
        return k + (knots.shape[1] - 1) * torch.arange(len(knots), device=value.device)

    _uniform = False

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, d) column by column, with the log-determinant (n,) in nats."""
        table = self._rows()
        x0, over_w, z0, h, d0, d1 = table.index_select(0, self._bin(x, self.x).flatten()).unbind(-1)
        t = (x.flatten() - x0) * over_w
        xi = t.clamp(0, 1)
        s, rest = h * over_w, xi * (1 - xi)
        below = s + (d0 + d1 - 2 * s) * rest
        beyond = t - xi  # zero inside, in units of the bin outside
        slope = torch.where(beyond < 0, d0, d1)
        z = z0 + h * (s * xi * xi + d0 * rest) / below + slope * beyond / over_w
        up = (s / below).square() * (d1 * xi * xi + 2 * s * rest + d0 * (1 - xi).square())
        return z.view_as(x), up.log().view_as(x).sum(dim=1)

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map, in closed form: the root of a quadratic in the form without cancellation."""
        table = self._rows()
        x0, over_w, z0, h, d0, d1 = table.index_select(0, self._bin(z, self.z).flatten()).unbind(-1)
        above = z.flatten() - z0
        up = torch.minimum(above.clamp(min=0), h)
        beyond = above - up
        s = h * over_w
        bend = d0 + d1 - 2 * s
        a = h * (s - d0) + up * bend
        b = h * d0 - up * bend
        c = -s * up
        xi = 2 * c / (-b - (b * b - 4 * a * c).clamp(min=0).sqrt())
        x = x0 + (xi.clamp(0, 1)) / over_w + beyond / torch.where(beyond < 0, d0, d1)
        return x.view_as(z)

    @property
    def support(self) -> tuple[Tensor, Tensor]:
        """First and last knot of each column: between them the map was fitted."""
        return self.x[:, 0], self.x[:, -1]


# ------------------------------------------------------------------------------------ histograms


def histogram(x: Tensor, low: Tensor, high: Tensor, cells: int) -> Tensor:
    """Count the columns of `x` (n, d) on equal cells from `low` to `high` (d,): (d, cells).

    Values beyond the ends count in the last cells. The counts of two parts of the data add up to those of
    the whole, exactly: this is what streaming and several processes rely on.
    """
    k = ((x - low) * (cells / (high - low))).clamp(0, cells - 1).long()
    k = k + cells * torch.arange(x.shape[1], device=x.device)
    return torch.bincount(k.flatten(), minlength=cells * x.shape[1]).view(x.shape[1], cells).to(x.dtype)


def smooth(mass: Tensor, bandwidth: Tensor) -> Tensor:
    """Convolve each row of `mass` (d, K) with a Gaussian of `bandwidth` (d,) in cells, by FFT."""
    size = 2 * mass.shape[1]
    frequency = torch.arange(size // 2 + 1, device=mass.device, dtype=mass.dtype) * (2 * math.pi / size)
    transfer = torch.exp(-0.5 * (bandwidth[:, None] * frequency).square())
    wide = torch.fft.irfft(torch.fft.rfft(mass, n=size) * transfer, n=size)
    return wide[:, : mass.shape[1]].clamp(min=0)


def spread_cells(mass: Tensor, bandwidth: Tensor) -> tuple[Tensor, Tensor]:
    """Spread each cell's mass (d, K) by a Gaussian of `bandwidth` (d,) in cells.

    Unlike ``smooth`` it never rings. That multiplies by a Gaussian in the frequencies which the grid has; for
    a bandwidth below two cells this is the transform of a kernel with lobes that fall like 1/k^2 only.

    Returns
    -------
    Tensor of shape (d, K)
        What falls into each cell.
    Tensor of shape (d, K - 1)
        The density, per cell's width, at the inner edges.
    """
    cells = mass.shape[1]
    steps = torch.arange(cells + 1, device=mass.device, dtype=mass.dtype)
    t = (steps - 0.5) / bandwidth[:, None]  # from a cell's middle to edges on its right
    kernel = _normal_cdf(t[:, 1:]) - _normal_cdf(t[:, :-1])  # (d, K), by distance in cells
    kernel = torch.cat([kernel, kernel[:, -1:], kernel[:, 1:].flip(1)], dim=1)  # (d, 2K), both sides
    edge = _phi(t[:, 1:]) / bandwidth[:, None]
    edge = torch.cat([edge, edge.flip(1)], dim=1)
    waves = torch.fft.rfft(mass, n=2 * cells)
    inside, at = (torch.fft.irfft(waves * torch.fft.rfft(k), n=2 * cells) for k in (kernel, edge))
    # below is the rounding of the FFT
    return tuple(torch.where(part > 1e-12, part, 0.0) for part in (inside[:, :cells], at[:, : cells - 1]))


def probit_of_cells(mass: Tensor) -> Tensor:
    """Give the normal quantiles (d, K - 1) at the inner edges of cells with `mass` (d, K), summing to one."""
    below = mass.cumsum(dim=1)[:, :-1]
    above = mass.flip(1).cumsum(dim=1).flip(1)[:, 1:]
    least = torch.finfo(mass.dtype).tiny
    lower, upper = (torch.special.ndtri(part.clamp(min=least)) for part in (below, above))
    return torch.where(below < 0.5, lower, -upper)


def log_normal_cells(edges: Tensor) -> Tensor:
    """Log-mass (d, K) of the standard normal law between edges (d, K + 1), the outermost taken as infinite.

    By logarithms, because the mass itself underflows beyond 38 deviations.
    """
    edges = nn.functional.pad(edges[:, 1:-1], (1, 0), value=-math.inf)
    edges = nn.functional.pad(edges, (0, 1), value=math.inf)
    left, right = edges[:, :-1], edges[:, 1:]
    upper = left + right > 0  # look at the half where nothing cancels
    near = torch.special.log_ndtr(torch.where(upper, -left, right))
    far = torch.special.log_ndtr(torch.where(upper, -right, left))
    return near + torch.log1p(-torch.exp(far - near))


def log_ndtri(log_p: Tensor) -> Tensor:
    """Find the normal quantile of a probability given by its logarithm: the inverse of ``log_ndtr``."""
    z = torch.special.ndtri(log_p.clamp(min=-600).exp())
    small = -torch.sqrt(-2 * log_p.clamp(max=-600))
    for _ in range(5):  # Newton; far out the derivative of log_ndtr is -z, up to 1/z
        small = small + (torch.special.log_ndtr(small) - log_p.clamp(max=-600)) / small
    return torch.where(log_p < -600, small, z)


def probit_of_log_cells(log_mass: Tensor) -> Tensor:
    """Do what ``probit_of_cells`` does, from logarithms, so that quantiles beyond 37 are right too."""
    below = log_mass.logcumsumexp(dim=1)[:, :-1]
    above = log_mass.flip(1).logcumsumexp(dim=1).flip(1)[:, 1:]
    return torch.where(below < -math.log(2), log_ndtri(below), -log_ndtri(above))


class _FromHistogram(KnotMap):
    """A map that needs of a column its range and a histogram on equal cells, no more."""

    def __init__(self, *, cells: int, shrink: float) -> None:
        super().__init__(shrink=shrink)
        self.cells = check_count("cells", cells, 8)

    def grid(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Give the ends of the grid, from the range of the data: a fifth wider on either side."""
        _check_range(low, high)
        margin = 0.2 * (high - low)
        return low - margin, high + margin

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> MarginalMap:
        """Fit to the columns of `x` (n, d); under ``torch.distributed``, to all processes' rows together."""
        if not _team():
            _check_columns(x)
        low, high = self.grid(all_sum(x.amin(dim=0), "MIN"), all_sum(x.amax(dim=0), "MAX"))
        return self.fit_counts(all_sum(histogram(x, low, high, self.cells)), low, high)

    def fit_counts(self, counts: Tensor, low: Tensor, high: Tensor) -> MarginalMap:
        """Fit to counts (d, cells) on the grid from `low` to `high` (d,)."""
        raise NotImplementedError


class KDEMap(_FromHistogram):
    r"""Distribution function of a Gaussian kernel density, computed on a grid by FFT.

    .. math:: F(x) = (1 - \epsilon)\,\frac1n \sum_i \Phi\Bigl(\frac{x - x_i}{h}\Bigr) + \epsilon\,
        \Phi\Bigl(\frac{x - m}{s}\Bigr), \qquad h = c \cdot 0.9\,\min(s, \mathrm{IQR}/1.34)\,n^{-1/5}

    with the estimate then narrowed about its mean, so that the kernel adds no variance. The Gaussian part,
    with the column's own mean and deviation, does two things. It gives the tails: without it the map beyond
    the data is as steep as the kernel. And it damps noise: a column that looks no less Gaussian than `n`
    Gaussian numbers would should be left alone. With :math:`\hat J` the estimate's divergence from that
    Gaussian in nats,

    .. math:: \epsilon = \max\Bigl(\text{tail},\; \frac{\text{noise} \cdot s}{n h \hat J}\Bigr),

    because the divergence that chance alone gives a kernel estimate is of the order :math:`s/(nh)`.

    Parameters
    ----------
    cells : int
        Cells of the grid.
    bandwidth : float
        Factor :math:`c` on Silverman's rule.
    tail : float
        Least weight of the Gaussian.
    noise : float
        How much of the gain counts as chance, in units of :math:`s/(nh)`; 0 leaves the weight at `tail`.
        Where directions were searched for, chance gives more than in a fixed one.
    shrink : float
        Weight of the identity, see ``KnotMap``.

    References
    ----------
    Silverman, 1982 (FFT); Laparra, Camps-Valls and Malo, 2011, arXiv:1602.00229.

    Taught in :ref:`iterative`.
    """

    _uniform = True

    def __init__(
        self,
        *,
        cells: int = 256,
        bandwidth: float = 1.0,
        tail: float = 0.1,
        noise: float = 2.0,
        shrink: float = 0.0,
    ) -> None:
        super().__init__(cells=cells, shrink=shrink)
        if not (bandwidth > 0 and 0 < tail < 1 and noise >= 0):
            raise ValueError(
                f"bandwidth={bandwidth!r}, tail={tail!r}, noise={noise!r}: expected above 0, in (0, 1), "
                "at least 0"
            )
        self.bandwidth, self.tail, self.noise = bandwidth, tail, noise

    def _weight(self, soft: Tensor, tail: Tensor, effective: Tensor) -> Tensor:
        """Weight (d, 1) of the Gaussian, from its cells, the estimate's, and n h / s."""
        ratio = torch.where(soft > 0, soft / tail.clamp(min=1e-12), 1.0)
        gain = (soft * ratio.log()).sum(dim=1).clamp(min=1e-12)  # nats
        return (self.noise / effective / gain).clamp(self.tail, 0.999)[:, None]

    def fit_counts(self, counts: Tensor, low: Tensor, high: Tensor) -> MarginalMap:
        """Fit to counts (d, cells) on the grid from `low` to `high` (d,)."""
        given, (counts, low, high) = counts, (part.double() for part in (counts, low, high))
        n, width = counts[0].sum(), (high - low) / self.cells
        share = torch.arange(self.cells + 1, device=counts.device, dtype=counts.dtype) / self.cells
        edges = low[:, None] + (high - low)[:, None] * share  # (d, cells + 1)
        middle, mass = 0.5 * (edges[:, 1:] + edges[:, :-1]), counts / n
        mean = (mass * middle).sum(dim=1)
        deviation = (mass * (middle - mean[:, None]).square()).sum(dim=1).sqrt()
        below = mass.cumsum(dim=1)
        spread = ((below < 0.75).sum(dim=1) - (below < 0.25).sum(dim=1)).clamp(min=1) * width / 1.34
        h = self.bandwidth * 0.9 * torch.minimum(deviation, spread) * n**-0.2
        h = torch.maximum(h, 0.5 * width)
        soft, rise = spread_cells(mass, h / width)
        narrow = (1 + (h / deviation).square()).rsqrt()  # undoes the variance that the kernel adds
        t = (edges - mean[:, None]) / deviation[:, None]
        tail, whole = log_normal_cells(t), soft.sum(dim=1, keepdim=True)
        soft, rise = soft / whole, rise / whole / width[:, None]
        weight = self._weight(soft, tail.exp(), n * h / deviation)
        mixed = torch.logaddexp((1 - weight).log() + soft.log(), weight.log() + tail)
        z = probit_of_log_cells(mixed)  # at the inner edges, as what follows
        normal = -0.5 * t[:, 1:-1].square() - (deviation[:, None] * math.sqrt(2 * math.pi)).log()
        density = torch.logaddexp((1 - weight).log() + rise.log(), weight.log() + normal)
        slopes = torch.exp(density + 0.5 * (z * z + math.log(2 * math.pi))) / narrow[:, None]
        knots = mean[:, None] + narrow[:, None] * (edges[:, 1:-1] - mean[:, None])
        chord = z.diff(dim=1) / knots.diff(dim=1)
        slopes[:, 0], slopes[:, -1] = chord[:, 0], chord[:, -1]  # the tails go on as the last bins do
        return self.set_knots(knots, z, slopes, like=given)


class QuantileMap(_FromHistogram):
    r"""Straight lines between quantiles: `knots` levels, equally spaced in probit, matched to the data's.

    Parameters
    ----------
    knots : int
        Number of quantiles.
    cells : int
        Cells of the histogram from which they are read.
    shrink : float
        Weight of the identity, see ``KnotMap``.

    Taught in :ref:`iterative`.
    """

    def __init__(self, *, knots: int = 30, cells: int = 1024, shrink: float = 0.0) -> None:
        super().__init__(cells=cells, shrink=shrink)
        self.knots = check_count("knots", knots, 3)

    def fit_counts(self, counts: Tensor, low: Tensor, high: Tensor) -> MarginalMap:
        """Fit to counts (d, cells) on the grid from `low` to `high` (d,)."""
        return self.set_knots(*self._quantiles(counts, low, high), like=counts)

    def _quantiles(self, counts: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles (d, K) at levels whose probits (d, K) go in equal steps to those of 1/n and 1 - 1/n."""
        counts, low, high = (part.double() for part in (counts, low, high))
        n = counts[0].sum()
        end = -torch.special.ndtri((1 / n).clamp(max=0.25))
        z = end * torch.linspace(-1, 1, self.knots, dtype=counts.dtype, device=counts.device)
        # A trace of mass in every cell makes the distribution function strictly increasing.
        mass = counts / n + 1e-9
        below = nn.functional.pad(mass.cumsum(dim=1), (1, 0)) / mass.sum(dim=1, keepdim=True)
        level = _normal_cdf(z).expand(len(counts), -1).contiguous()
        k = (torch.searchsorted(below, level) - 1).clamp(0, self.cells - 1)
        start = below.gather(1, k)
        part = (level - start) / (below.gather(1, k + 1) - start)
        x = low[:, None] + (high - low)[:, None] * (k + part) / self.cells
        return x, z.expand_as(x)


class SplineMap(QuantileMap):
    """A smooth curve through the quantiles of ``QuantileMap``: rational-quadratic, one slope at each knot.

    The slope at a knot is the harmonic mean of the chords beside it, which is always positive.

    Parameters
    ----------
    knots : int
        Number of quantiles.
    cells : int
        Cells of the histogram from which they are read.
    shrink : float
        Weight of the identity, see ``KnotMap``.

    References
    ----------
    Gregory and Delbourgo, 1982; Durkan et al., 2019, arXiv:1906.04032; Dai and Seljak, 2021,
    arXiv:2007.00674.

    Taught in :ref:`iterative`.
    """

    def fit_counts(self, counts: Tensor, low: Tensor, high: Tensor) -> MarginalMap:
        """Fit to counts (d, cells) on the grid from `low` to `high` (d,)."""
        x, z = self._quantiles(counts, low, high)
        return self.set_knots(x, z, _slopes(x, z), like=counts)


def _slopes(x: Tensor, z: Tensor) -> Tensor:
    """Slopes (d, K) at knots: weighted harmonic means of the chords beside them; at the ends, the chords."""
    width = x.diff(dim=1)
    chord = z.diff(dim=1) / width
    inner = (width[:, :-1] + width[:, 1:]) / (width[:, 1:] / chord[:, :-1] + width[:, :-1] / chord[:, 1:])
    return torch.cat([chord[:, :1], inner, chord[:, -1:]], dim=1)


class ECDFMap(KnotMap):
    r"""The empirical distribution function itself: one knot at each distinct value, linear tails.

    The knot at the value of rank `i` is :math:`\Phi^{-1}((i - \tfrac12)/n)`. It has as many parameters as
    data: in-sample it is perfect, and layers of it overfit.

    Parameters
    ----------
    shrink : float
        Weight of the identity, see ``KnotMap``.

    References
    ----------
    Chen and Gopinath, 2000; Laparra, Camps-Valls and Malo, 2011, arXiv:1602.00229.

    Taught in :ref:`iterative`.
    """

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> MarginalMap:
        """Sort the columns of `x` (n, d)."""
        _alone("ECDFMap")
        _check_columns(x)
        n = len(x)
        ordered = x.T.double().sort(dim=1).values
        level = (torch.arange(n, dtype=torch.float64, device=x.device) + 0.5) / n
        if bool((ordered.diff(dim=1) > 0).all()):
            return self.set_knots(ordered, torch.special.ndtri(level).expand_as(ordered), like=x)
        columns = [_distinct(column, level) for column in ordered]
        return self.set_knots(*_pad_knots(columns), like=x)


def _distinct(column: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Knots at the distinct values of a sorted column, each at its middle rank."""
    value, where, count = torch.unique_consecutive(column, return_inverse=True, return_counts=True)
    middle = level.new_zeros(len(value)).index_add_(0, where, level) / count
    return value, torch.special.ndtri(middle)


def _pad_knots(columns: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Bring columns with different numbers of knots to one number, by going on along their upper tails."""
    most, xs, zs = max(len(x) for x, _ in columns), [], []
    for x, z in columns:
        more = torch.arange(1, most - len(x) + 1, dtype=x.dtype, device=x.device)
        xs.append(torch.cat([x, x[-1] + more * (x[-1] - x[-2])]))
        zs.append(torch.cat([z, z[-1] + more * (z[-1] - z[-2])]))
    return torch.stack(xs), torch.stack(zs)


class MixtureMap(KnotMap):
    r"""Distribution function of a mixture of Gaussians on the line, fitted by EM to all columns at once.

    .. math:: F(x) = \sum_k w_k\, \Phi\Bigl(\frac{x - \mu_k}{\sigma_k}\Bigr)

    Parameters
    ----------
    components : int
        Number of Gaussians :math:`K`.
    iterations : int
        Steps of EM.
    knots : int
        Knots at which the curve is kept.
    shrink : float
        Weight of the identity, see ``KnotMap``.

    References
    ----------
    Chen and Gopinath, 2000; Meng, Song, Song and Ermon, 2020, arXiv:2003.01941.

    Taught in :ref:`iterative`.
    """

    _uniform = True

    def __init__(
        self, *, components: int = 5, iterations: int = 30, knots: int = 200, shrink: float = 0.0
    ) -> None:
        super().__init__(shrink=shrink)
        if min(components, iterations) < 1 or knots < 8:
            raise ValueError(
                f"components={components!r}, iterations={iterations!r}, knots={knots!r}: expected at least "
                "1, 1 and 8"
            )
        self.components, self.iterations, self.knots = components, iterations, knots

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> MarginalMap:
        """Run EM on every column of `x` (n, d) from equally spaced quantiles."""
        _alone("MixtureMap")
        _check_columns(x)
        given, x = x, x.double()
        level = (torch.arange(self.components, dtype=x.dtype, device=x.device) + 0.5) / self.components
        mean = torch.quantile(x, level, dim=0)  # (K, d)
        whole = x.std(dim=0, correction=0)
        deviation = (whole / self.components).expand_as(mean)
        weight = torch.full_like(mean, 1 / self.components)
        for _ in range(self.iterations):
            t = (x[:, None] - mean) / deviation  # (n, K, d)
            part = torch.softmax((weight / deviation).log() - 0.5 * t * t, dim=1)
            mass = part.sum(dim=0) + 1e-9
            weight = mass / mass.sum(dim=0)
            mean = (part * x[:, None]).sum(dim=0) / mass
            variance = (part * (x[:, None] - mean).square()).sum(dim=0) / mass
            deviation = torch.maximum(variance.sqrt(), 0.02 * whole)
        low, high = (mean - 6 * deviation).amin(dim=0), (mean + 6 * deviation).amax(dim=0)
        share = torch.linspace(0, 1, self.knots, dtype=x.dtype, device=x.device)[:, None, None]
        at = low + (high - low) * share  # (knots, 1, d)
        t = (at - mean) / deviation  # (knots, K, d)
        below, above = ((weight * _normal_cdf(side * t)).sum(dim=1) for side in (1, -1))
        lower, upper = (torch.special.ndtri(part.clamp(min=1e-300)) for part in (below, above))
        z = torch.where(below < 0.5, lower, -upper)  # (knots, d)
        slopes = (weight * _phi(t) / deviation).sum(dim=1) / _phi(z)
        return self.set_knots(at[:, 0].T, z.T, slopes.T.contiguous(), like=given)


class PolynomialMap(MarginalMap):
    r"""Least squares for normal scores by a polynomial: instructive, and not to be recommended.

    A polynomial fitted to :math:`(x_{(i)}, \Phi^{-1}((i - \tfrac12)/n))` need not increase, and beyond the
    data it runs away. With ``monotone=True`` it is pulled towards the best straight line just far enough to
    increase on the support; the line's slope is positive, so some pull always suffices.

    Parameters
    ----------
    degree : int
        Degree of the polynomial.
    monotone : bool
        Pull until it increases. Without that the map has no log-determinant and no inverse where it falls.
    support : {"linear", "clip", None}
        Beyond the fitted range: go on along the tangent, stay at the end's value, or follow the polynomial.

    Raises
    ------
    ValueError
        If `degree` is less than one, or `support` unknown.

    Taught in :ref:`iterative`.
    """

    low: Tensor
    high: Tensor
    coefficients: Tensor

    def __init__(self, *, degree: int = 6, monotone: bool = True, support: str | None = "linear") -> None:
        super().__init__()
        degree = check_count("degree", degree)
        if support not in ("linear", "clip", None):
            raise ValueError(f"support: got {support!r}, expected 'linear', 'clip' or None")
        self.degree, self.monotone, self.support_kind = degree, monotone, support
        for name in ("low", "high", "coefficients"):
            self.register_buffer(name, torch.empty(0))

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("low", "high", "coefficients"):
            if prefix + name in state and getattr(self, name).shape != state[prefix + name].shape:
                setattr(self, name, torch.empty_like(state[prefix + name]))
        super()._load_from_state_dict(state, prefix, *args)

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> MarginalMap:
        """Fit each column of `x` (n, d) to normal scores."""
        _alone("PolynomialMap")
        _check_columns(x)
        level = (torch.arange(len(x), dtype=torch.float64, device=x.device) + 0.5) / len(x)
        return self.fit_pairs(x, torch.special.ndtri(level)[:, None].expand(len(x), x.shape[1]).to(x))

    def fit_pairs(self, x: Tensor, y: Tensor) -> MarginalMap:
        """Fit to the pairs of the i-th smallest of `x` with the i-th smallest of `y`, both (n, d)."""
        a, b = (part.double().sort(dim=0).values for part in (x, y))
        low, high = a[0], a[-1]
        t = (2 * (a - low) / (high - low) - 1).T  # (d, n) in [-1, 1]
        powers = t[..., None] ** torch.arange(self.degree + 1, device=x.device)  # (d, n, degree + 1)
        c = torch.linalg.lstsq(powers, b.T[..., None]).solution[..., 0]  # (d, degree + 1)
        if self.monotone:
            line = torch.linalg.lstsq(powers[..., :2], b.T[..., None]).solution[..., 0]
            grid = torch.linspace(-1, 1, 1001, dtype=t.dtype, device=t.device).expand(len(t), -1)
            least = _horner(_derivative(c), grid.T).amin(dim=0)
            rise = line[:, 1]
            pull = ((0.05 * rise - least) / (rise - least).clamp(min=1e-12)).clamp(0, 1)[:, None]
            c = (1 - pull) * c
            c[:, :2] += pull * line
        self.low, self.high, self.coefficients = low.to(x), high.to(x), c.to(x)
        return self

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Position in [-1, 1], and by how much it lies beyond."""
        if self.coefficients.numel() == 0:
            raise RuntimeError("PolynomialMap is not fitted: call fit(x) first")
        t = 2 * (x - self.low) / (self.high - self.low) - 1
        inside = t if self.support_kind is None else t.clamp(-1, 1)
        return inside, (t - inside if self.support_kind == "linear" else torch.zeros_like(t))

    def value(self, x: Tensor) -> Tensor:
        """Evaluate the map alone, whether or not it increases."""
        t, beyond = self._split(x)
        slope = _horner(_derivative(self.coefficients), t)
        return _horner(self.coefficients, t) + slope * beyond

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, d) column by column, with the log-determinant (n,) in nats.

        Raises
        ------
        ValueError
            Where the map does not increase: change of variables needs a bijection.
        """
        t, beyond = self._split(x)
        slope = _horner(_derivative(self.coefficients), t)
        flat = self.support_kind == "clip" and bool((t.abs() == 1).any())
        if flat or not bool((slope > 0).all()):
            raise ValueError(
                "PolynomialMap: the fitted polynomial does not increase here, so that there is no density; "
                "use monotone=True and support='linear'"
            )
        z = _horner(self.coefficients, t) + slope * beyond
        return z, (slope * 2 / (self.high - self.low)).log().sum(dim=1)

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map by bisection on the support and along the tangents beyond.

        Raises
        ------
        ValueError
            If the map was not made monotone with linear tails.
        """
        if not self.monotone or self.support_kind != "linear":
            raise ValueError("PolynomialMap: only monotone=True with support='linear' has an inverse")
        end = z.new_ones(1, z.shape[1])
        d = _derivative(self.coefficients)
        low, high = (_horner(self.coefficients, side * end) for side in (-1, 1))
        beyond = torch.where(z < low, (z - low) / _horner(d, -end), (z - high).clamp(min=0) / _horner(d, end))
        left, right = -torch.ones_like(z), torch.ones_like(z)
        target = torch.minimum(torch.maximum(z, low), high)
        for _ in range(56):
            middle = 0.5 * (left + right)
            less = _horner(self.coefficients, middle) < target
            left, right = torch.where(less, middle, left), torch.where(less, right, middle)
        return self.low + (0.5 * (left + right) + beyond + 1) * (self.high - self.low) / 2


def _derivative(c: Tensor) -> Tensor:
    """Coefficients (d, m) of the derivative of polynomials with coefficients (d, m + 1), constant first."""
    return c[:, 1:] * torch.arange(1, c.shape[1], dtype=c.dtype, device=c.device)


def _horner(c: Tensor, t: Tensor) -> Tensor:
    """Evaluate column j's polynomial, coefficients (d, m), at each number of column j of `t` (n, d)."""
    value = torch.zeros_like(t)
    for k in range(c.shape[1] - 1, -1, -1):
        value = value * t + c[:, k]
    return value


MARGINALS: dict[str, type[MarginalMap]] = {
    "ecdf": ECDFMap,
    "kde": KDEMap,
    "mixture": MixtureMap,
    "polynomial": PolynomialMap,
    "quantile": QuantileMap,
    "spline": SplineMap,
}
