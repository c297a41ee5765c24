"""The few building blocks that the neural topics share.

Taught where they are first used; nothing here knows a topic.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["check_rows", "mlp"]


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
