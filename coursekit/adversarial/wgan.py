r"""Wasserstein GANs: a distance that sees how far apart two laws are, and critics that estimate it.

.. math:: W_1(p, q) = \inf_{\pi} \operatorname{E}_{(x, y) \sim \pi} \lVert x - y \rVert
    = \sup_{\lVert f \rVert_L \le 1} \operatorname{E}_{p} f(x) - \operatorname{E}_{q} f(y)

The left side is a linear program over couplings, the right side (Kantorovich and Rubinstein) one over
functions that change by at most one for each unit of length. Exact answers for samples are in numpy
(`wasserstein_1d`, `optimal_transport`, `optimal_critic`); a critic is a torch module from (n, d) to (n, 1).

Taught in :ref:`wgan`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from coursekit.adversarial.gan import GAN, Discriminator
from coursekit.base import Fitted, catalogued
from coursekit.nn import check_rows

__all__ = [
    "WGAN",
    "Critic",
    "Distances",
    "OptimalCritic",
    "TransportPlan",
    "clip_weights",
    "critic_loss",
    "generator_loss",
    "gradient_penalty",
    "input_gradients",
    "interpolates",
    "lipschitz_bound",
    "optimal_critic",
    "optimal_transport",
    "shifted_uniforms",
    "spectral_normalized",
    "steepest_slope",
    "wasserstein_1d",
    "wasserstein_of_gaussians",
]

Float = NDArray[np.float64]
Critic = Callable[[Tensor], Tensor]
_PAIRS = 250_000  # variables or constraints that a linear program may have: beyond, it takes minutes


# ----------------------------------------------------------------------------------------------
# The distance between two samples, exactly and in three ways.


def _points(name: str, value: ArrayLike) -> Float:
    x = np.asarray(value)
    if x.dtype.kind not in "fiub":
        raise TypeError(f"{name}: got an array of {x.dtype}, expected real numbers")
    if x.ndim != 2 or not x.size:
        raise ValueError(f"{name}: got shape {x.shape}, expected (n, d), one point per row, at least one")
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        row = int(np.argmin(np.isfinite(x).all(axis=1)))
        raise ValueError(f"{name}: row {row} holds NaN or infinity; remove or repair such rows")
    return x


def _line(name: str, value: ArrayLike) -> Float:
    x = np.asarray(value)
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim == 2 and x.shape[1] != 1:
        raise ValueError(
            f"{name}: got {x.shape[1]} columns, expected one: quantiles need an order. In several dimensions "
            "use optimal_transport"
        )
    return _points(name, x)[:, 0]


def _masses(name: str, value: ArrayLike | None, n: int) -> Float:
    if value is None:
        return np.full(n, 1.0 / n)
    w = np.asarray(value, dtype=np.float64)
    if w.shape != (n,):
        raise ValueError(f"{name}: got shape {w.shape}, expected ({n},): a weight for each point")
    if not (np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise ValueError(f"{name}: expected numbers of at least 0 with a sum above 0")
    return w / w.sum()


def wasserstein_1d(
    x: ArrayLike,
    y: ArrayLike,
    *,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
    p: float = 1.0,
) -> float:
    r"""Compute the Wasserstein distance of two laws on the line, exactly, from their quantile functions.

    .. math:: W_p(P, Q) = \Bigl( \int_0^1 \lvert F^{-}(u) - G^{-}(u) \rvert^p \, du \Bigr)^{1/p}

    On the line the cheapest plan keeps the order. Both quantile functions are steps, so the integral is a sum
    over the at most n + m levels at which one of them jumps: O((n + m) log (n + m)).

    Parameters
    ----------
    x, y : array_like of shape (n,) or (n, 1), and (m,) or (m, 1)
        Points of the two laws.
    x_weights, y_weights : array_like of shape (n,) and (m,), optional
        Their weights, equal by default; they are made to sum to one.
    p : float
        Order of the distance, at least 1.

    Returns
    -------
    float
        The distance, in the units of the data.

    Raises
    ------
    ValueError
        If a sample is empty or not finite or has several columns, a weight is negative, or `p` is below 1.

    References
    ----------
    Villani, 2003, Topics in optimal transportation, theorem 2.18. Peyre and Cuturi, 2019, arXiv:1803.00567,
    section 2.6.

    Notes
    -----
    Taught in :ref:`wgan`.

    Examples
    --------
    >>> wasserstein_1d([0.0, 1.0], [5.0, 6.0])
    5.0
    >>> wasserstein_1d([0.0, 1.0], [0.0], x_weights=[3, 1])
    0.25
    """
    a, b = _line("x", x), _line("y", y)
    if not 1 <= p < math.inf:
        raise ValueError(f"p: got {p!r}, expected a number of at least 1")
    a_mass, b_mass = _masses("x_weights", x_weights, len(a)), _masses("y_weights", y_weights, len(b))
    a_order, b_order = np.argsort(a, kind="stable"), np.argsort(b, kind="stable")
    a_levels, b_levels = np.cumsum(a_mass[a_order]), np.cumsum(b_mass[b_order])
    a_levels[-1] = b_levels[-1] = 1.0  # sums round
    levels = np.union1d(a_levels, b_levels)
    middles = levels - np.diff(levels, prepend=0.0) / 2  # quantiles are constant between two levels
    a_at = a[a_order][np.minimum(np.searchsorted(a_levels, middles), len(a) - 1)]
    b_at = b[b_order][np.minimum(np.searchsorted(b_levels, middles), len(b) - 1)]
    cost = np.sum(np.diff(levels, prepend=0.0) * np.abs(a_at - b_at) ** p)
    return float(cost ** (1.0 / p))


class TransportPlan(NamedTuple):
    """The cheapest way to move one sample onto another."""

    cost: float
    plan: Float


class OptimalCritic(NamedTuple):
    """A best 1-Lipschitz function for two samples: what every critic network tries to be.

    Attributes
    ----------
    value : float
        Its mean over x minus its mean over y: the Wasserstein distance.
    points : ndarray of shape (k, d)
        Where the linear program found it: the distinct points of both samples.
    heights : ndarray of shape (k,)
        Its values there.
    """

    value: float
    points: Float
    heights: Float

    def __call__(self, x: ArrayLike) -> Float:
        r"""Evaluate it anywhere: the smallest 1-Lipschitz function through its values (McShane).

        .. math:: f(x) = \max_i \; f_i - \lVert x - x_i \rVert

        Parameters
        ----------
        x : array_like of shape (n, d)
            Where to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            Values.
        """
        return (self.heights - cdist(_points("x", x), self.points)).max(axis=1)


def _two_laws(
    x: ArrayLike, y: ArrayLike, x_weights: ArrayLike | None, y_weights: ArrayLike | None
) -> tuple[Float, Float, Float, Float]:
    a, b = _points("x", x), _points("y", y)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"x, y: got {a.shape[1]} and {b.shape[1]} columns, expected as many in both")
    return a, b, _masses("x_weights", x_weights, len(a)), _masses("y_weights", y_weights, len(b))


def _solve(name: str, **problem: Any) -> Any:
    found = linprog(**problem, method="highs")
    if found.status != 0:
        raise RuntimeError(f"{name}: the linear program was not solved: {found.message}")
    return found


def _affordable(size: int, what: str) -> None:
    if size > _PAIRS:
        raise ValueError(
            f"x, y: {size:,} {what}, more than the {_PAIRS:,} that a linear program solves in reasonable "
            "time; take fewer points, or on the line use wasserstein_1d"
        )


def optimal_transport(
    x: ArrayLike,
    y: ArrayLike,
    *,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
) -> TransportPlan:
    r"""Compute the Wasserstein-1 distance of two samples in any dimension: the primal linear program.

    .. math:: \min_{\pi \ge 0} \sum_{ij} \pi_{ij} \lVert x_i - y_j \rVert \quad \text{subject to} \quad
        \sum_j \pi_{ij} = a_i, \; \sum_i \pi_{ij} = b_j

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Points of the two laws.
    x_weights, y_weights : array_like of shape (n,) and (m,), optional
        Their weights, equal by default; they are made to sum to one.

    Returns
    -------
    TransportPlan
        The cost, and the plan: entry (i, j) is the mass that goes from ``x[i]`` to ``y[j]``.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, the columns differ, or n m exceeds a quarter of a million.

    Notes
    -----
    With equally many points and no weights the corners of the polytope are permutations (Birkhoff), and the
    assignment problem is solved instead: the same answer, a thousand times faster.

    Taught in :ref:`wgan`.

    References
    ----------
    Peyre and Cuturi, 2019, arXiv:1803.00567, section 2.3.

    Examples
    --------
    >>> cost, plan = optimal_transport([[0.0, 0.0]], [[3.0, 4.0], [0.0, 0.0]])
    >>> cost, plan.tolist()
    (2.5, [[0.5, 0.5]])
    """
    a, b, a_mass, b_mass = _two_laws(x, y, x_weights, y_weights)
    n, m, costs = len(a), len(b), cdist(a, b)
    if n == m and x_weights is None and y_weights is None:
        plan = np.zeros((n, n))
        plan[linear_sum_assignment(costs)] = 1 / n
        return TransportPlan(float(np.sum(plan * costs)), plan)
    _affordable(n * m, "pairs of points")
    rows = sparse.kron(sparse.eye_array(n), np.ones((1, m)))  # sums over j
    columns = sparse.kron(np.ones((1, n)), sparse.eye_array(m))  # sums over i
    found = _solve(
        "optimal_transport",
        c=costs.ravel(),
        A_eq=sparse.vstack([rows, columns]).tocsr(),
        b_eq=np.concatenate([a_mass, b_mass]),
        bounds=(0, None),
    )
    plan = found.x.reshape(n, m)
    return TransportPlan(float(np.sum(plan * costs)), plan)


def optimal_critic(
    x: ArrayLike,
    y: ArrayLike,
    *,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
) -> OptimalCritic:
    r"""Compute the best 1-Lipschitz critic of two samples: the dual linear program.

    .. math:: \max_f \sum_i a_i f(x_i) - \sum_j b_j f(y_j) \quad \text{subject to} \quad
        f(s) - f(t) \le \lVert s - t \rVert \text{ for all points } s, t

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Points of the two laws.
    x_weights, y_weights : array_like of shape (n,) and (m,), optional
        Their weights, equal by default; they are made to sum to one.

    Returns
    -------
    OptimalCritic
        Its value, which equals the cost of `optimal_transport`, and the function, which can be called.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, the columns differ, or there are more than 500 points.

    References
    ----------
    Kantorovich and Rubinstein, 1958. Villani, 2003, Topics in optimal transportation, theorem 1.14. McShane,
    1934 (the extension to all of space).

    Notes
    -----
    Taught in :ref:`wgan`.

    Examples
    --------
    >>> critic = optimal_critic([[0.0]], [[2.0]])
    >>> critic.value, (critic([[0.0]]) - critic([[2.0]])).tolist()
    (2.0, [2.0])
    """
    a, b, a_mass, b_mass = _two_laws(x, y, x_weights, y_weights)
    points, where = np.unique(np.concatenate([a, b]), axis=0, return_inverse=True)
    gain = np.zeros(len(points))
    np.add.at(gain, where.reshape(-1), np.concatenate([a_mass, -b_mass]))
    k = len(points)
    _affordable(k * k, "pairs of points")
    first, second = np.nonzero(~np.eye(k, dtype=bool))
    one = np.ones(len(first))
    edges = np.arange(len(first))
    slopes = sparse.csr_array(
        (np.r_[one, -one], (np.r_[edges, edges], np.r_[first, second])), (len(first), k)
    )
    bounds = [(0.0, 0.0)] + [(None, None)] * (k - 1)  # a constant may be added: fix it
    distances = cdist(points, points)[first, second]
    found = _solve("optimal_critic", c=-gain, A_ub=slopes, b_ub=distances, bounds=bounds)
    return OptimalCritic(float(gain @ found.x), points, found.x)


# ----------------------------------------------------------------------------------------------
# Cases in closed form.


def wasserstein_of_gaussians(mean_p: float, std_p: float, mean_q: float, std_q: float) -> float:
    r"""Wasserstein-1 distance of two normal laws on the line, in closed form.

    The quantile functions differ by :math:`\Delta + s z` at the level of the normal quantile z, with the
    differences :math:`\Delta` of the means and s of the standard deviations. So the distance is the mean of a
    folded normal law, :math:`\operatorname{E} \lvert \Delta + s z \rvert`; with equal spreads it is
    :math:`\lvert \Delta \rvert`.

    Parameters
    ----------
    mean_p, mean_q : float
        Means.
    std_p, std_q : float
        Standard deviations, at least 0.

    Returns
    -------
    float
        The distance.

    Raises
    ------
    ValueError
        If a number is not finite, or a standard deviation is negative.

    Notes
    -----
    Taught in :ref:`wgan`.

    Examples
    --------
    >>> wasserstein_of_gaussians(0.0, 1.0, 3.0, 1.0)
    3.0
    """
    if not np.isfinite([mean_p, std_p, mean_q, std_q]).all() or min(std_p, std_q) < 0:
        raise ValueError(
            f"means {mean_p!r}, {mean_q!r} and standard deviations {std_p!r}, {std_q!r}: expected finite "
            "numbers, the latter at least 0"
        )
    shift, spread = abs(mean_p - mean_q), abs(std_p - std_q)
    if spread == 0:
        return float(shift)
    t = shift / spread
    return float(spread * math.sqrt(2 / math.pi) * math.exp(-t * t / 2) + shift * math.erf(t / math.sqrt(2)))


class Distances(NamedTuple):
    """How far apart two laws are, four times over; `kl` and `js` are in nats."""

    kl: float
    js: float
    tv: float
    w1: float


def shifted_uniforms(shift: float, width: float = 0.0) -> Distances:
    r"""Distances between a uniform law on a strip and the same law, moved by `shift` across the strip.

    They share the mass :math:`\max(0, 1 - \lvert\theta\rvert / w)`. With `width` 0 these are the parallel
    lines: for every shift but 0 the KL divergence is infinite, Jensen-Shannon log 2 and total variation 1, so
    none of them tells a near line from a far one, or has a gradient. The Wasserstein distance is the shift.

    Parameters
    ----------
    shift : float
        How far the second law is moved, :math:`\theta`.
    width : float
        Width of both strips, w; 0 makes them lines.

    Returns
    -------
    Distances
        KL, Jensen-Shannon, total variation and Wasserstein-1.

    Raises
    ------
    ValueError
        If `shift` is not finite, or `width` is negative or not finite.

    References
    ----------
    Arjovsky, Chintala and Bottou, 2017, arXiv:1701.07875, example 1.

    Notes
    -----
    Taught in :ref:`wgan`.

    Examples
    --------
    >>> shifted_uniforms(0.25)
    Distances(kl=inf, js=0.6931471805599453, tv=1.0, w1=0.25)
    """
    if not (math.isfinite(shift) and 0 <= width < math.inf):
        raise ValueError(
            f"shift, width: got {shift!r} and {width!r}, expected finite numbers, width at least 0"
        )
    distance = abs(float(shift))
    apart = (min(1.0, distance / width) if width else 1.0) if distance else 0.0  # mass that is not shared
    return Distances(math.inf if distance else 0.0, apart * math.log(2), apart, distance)


# ----------------------------------------------------------------------------------------------
# Losses: pure functions of what the critic says.


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Loss of the critic: what it says of generated rows minus what it says of real ones.

    Its negative is an estimate of the Wasserstein distance if the critic is 1-Lipschitz, and of K times a
    lower bound on it if it is K-Lipschitz. There is no logarithm and no sigmoid: a critic is no classifier.

    Parameters
    ----------
    real, fake : Tensor of shape (n,) or (n, 1)
        The critic's values.

    Returns
    -------
    Tensor of shape (n,)
        One value per row; its mean is minimized.

    Raises
    ------
    ValueError
        If the numbers of values differ.

    References
    ----------
    Arjovsky, Chintala and Bottou, 2017, arXiv:1701.07875, algorithm 1.

    Notes
    -----
    Taught in :ref:`wgan`.

    Examples
    --------
    >>> critic_loss(torch.tensor([3.0, 1.0]), torch.tensor([0.0, 0.5]))
    tensor([-3.0000, -0.5000])
    """
    real, fake = _values("real", real), _values("fake", fake)
    if len(real) != len(fake):
        raise ValueError(f"real, fake: got {len(real)} and {len(fake)} values, expected as many of both")
    return fake - real


def generator_loss(fake: Tensor) -> Tensor:
    """Loss of the generator: minus what the critic says of its rows.

    Parameters
    ----------
    fake : Tensor of shape (n,) or (n, 1)
        The critic's values.

    Returns
    -------
    Tensor of shape (n,)
        One value per row; its mean is minimized.

    Notes
    -----
    Taught in :ref:`wgan`.
    """
    return -_values("fake", fake)


def _values(name: str, value: Tensor) -> Tensor:
    if value.ndim == 2 and value.shape[1] == 1:
        return value[:, 0]
    if value.ndim != 1:
        raise ValueError(
            f"{name}: got shape {tuple(value.shape)}, expected one value per row, (n,) or (n, 1)"
        )
    return value


# ----------------------------------------------------------------------------------------------
# Three ways to keep a critic from being steep.


def interpolates(real: Tensor, fake: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw a point on each segment from a real to a generated row: *one* uniform number for each row.

    Parameters
    ----------
    real, fake : Tensor of shape (n, d)
        The ends.
    generator : torch.Generator, optional
        Source of the randomness.

    Returns
    -------
    Tensor of shape (n, d)
        The points, cut off from the graph of whatever made `fake`.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    Taught in :ref:`wgan`.
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"real, fake: got shapes {tuple(real.shape)} and {tuple(fake.shape)}, expected the same"
        )
    shape = (len(real), *[1] * (real.ndim - 1))
    t = torch.rand(shape, generator=generator, dtype=real.dtype, device=real.device)
    return (t * real + (1 - t) * fake).detach()


def input_gradients(critic: Critic, x: Tensor, *, create_graph: bool = False) -> Tensor:
    """Gradient of the critic's value with respect to its input, for each row.

    Parameters
    ----------
    critic : callable
        Maps (n, d) to (n,) or (n, 1), each row by itself (no batch normalization).
    x : Tensor of shape (n, d)
        Where.
    create_graph : bool
        Whether the gradient can be differentiated once more, with respect to the critic's weights.

    Returns
    -------
    Tensor of shape (n, d)
        The gradients.

    Notes
    -----
    Taught in :ref:`wgan`.
    """
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(critic(at).sum(), at, create_graph=create_graph)
    return slopes


def gradient_penalty(
    critic: Critic,
    real: Tensor,
    fake: Tensor,
    *,
    one_sided: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Penalty on slopes of the critic that differ from one, at points between real and generated rows.

    .. math:: \bigl( \lVert \nabla_{\hat x} f(\hat x) \rVert - 1 \bigr)^2, \qquad
        \hat x = t\, x + (1 - t)\, \tilde x, \quad t \sim U(0, 1)

    The gradient stays in the graph: the penalty is differentiated with respect to the critic's weights.

    Parameters
    ----------
    critic : callable
        Maps (n, d) to (n,) or (n, 1), each row by itself (no batch normalization).
    real, fake : Tensor of shape (n, d)
        Rows of data, and generated ones.
    one_sided : bool
        Whether slopes below one are free: the penalty is then on the positive part of the difference.
    generator : torch.Generator, optional
        Decides the points.

    Returns
    -------
    Tensor of shape (n,)
        The penalty of each row, to be multiplied by its weight (10 in the paper).

    References
    ----------
    Gulrajani et al., 2017, arXiv:1704.00028, equation 3. Petzka, Fischer and Lukovnikov, 2018,
    arXiv:1709.08894 (the one-sided form).

    Notes
    -----
    Taught in :ref:`wgan`.

    Examples
    --------
    >>> steep = lambda x: 3.0 * x[:, 0]
    >>> gradient_penalty(steep, torch.zeros(2, 2), torch.ones(2, 2)).tolist()
    [4.0, 4.0]
    """
    slopes = input_gradients(critic, interpolates(real, fake, generator=generator), create_graph=True)
    excess = slopes.flatten(1).norm(dim=1) - 1
    return (excess.clamp(min=0) if one_sided else excess).square()


@torch.no_grad()
def clip_weights(critic: nn.Module, bound: float) -> None:
    """Force every weight and bias of the critic into [-bound, bound], in place.

    Parameters
    ----------
    critic : torch.nn.Module
        The critic.
    bound : float
        Largest absolute value, 0.01 in the paper.

    Raises
    ------
    ValueError
        If `bound` is not above 0.

    References
    ----------
    Arjovsky, Chintala and Bottou, 2017, arXiv:1701.07875, algorithm 1.

    Notes
    -----
    Taught in :ref:`wgan`.
    """
    if not bound > 0:
        raise ValueError(f"bound: got {bound!r}, expected a number above 0")
    for weight in critic.parameters():
        weight.clamp_(-bound, bound)


def spectral_normalized(critic: nn.Module, *, n_power_iterations: int = 1) -> nn.Module:
    """Divide every linear map of the critic by its largest singular value, as it is used (in place).

    PyTorch's parametrization estimates that value by power iteration, a few at each pass in training mode.
    With activations whose slope is at most one, the critic is then 1-Lipschitz up to that estimate's error.
    (For a convolution the *kernel matrix* is normalized, which bounds the map's norm only up to a factor.)

    Parameters
    ----------
    critic : torch.nn.Module
        The critic.
    n_power_iterations : int
        Iterations at each pass.

    Returns
    -------
    torch.nn.Module
        The same module.

    Raises
    ------
    ValueError
        If it has no linear or convolutional layer.

    References
    ----------
    Miyato, Kataoka, Koyama and Yoshida, 2018, arXiv:1802.05957.

    Notes
    -----
    Taught in :ref:`wgan`.
    """
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d)]
    if not layers:
        raise ValueError(f"critic: {type(critic).__name__} has no linear or convolutional layer")
    for layer in layers:
        parametrizations.spectral_norm(layer, n_power_iterations=n_power_iterations)
    return critic


@torch.no_grad()
def lipschitz_bound(critic: nn.Module) -> float:
    """Upper bound on the critic's Lipschitz constant: the product of its layers' largest singular values.

    It holds if all its layers are linear, one after another, with activations of slope at most one between
    them (ReLU, leaky ReLU, tanh; SiLU reaches 1.1).

    Parameters
    ----------
    critic : torch.nn.Module
        The critic.

    Returns
    -------
    float
        The bound, by singular value decompositions.

    Raises
    ------
    TypeError
        If it has a layer with weights that is not linear.

    Notes
    -----
    Taught in :ref:`wgan`.

    Examples
    --------
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data = torch.tensor([[3.0, 4.0]])
    >>> lipschitz_bound(layer)
    5.0
    """
    bound = 1.0
    for layer in critic.modules():
        if isinstance(layer, nn.Linear):
            bound *= float(torch.linalg.matrix_norm(layer.weight, 2))
        elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.modules.batchnorm._BatchNorm):
            raise TypeError(f"critic: got a {type(layer).__name__}, expected linear layers only")
    return bound


def steepest_slope(
    critic: Critic, real: Tensor, fake: Tensor, *, generator: torch.Generator | None = None
) -> float:
    """Lower bound on the critic's Lipschitz constant: its steepest gradient at the data and between them.

    Parameters
    ----------
    critic : callable
        Maps (n, d) to (n,) or (n, 1), each row by itself.
    real, fake : Tensor of shape (n, d)
        Rows of data, and generated ones.
    generator : torch.Generator, optional
        Decides the points between.

    Returns
    -------
    float
        Largest norm of a gradient.

    Notes
    -----
    Taught in :ref:`wgan`.
    """
    at = torch.cat([real.detach(), fake.detach(), interpolates(real, fake, generator=generator)])
    return float(input_gradients(critic, at).flatten(1).norm(dim=1).max())


# ----------------------------------------------------------------------------------------------
# The model.


@catalogued(
    examples=lambda d: [
        Fitted(WGAN, constraint=kind, hidden=(16,), steps=12, device="cpu", random_state=0)
        for kind in ("penalty", "clip", "spectral")
    ],
    dims=(1, 2),
    cost={"fit": "O(steps * batch * weights)", "log_prob": "none", "sample": "O(weights)"},
)
class WGAN(GAN):
    r"""Generator and critic, trained in turns: an estimate of a Wasserstein distance that is made smaller.

    .. math:: \min_G \max_{f} \; \operatorname{E}_{x} f(x) - \operatorname{E}_{z} f(G(z))

    with f kept from being steep by one of three means. The critic takes the place of the discriminator, so
    "discriminator" is the name of that player.

    Parameters
    ----------
    dim : int
        Columns of the data.
    latent_dim : int
        Columns of the noise z, drawn from a standard normal law.
    hidden : sequence of int
        Widths of the hidden layers, in both networks.
    generator_hidden : sequence of int, optional
        Those of the generator, where they differ.
    constraint : {"penalty", "one-sided", "clip", "spectral"}
        How the critic is kept from being steep: a penalty on slopes other than one, or on slopes above one,
        at points between data and samples; weights forced into an interval after every step; or weights
        divided by their largest singular values.
    strength : float, optional
        Weight of the penalty (1 by default; the paper takes 10, for images), or half width of the interval
        (0.1 by default; the paper takes 0.01). "spectral" takes none.
    d_steps : int
        Steps of the critic for each of the generator's.
    generator, critic : torch.nn.Module, optional
        Other networks, from (n, latent_dim) to (n, dim) and from (n, dim) to (n, 1). No batch normalization
        in a critic with a penalty: a row's gradient must be its own.

    Raises
    ------
    ValueError
        If a size, a name or `strength` is out of range.

    References
    ----------
    Arjovsky, Chintala and Bottou, 2017, arXiv:1701.07875. Gulrajani et al., 2017, arXiv:1704.00028. Miyato et
    al., 2018, arXiv:1802.05957.

    Notes
    -----
    Give ``optimizer=partial(torch.optim.Adam, betas=(0.0, 0.9))``: momentum makes the players chase each
    other.

    Taught in :ref:`wgan`.

    Examples
    --------
    >>> model = WGAN(2, latent_dim=4, d_steps=2)
    >>> model.sample(3).shape, model.turns
    (torch.Size([3, 2]), ('discriminator', 'discriminator', 'generator'))
    """

    def __init__(
        self,
        dim: int,
        *,
        latent_dim: int = 2,
        hidden: Sequence[int] = (64, 64),
        generator_hidden: Sequence[int] | None = None,
        constraint: Literal["penalty", "one-sided", "clip", "spectral"] = "penalty",
        strength: float | None = None,
        d_steps: int = 5,
        generator: nn.Module | None = None,
        critic: nn.Module | None = None,
    ) -> None:
        if constraint not in _STRENGTHS:
            raise ValueError(f"constraint: got {constraint!r}, expected one of {sorted(_STRENGTHS)}")
        if strength is not None and (constraint == "spectral" or not 0 < strength < math.inf):
            raise ValueError(
                f"strength: got {strength!r} for {constraint!r}, expected a number above 0, or None with "
                "'spectral'"
            )
        super().__init__(
            dim,
            latent_dim=latent_dim,
            hidden=hidden,
            generator_hidden=generator_hidden,
            d_steps=d_steps,
            generator=generator,
            discriminator=critic,
        )
        self.constraint = constraint
        self.strength = _STRENGTHS[constraint] if strength is None else float(strength)
        if constraint == "spectral":
            spectral_normalized(self.critic)
        elif constraint == "clip":
            clip_weights(self.critic, self.strength)

    @property
    def critic(self) -> Discriminator:
        """The critic: (n, dim) to (n,)."""
        return self.discriminator

    # --- estimation

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Loss of the critic: points (n, dim) twice, to (n,)."""
        loss = critic_loss(self.critic(real), self.critic(fake))
        if self.constraint in ("penalty", "one-sided"):
            sided = self.constraint == "one-sided"
            penalty = gradient_penalty(self.critic, real, fake, one_sided=sided, generator=generator)
            loss = loss + self.strength * penalty
        return loss

    def generator_loss(self, fake: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Loss of the generator: samples (n, dim) with their gradient, to (n,)."""
        return generator_loss(self.critic(fake))

    def after_step(self, player: str) -> None:
        """Force the critic's weights into their interval, where that is the constraint."""
        if player == "discriminator" and self.constraint == "clip":
            clip_weights(self.critic, self.strength)

    # --- evaluation

    def estimate(self, x: Tensor, *, generator: torch.Generator | None = None) -> tuple[float, float]:
        """Estimate the Wasserstein distance between the data and the model, as the critic sees it.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data, held out if the estimate shall not be flattered by what the critic has seen.
        generator : torch.Generator, optional
            Decides the n samples.

        Returns
        -------
        estimate : float
            The critic's mean on data minus its mean on as many samples. Nothing forces it to be positive.
        slope : float
            The critic's steepest gradient at these rows and between them, a lower bound on its Lipschitz
            constant. The estimate divided by that constant is a lower bound on the distance of the two
            samples.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of that shape in the module's dtype.
        """
        x = check_rows(x, self.dim, like=next(self.parameters()))
        fake = self.sample(len(x), generator=generator)
        with torch.no_grad():
            estimate = -critic_loss(self.critic(x), self.critic(fake)).mean()
        return float(estimate), steepest_slope(self.critic, x, fake, generator=generator)


_STRENGTHS = {"penalty": 1.0, "one-sided": 1.0, "clip": 0.1, "spectral": 0.0}
