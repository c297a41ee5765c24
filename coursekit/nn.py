"""The few building blocks that the neural topics share.

Taught where they are first used; nothing here knows a topic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn import functional

from coursekit.base import Likelihood

__all__ = ["Flow", "MaskedLinear", "check_count", "check_rows", "mlp", "rq_spline"]


def check_count(name: str, value: object, least: int = 1) -> int:
    """Refuse what is not a whole number of at least `least`, and return it.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        What came.
    least : int
        Smallest number that will do.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ValueError
        If it is none, or too small.

    Examples
    --------
    >>> check_count("layers", 0)
    Traceback (most recent call last):
        ...
    ValueError: layers: got 0, expected a whole number of at least 1
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}: got {value!r}, expected a whole number of at least {least}")
    return int(value)


def check_rows(x: object, dim: int, *, like: Tensor | None = None, name: str = "x") -> Tensor:
    """Refuse what is not a finite floating-point tensor of shape (n, dim), and return it.

    Call it where a user's data come in (``log_prob``, ``elbo``, ``forward_and_log_det``), not in ``loss``: it
    reads every value.

    Parameters
    ----------
    x : object
        What came.
    dim : int
        How many columns are expected.
    like : Tensor, optional
        A weight of the module; `x` must have its dtype.
    name : str
        Name of the argument, for the message.

    Returns
    -------
    Tensor of shape (n, dim)
        `x` itself.

    Raises
    ------
    TypeError
        If `x` is no tensor, or of another dtype than the module.
    ValueError
        If `x` has another shape, or is not finite.

    Examples
    --------
    >>> check_rows(torch.zeros(2, 3), 2)
    Traceback (most recent call last):
        ...
    ValueError: x: got shape (2, 3), expected (n, 2): one observation per row
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}: got {type(x).__name__}, expected a torch tensor; use torch.as_tensor, or Fitted"
        )
    if x.ndim != 2 or x.shape[1] != dim:
        raise ValueError(f"{name}: got shape {tuple(x.shape)}, expected (n, {dim}): one observation per row")
    if not x.is_floating_point() or (like is not None and x.dtype != like.dtype):
        wanted = "a floating-point dtype" if like is None else f"{like.dtype}, as the module has"
        raise TypeError(f"{name}: got {x.dtype}, expected {wanted}; convert with x.to(...) or module.to(...)")
    if not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).any(dim=1).nonzero()[0])
        raise ValueError(f"{name}: row {bad} holds NaN or infinity; remove or repair such rows")
    return x


def mlp(
    dim_in: int,
    dim_out: int,
    *,
    hidden: Sequence[int] = (64, 64),
    activation: Callable[[], nn.Module] = nn.SiLU,
) -> nn.Sequential:
    """Fully connected layers with an activation between them, none after the last.

    Parameters
    ----------
    dim_in, dim_out : int
        Columns that come in and go out.
    hidden : sequence of int
        Widths of the hidden layers; none gives one affine map.
    activation : callable
        Makes the activation, such as ``nn.SiLU`` or ``nn.Tanh``.

    Returns
    -------
    torch.nn.Sequential
        Maps (n, dim_in) to (n, dim_out).

    Raises
    ------
    ValueError
        If a width is less than one.

    Examples
    --------
    >>> mlp(2, 1, hidden=(8, 8))(torch.zeros(5, 2)).shape
    torch.Size([5, 1])
    """
    widths = [dim_in, *hidden, dim_out]
    if any(not isinstance(width, int) or width < 1 for width in widths):
        raise ValueError(f"widths: got {widths}, expected whole numbers of at least 1")
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), activation()]
    return nn.Sequential(*layers[:-1])


class MaskedLinear(nn.Linear):
    """A linear layer that lets some inputs reach some outputs only: ``x @ (mask * weight).T + bias``.

    Parameters
    ----------
    mask : Tensor of shape (dim_out, dim_in)
        True, or 1, where output i may see input j.
    bias : bool
        Whether to add a bias.

    Raises
    ------
    ValueError
        If `mask` is no matrix.

    References
    ----------
    Germain, Gregor, Murray and Larochelle (2015), MADE. arXiv:1502.03509, equation 8.

    Examples
    --------
    >>> layer = MaskedLinear(torch.tensor([[True, False], [True, True]]))
    >>> bool(layer(torch.tensor([[0.0, 5.0]]))[0, 0] == layer.bias[0])
    True
    """

    mask: Tensor

    def __init__(self, mask: Tensor, *, bias: bool = True) -> None:
        if mask.ndim != 2:
            raise ValueError(f"mask: got shape {tuple(mask.shape)}, expected (dim_out, dim_in)")
        super().__init__(mask.shape[1], mask.shape[0], bias=bias)
        self.register_buffer("mask", mask.bool())

    def forward(self, x: Tensor) -> Tensor:
        """Apply the masked weights.

        Parameters
        ----------
        x : Tensor of shape (n, dim_in)
            Inputs.

        Returns
        -------
        Tensor of shape (n, dim_out)
            Outputs.
        """
        return functional.linear(x, self.weight * self.mask, self.bias)


class Flow(nn.Module):
    r"""Bijections one after another, from data to a standard normal law.

    .. math:: \log p(x) = \log \mathcal N(z; 0, I) + \sum_k \log\left|\det \frac{\partial f_k}{\partial
        x_{k-1}}\right|, \qquad x_0 = x, \quad x_k = f_k(x_{k-1}), \quad z = x_K

    Parameters
    ----------
    dim : int
        Number of columns of the data.
    layers : sequence of torch.nn.Module
        Bijections with ``forward_and_log_det(x)`` and ``inverse(z)``, in the order from data to latent.

    Raises
    ------
    ValueError
        If `dim` is less than one, or there is no layer.

    Notes
    -----
    Taught in :ref:`planar` and :ref:`coupling`.
    """

    likelihood = Likelihood.EXACT

    def __init__(self, dim: int, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        if not isinstance(dim, int) or dim < 1:
            raise ValueError(f"dim: got {dim!r}, expected a whole number of at least 1")
        if len(layers) == 0:
            raise ValueError("layers: got 0, expected at least 1: a flow without layers learns nothing")
        self.dim = dim
        self.layers = nn.ModuleList(layers)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to latent, with the logarithm of the absolute Jacobian determinant.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.

        Returns
        -------
        z : Tensor of shape (n, dim)
            Latent points.
        log_det : Tensor of shape (n,)
            Log-determinant of each row, in nats.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of that shape in the module's dtype.
        """
        return self._forward(check_rows(x, self.dim, like=next(self.parameters())))

    def _forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for layer in self.layers:
            x, log_det = layer.forward_and_log_det(x)
            total = total + log_det
        return x, total

    def inverse(self, z: Tensor) -> Tensor:
        """Map latent to data.

        Parameters
        ----------
        z : Tensor of shape (n, dim)
            Latent points.

        Returns
        -------
        Tensor of shape (n, dim)
            Data.

        Raises
        ------
        TypeError, ValueError
            If `z` is no finite tensor of that shape in the module's dtype.
        """
        return self._inverse(check_rows(z, self.dim, like=next(self.parameters()), name="z"))

    def _inverse(self, z: Tensor) -> Tensor:
        for layer in reversed(self.layers):
            z = layer.inverse(z)
        return z

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each row, exactly.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Points.

        Returns
        -------
        Tensor of shape (n,)
            Log-density in nats.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of that shape in the module's dtype.
        """
        return -self.loss(check_rows(x, self.dim, like=next(self.parameters())))

    def loss(self, batch: Tensor) -> Tensor:
        """Negative log-density of each row, in nats.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Data.

        Returns
        -------
        Tensor of shape (n,)
            What training minimizes in the mean.
        """
        z, log_det = self._forward(batch)
        return 0.5 * z.square().sum(dim=1) + 0.5 * self.dim * math.log(2 * math.pi) - log_det

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw from the model.

        Parameters
        ----------
        n : int
            How many rows.
        generator : torch.Generator, optional
            Source of the randomness, on the module's device.

        Returns
        -------
        Tensor of shape (n, dim)
            The samples.
        """
        like = next(self.parameters())
        z = torch.randn(n, self.dim, generator=generator, dtype=like.dtype, device=like.device)
        return self._inverse(z)


def rq_spline(
    x: Tensor,
    widths: Tensor,
    heights: Tensor,
    slopes: Tensor,
    *,
    bound: float = 3.0,
    inverse: bool = False,
    least: float = 1e-3,
) -> tuple[Tensor, Tensor]:
    r"""Map each number by its own increasing rational-quadratic spline, and give the log of the slope.

    On the square :math:`[-B, B]^2` the spline has `K` bins; outside it is the identity, and the slope is one
    at both ends. In a bin of width :math:`w` and height :math:`h`, from :math:`(x_k, y_k)`, with slopes
    :math:`\delta_k, \delta_{k+1}` at its ends, chord :math:`s = h/w` and :math:`\xi = (x - x_k)/w`,

    .. math:: y = y_k + \frac{h \,(s \xi^2 + \delta_k \xi (1 - \xi))}{s + (\delta_{k+1} + \delta_k - 2s)\,
        \xi (1 - \xi)} .

    Parameters
    ----------
    x : Tensor of shape (...)
        Where to evaluate.
    widths, heights : Tensor of shape (..., K)
        Unconstrained; a softmax makes them widths and heights that fill the square.
    slopes : Tensor of shape (..., K - 1)
        Unconstrained; a softplus makes them the slopes at the inner knots. Zeros give the identity.
    bound : float
        Half side :math:`B` of the square.
    inverse : bool
        Evaluate the inverse function instead, in closed form.
    least : float
        Smallest slope, and smallest width and height of a bin relative to the square.

    Returns
    -------
    y : Tensor of shape (...)
        Values.
    log_slope : Tensor of shape (...)
        Logarithm of the derivative of what was evaluated, dy/dx.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or `bound` is not above zero.

    References
    ----------
    Durkan, Bekasov, Murray and Papamakarios, 2019, arXiv:1906.04032; Gregory and Delbourgo, 1982.

    Taught in :ref:`coupling`.

    Examples
    --------
    >>> y, log_slope = rq_spline(torch.tensor([0.5, 9.0]), *torch.zeros(2, 2, 4), torch.zeros(2, 3))
    >>> torch.allclose(y, torch.tensor([0.5, 9.0])), torch.allclose(log_slope, torch.zeros(2), atol=1e-6)
    (True, True)
    """
    bins = widths.shape[-1]
    shapes = [tuple(part.shape) for part in (widths, heights, slopes)]
    if shapes != [(*x.shape, bins), (*x.shape, bins), (*x.shape, bins - 1)]:
        raise ValueError(
            f"widths, heights, slopes: got shapes {shapes} for x of shape {tuple(x.shape)}, "
            "expected (..., K), (..., K) and (..., K - 1)"
        )
    if not bound > 0:
        raise ValueError(f"bound: got {bound!r}, expected a number above zero")
    knots_x, knots_y = (_knots(part, bound, least) for part in (widths, heights))  # (..., K + 1)
    slopes = least + functional.softplus(slopes + math.log(math.expm1(1 - least)))
    slopes = functional.pad(slopes, (1, 1), value=1.0)  # (..., K + 1)

    inside = x.abs() < bound
    at = torch.where(inside, x, 0.0)
    ours = knots_y if inverse else knots_x
    index = (at.unsqueeze(-1) >= ours[..., 1:-1]).sum(dim=-1, keepdim=True)  # the bin of each number
    both = torch.cat([index, index + 1], dim=-1)
    (x0, x1), (y0, y1), (d0, d1) = (
        part.gather(-1, both).unbind(dim=-1) for part in (knots_x, knots_y, slopes)
    )
    width, height = x1 - x0, y1 - y0
    chord = height / width
    bend = d0 + d1 - 2 * chord
    if inverse:  # the root in [0, 1] of a quadratic, in the form without cancellation
        up = at - y0
        a = height * (chord - d0) + up * bend
        b = height * d0 - up * bend
        c = -chord * up
        xi = 2 * c / (-b - (b * b - 4 * a * c).clamp(min=0).sqrt())
        value = x0 + xi * width
    else:
        xi = (at - x0) / width
        value = y0 + height * (chord * xi * xi + d0 * xi * (1 - xi)) / (chord + bend * xi * (1 - xi))
    rest = xi * (1 - xi)
    top = d1 * xi * xi + 2 * chord * rest + d0 * (1 - xi) * (1 - xi)
    log_slope = 2 * chord.log() + top.log() - 2 * (chord + bend * rest).log()
    if inverse:
        log_slope = -log_slope
    return torch.where(inside, value, x), torch.where(inside, log_slope, 0.0)


def _knots(free: Tensor, bound: float, least: float) -> Tensor:
    """Knots that part [-bound, bound] into bins no narrower than `least` of it."""
    share = least + (1 - least * free.shape[-1]) * free.softmax(dim=-1)
    inner = bound * (2 * share.cumsum(dim=-1)[..., :-1] - 1)
    return functional.pad(functional.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)
