"""The laws that every generative model obeys, as functions.

Each law measures one number, compares it with what the mathematics demands, and
returns a :class:`Law` that prints as one line. A broken law raises
:class:`LawBroken` with a hint at the usual mistake. The tests, the chapters and
the labs call the same functions.

Taught in :ref:`use`.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Array = NDArray[Any]
Bounds = Sequence[tuple[float, float]]

_NODES_1D = 2**17
_NODES_2D = 1000
_TILE = 200_000


class LawBroken(AssertionError):
    """A model breaks a law; the message says by how much and where to look."""


@dataclass(frozen=True)
class Law:
    """A law that was measured and holds.

    Attributes
    ----------
    name : str
        What was measured.
    value : float
        The measured number.
    target : float
        What the mathematics demands.
    tolerance : float
        How far `value` may be from `target`.
    """

    name: str
    value: float
    target: float
    tolerance: float

    def __str__(self) -> str:
        return f"holds: {self.name} = {self.value:.6g} (expected {self.target:g} ± {self.tolerance:.2g})"

    __repr__ = __str__


def _verdict(name: str, value: float, target: float, tolerance: float, hint: str) -> Law:
    """Return the law, or raise with the hint; NaN never passes."""
    if not abs(value - target) <= tolerance:
        expected = f"expected {target:g} ± {tolerance:.2g}"
        raise LawBroken(f"{name} = {value:.6g}, {expected}. {hint}")
    return Law(name, float(value), float(target), float(tolerance))


def _gap(a: Array, b: Array) -> Array:
    """Absolute differences; equal infinities agree."""
    same = a == b
    return np.abs(np.where(same, 0.0, a) - np.where(same, 0.0, b))


def _numpy(x: Any) -> Array:
    """Turn whatever a model returns into a float64 array."""
    if hasattr(x, "detach"):
        x = x.detach().cpu().numpy()
    return np.asarray(x, dtype=np.float64)


def _is_module(model: object) -> bool:
    return hasattr(model, "state_dict") and hasattr(model, "parameters")


def _log_prob(model: Any, x: Array) -> Array:
    """Log-density of the rows of `x`, in tiles so that memory stays small."""
    if _is_module(model):
        import torch

        example = next(iter(model.parameters()), torch.zeros(()))

        def evaluate(tile: Array) -> Any:
            return model.log_prob(torch.as_tensor(tile, dtype=example.dtype, device=example.device))
    else:
        evaluate = model.log_prob
    out = np.concatenate([_numpy(evaluate(x[i : i + _TILE])) for i in range(0, len(x), _TILE)])
    if out.shape != (len(x),):
        raise LawBroken(
            f"log_prob returned shape {out.shape} for {len(x)} rows, expected ({len(x)},). "
            "Sum over the dimensions of a row; keep one number per row."
        )
    return out


def _sample(model: Any, n: int, seed: int) -> Array:
    if _is_module(model):
        import torch

        return _numpy(model.sample(n, generator=torch.Generator().manual_seed(seed)))
    return _numpy(model.sample(n, random_state=seed))


def _dim(model: Any, dim: int | None, bounds: Bounds | None) -> int:
    if dim is not None:
        return dim
    if bounds is not None:
        return len(bounds)
    for name in ("n_features_in_", "dim"):
        if hasattr(model, name):
            return int(getattr(model, name))
    raise ValueError("dim: the model does not say how many columns its data has; pass dim=")


def _spread(model: Any, seed: int) -> tuple[Array, Array]:
    """Centre and half-width of a box around the bulk of the model's samples, per column."""
    draws = _sample(model, 2000, seed)
    low, high = np.quantile(draws, [0.005, 0.995], axis=0)
    width = np.where(high > low, high - low, 1.0)
    return (low + high) / 2, width


def _axis(center: float, half_width: float, n: int) -> tuple[Array, Array]:
    """Nodes and weights of the midpoint rule on the whole line, by x = c + w t / (1 - t^2).

    Odd counts put a node on the centre, so the midpoint grid is even; the map is dense
    within one half-width of the centre and reaches far into both tails.
    """
    t = -1 + 2 * (np.arange(n) + 0.5) / n
    x = center + half_width * t / (1 - t**2)
    weight = half_width * (1 + t**2) / (1 - t**2) ** 2 * 2 / n
    return x, weight


def _window(low: float, high: float, n: int) -> tuple[Array, Array]:
    x = low + (high - low) * (np.arange(n) + 0.5) / n
    return x, np.full(n, (high - low) / n)


def _grid(model: Any, dim: int, bounds: Bounds | None, seed: int) -> tuple[list[Array], Array]:
    """Nodes per axis and the model's probability mass at each node of their product."""
    n = _NODES_1D if dim == 1 else _NODES_2D
    if bounds is not None:
        axes = [_window(low, high, n) for low, high in bounds]
    else:
        center, width = _spread(model, seed)
        axes = [_axis(c, w, n) for c, w in zip(center, width, strict=True)]
    nodes = [x for x, _ in axes]
    points = np.stack(np.meshgrid(*nodes, indexing="ij"), axis=-1).reshape(-1, dim)  # (n^dim, dim)
    log_weight = sum(np.meshgrid(*[np.log(w) for _, w in axes], indexing="ij"))
    log_mass = _log_prob(model, points).reshape((n,) * dim) + log_weight
    return nodes, np.exp(log_mass)


@dataclass(frozen=True)
class _Proposal:
    """Heavy-tailed draws around a model's own samples, for importance sampling.

    Half of the draws come from one broad Student t, half from a mixture of narrow ones,
    so that neither a far tail nor a sharp mode is missed.
    """

    x: Array
    log_q: Array

    @classmethod
    def around(cls, model: Any, dim: int, n: int, seed: int, centers: int = 500) -> _Proposal:
        rng = np.random.default_rng(seed)
        draws = _sample(model, max(4 * centers, 2000), seed + 1)
        cov = np.atleast_2d(np.cov(draws.T)) + 1e-12 * np.eye(dim)
        mu, scott = draws.mean(axis=0), centers ** (-1 / (dim + 4))
        broad = stats.multivariate_t(mu, 2.0 * cov, df=5, seed=rng)
        narrow = stats.multivariate_t(np.zeros(dim), 2.0 * scott**2 * cov, df=5, seed=rng)
        middle = draws[:centers]
        around = middle[rng.integers(centers, size=n - n // 2)] + narrow.rvs(n - n // 2).reshape(-1, dim)
        x = np.concatenate([broad.rvs(n // 2).reshape(-1, dim), around])
        log_narrow = np.stack([narrow.logpdf(x - c) for c in middle])  # (centers, n)
        log_narrow = special.logsumexp(log_narrow, axis=0) - np.log(centers)
        return cls(x, np.logaddexp(broad.logpdf(x), log_narrow) - np.log(2))


def integrates_to_one(
    model: Any,
    *,
    dim: int | None = None,
    bounds: Bounds | None = None,
    tolerance: float | None = None,
    random_state: int = 0,
) -> Law:
    r"""Check that :math:`\int \exp(\log p(x)) \, dx = 1`.

    Quadrature over the whole line or plane in one and two dimensions, importance
    sampling with its standard error in more.

    Parameters
    ----------
    model : object
        Anything with ``log_prob(x)``, and ``sample`` unless `bounds` are given.
    dim : int, optional
        Number of columns; found from the model where it says.
    bounds : sequence of (low, high), optional
        Integrate over this window instead of the whole space (one or two dimensions).
    tolerance : float, optional
        Allowed distance from one; 1e-3 in one dimension, 5e-3 in two, five standard
        errors in more.
    random_state : int
        Seed of the draws that place the nodes.

    Returns
    -------
    Law
        The measured mass.

    Raises
    ------
    LawBroken
        If the mass is not one.
    ValueError
        If the dimension is unknown, or `bounds` are given in more than two dimensions.
    """
    dim = _dim(model, dim, bounds)
    hint = (
        "Is a normalizing factor missing, or taken once where it belongs to every dimension "
        "(or the other way round)? For a kernel: is the bandwidth in the denominator?"
    )
    if dim <= 2:
        _, mass = _grid(model, dim, bounds, random_state)
        default = 1e-3 if dim == 1 else 5e-3
        return _verdict("integral of the density", mass.sum(), 1.0, tolerance or default, hint)
    if bounds is not None:
        raise ValueError(f"bounds: a window works in one or two dimensions, got dim={dim}; leave it out")
    proposal = _Proposal.around(model, dim, 20_000, random_state)
    weight = np.exp(_log_prob(model, proposal.x) - proposal.log_q)
    error = weight.std(ddof=1) / np.sqrt(len(weight))
    if not error < 0.1:
        raise LawBroken(f"integral of the density: standard error {error:.2g}, too large to judge. {hint}")
    return _verdict("integral of the density", weight.mean(), 1.0, tolerance or 5 * error, hint)


def sums_to_one(model: Any, states: ArrayLike, *, tolerance: float = 1e-9) -> Law:
    r"""Check that :math:`\sum_x \exp(\log p(x)) = 1` over every state of a discrete model.

    Parameters
    ----------
    model : object
        Anything with ``log_prob(x)``.
    states : array_like of shape (m, d)
        Every value that the data can take, once.
    tolerance : float
        Allowed distance from one.

    Returns
    -------
    Law
        The measured sum.

    Raises
    ------
    LawBroken
        If the sum is not one.
    """
    total = np.exp(special.logsumexp(_log_prob(model, np.asarray(states))))
    hint = "Is a conditional normalized over the wrong axis, or a state counted twice?"
    return _verdict("sum of the probabilities", total, 1.0, tolerance, hint)


def _chi_square(counts: Array, expected: Array) -> float:
    """p-value of Pearson's test; the rarest cells are merged until each expects at least five."""
    merged: list[list[float]] = [[0.0, 0.0]]
    for i in np.argsort(expected):
        if merged[-1][1] >= 5:
            merged.append([0.0, 0.0])
        merged[-1][0] += counts[i]
        merged[-1][1] += expected[i]
    seen, due = np.array(merged).T
    statistic = np.sum((seen - due) ** 2 / np.maximum(due, 1e-300))
    return float(stats.chi2.sf(statistic, max(len(seen) - 1, 1)))


def _cell_p_value(model: Any, draws: Array, dim: int, seed: int) -> float:
    """Chi-square p-value of draws in cells whose probabilities come from quadrature."""
    nodes, mass = _grid(model, dim, None, seed)
    mass = mass / mass.sum()
    per_axis = 50 if dim == 1 else 16
    cell_of_node, cell_of_draw = np.zeros(mass.shape, dtype=int), np.zeros(len(draws), dtype=int)
    for axis in range(dim):
        other = tuple(k for k in range(dim) if k != axis)
        cumulative = np.cumsum(mass.sum(axis=other))
        inner = np.searchsorted(cumulative, np.arange(1, per_axis) / per_axis)
        inner = np.minimum(inner, len(nodes[axis]) - 2)
        edges = (nodes[axis][inner] + nodes[axis][inner + 1]) / 2
        shape = [1] * dim
        shape[axis] = -1
        cell_of_node = cell_of_node * per_axis + np.searchsorted(edges, nodes[axis]).reshape(shape)
        cell_of_draw = cell_of_draw * per_axis + np.searchsorted(edges, draws[:, axis])
    n_cells = per_axis**dim
    probability = np.bincount(cell_of_node.ravel(), mass.ravel(), minlength=n_cells)
    counts = np.bincount(cell_of_draw, minlength=n_cells).astype(float)
    return _chi_square(counts, probability * len(draws))


def _projection_p_value(model: Any, draws: Array, dim: int, seed: int) -> float:
    """p-value of the largest gap between draws and importance weights over random half-spaces."""
    rng = np.random.default_rng(seed)
    proposal = _Proposal.around(model, dim, 20_000, seed)
    weight = np.exp(_log_prob(model, proposal.x) - proposal.log_q)
    weight = weight / weight.sum()
    normals = np.concatenate([np.eye(dim), rng.standard_normal((10, dim))])
    worst = 0.0
    for normal in normals:
        along, reference = draws @ normal, proposal.x @ normal
        for level in (0.1, 0.5, 0.9):
            cut = np.quantile(reference, level)
            p, q = np.mean(along <= cut), np.sum(weight * (reference <= cut))
            error_q = np.sqrt(np.sum((weight * ((reference <= cut) - q)) ** 2))
            error_p = np.sqrt(max(q * (1 - q), 1 / len(draws)) / len(draws))
            worst = max(worst, abs(p - q) / np.hypot(error_p, error_q))
    return float(min(1.0, 2 * stats.norm.sf(worst) * 3 * len(normals)))  # Bonferroni


def samples_follow_density(
    model: Any,
    *,
    dim: int | None = None,
    states: ArrayLike | None = None,
    n_samples: int = 4000,
    false_alarm: float = 1e-6,
    random_state: int = 0,
) -> Law:
    """Check that ``sample`` draws from the law that ``log_prob`` evaluates.

    A chi-square test on cells whose probabilities are integrated numerically (one and
    two dimensions, or every state of a discrete model); in more dimensions the mass of
    random half-spaces against importance sampling.

    Parameters
    ----------
    model : object
        Anything with ``log_prob(x)`` and ``sample``.
    dim : int, optional
        Number of columns; found from the model where it says.
    states : array_like of shape (m, d), optional
        Every state of a discrete model.
    n_samples : int
        Number of draws.
    false_alarm : float
        Probability that a right model fails.
    random_state : int
        Seed of the draws.

    Returns
    -------
    Law
        The p-value, which may be anything between `false_alarm` and one.

    Raises
    ------
    LawBroken
        If the p-value is below `false_alarm`.
    """
    draws = _sample(model, n_samples, random_state)
    if states is not None:
        states = np.asarray(states)
        table = {tuple(state): i for i, state in enumerate(states.tolist())}
        index = [table.get(tuple(row), -1) for row in draws.tolist()]
        if min(index) < 0:
            raise LawBroken(f"sample returned {draws[np.argmin(index)]}, which is not among the states")
        counts = np.bincount(index, minlength=len(states)).astype(float)
        p_value = _chi_square(counts, np.exp(_log_prob(model, states)) * n_samples)
    else:
        dim = _dim(model, dim, None)
        if draws.shape != (n_samples, dim):
            raise LawBroken(f"sample returned shape {draws.shape}, expected ({n_samples}, {dim})")
        test = _cell_p_value if dim <= 2 else _projection_p_value
        p_value = test(model, draws, dim, random_state + 1)
    hint = "Do both use the same width? A variance used as a standard deviation looks like this."
    middle = (1 + false_alarm) / 2
    return _verdict("p-value of the samples under the density", p_value, middle, 1 - middle, hint)


def inverse_undoes_forward(bijection: Any, x: Any, *, tolerance: float = 1e-8) -> Law:
    """Check that ``inverse(forward(x))`` gives `x` back.

    Parameters
    ----------
    bijection : object
        With ``forward_and_log_det(x)`` and ``inverse(z)``.
    x : array or tensor of shape (n, d)
        Where to check.
    tolerance : float
        Largest allowed distance.

    Returns
    -------
    Law
        The largest distance, relative to the size of `x` where that exceeds one.

    Raises
    ------
    LawBroken
        If a point does not come back.
    """
    z, _ = bijection.forward_and_log_det(x)
    start, back = _numpy(x), _numpy(bijection.inverse(z))
    distance = np.max(np.abs(back - start) / np.maximum(1, np.abs(start)))
    hint = "Undo the steps in reverse order with the same masks; look for a missing bracket or sign."
    return _verdict("largest distance after a round trip", distance, 0.0, tolerance, hint)


def _jacobian(bijection: Any, row: Any) -> Array:
    """Jacobian of the forward map at one row: autograd for tensors, differences for arrays."""
    if hasattr(row, "detach"):
        import torch

        def f(r: Any) -> Any:
            return bijection.forward_and_log_det(r[None])[0][0]

        return _numpy(torch.autograd.functional.jacobian(f, row))
    d = len(row)
    step = 1e-4 * np.maximum(1.0, np.abs(row))
    shifts = np.concatenate([c * np.diag(step) for c in (1, -1, 2, -2)])
    z = _numpy(bijection.forward_and_log_det(row + shifts)[0]).reshape(4, d, d)
    slope = (8 * (z[0] - z[1]) - (z[2] - z[3])) / 12  # five-point rule, error O(step^4)
    return (slope / step[:, None]).T  # [output, input]


def log_det_matches_jacobian(bijection: Any, x: Any, *, tolerance: float = 1e-5) -> Law:
    """Check the log-determinant against the Jacobian, taken by autograd or finite differences.

    Parameters
    ----------
    bijection : object
        With ``forward_and_log_det(x)``.
    x : array or tensor of shape (n, d)
        Where to check; tensors are differentiated by autograd.
    tolerance : float
        Largest allowed error in nats.

    Returns
    -------
    Law
        The largest error in nats.

    Raises
    ------
    LawBroken
        If the log-determinant is wrong.
    """
    _, log_det = bijection.forward_and_log_det(x)
    expected = np.array([np.linalg.slogdet(_jacobian(bijection, row))[1] for row in x])
    log_det = _numpy(log_det)
    if log_det.shape != expected.shape:
        raise LawBroken(f"log-det has shape {log_det.shape}, expected {expected.shape}: one number per row")
    hint = "Sum the log-scales of a row once; the sign is that of log|det dz/dx|, data to latent."
    return _verdict("largest log-det error", np.max(np.abs(log_det - expected)), 0.0, tolerance, hint)


def one_log_det_per_sample(bijection: Any, x: Any) -> Law:
    """Check that the log-determinant is one number per row and does not depend on the batch.

    Parameters
    ----------
    bijection : object
        With ``forward_and_log_det(x)``.
    x : array or tensor of shape (n, d)
        Where to check.

    Returns
    -------
    Law
        The largest difference between a row alone and the same row in a batch.

    Raises
    ------
    LawBroken
        If a row's log-determinant changes with its neighbours, or has a wrong shape.
    """
    together = _numpy(bijection.forward_and_log_det(x)[1])
    if together.shape != (len(x),):
        raise LawBroken(f"log-det has shape {together.shape} for {len(x)} rows, expected ({len(x)},)")
    alone = np.array([_numpy(bijection.forward_and_log_det(x[i : i + 1])[1])[0] for i in range(len(x))])
    hint = "The log-det of a row must not see its neighbours: is it summed over the batch?"
    gap = np.max(_gap(together, alone))
    return _verdict("largest change of a log-det with its batch", gap, 0.0, 1e-5, hint)


def is_causal(
    net: Callable[[Any], Any], x: Any, order: Sequence[int] | None = None, *, tolerance: float = 1e-12
) -> Law:
    r"""Check that every output sees only the inputs before its own column.

    That is, :math:`\partial f_i / \partial x_j = 0` for every j that is i or comes after i in the order.
    The derivatives are taken by autograd, so every path through the network counts, whatever the masks say.

    Parameters
    ----------
    net : callable
        Maps a tensor (n, d) to a tensor (n, d), or (n, d, k) with k numbers for each column; rows do not mix.
    x : Tensor of shape (n, d)
        Where to differentiate. Take several random rows: where a unit is switched off, a leak does not show.
    order : sequence of int, optional
        The columns, first to last; as they stand when left out.
    tolerance : float
        Largest allowed derivative.

    Returns
    -------
    Law
        The largest forbidden derivative.

    Raises
    ------
    LawBroken
        If an output sees its own input or a later one.
    ValueError
        If `order` is no permutation of the columns.

    References
    ----------
    Germain, Gregor, Murray and Larochelle (2015), MADE. arXiv:1502.03509.
    """
    import torch

    x = x.detach()
    d = x.shape[1]
    order = list(range(d)) if order is None else [int(i) for i in order]
    if sorted(order) != list(range(d)):
        raise ValueError(f"order: got {order}, expected a permutation of the {d} columns")
    out = net(x)
    if out.ndim not in (2, 3) or out.shape[:2] != x.shape:
        shapes = f"{tuple(out.shape)} for {tuple(x.shape)}"
        raise LawBroken(f"the net returned shape {shapes}, expected (n, d) or (n, d, k)")
    slopes = torch.autograd.functional.jacobian(lambda rows: net(rows).sum(dim=0), x)  # (d, [k,] n, d)
    seen = _numpy(slopes.abs().reshape(d, -1, d).amax(dim=1))  # [output, input]
    forbidden = np.triu(seen[np.ix_(order, order)])  # by place in the order
    i, j = np.unravel_index(np.argmax(np.nan_to_num(forbidden, nan=np.inf)), forbidden.shape)
    hint = f"Column {order[i]} sees column {order[j]}, {'itself' if i == j else 'which comes later'}. "
    hint += "The last mask must be strict (place > degree); the masks before it are not (>=)."
    name = "largest derivative by a column's own or a later value"
    return _verdict(name, forbidden[i, j], 0.0, tolerance, hint)


def is_equivariant(
    make: Callable[[], Any],
    X: ArrayLike,
    x: ArrayLike,
    *,
    shift: float,
    scale: float,
    tolerance: float = 1e-8,
) -> Law:
    r"""Check that a change of units changes the density by the change-of-variables rule.

    Fitted on :math:`aX + b`, the model must give
    :math:`\log p(ax + b) = \log p(x) - d \log |a|`.

    Parameters
    ----------
    make : callable
        Returns an unfitted model.
    X : array_like of shape (n, d)
        Training data.
    x : array_like of shape (m, d)
        Where to compare.
    shift, scale : float
        The change of units, :math:`b` and :math:`a > 0`.
    tolerance : float
        Largest allowed difference in nats.

    Returns
    -------
    Law
        The largest difference in nats.

    Raises
    ------
    LawBroken
        If the model's shape depends on the units.
    """
    X, x = np.asarray(X, dtype=float), np.asarray(x, dtype=float)
    before = _log_prob(make().fit(X), x)
    after = _log_prob(make().fit(scale * X + shift), scale * x + shift) + x.shape[1] * np.log(abs(scale))
    gap = np.max(_gap(before, after))
    hint = "Feet and metres must give the same shape: does a width ignore the scale of the data?"
    return _verdict("largest change under new units", gap, 0.0, tolerance, hint)


def matches(
    value: ArrayLike,
    oracle: ArrayLike,
    *,
    name: str,
    rtol: float = 1e-6,
    atol: float = 1e-12,
) -> Law:
    """Check a number, or an array of them, against an independent computation.

    Parameters
    ----------
    value : array_like
        What the model says.
    oracle : array_like
        What a closed form or a trusted library says.
    name : str
        What is compared.
    rtol, atol : float
        Allowed relative and absolute error.

    Returns
    -------
    Law
        The largest error, as a share of what is allowed.

    Raises
    ------
    LawBroken
        If they differ, or have different shapes.
    """
    value, oracle = _numpy(value), _numpy(oracle)
    if value.shape != oracle.shape:
        raise LawBroken(f"{name}: shape {value.shape}, expected {oracle.shape}")
    allowed = atol + rtol * np.where(np.isfinite(oracle), np.abs(oracle), 0.0)
    share = np.max(_gap(value, oracle) / allowed, initial=0.0)
    return _verdict(
        f"{name}: error / allowed error", share, 0.0, 1.0, "Compare the two formulas term by term."
    )


def never_decreases(history: ArrayLike, *, tolerance: float = 1e-9) -> Law:
    """Check that an algorithm that must climb never takes a step down, as EM and coordinate ascent must.

    Parameters
    ----------
    history : array_like of shape (steps,)
        Its objective before the first step and after each, at least two numbers.
    tolerance : float
        Largest allowed fall of one step, as a share of the objective where that exceeds one: rounding.

    Returns
    -------
    Law
        The largest fall of one step, zero when there is none.

    Raises
    ------
    LawBroken
        If the objective falls, or is not finite.
    ValueError
        If `history` is not a list of at least two numbers.
    """
    values = _numpy(history)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"history: got shape {values.shape}, expected (steps,) with at least two of them")
    if not np.isfinite(values).all():
        first = int(np.argmin(np.isfinite(values)))
        raise LawBroken(f"the objective is {values[first]} at step {first}. Work in logarithms throughout.")
    falls = np.maximum(values[:-1] - values[1:], 0) / np.maximum(1, np.abs(values[:-1]))
    hint = (
        f"The worst step is number {int(np.argmax(falls)) + 1}. Do both halves of a round use the same "
        "parameters, and does the second maximize what the first computed?"
    )
    return _verdict("largest fall in one step", falls.max(), 0.0, tolerance, hint)


def batch_of_one(model: Any, x: ArrayLike, *, tolerance: float = 1e-6) -> Law:
    """Check that a row alone gets the same log-density as in a batch.

    Parameters
    ----------
    model : object
        Anything with ``log_prob(x)``.
    x : array_like of shape (n, d)
        Where to compare.
    tolerance : float
        Largest allowed difference in nats.

    Returns
    -------
    Law
        The largest difference in nats.

    Raises
    ------
    LawBroken
        If the batch changes a row's value.
    """
    x = np.asarray(x)
    together = _log_prob(model, x)
    alone = np.concatenate([_log_prob(model, x[i : i + 1]) for i in range(len(x))])
    same = together == alone
    gap = np.max(np.abs(np.where(same, 0.0, np.where(same, 0.0, together) - np.where(same, 0.0, alone))))
    return _verdict(
        "largest change with the batch", gap, 0.0, tolerance, "A row must not see its neighbours."
    )


def same_seed_same_bytes(model: Any, *, n_samples: int = 7, random_state: int = 3) -> Law:
    """Check that a seed fixes the samples to the last bit, and that another seed changes them.

    Parameters
    ----------
    model : object
        Anything with ``sample``.
    n_samples : int
        Number of draws.
    random_state : int
        The seed.

    Returns
    -------
    Law
        The number of values that differ between two runs: zero.

    Raises
    ------
    LawBroken
        If two runs differ, or if the seed is ignored.
    """
    first, second = (_sample(model, n_samples, random_state) for _ in range(2))
    others = [_sample(model, n_samples, random_state + k) for k in (1, 2, 3)]
    if all(np.array_equal(first, other) for other in others):
        raise LawBroken("sample returns the same values for four seeds: is the seed used?")
    hint = "Draw every random number from the generator that the caller passes in, never from a global one."
    return _verdict("values that differ between two runs", float(np.sum(first != second)), 0.0, 0.0, hint)


def survives_a_round_trip(model: Any, x: ArrayLike) -> Law:
    """Check that a saved and loaded model gives the same log-density.

    A ``torch`` module goes through its ``state_dict`` into a copy with scrambled
    parameters; an estimator goes through pickle.

    Parameters
    ----------
    model : object
        A fitted model.
    x : array_like of shape (n, d)
        Where to compare.

    Returns
    -------
    Law
        The largest difference in nats: zero.

    Raises
    ------
    LawBroken
        If something that matters was not saved.
    """
    if _is_module(model):
        import torch

        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        buffer.seek(0)
        loaded = copy.deepcopy(model)
        with torch.no_grad():
            for value in [*loaded.parameters(), *loaded.buffers()]:
                value.zero_()
        loaded.load_state_dict(torch.load(buffer, weights_only=True))
    else:
        loaded = pickle.loads(pickle.dumps(model))
    x = np.asarray(x)
    after, before = _log_prob(loaded, x), _log_prob(model, x)
    return matches(after, before, name="log-density after saving", rtol=0, atol=1e-15)


def survives_extremes(model: Any, *, dim: int | None = None) -> Law:
    """Check that huge, tiny and far inputs never give NaN or an infinite density.

    Parameters
    ----------
    model : object
        A fitted model with a density on the reals.
    dim : int, optional
        Number of columns; found from the model where it says.

    Returns
    -------
    Law
        The number of bad values: zero.

    Raises
    ------
    LawBroken
        If a value is NaN or plus infinity.
    """
    dim = _dim(model, dim, None)
    values = np.array([0.0, -0.0, 1e-300, 1e-12, 1.0, -1e3, 1e6, -1e12, 1e30, 1e100, -1e150])
    x = np.concatenate([np.outer(values, np.ones(dim)), np.outer(values, np.eye(dim)[0])])
    log_p = _log_prob(model, x)
    bad = np.isnan(log_p) | np.isposinf(log_p)
    hint = f"First bad input: {x[np.argmax(bad)]}. Work in log space; subtract the maximum first."
    return _verdict("bad values at extreme inputs", float(bad.sum()), 0.0, 0.0, hint)


def precisions_agree(model: Any, x: ArrayLike, *, tolerance: float = 1e-3) -> Law:
    """Check that float32 input gives the log-density of float64 input, within rounding.

    Parameters
    ----------
    model : object
        A fitted model.
    x : array_like of shape (n, d)
        Where to compare.
    tolerance : float
        Largest allowed difference in nats, relative where the value exceeds one.

    Returns
    -------
    Law
        The largest difference.

    Raises
    ------
    LawBroken
        If precision is lost.
    """
    single = np.asarray(x, dtype=np.float32)
    low, high = _log_prob(model, single), _log_prob(model, single.astype(np.float64))
    same = low == high
    gap = np.abs(np.where(same, 0.0, low) - np.where(same, 0.0, high)) / np.maximum(1.0, np.abs(high))
    hint = "Something is computed in single precision that cancels: centre the data first."
    return _verdict(
        "largest difference between precisions", np.max(np.where(same, 0.0, gap)), 0.0, tolerance, hint
    )


def kl_matches_monte_carlo(kl: float, log_q: ArrayLike, log_p: ArrayLike, *, z: float = 5.0) -> Law:
    r"""Check an analytic KL divergence against the mean of ``log_q - log_p`` over draws from q.

    Parameters
    ----------
    kl : float
        The analytic value of :math:`KL(q \| p)` in nats.
    log_q, log_p : array_like of shape (n,)
        Both log-densities at independent draws from q.
    z : float
        Allowed number of standard errors; five is one false alarm in 1.7 million.

    Returns
    -------
    Law
        The distance in standard errors.

    Raises
    ------
    LawBroken
        If the two disagree.
    """
    gap = _numpy(log_q) - _numpy(log_p)
    error = gap.std(ddof=1) / np.sqrt(gap.size) + 1e-12 * max(1.0, abs(kl))
    hint = "Is a dimension counted twice, or a variance where a standard deviation belongs?"
    return _verdict("KL against Monte Carlo, in standard errors", (kl - gap.mean()) / error, 0.0, z, hint)


def bounds_are_ordered(
    model: Any,
    x: Any,
    *,
    log_prob: ArrayLike | None = None,
    ks: Sequence[int] = (1, 5, 50),
    repeats: int = 20,
    z: float = 5.0,
) -> Law:
    r"""Check ELBO :math:`\le` IWAE\ :sub:`k` :math:`\le \log p`, rising in k, within standard errors.

    Parameters
    ----------
    model : object
        With ``elbo(x)`` and ``iwae(x, k)``, one value per row, in nats.
    x : array or tensor of shape (n, d)
        Where to check.
    log_prob : array_like of shape (n,), optional
        The exact log-evidence, where a closed form gives it.
    ks : sequence of int
        Increasing numbers of importance samples.
    repeats : int
        Independent evaluations, for the standard errors.
    z : float
        Allowed number of standard errors.

    Returns
    -------
    Law
        The worst violation in standard errors, zero when there is none.

    Raises
    ------
    LawBroken
        If a bound exceeds a tighter one.
    """
    rungs = [[_numpy(model.elbo(x)).mean() for _ in range(repeats)]]
    rungs += [[_numpy(model.iwae(x, k)).mean() for _ in range(repeats)] for k in ks]
    mean = [float(np.mean(rung)) for rung in rungs]
    error = [float(np.std(rung, ddof=1) / np.sqrt(repeats)) for rung in rungs]
    if log_prob is not None:
        mean.append(float(_numpy(log_prob).mean()))
        error.append(0.0)
    worst = 0.0
    for i in range(len(mean) - 1):
        slack = np.hypot(error[i], error[i + 1]) + 1e-9 * max(1.0, abs(mean[i]))
        worst = max(worst, (mean[i] - mean[i + 1]) / slack)
    hint = "A looser bound exceeds a tighter one: average the weights before the logarithm, not after."
    return _verdict("worst order of the bounds, in standard errors", worst, 0.0, z, hint)


def _chain(pi: ArrayLike, T: ArrayLike) -> tuple[Array, Array]:
    """Validate a law and a transition matrix on the same states."""
    law, matrix = np.asarray(pi, dtype=np.float64), np.asarray(T, dtype=np.float64)
    if law.ndim != 1 or matrix.shape != (len(law), len(law)):
        raise ValueError(f"pi, T: got shapes {law.shape} and {matrix.shape}, expected (S,) and (S, S)")
    rows = np.abs(matrix.sum(axis=1) - 1).max()
    if not (rows < 1e-9 and (matrix >= -1e-12).all()):
        raise LawBroken(
            f"T is no transition matrix: a row's sum is off by {rows:.2g} or an entry is negative. "
            "Rows are where the chain is, columns where it goes."
        )
    if not (abs(law.sum() - 1) < 1e-9 and (law >= -1e-12).all()):
        raise LawBroken(f"pi is no law: it sums to {law.sum():.6g}")
    return law, matrix


def is_stationary(pi: ArrayLike, T: ArrayLike, *, tolerance: float = 1e-12) -> Law:
    r"""Check that a Markov chain keeps a law: :math:`\pi T = \pi`.

    Parameters
    ----------
    pi : array_like of shape (S,)
        The law.
    T : array_like of shape (S, S)
        Transition matrix: entry (i, j) is the probability of going from i to j.
    tolerance : float
        Allowed total variation between the law before and after a step.

    Returns
    -------
    Law
        The total variation.

    Raises
    ------
    LawBroken
        If the law moves, or `pi` or `T` holds no probabilities.
    ValueError
        If the shapes do not fit.
    """
    law, matrix = _chain(pi, T)
    moved = 0.5 * np.abs(law @ matrix - law).sum()
    hint = "Is it the law of another variable of the chain (the corrupted state), or is T transposed?"
    return _verdict("total variation after one step", moved, 0.0, tolerance, hint)


def detailed_balance(pi: ArrayLike, T: ArrayLike, *, tolerance: float = 1e-12) -> Law:
    r"""Check that a chain is reversible: :math:`\pi_i T_{ij} = \pi_j T_{ji}`.

    Parameters
    ----------
    pi : array_like of shape (S,)
        The law.
    T : array_like of shape (S, S)
        Transition matrix: entry (i, j) is the probability of going from i to j.
    tolerance : float
        Largest allowed difference of the flow from i to j and the flow back.

    Returns
    -------
    Law
        The largest difference.

    Raises
    ------
    LawBroken
        If a flow is not balanced, or `pi` or `T` holds no probabilities.
    ValueError
        If the shapes do not fit.
    """
    law, matrix = _chain(pi, T)
    flow = law[:, None] * matrix
    hint = "Balance is more than stationarity: is the same kernel used there and back, with Bayes between?"
    return _verdict("largest flow without its return", np.abs(flow - flow.T).max(), 0.0, tolerance, hint)
