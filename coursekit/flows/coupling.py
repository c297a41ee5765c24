r"""Coupling flows: move one part of a row by what the other part says.

.. math:: z_1 = x_1, \qquad z_2 = g(x_2;\, \theta(x_1)), \qquad
    \log\left|\det \frac{\partial z}{\partial x}\right| = \sum_j \log g'(x_{2j};\, \theta_j(x_1))

The Jacobian is triangular, so that the network :math:`\theta` may be anything: it is never inverted and never
differentiated for the determinant. An affine :math:`g` gives RealNVP, a rational-quadratic spline the neural
spline flow. Forward is from data to latent throughout.

Taught in :ref:`coupling`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from coursekit.base import Fitted, catalogued
from coursekit.nn import Flow, mlp, rq_spline

__all__ = [
    "ActNorm",
    "AffineCoupling",
    "Alternating",
    "ConvCoupling",
    "FlowBatchNorm",
    "ImageFlow",
    "InvertibleLinear",
    "NeuralSpline",
    "Permutation",
    "RealNVP",
    "SplineCoupling",
    "WeightNormConv2d",
    "WeightNormLinear",
    "dequantize",
]

MakeNet = Callable[[int, int], nn.Module]

# ------------------------------------------------------------------------------------ networks


class WeightNormLinear(nn.Linear):
    r"""A linear layer whose rows have a direction and a length of their own, :math:`w = g\, v / \|v\|`.

    Parameters
    ----------
    in_features, out_features : int
        Columns that come in and go out.

    References
    ----------
    Salimans and Kingma, 2016, arXiv:1602.07868.

    Taught in :ref:`coupling`.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.gain = nn.Parameter(self.weight.detach().norm(dim=1, keepdim=True))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_features) to (n, out_features)."""
        return functional.linear(x, self.gain * functional.normalize(self.weight, dim=1), self.bias)


class WeightNormConv2d(nn.Conv2d):
    r"""A convolution whose filters have a direction and a length of their own, :math:`w = g\, v / \|v\|`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size : int
        As for ``torch.nn.Conv2d``; the padding keeps the size of the image.

    References
    ----------
    Salimans and Kingma, 2016, arXiv:1602.07868.

    Taught in :ref:`coupling`.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.gain = nn.Parameter(self.weight.detach().flatten(1).norm(dim=1).view(-1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, in_channels, h, w) to (n, out_channels, h, w)."""
        direction = functional.normalize(self.weight.flatten(1), dim=1).view_as(self.weight)
        return self._conv_forward(x, self.gain * direction, self.bias)


def _dense(hidden: Sequence[int], activation: Callable[[], nn.Module], weight_norm: bool) -> MakeNet:
    """Maker of fully connected networks that start as the constant zero, so that a flow starts as it is."""

    def make(dim_in: int, dim_out: int) -> nn.Module:
        net = mlp(dim_in, dim_out, hidden=hidden, activation=activation)
        if weight_norm:
            for i, layer in enumerate(net):
                if isinstance(layer, nn.Linear):
                    net[i] = WeightNormLinear(layer.in_features, layer.out_features)
        _start_at_zero(net[-1])
        return net

    return make


def _start_at_zero(layer: nn.Module) -> None:
    nn.init.zeros_(layer.gain if hasattr(layer, "gain") else layer.weight)
    nn.init.zeros_(layer.bias)


# ------------------------------------------------------------------------------------ couplings of columns


class _Coupling(nn.Module):
    """Columns in two contiguous parts: one is given, the other moves. Views and one ``cat``, no index."""

    def __init__(self, dim: int, flip: bool, per_column: int, net: MakeNet) -> None:
        super().__init__()
        if not isinstance(dim, int) or dim < 2:
            raise ValueError(
                f"dim: got {dim!r}, expected at least 2: a coupling moves some columns by what others say. "
                "For one column use NeuralCDF or a mixture"
            )
        self.sizes, self.flip = (dim // 2, dim - dim // 2), flip
        given, moved = self.sizes[::-1] if flip else self.sizes
        self.net = net(given, per_column * moved)

    def move(self, moved: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Move one part, given the other, with the log-determinant."""
        raise NotImplementedError

    def move_back(self, moved: Tensor, given: Tensor) -> Tensor:
        """Undo `move`."""
        raise NotImplementedError

    def _part(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.split(self.sizes, dim=1)
        return (second, first) if self.flip else (first, second)

    def _join(self, given: Tensor, moved: Tensor) -> Tensor:
        return torch.cat([moved, given] if self.flip else [given, moved], dim=1)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (n, dim) to latent (n, dim), with the log-determinant (n,) in nats."""
        given, moved = self._part(x)
        moved, log_det = self.move(moved, given)
        return self._join(given, moved), log_det

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent (n, dim) to data (n, dim)."""
        given, moved = self._part(z)
        return self._join(given, self.move_back(moved, given))


class AffineCoupling(_Coupling):
    r"""RealNVP's layer: the second part is scaled and shifted by functions of the first.

    .. math:: z_1 = x_1, \quad z_2 = x_2 \odot e^{s(x_1)} + t(x_1), \qquad
        x_2 = (z_2 - t(z_1)) \odot e^{-s(z_1)}, \qquad \log\left|\det\right| = \sum_j s_j(x_1)

    Parameters
    ----------
    dim : int
        Number of columns, at least two. The first ``dim // 2`` are one part.
    flip : bool
        Move the first part, given the second.
    hidden : sequence of int
        Widths of the network's hidden layers.
    activation : callable
        Makes the network's activation.
    weight_norm : bool
        Weight-normalized layers in the network.
    largest : float
        Log-scales stay within :math:`\pm` this number, by a tanh.
    net : callable, optional
        ``net(dim_in, dim_out)`` makes another network: (n, dim_in) to shifts and log-scales, (n, dim_out).

    Raises
    ------
    ValueError
        If `dim` is less than two.

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio, 2017, arXiv:1605.08803.

    Taught in :ref:`coupling`.
    """

    def __init__(
        self,
        dim: int,
        *,
        flip: bool = False,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        weight_norm: bool = False,
        largest: float = 2.0,
        net: MakeNet | None = None,
    ) -> None:
        super().__init__(dim, flip, 2, net or _dense(hidden, activation, weight_norm))
        self.largest = largest

    def move(self, moved: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift one part, given the other, with the log-determinant."""
        shift, free = self.net(given).chunk(2, dim=1)
        log_scale = self.largest * torch.tanh(free / self.largest)
        return torch.addcmul(shift, moved, log_scale.exp()), log_scale.sum(dim=1)

    def move_back(self, moved: Tensor, given: Tensor) -> Tensor:
        """Undo `move`: first the shift, then the scale."""
        shift, free = self.net(given).chunk(2, dim=1)
        return (moved - shift) * torch.exp(-self.largest * torch.tanh(free / self.largest))


class SplineCoupling(_Coupling):
    """The neural spline's layer: each column of the second part goes through its own increasing spline.

    Parameters
    ----------
    dim : int
        Number of columns, at least two. The first ``dim // 2`` are one part.
    flip : bool
        Move the first part, given the second.
    bins : int
        Bins of a spline.
    bound : float
        The splines bend numbers in (-bound, bound) and leave others as they are.
    hidden : sequence of int
        Widths of the network's hidden layers.
    activation : callable
        Makes the network's activation.
    weight_norm : bool
        Weight-normalized layers in the network.
    net : callable, optional
        ``net(dim_in, dim_out)`` makes another network.

    Raises
    ------
    ValueError
        If `dim` or `bins` is less than two.

    References
    ----------
    Durkan, Bekasov, Murray and Papamakarios, 2019, arXiv:1906.04032.

    Taught in :ref:`coupling`.
    """

    def __init__(
        self,
        dim: int,
        *,
        flip: bool = False,
        bins: int = 8,
        bound: float = 3.0,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        weight_norm: bool = False,
        net: MakeNet | None = None,
    ) -> None:
        if not isinstance(bins, int) or bins < 2:
            raise ValueError(f"bins: got {bins!r}, expected a whole number of at least 2")
        super().__init__(dim, flip, 3 * bins - 1, net or _dense(hidden, activation, weight_norm))
        self.bins, self.bound = bins, bound

    def _spline(self, moved: Tensor, given: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        free = self.net(given).view(*moved.shape, 3 * self.bins - 1)
        parts = free.split([self.bins, self.bins, self.bins - 1], dim=-1)
        return rq_spline(moved, *parts, bound=self.bound, inverse=inverse)

    def move(self, moved: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Bend each column of one part, given the other, with the log-determinant."""
        moved, log_slopes = self._spline(moved, given, inverse=False)
        return moved, log_slopes.sum(dim=1)

    def move_back(self, moved: Tensor, given: Tensor) -> Tensor:
        """Undo `move`, in closed form."""
        return self._spline(moved, given, inverse=True)[0]


class Alternating(nn.Module):
    """Couplings that move two parts in turn, with nothing between them: the row is cut once and joined once.

    Parameters
    ----------
    couplings : sequence of AffineCoupling or SplineCoupling
        The first moves the second part, the next the first part, and so on.

    Raises
    ------
    ValueError
        If the couplings do not take turns.

    Notes
    -----
    Taught in :ref:`coupling`.
    """

    def __init__(self, couplings: Sequence[_Coupling]) -> None:
        super().__init__()
        if [coupling.flip for coupling in couplings] != [k % 2 == 1 for k in range(len(couplings))]:
            raise ValueError("couplings: expected flip=False, True, False, ... in turn")
        self.couplings = nn.ModuleList(couplings)
        self.sizes = couplings[0].sizes

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (n, dim) to latent (n, dim), with the log-determinant (n,) in nats."""
        given, moved = x.split(self.sizes, dim=1)
        total: Tensor | float = 0.0
        for coupling in self.couplings:
            moved, log_det = coupling.move(moved, given)
            total = total + log_det
            given, moved = moved, given  # who has moved is given to the next
        return self._join(given, moved), total

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent (n, dim) to data (n, dim)."""
        odd = len(self.couplings) % 2 == 1
        first, second = z.split(self.sizes, dim=1)
        given, moved = (second, first) if odd else (first, second)
        for coupling in reversed(self.couplings):
            given, moved = moved, given
            moved = coupling.move_back(moved, given)
        return torch.cat([given, moved], dim=1)

    def _join(self, given: Tensor, moved: Tensor) -> Tensor:
        odd = len(self.couplings) % 2 == 1
        return torch.cat([moved, given] if odd else [given, moved], dim=1)


# ------------------------------------------------------------------------------------ between the couplings


def _per_channel(values: Tensor, x: Tensor) -> Tensor:
    """`values` (c,) in the shape that multiplies `x` (n, c) or (n, c, h, w)."""
    return values.view(1, -1, *[1] * (x.ndim - 2))


def _others(x: Tensor) -> list[int]:
    """All axes but that of the columns or channels."""
    return [0, *range(2, x.ndim)]


class ActNorm(nn.Module):
    r"""An affine map of each column (or channel) that makes the first training batch mean 0, variance 1.

    .. math:: z_j = (x_j - b_j)\, e^{a_j}, \qquad \log\left|\det\right| = \sum_j a_j
        \text{ (times the pixels of a channel)}

    Parameters
    ----------
    dim : int
        Columns, or channels.

    References
    ----------
    Kingma and Dhariwal, 2018, arXiv:1807.03039.

    Taught in :ref:`coupling`.
    """

    initialized: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.center, self.log_scale = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("initialized", torch.tensor(False))

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to latent, with the log-determinant (n,) in nats."""
        if self.training and len(x) > 1 and not self.initialized:
            self._start_from(x.detach())
        z = (x - _per_channel(self.center, x)) * _per_channel(self.log_scale.exp(), x)
        return z, (self.log_scale.sum() * x[0, 0].numel()).expand(len(x))

    @torch.no_grad()
    def _start_from(self, x: Tensor) -> None:
        deviation = x.std(dim=_others(x), correction=0)
        self.center.copy_(x.mean(dim=_others(x)))
        self.log_scale.copy_(-torch.where(deviation > 0, deviation, 1.0).log())
        self.initialized.fill_(True)

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent to data."""
        return z * _per_channel(torch.exp(-self.log_scale), z) + _per_channel(self.center, z)


class FlowBatchNorm(nn.Module):
    r"""Batch normalization as a layer of a flow: its log-determinant counts.

    .. math:: z_j = \gamma_j \frac{x_j - m_j}{\sqrt{v_j + \epsilon}} + \beta_j, \qquad
        \log\left|\det\right| = \sum_j \left(\log\gamma_j - \tfrac12 \log(v_j + \epsilon)\right)

    In training :math:`m, v` are the batch's; they also move running averages, which start at 0 and 1. In
    evaluation, for the inverse, and for a batch of one row, they are the running averages: a density must not
    depend on what else is in the batch.

    Parameters
    ----------
    dim : int
        Columns, or channels.
    momentum : float
        Weight of the new batch in the running averages.
    eps : float
        Added to the variance.

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio, 2017, arXiv:1605.08803, section 3.7 and appendix E.

    Taught in :ref:`coupling`.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.log_gain, self.shift = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to latent, with the log-determinant (n,) in nats."""
        mean, var = self.running_mean, self.running_var
        if self.training and len(x) > 1:
            mean, var = x.mean(dim=_others(x)), x.var(dim=_others(x), correction=0)
            with torch.no_grad():
                count = x.numel() // x.shape[1]
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (count / (count - 1)), self.momentum)  # without the batch's bias
        log_scale = self.log_gain - 0.5 * torch.log(var + self.eps)
        z = (x - _per_channel(mean, x)) * _per_channel(log_scale.exp(), x) + _per_channel(self.shift, x)
        return z, (log_scale.sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent to data, by the running averages."""
        log_scale = self.log_gain - 0.5 * torch.log(self.running_var + self.eps)
        x = (z - _per_channel(self.shift, z)) * _per_channel(torch.exp(-log_scale), z)
        return x + _per_channel(self.running_mean, z)


class Permutation(nn.Module):
    """A fixed random order of the columns; its log-determinant is zero.

    Parameters
    ----------
    dim : int
        Number of columns.

    Notes
    -----
    Taught in :ref:`coupling`.
    """

    order: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("order", torch.randperm(dim))

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to latent, with the log-determinant (n,), zero."""
        return x[:, self.order], x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent to data."""
        return z[:, self.order.argsort()]


class InvertibleLinear(nn.Module):
    r"""A learned invertible matrix :math:`z = P L U x`, kept in factors so that its determinant is a sum.

    Starts as a random rotation. `L` has ones on its diagonal, and that of `U` keeps its signs.

    Parameters
    ----------
    dim : int
        Number of columns.

    References
    ----------
    Kingma and Dhariwal, 2018, arXiv:1807.03039, section 3.2.

    Taught in :ref:`coupling`.
    """

    permutation: Tensor
    signs: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(dim, dim))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", permutation)
        self.register_buffer("signs", upper.diagonal().sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(upper.diagonal().abs().log())

    def _factors(self) -> tuple[Tensor, Tensor]:
        eye = torch.eye(len(self.signs), dtype=self.lower.dtype, device=self.lower.device)
        diagonal = torch.diag(self.signs * self.log_diagonal.exp())
        return self.lower.tril(-1) + eye, self.upper.triu(1) + diagonal

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to latent, with the log-determinant (n,) in nats."""
        lower, upper = self._factors()
        return x @ (self.permutation @ lower @ upper).T, self.log_diagonal.sum().expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent to data, by two triangular solves."""
        lower, upper = self._factors()
        y = torch.linalg.solve_triangular(lower, (z @ self.permutation).T, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(upper, y, upper=True).T


NORMALIZATIONS: dict[str | None, Callable[[int], nn.Module] | None] = {
    None: None,
    "act": ActNorm,
    "batch": FlowBatchNorm,
}
MIXINGS: dict[str | None, Callable[[int], nn.Module] | None] = {
    None: None,
    "permutation": Permutation,
    "linear": InvertibleLinear,
}


def _choose(options: dict, choice: str | None, name: str) -> Callable[[int], nn.Module] | None:
    if choice not in options:
        raise ValueError(f"{name}: got {choice!r}, expected one of {', '.join(map(repr, options))}")
    return options[choice]


def _alternate(
    dim: int,
    layers: int,
    coupling: Callable[[bool], _Coupling],
    normalization: str | None,
    mixing: str | None,
) -> list[nn.Module]:
    """`layers` couplings that move the parts in turn, each behind a normalization, pairs behind a mixing."""
    if not isinstance(layers, int) or layers < 1:
        raise ValueError(f"layers: got {layers!r}, expected a whole number of at least 1")
    normalize = _choose(NORMALIZATIONS, normalization, "normalization")
    mix = _choose(MIXINGS, mixing, "mixing")
    if normalize is None and mix is None:
        return [Alternating([coupling(k % 2 == 1) for k in range(layers)])]
    found: list[nn.Module] = []
    for k in range(layers):
        if normalize is not None:
            found.append(normalize(dim))
        if mix is not None and k > 0 and k % 2 == 0:
            found.append(mix(dim))
        found.append(coupling(k % 2 == 1))
    return found


# ------------------------------------------------------------------------------------ models


@catalogued(
    examples=lambda d: [
        Fitted(RealNVP, layers=4, hidden=(16,), epochs=12, lr=1e-2, device="cpu", random_state=0),
        Fitted(
            RealNVP,
            layers=3,
            hidden=(8,),
            normalization="batch",
            mixing="linear",
            weight_norm=True,
            epochs=12,
            lr=1e-2,
            device="cpu",
            random_state=0,
        ),
    ],
    dims=(2, 3),
    cost={"fit": "O(epochs n K)", "log_prob": "O(K)", "sample": "O(K), K networks"},
)
class RealNVP(Flow):
    """Affine couplings in turn, from data to a standard normal law.

    Parameters
    ----------
    dim : int
        Number of columns, at least two.
    layers : int
        Number of couplings.
    hidden : sequence of int
        Widths of each network's hidden layers.
    activation : callable
        Makes the networks' activation.
    normalization : {"act", "batch", None}
        What stands before each coupling.
    mixing : {None, "permutation", "linear"}
        What mixes the columns after each pair of couplings; for many columns.
    weight_norm : bool
        Weight-normalized layers in the networks.
    net : callable, optional
        ``net(dim_in, dim_out)`` makes another network for each coupling.

    Raises
    ------
    ValueError
        If `dim` is less than two, `layers` less than one, or a choice is unknown.

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio, 2017, arXiv:1605.08803.

    Taught in :ref:`coupling`.

    Examples
    --------
    >>> flow = RealNVP(2, layers=4)
    >>> flow.log_prob(torch.zeros(3, 2)).shape
    torch.Size([3])
    """

    def __init__(
        self,
        dim: int,
        *,
        layers: int = 8,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        normalization: str | None = "act",
        mixing: str | None = None,
        weight_norm: bool = False,
        net: MakeNet | None = None,
    ) -> None:
        def coupling(flip: bool) -> _Coupling:
            return AffineCoupling(
                dim, flip=flip, hidden=hidden, activation=activation, weight_norm=weight_norm, net=net
            )

        super().__init__(dim, _alternate(dim, layers, coupling, normalization, mixing))


@catalogued(
    examples=lambda d: [
        Fitted(NeuralSpline, layers=2, bins=5, hidden=(16,), epochs=12, lr=1e-2, device="cpu", random_state=0)
    ],
    dims=(2, 3),
    cost={"fit": "O(epochs n K)", "log_prob": "O(K)", "sample": "O(K), K networks"},
)
class NeuralSpline(Flow):
    """Rational-quadratic spline couplings in turn, from data to a standard normal law.

    Parameters
    ----------
    dim : int
        Number of columns, at least two.
    layers : int
        Number of couplings.
    bins : int
        Bins of each spline.
    bound : float
        Splines bend numbers in (-bound, bound), in units of the normalized data.
    hidden : sequence of int
        Widths of each network's hidden layers.
    activation : callable
        Makes the networks' activation.
    normalization : {"act", "batch", None}
        What stands before each coupling.
    mixing : {None, "permutation", "linear"}
        What mixes the columns after each pair of couplings; for many columns.
    weight_norm : bool
        Weight-normalized layers in the networks.
    net : callable, optional
        ``net(dim_in, dim_out)`` makes another network for each coupling.

    Raises
    ------
    ValueError
        If `dim` or `bins` is less than two, `layers` less than one, or a choice is unknown.

    References
    ----------
    Durkan, Bekasov, Murray and Papamakarios, 2019, arXiv:1906.04032.

    Taught in :ref:`coupling`.

    Examples
    --------
    >>> NeuralSpline(3, layers=2).sample(5).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        dim: int,
        *,
        layers: int = 4,
        bins: int = 8,
        bound: float = 3.0,
        hidden: Sequence[int] = (64, 64),
        activation: Callable[[], nn.Module] = nn.SiLU,
        normalization: str | None = "act",
        mixing: str | None = None,
        weight_norm: bool = False,
        net: MakeNet | None = None,
    ) -> None:
        def coupling(flip: bool) -> _Coupling:
            return SplineCoupling(
                dim,
                flip=flip,
                bins=bins,
                bound=bound,
                hidden=hidden,
                activation=activation,
                weight_norm=weight_norm,
                net=net,
            )

        super().__init__(dim, _alternate(dim, layers, coupling, normalization, mixing))


# ------------------------------------------------------------------------------------ images


class ConvCoupling(nn.Module):
    """An affine coupling of an image: the masked pixels are given, a convolutional network moves the others.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width.
    pattern : {"checkerboard", "channel"}
        Which values are given: every second pixel, or the first half of the channels.
    flip : bool
        Exchange what is given and what moves.
    channels : int
        Channels of the hidden layers.
    weight_norm : bool
        Weight-normalized convolutions.
    largest : float
        Log-scales stay within this number, by a tanh.

    Raises
    ------
    ValueError
        If the pattern is unknown, or gives everything or nothing for that shape.

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio, 2017, arXiv:1605.08803, sections 3.4 and 3.5.

    Taught in :ref:`coupling`.
    """

    mask: Tensor

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        pattern: str = "checkerboard",
        flip: bool = False,
        channels: int = 32,
        weight_norm: bool = True,
        largest: float = 2.0,
    ) -> None:
        super().__init__()
        c, h, w = shape
        if pattern == "checkerboard":
            given = (torch.arange(h)[:, None] + torch.arange(w)) % 2 == 0  # (h, w)
            given = given.expand(c, h, w)
        elif pattern == "channel":
            given = (torch.arange(c) < c // 2)[:, None, None].expand(c, h, w)
        else:
            raise ValueError(f"pattern: got {pattern!r}, expected 'checkerboard' or 'channel'")
        if not 0 < int(given.sum()) < c * h * w:
            raise ValueError(f"shape: a {pattern} mask of {shape} leaves nothing to give or to move")
        self.register_buffer("mask", (given ^ flip).to(torch.get_default_dtype()))
        conv: Callable[[int, int, int], nn.Module] = WeightNormConv2d if weight_norm else _same_conv
        self.net = nn.Sequential(
            *(conv(c, channels, 3), nn.SiLU()),
            *(conv(channels, channels, 1), nn.SiLU()),
            conv(channels, 2 * c, 3),
        )
        _start_at_zero(self.net[-1])
        self.largest = largest

    def _shift_and_log_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shift, free = self.net(x * self.mask).chunk(2, dim=1)  # only what is given goes in
        moves = 1 - self.mask
        return moves * shift, moves * self.largest * torch.tanh(free / self.largest)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data (n, c, h, w) to latent, with the log-determinant (n,) in nats."""
        shift, log_scale = self._shift_and_log_scale(x)
        return x * log_scale.exp() + shift, log_scale.sum(dim=(1, 2, 3))

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent (n, c, h, w) to data; the given pixels are the same on both sides."""
        shift, log_scale = self._shift_and_log_scale(z)
        return (z - shift) * torch.exp(-log_scale)


def _same_conv(a: int, b: int, size: int) -> nn.Module:
    return nn.Conv2d(a, b, size, padding=size // 2)


class _Squeeze(nn.Module):
    """Each 2 x 2 block of pixels becomes four channels; nothing is scaled."""

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return functional.pixel_unshuffle(x, 2), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        return functional.pixel_shuffle(z, 2)


class _FactorOut(nn.Module):
    """A mark: here half of the channels are done, and go to the latent as they are."""


@catalogued(
    examples=lambda d: [
        Fitted(
            ImageFlow,
            channels=8,
            couplings=2,
            normalization="act",
            epochs=8,
            lr=5e-3,
            device="cpu",
            random_state=0,
        )
    ],
    dims=(4,),
    cost={"fit": "O(epochs n K)", "log_prob": "O(K)", "sample": "O(K), K networks"},
)
class ImageFlow(Flow):
    """RealNVP for images: convolutional couplings at several scales.

    At each scale but the last: `couplings` with checkerboard masks, squeeze, `couplings` with channel masks,
    and half of the channels leave for the latent. At the last: `couplings` more.

    Parameters
    ----------
    dim : int
        Number of values of an image; images come and go as flat rows.
    shape : (int, int, int), optional
        Channels, height and width; by default one square channel.
    scales : int
        Number of scales; height and width must be divisible by two for each after the first.
    channels : int
        Hidden channels of the networks.
    couplings : int
        Couplings of a kind in a row.
    normalization : {"act", "batch", None}
        What stands before each coupling, channel by channel.
    weight_norm : bool
        Weight-normalized convolutions.

    Raises
    ------
    ValueError
        If the shape does not fit `dim` or the scales.

    References
    ----------
    Dinh, Sohl-Dickstein and Bengio, 2017, arXiv:1605.08803, section 3.6.

    Taught in :ref:`coupling`.
    """

    def __init__(
        self,
        dim: int,
        *,
        shape: tuple[int, int, int] | None = None,
        scales: int = 2,
        channels: int = 32,
        couplings: int = 2,
        normalization: str | None = "act",
        weight_norm: bool = True,
    ) -> None:
        side = math.isqrt(dim)
        c, h, w = shape or (1, side, side)
        if c * h * w != dim:
            raise ValueError(f"shape: {(c, h, w)} holds {c * h * w} values, expected dim={dim}; give shape=")
        if min(scales, couplings) < 1 or h % 2 ** (scales - 1) or w % 2 ** (scales - 1):
            raise ValueError(
                f"scales={scales}, couplings={couplings}: expected at least 1, and an image of {h} x {w} "
                "that can be halved between scales"
            )
        normalize = _choose(NORMALIZATIONS, normalization, "normalization")
        layers: list[nn.Module] = []

        def add(pattern: str) -> None:
            for k in range(couplings):
                if normalize is not None:
                    layers.append(normalize(c))
                layers.append(
                    ConvCoupling(
                        (c, h, w),
                        pattern=pattern,
                        flip=k % 2 == 1,
                        channels=channels,
                        weight_norm=weight_norm,
                    )
                )

        leaves = []  # of what leaves at each scale, and of what stays at the end
        for _ in range(scales - 1):
            add("checkerboard")
            layers.append(_Squeeze())
            c, h, w = 4 * c, h // 2, w // 2
            add("channel")
            layers.append(_FactorOut())
            c //= 2
            leaves.append((c, h, w))
        add("checkerboard" if h * w > 1 else "channel")
        super().__init__(dim, layers)
        self.image, self.parts = shape or (1, side, side), [*leaves, (c, h, w)]

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total, done, y = x.new_zeros(len(x)), [], x.view(-1, *self.image)
        for layer in self.layers:
            if isinstance(layer, _FactorOut):
                y, out = y.chunk(2, dim=1)
                done.append(out.flatten(1))
            else:
                y, log_det = layer.forward_and_log_det(y)
                total = total + log_det
        return torch.cat([*done, y.flatten(1)], dim=1), total

    def _inverse(self, z: Tensor) -> Tensor:
        pieces = z.split([math.prod(part) for part in self.parts], dim=1)
        *done, y = [piece.view(-1, *part) for piece, part in zip(pieces, self.parts, strict=True)]
        for layer in reversed(self.layers):
            back = isinstance(layer, _FactorOut)
            y = torch.cat([y, done.pop()], dim=1) if back else layer.inverse(y)
        return y.flatten(1)


def dequantize(
    counts: Tensor, levels: int, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    r"""Fill the gaps between whole numbers with uniform noise: :math:`x = (c + u)/L` in the unit cube.

    For any density :math:`p` on the cube,
    :math:`\mathbb E_u \log p(x) - D \log L \le \log P(c)`, where :math:`P(c)` is the mass of the cell.

    Parameters
    ----------
    counts : Tensor of shape (n, D)
        Whole numbers 0 to ``levels - 1``, as floats.
    levels : int
        Number of levels :math:`L`.
    generator : torch.Generator, optional
        Source of the noise.

    Returns
    -------
    x : Tensor of shape (n, D)
        In [0, 1).
    log_det : Tensor of shape (n,)
        :math:`-D \log L`, to add to a log-density of `x`.

    Raises
    ------
    ValueError
        If a value is no level.

    References
    ----------
    Theis, van den Oord and Bethge, 2016, arXiv:1511.01844.

    Taught in :ref:`coupling`.
    """
    if bool(((counts < 0) | (counts > levels - 1) | (counts != counts.round())).any()):
        raise ValueError(f"counts: expected whole numbers from 0 to {levels - 1}, got others")
    noise = torch.rand(counts.shape, generator=generator, dtype=counts.dtype, device=counts.device)
    below = 1 - torch.finfo(counts.dtype).eps  # 16 + u can round up to 17
    x = ((counts + noise) / levels).clamp(max=below)
    return x, x.new_full((len(x),), -counts.shape[1] * math.log(levels))
