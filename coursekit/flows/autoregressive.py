r"""Autoregressive models: masked networks for bits and images, and the flows built from them.

Every model here is the chain rule, :math:`p(x) = \prod_i p(x_i \mid x_1, \dots, x_{i-1})`, with all
conditionals
from one network whose masks keep a conditional from seeing its own value or a later one.

Taught in :ref:`autoregressive`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.nn import Flow, MaskedLinear, check_rows

__all__ = [
    "MADE",
    "InverseAutoregressiveFlow",
    "MaskedAffine",
    "MaskedAutoregressiveFlow",
    "MaskedConv2d",
    "MaskedMLP",
    "PixelCNN",
]

# ----------------------------------------------------------------------------------------------
# The masked network.


def _places(order: Sequence[int] | Tensor | None, dim: int) -> Tensor:
    """Place of each column in `order`, counted from 1: what the masks compare."""
    columns = list(range(dim)) if order is None else [int(i) for i in order]
    if sorted(columns) != list(range(dim)):
        raise ValueError(f"order: got {columns}, expected a permutation of the {dim} columns 0 to {dim - 1}")
    return torch.tensor(columns).argsort() + 1


class MaskedMLP(nn.Module):
    r"""A fully connected network whose output i sees only the inputs before column i.

    Every unit carries a *degree*: how many inputs, counted in the order, it may see. A hidden unit of degree
    m
    listens to units of degree at most m; an output at place i listens to degrees strictly below i.

    Parameters
    ----------
    dim : int
        Columns of the input.
    n_outputs : int
        Numbers that come out for each column.
    hidden : sequence of int
        Widths of the hidden layers; none gives one masked affine map.
    order : sequence of int, optional
        The columns, first to last; as they stand when left out.
    context_dim : int
        Columns of a context that every output may see.
    direct : bool
        Whether a masked affine map from input to output is added.
    activation : callable
        Makes the activation.

    Raises
    ------
    ValueError
        If a count is too small, or `order` is no permutation.

    Notes
    -----
    Taught in :ref:`autoregressive`.

    References
    ----------
    Germain, Gregor, Murray and Larochelle (2015), MADE: masked autoencoder for distribution estimation.
    arXiv:1502.03509.

    Examples
    --------
    >>> net = MaskedMLP(3, 2, order=[2, 0, 1])
    >>> net(torch.zeros(5, 3)).shape
    torch.Size([5, 3, 2])
    """

    def __init__(
        self,
        dim: int,
        n_outputs: int = 1,
        *,
        hidden: Sequence[int] = (64, 64),
        order: Sequence[int] | Tensor | None = None,
        context_dim: int = 0,
        direct: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("dim", dim, 1),
            ("n_outputs", n_outputs, 1),
            ("context_dim", context_dim, 0),
        ):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name}: got {value!r}, expected a whole number of at least {least}")
        if any(not isinstance(width, int) or width < 1 for width in hidden):
            raise ValueError(f"hidden: got {tuple(hidden)}, expected whole numbers of at least 1")
        self.dim, self.n_outputs, self.context_dim = dim, n_outputs, context_dim
        place = _places(order, dim)
        # Degree 0 sees no input: such units serve the context alone, or a single column.
        lowest = 0 if context_dim or dim == 1 else 1
        degrees = [torch.cat([place, torch.zeros(context_dim, dtype=place.dtype)])]
        degrees += [lowest + torch.arange(width) * (dim - lowest) // width for width in hidden]
        last = place.repeat_interleave(n_outputs)  # (dim * n_outputs,)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(degrees):
            layers += [MaskedLinear(after[:, None] >= before), activation()]
        self.layers = nn.Sequential(*layers, MaskedLinear(last[:, None] > degrees[-1]))
        self.direct = MaskedLinear(last[:, None] > degrees[0], bias=False) if direct else None

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute the numbers of every column from the columns before it.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Rows.
        context : Tensor of shape (n, context_dim), optional
            What every conditional may see.

        Returns
        -------
        Tensor of shape (n, dim, n_outputs)
            Numbers for each column.
        """
        seen = x if context is None else torch.cat([x, context], dim=1)
        out = self.layers(seen)
        if self.direct is not None:
            out = out + self.direct(seen)
        return out.unflatten(1, (self.dim, self.n_outputs))


def _check_context(context: Tensor | None, context_dim: int, n: int, like: Tensor) -> Tensor | None:
    """Refuse a context that the net was not built for."""
    if context_dim == 0:
        if context is not None:
            raise ValueError(
                "context: this model was built without one; pass context_dim= to its constructor"
            )
        return None
    if context is None:
        raise ValueError(f"context: missing, expected a tensor of shape ({n}, {context_dim})")
    check_rows(context, context_dim, like=like, name="context")
    if len(context) != n:
        raise ValueError(f"context: got {len(context)} rows, expected {n}, one for each row of the data")
    return context


# ----------------------------------------------------------------------------------------------
# Bits.


class _AutoregressiveBits(nn.Module):
    """What the models of bits share: a subclass has ``dim``, ``order`` and ``logits``."""

    likelihood = Likelihood.EXACT
    dim: int
    order: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """Log-odds of each bit given the bits before it; `x` has shape (n, dim), the result too."""
        raise NotImplementedError

    def loss(self, batch: Tensor) -> Tensor:
        """Negative log-probability of each row, in nats.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Zeros and ones.

        Returns
        -------
        Tensor of shape (n,)
            One value for each row.

        Raises
        ------
        ValueError
            If a value is neither 0 nor 1.
        """
        if not bool(((batch == 0) | (batch == 1)).all()):
            bad = batch[(batch != 0) & (batch != 1)][0]
            raise ValueError(
                f"x: got the value {bad:g}, expected zeros and ones; threshold or draw the bits first"
            )
        # softplus((1 - 2 x) a) is -log P(x) at log-odds a, without overflow for any a.
        return F.softplus((1 - 2 * batch) * self.logits(batch)).sum(dim=1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of each row.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Zeros and ones.

        Returns
        -------
        Tensor of shape (n,)
            Log-probability in nats.

        Raises
        ------
        TypeError, ValueError
            If `x` is no tensor of zeros and ones of this shape, in the module's dtype.
        """
        return -self.loss(check_rows(x, self.dim, like=next(self.parameters())))

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw rows, one column after another: as many passes as there are columns.

        Parameters
        ----------
        n : int
            How many rows.
        generator : torch.Generator, optional
            Source of randomness.

        Returns
        -------
        Tensor of shape (n, dim)
            Zeros and ones.
        """
        weight = next(self.parameters())
        uniform = torch.rand(n, self.dim, generator=generator, dtype=weight.dtype, device=weight.device)
        x = torch.zeros_like(uniform)
        for i in self.order.tolist():
            x[:, i] = (uniform[:, i] < torch.sigmoid(self.logits(x)[:, i])).to(x)
        return x


@catalogued(
    examples=lambda d: [
        Fitted(MADE, hidden=(64,), epochs=8, lr=1e-2, batch_size=64, device="cpu", random_state=0),
        Fitted(MADE, order=range(d)[::-1], hidden=(), epochs=4, lr=3e-2, device="cpu", random_state=0),
    ],
    dims=(1, 2, 5),
    support="binary",
    cost={"fit": "gradient steps, one pass each", "log_prob": "one pass", "sample": "d passes"},
)
class MADE(_AutoregressiveBits):
    r"""Bits given the bits before them, all conditionals from one masked network.

    .. math:: \log P(x) = \sum_i \log P(x_i \mid x_{<i}),\qquad P(x_i = 1 \mid x_{<i}) = \sigma(a_i(x_{<i})).

    Parameters
    ----------
    dim : int
        Number of bits.
    hidden : sequence of int
        Widths of the hidden layers. With none, and `direct`, it is a logistic autoregression.
    order : sequence of int, optional
        The columns, first to last.
    direct : bool
        Whether a masked affine map from input to output is added to the network.

    Attributes
    ----------
    net : MaskedMLP
        The network.
    order : Tensor of shape (dim,)
        The columns, first to last.

    Notes
    -----
    Taught in :ref:`autoregressive`.

    References
    ----------
    Germain, Gregor, Murray and Larochelle (2015), MADE: masked autoencoder for distribution estimation.
    arXiv:1502.03509. Bengio and Bengio (1999), Modeling high-dimensional discrete data with multi-layer
    neural
    networks. NIPS 12.

    Examples
    --------
    >>> model = MADE(2, hidden=(8,))
    >>> states = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> round(model.log_prob(states).exp().sum().item(), 5)
    1.0
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (256,),
        order: Sequence[int] | Tensor | None = None,
        direct: bool = True,
    ) -> None:
        super().__init__()
        self.dim = dim
        # Without hidden layers the network is itself the affine map.
        self.net = MaskedMLP(
            dim, hidden=hidden, order=order, direct=direct and len(hidden) > 0, activation=nn.ReLU
        )
        self.register_buffer("order", _places(order, dim).argsort())

    def logits(self, x: Tensor) -> Tensor:
        """Log-odds of each bit given the bits before it.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Zeros and ones.

        Returns
        -------
        Tensor of shape (n, dim)
            Log-odds.
        """
        return self.net(x)[..., 0]


class MaskedConv2d(nn.Conv2d):
    """A convolution that sees only pixels above, and to the left in its own row.

    Parameters
    ----------
    kind : {"A", "B"}
        A does not see the pixel itself, B does: A stands first, where channels hold pixels, B after it, where
        channels hold what was computed from earlier pixels.
    in_channels, out_channels : int
        Channels that come in and go out.
    kernel_size : int
        Odd; the image keeps its size.

    Raises
    ------
    ValueError
        If `kind` is neither "A" nor "B", or `kernel_size` is even.

    Notes
    -----
    Taught in :ref:`autoregressive`.

    References
    ----------
    van den Oord, Kalchbrenner and Kavukcuoglu (2016), Pixel recurrent neural networks. arXiv:1601.06759,
    section 3.4.
    """

    mask: Tensor

    def __init__(self, kind: str, in_channels: int, out_channels: int, kernel_size: int) -> None:
        if kind not in ("A", "B"):
            raise ValueError(f"kind: got {kind!r}, expected 'A' (without the pixel itself) or 'B' (with it)")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: got {kernel_size}, expected an odd number")
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        middle = kernel_size // 2
        mask = torch.zeros(kernel_size, kernel_size, dtype=torch.bool)
        mask[:middle] = True  # the rows above
        mask[middle, : middle + (kind == "B")] = True  # the own row, to the left
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve with the masked kernel.

        Parameters
        ----------
        x : Tensor of shape (n, in_channels, height, width)
            Images.

        Returns
        -------
        Tensor of shape (n, out_channels, height, width)
            Features.
        """
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


@catalogued(
    examples=lambda d: [
        Fitted(PixelCNN, channels=8, blocks=1, epochs=3, lr=1e-2, batch_size=64, device="cpu", random_state=0)
    ],
    dims=(1, 4, 9),
    support="binary",
    cost={"fit": "gradient steps, one pass each", "log_prob": "one pass", "sample": "d passes"},
)
class PixelCNN(_AutoregressiveBits):
    r"""Binary images, pixel given the pixels above and to the left, by masked convolutions.

    The weights are shared by all pixels; a learned map of the place, added after the first convolution,
    tells the
    network where it is. Pixels are read row by row.

    Parameters
    ----------
    dim : int
        Number of pixels, a square number: rows of the data are flattened square images.
    channels : int
        Channels of the hidden layers.
    blocks : int
        Residual blocks, each one 3x3 masked convolution between two 1x1 ones.
    kernel_size : int
        Width of the first convolution, odd.

    Attributes
    ----------
    side : int
        Width of the images.

    Raises
    ------
    ValueError
        If `dim` is no square number, or a count is less than one.

    Notes
    -----
    Taught in :ref:`autoregressive`. Stacked masks leave a blind spot to the upper right, shown there.

    References
    ----------
    van den Oord, Kalchbrenner and Kavukcuoglu (2016), Pixel recurrent neural networks. arXiv:1601.06759.

    Examples
    --------
    >>> PixelCNN(10)
    Traceback (most recent call last):
        ...
    ValueError: dim: got 10, expected a square number: a row is a flattened square image
    """

    def __init__(self, dim: int, *, channels: int = 32, blocks: int = 3, kernel_size: int = 7) -> None:
        super().__init__()
        self.dim, self.side = dim, math.isqrt(max(dim, 0))
        if dim < 1 or self.side**2 != dim:
            raise ValueError(f"dim: got {dim}, expected a square number: a row is a flattened square image")
        for name, value in (("channels", channels), ("blocks", blocks)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: got {value!r}, expected a whole number of at least 1")
        self.first = MaskedConv2d("A", 1, channels, kernel_size)
        self.place = nn.Parameter(torch.zeros(channels, self.side, self.side))
        half = max(1, channels // 2)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Conv2d(channels, half, 1),
                nn.ReLU(), MaskedConv2d("B", half, half, 3),
                nn.ReLU(), nn.Conv2d(half, channels, 1),
            )
            for _ in range(blocks)
        )  # fmt: skip
        self.last = nn.Sequential(
            nn.ReLU(), nn.Conv2d(channels, channels, 1), nn.ReLU(), nn.Conv2d(channels, 1, 1)
        )
        self.register_buffer("order", torch.arange(dim))

    def logits(self, x: Tensor) -> Tensor:
        """Log-odds of each pixel given the pixels before it.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Zeros and ones.

        Returns
        -------
        Tensor of shape (n, dim)
            Log-odds.
        """
        h = self.first(x.reshape(-1, 1, self.side, self.side)) + self.place  # (n, channels, side, side)
        for block in self.blocks:
            h = h + block(h)
        return self.last(h).flatten(1)


# ----------------------------------------------------------------------------------------------
# Flows.


class MaskedAffine(nn.Module):
    r"""One autoregressive affine map, :math:`T(x)_i = (x_i - m_i(x_{<i}))\, e^{-s_i(x_{<i})}`.

    `whiten` applies it in one pass, `unwhiten` inverts it column by column. The Jacobian of `T` is
    triangular and
    its log-determinant is :math:`-\sum_i s_i`.

    Parameters
    ----------
    dim : int
        Number of columns.
    hidden : sequence of int
        Widths of the hidden layers.
    order : sequence of int, optional
        The columns, first to last.
    context_dim : int
        Columns of the context.
    net : nn.Module, optional
        Another network: ``net(x, context)`` of shape (n, dim, 2), causal in `order`.
    activation : callable
        Makes the activation of the default network.

    Notes
    -----
    Taught in :ref:`autoregressive`. The log-scale is kept within ±5 by a hyperbolic tangent.

    References
    ----------
    Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation.
    arXiv:1705.07057.
    """

    order: Tensor

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (64, 64),
        order: Sequence[int] | Tensor | None = None,
        context_dim: int = 0,
        net: nn.Module | None = None,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        self.dim, self.context_dim = dim, context_dim
        self.register_buffer("order", _places(order, dim).argsort())
        self.net = net
        if net is None:
            self.net = MaskedMLP(
                dim, 2, hidden=hidden, order=order, context_dim=context_dim, activation=activation
            )

    def mean_and_log_scale(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of each column given those before it.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Rows.
        context : Tensor of shape (n, context_dim), optional
            Context.

        Returns
        -------
        mean, log_scale : Tensor of shape (n, dim)
            Of each conditional Gaussian.
        """
        mean, raw = self.net(x, context).unbind(dim=2)  # type: ignore[misc]
        return mean, 5 * torch.tanh(raw / 5)

    def whiten(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Apply the map, in one pass.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Rows.
        context : Tensor of shape (n, context_dim), optional
            Context.

        Returns
        -------
        u : Tensor of shape (n, dim)
            ``T(x)``.
        log_det : Tensor of shape (n,)
            ``log|det dT/dx|``.
        """
        mean, log_scale = self.mean_and_log_scale(x, context)
        return (x - mean) * torch.exp(-log_scale), -log_scale.sum(dim=1)

    def unwhiten(self, u: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Invert the map, one column after another: `dim` passes.

        Parameters
        ----------
        u : Tensor of shape (n, dim)
            Rows.
        context : Tensor of shape (n, context_dim), optional
            Context.

        Returns
        -------
        x : Tensor of shape (n, dim)
            The row with ``T(x) = u``.
        log_det : Tensor of shape (n,)
            ``log|det dx/du|``.
        """
        x, log_det = torch.zeros_like(u), torch.zeros_like(u[:, 0])
        columns = torch.arange(self.dim, device=u.device)
        for i in self.order.tolist():  # column i is right once the columns before it are
            mean, log_scale = self.mean_and_log_scale(x, context)
            x = torch.where(columns == i, u * torch.exp(log_scale) + mean, x)
            log_det = log_det + log_scale[:, i]
        return x, log_det


class _AffineFlow(Flow):
    """A stack of masked affine maps over a standard Gaussian; the subclass says which way is quick."""

    def __init__(
        self,
        dim: int,
        *,
        layers: int | Sequence[MaskedAffine] = 5,
        hidden: Sequence[int] = (64, 64),
        context_dim: int = 0,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        if isinstance(layers, int):
            orders = [range(dim), range(dim)[::-1]]  # reversed from layer to layer
            layers = [
                MaskedAffine(
                    dim, hidden=hidden, order=orders[k % 2], context_dim=context_dim, activation=activation
                )
                for k in range(layers)
            ]
        super().__init__(dim, layers)
        if {layer.dim for layer in layers} != {dim}:
            found = [layer.dim for layer in layers]
            raise ValueError(f"layers: got maps of {found} columns, expected {dim} in each")
        self.context_dim = layers[0].context_dim

    def _checked(self, x: Tensor, context: Tensor | None, name: str) -> tuple[Tensor, Tensor | None]:
        weight = next(self.parameters())
        check_rows(x, self.dim, like=weight, name=name)
        return x, _check_context(context, self.context_dim, len(x), weight)

    def _whiten(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """All maps, first to last: one pass each."""
        log_det = torch.zeros_like(x[:, 0])
        for layer in self.layers:
            x, part = layer.whiten(x, context)
            log_det = log_det + part
        return x, log_det

    def _unwhiten(self, u: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """All inverses, last to first: `dim` passes each."""
        log_det = torch.zeros_like(u[:, 0])
        for layer in reversed(self.layers):
            u, part = layer.unwhiten(u, context)
            log_det = log_det + part
        return u, log_det

    def forward_and_log_det(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latent.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.
        context : Tensor of shape (n, context_dim), optional
            Context, where the model was built with one.

        Returns
        -------
        z : Tensor of shape (n, dim)
            Latent.
        log_det : Tensor of shape (n,)
            ``log|det dz/dx|``.

        Raises
        ------
        TypeError, ValueError
            If `x` or `context` is of another kind, shape or dtype than the module expects.
        """
        return self._forward(*self._checked(x, context, "x"))

    def inverse_and_log_det(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latent to data.

        Parameters
        ----------
        z : Tensor of shape (n, dim)
            Latent.
        context : Tensor of shape (n, context_dim), optional
            Context, where the model was built with one.

        Returns
        -------
        x : Tensor of shape (n, dim)
            Data.
        log_det : Tensor of shape (n,)
            ``log|det dx/dz|``.

        Raises
        ------
        TypeError, ValueError
            If `z` or `context` is of another kind, shape or dtype than the module expects.
        """
        return self._inverse(*self._checked(z, context, "z"))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Map latent to data.

        Parameters
        ----------
        z : Tensor of shape (n, dim)
            Latent.
        context : Tensor of shape (n, context_dim), optional
            Context, where the model was built with one.

        Returns
        -------
        Tensor of shape (n, dim)
            Data.
        """
        return self.inverse_and_log_det(z, context)[0]

    def _forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density of each row.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.
        context : Tensor of shape (n, context_dim), optional
            Context, where the model was built with one.

        Returns
        -------
        Tensor of shape (n,)
            Log-density in nats.

        Raises
        ------
        TypeError, ValueError
            If `x` or `context` is of another kind, shape or dtype than the module expects.
        """
        return -self.loss(*self._checked(x, context, "x"))

    def loss(self, batch: Tensor, context: Tensor | None = None) -> Tensor:
        """Negative log-density of each row, in nats.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Data.
        context : Tensor of shape (n, context_dim), optional
            Context, where the model was built with one.

        Returns
        -------
        Tensor of shape (n,)
            One value for each row.
        """
        z, log_det = self._forward(batch, context)
        return 0.5 * (z.square().sum(dim=1) + self.dim * math.log(2 * math.pi)) - log_det

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw rows.

        Parameters
        ----------
        n : int
            How many rows.
        context : Tensor of shape (n, context_dim), optional
            Context, where the model was built with one.
        generator : torch.Generator, optional
            Source of randomness.

        Returns
        -------
        Tensor of shape (n, dim)
            The samples.
        """
        weight = next(self.parameters())
        z = torch.randn(n, self.dim, generator=generator, dtype=weight.dtype, device=weight.device)
        return self.inverse(z, context)


_SMALL: dict[str, Any] = {
    "layers": 2,
    "hidden": (24,),
    "batch_size": 75,
    "lr": 1e-2,
    "device": "cpu",
    "random_state": 0,
}


@catalogued(
    examples=lambda d: [Fitted(MaskedAutoregressiveFlow, epochs=20, **_SMALL)],
    dims=(2, 3),
    support="real",
    cost={"fit": "gradient steps, one pass each", "log_prob": "one pass", "sample": "d passes"},
)
class MaskedAutoregressiveFlow(_AffineFlow):
    r"""MAF: the masked network reads the data; a density takes one pass, a sample `dim` passes.

    Each layer maps :math:`u_i = (x_i - m_i(x_{<i}))\, e^{-s_i(x_{<i})}`: a Gaussian for each column whose
    mean and scale depend on the columns before it. The order is reversed from layer to layer.

    Parameters
    ----------
    dim : int
        Number of columns.
    layers : int or sequence of MaskedAffine
        How many layers, or the layers themselves.
    hidden : sequence of int
        Widths of the hidden layers of each network.
    context_dim : int
        Columns of a context that every conditional sees; 0 for none.
    activation : callable
        Makes the activation.

    Raises
    ------
    ValueError
        If there is no layer, or a layer has another number of columns.

    Notes
    -----
    Taught in :ref:`autoregressive`.

    References
    ----------
    Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation.
    arXiv:1705.07057.

    Examples
    --------
    >>> z, log_det = MaskedAutoregressiveFlow(3).forward_and_log_det(torch.zeros(5, 3))
    >>> z.shape, log_det.shape
    (torch.Size([5, 3]), torch.Size([5]))
    """

    def _forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._whiten(x, context)

    def _inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._unwhiten(z, context)


@catalogued(
    examples=lambda d: [Fitted(InverseAutoregressiveFlow, epochs=10, **_SMALL)],
    dims=(2, 3),
    support="real",
    cost={"fit": "gradient steps, d passes each", "log_prob": "d passes", "sample": "one pass"},
)
class InverseAutoregressiveFlow(_AffineFlow):
    r"""IAF: the masked network reads the latent; a sample takes one pass, a density `dim` passes.

    A sample knows the density of itself in the same pass (``inverse_and_log_det``), which is what a
    variational posterior needs. With the layers of a masked autoregressive flow it is that flow's inverse:
    ``InverseAutoregressiveFlow(dim, layers=list(maf.layers))``.

    Parameters
    ----------
    dim : int
        Number of columns.
    layers : int or sequence of MaskedAffine
        How many layers, or the layers themselves.
    hidden : sequence of int
        Widths of the hidden layers of each network.
    context_dim : int
        Columns of a context that every conditional sees; 0 for none.
    activation : callable
        Makes the activation.

    Raises
    ------
    ValueError
        If there is no layer, or a layer has another number of columns.

    Notes
    -----
    Taught in :ref:`autoregressive`.

    References
    ----------
    Kingma, Salimans, Jozefowicz, Chen, Sutskever and Welling (2016), Improving variational inference with
    inverse autoregressive flow. arXiv:1606.04934.

    Examples
    --------
    >>> InverseAutoregressiveFlow(3).sample(5).shape
    torch.Size([5, 3])
    """

    def _forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._unwhiten(x, context)

    def _inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._whiten(z, context)
