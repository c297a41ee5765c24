r"""Iterative Gaussianization: turn the data, make every axis Gaussian, repeat until nothing is left to do.

.. math:: x_{k+1} = \Psi_k(R_k x_k), \qquad
    \log p(x) = \log\mathcal N(z; 0, I) + \sum_k \sum_i \log \psi_{k,i}'\bigl((R_k x_k)_i\bigr)

No gradient of a loss runs through the layers: each is fitted once, to the data as the earlier ones left
them. The result is a bijection with an exact log-density, which samples by its inverse. ``SlicedTransport``
goes the other way, from latent to data, and shows why that is harder.

Taught in :ref:`iterative`.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.gaussianization.marginals import (
    MARGINALS,
    KDEMap,
    KnotMap,
    MarginalMap,
    MixtureMap,
    PolynomialMap,
    SplineMap,
    _FromHistogram,
    all_sum,
    histogram,
)
from coursekit.gaussianization.rotations import ROTATIONS, Haar, MaxSliced, Rotation, haar_matrix
from coursekit.nn import check_count, check_rows

__all__ = ["IterativeGaussianizer", "SlicedTransport", "covariance_recursion", "expected_excursions"]

Make = str | Callable[[], nn.Module]


def _maker(choice: Make | None, named: dict[str, Any], default: Callable[[], nn.Module], what: str) -> Any:
    if choice is None:
        return default
    if isinstance(choice, str):
        if choice not in named:
            raise ValueError(
                f"{what}: got {choice!r}, expected one of {sorted(named)} or a function without arguments"
            )
        return named[choice]
    if not callable(choice):
        raise TypeError(
            f"{what}: got {type(choice).__name__}, expected a name or a function that makes a layer"
        )
    return choice


def _seeded(random_state: int | None) -> torch.Generator:
    generator = torch.Generator()
    return generator.manual_seed(random_state) if random_state is not None else _fresh(generator)


def _fresh(generator: torch.Generator) -> torch.Generator:
    generator.seed()
    return generator


_SPLINE = functools.partial(SplineMap, knots=8, shrink=0.5)  # few knots: the laws fit to 150 rows
_MIXTURE = functools.partial(MixtureMap, components=3, knots=100, shrink=0.2)


@catalogued(
    examples=lambda d: [
        Fitted(IterativeGaussianizer, layers=8, random_state=0),
        Fitted(IterativeGaussianizer, layers=6, rotation="haar", marginal=_SPLINE, random_state=0),
        Fitted(IterativeGaussianizer, layers=2, rotation="ica", marginal=_MIXTURE, random_state=0),
    ],
    dims=(1, 2, 3),
    cost={
        "fit": "O(n d^2) per layer and step of the direction search",
        "log_prob": "O(d^2) per layer",
        "sample": "O(d^2) per layer",
    },
)
class IterativeGaussianizer(nn.Module):
    r"""A list of layers, fitted one after another: rotation, marginal map, rotation, marginal map, ...

    Each layer is fitted to what the earlier ones made of the data. If some data are held out, fitting stops
    when their likelihood stops rising, and the layers after the best one are dropped.

    Parameters
    ----------
    dim : int
        Number of columns.
    layers : int or sequence of torch.nn.Module
        How many pairs of a rotation and a marginal map, at most; or the architecture itself, as a list of
        unfitted layer objects with ``fit``, ``forward_and_log_det`` and ``inverse``.
    rotation : str or callable, optional
        Name ("haar", "householder", "ica", "max-sliced", "pca") or maker of a rotation; by default the
        directions of largest likelihood gain, ``MaxSliced(objective="likelihood")``.
    marginal : str or callable, optional
        Name ("ecdf", "kde", "mixture", "polynomial", "quantile", "spline") or maker of a marginal map; by
        default a kernel estimate, pulled halfway to the identity: ``KDEMap(shrink=0.5)``.
    patience : int, optional
        Stop after so many layers without a better held-out likelihood, and keep the best. None fits all
        layers.

    Attributes
    ----------
    layers : torch.nn.ModuleList
        The fitted layers, in the order from data to latent.
    history : dict
        "train" and "held_out": mean negative log-likelihood after each marginal map, in nats; "cpu_seconds":
        processor time since the fit began.

    Raises
    ------
    ValueError, TypeError
        If `dim` is less than one, there are no layers, or a name is unknown.

    References
    ----------
    Chen and Gopinath, 2000, "Gaussianization" (NIPS 13). Laparra, Camps-Valls and Malo, 2011,
    arXiv:1602.00229 (rotation-based). Dai and Seljak, 2021, arXiv:2007.00674 (max-sliced directions,
    shrinking).

    Notes
    -----
    Under ``torch.distributed`` every process gives its share of the rows and all end with the model that one
    process would have fitted to all of them, for maps fitted from histograms ("kde", "quantile", "spline").

    Taught in :ref:`iterative`.

    Examples
    --------
    >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> model = IterativeGaussianizer(2, layers=2).double().fit(x, random_state=0)
    >>> bool(torch.allclose(model.inverse(model.forward_and_log_det(x)[0]), x))
    True
    """

    likelihood = Likelihood.EXACT

    def __init__(
        self,
        dim: int,
        *,
        layers: int | Sequence[nn.Module] = 60,
        rotation: Make | None = None,
        marginal: Make | None = None,
        patience: int | None = 8,
    ) -> None:
        super().__init__()
        dim = check_count("dim", dim)
        if patience is not None and (not isinstance(patience, int) or patience < 1):
            raise ValueError(f"patience: got {patience!r}, expected None or a whole number of at least 1")
        turn = _maker(rotation, ROTATIONS, lambda: MaxSliced(objective="likelihood"), "rotation")
        bend = _maker(marginal, MARGINALS, lambda: KDEMap(shrink=0.5), "marginal")
        if isinstance(layers, int):
            plan = [make() for _ in range(layers) for make in (turn, bend)]
        else:
            plan = list(layers)
        if not plan:
            raise ValueError("layers: got none, expected at least 1")
        self.dim, self.patience = dim, patience
        self.layers = nn.ModuleList(plan)
        self.center = nn.Parameter(torch.zeros(dim), requires_grad=False)
        self.log_scale = nn.Parameter(torch.zeros(dim), requires_grad=False)
        self.history: dict[str, list[float]] = {"train": [], "held_out": []}
        self.fitted = False

    # -------------------------------------------------------------------- fitting

    def fit(
        self,
        x: Tensor,
        *,
        held_out: Tensor | None = None,
        validation: float = 0.1,
        random_state: int | None = None,
    ) -> IterativeGaussianizer:
        """Fit the layers one by one, on the device and in the dtype of the module.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data; under ``torch.distributed``, this process's share.
        held_out : Tensor of shape (m, dim), optional
            Data that decide where to stop.
        validation : float
            Without `held_out`, and with `patience`: the share of `x` that is set aside for that.
        random_state : int, optional
            Decides the rotations and what is set aside.

        Returns
        -------
        IterativeGaussianizer
            Itself.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of that shape in the module's dtype, has fewer than two rows, or a
            column that is constant or a copy of another.
        """
        x = check_rows(x, self.dim, like=self.center).to(self.center.device)
        if held_out is not None:
            held_out = check_rows(held_out, self.dim, like=self.center, name="held_out").to(x.device)
        elif self.patience is not None:
            x, held_out = self._set_aside(x, validation, random_state)
        generator = _seeded(random_state)
        with torch.no_grad():
            self._standardize(*self._moments([x]))
            best = self._climb(x, held_out, generator)
        return self._keep(best)

    @staticmethod
    def _set_aside(x: Tensor, share: float, random_state: int | None) -> tuple[Tensor, Tensor | None]:
        if not 0 < share < 1:
            raise ValueError(f"validation: got {share!r}, expected a number in (0, 1)")
        count = int(len(x) * share)
        if count < 2:  # too few to judge by
            return x, None
        seed = torch.Generator()
        order = torch.randperm(len(x), generator=seed.manual_seed(random_state or 0)).to(x.device)
        return x[order[count:]], x[order[:count]]

    def _moments(self, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Count, sum (d,) and products (d, d) about the first row of the data, over all processes."""
        count, total, products, start = 0.0, None, None, None
        for part in parts:
            part = check_rows(part, self.dim, like=self.center).to(self.center.device).double()
            if start is None:
                start = all_sum(part.amin(dim=0), "MIN")
            part = part - start
            total = part.sum(dim=0) + (0 if total is None else total)
            products = part.T @ part + (0 if products is None else products)
            count += len(part)
        if start is None or total is None or products is None:
            raise ValueError("x: got no rows, expected at least 2")
        n = all_sum(total.new_tensor(count))
        if n < 2:
            raise ValueError(f"x: got {int(n)} row, expected at least 2: one point has no spread")
        mean = all_sum(total) / n
        return n, mean + start, all_sum(products) / n - torch.outer(mean, mean)

    def _standardize(self, n: Tensor, mean: Tensor, covariance: Tensor) -> None:
        deviation = covariance.diagonal().clamp(min=0).sqrt()
        size = mean.abs().clamp(min=torch.finfo(self.center.dtype).tiny)
        if bool((deviation <= 1e-7 * size).any()):
            j = int((deviation <= 1e-7 * size).nonzero()[0])
            raise ValueError(f"x: column {j} is constant, so that there is no density; drop it or add noise")
        correlation = (covariance / torch.outer(deviation, deviation)).fill_diagonal_(0)
        if n > 2 and bool((correlation.abs() > 1 - 1e-12).any()):
            i, j = sorted(int(k) for k in (correlation.abs() > 1 - 1e-12).nonzero()[0])
            raise ValueError(
                f"x: columns {i} and {j} are copies of one another, so that there is no density; drop one"
            )
        self.center.copy_(mean)
        self.log_scale.copy_(deviation.log())

    def _start(self, x: Tensor) -> Tensor:
        return (x - self.center) * torch.exp(-self.log_scale)

    def _climb(self, x: Tensor, held_out: Tensor | None, generator: torch.Generator) -> int:
        """Fit layer after layer; return how many to keep."""
        rows = {"train": self._start(x)}
        if held_out is not None:
            rows["held_out"] = self._start(held_out)
        log_dets = {name: value.new_zeros(len(value)) for name, value in rows.items()}
        self.history, clock = {"train": [], "held_out": [], "cpu_seconds": []}, time.process_time()
        best, kept, since = math.inf, len(self.layers), 0
        for k, layer in enumerate(self.layers):
            layer.fit(rows["train"], generator=generator)
            layer.to(self.center.device)
            for name in rows:
                rows[name], log_det = layer.forward_and_log_det(rows[name])
                log_dets[name] = log_dets[name] + log_det
            if isinstance(layer, Rotation):
                continue
            for name in rows:
                self.history[name].append(self._mean_loss(rows[name], log_dets[name]))
            self.history["cpu_seconds"].append(time.process_time() - clock)
            if held_out is not None and self.patience is not None:
                if self.history["held_out"][-1] < best:
                    best, kept, since = self.history["held_out"][-1], k + 1, 0
                else:
                    since += 1
                if since >= self.patience:
                    break
        return kept

    def _mean_loss(self, z: Tensor, log_det: Tensor) -> float:
        value = (self._base_loss(z) - log_det).double().sum()
        return float(
            all_sum(value) / all_sum(value.new_tensor(float(len(z)))) + self.log_scale.double().sum()
        )

    def _base_loss(self, z: Tensor) -> Tensor:
        return 0.5 * z.square().sum(dim=1) + 0.5 * self.dim * math.log(2 * math.pi)

    def _keep(self, count: int) -> IterativeGaussianizer:
        self.layers = self.layers[:count]
        self.fitted = True
        return self

    def fit_batches(
        self,
        batches: Callable[[], Iterable[Tensor]],
        *,
        held_out: Tensor | None = None,
        sample: int = 20_000,
        random_state: int | None = None,
    ) -> IterativeGaussianizer:
        """Fit to data larger than memory: several passes over batches, each batch seen alone.

        The marginal maps see every row, by histograms that add up exactly. Rotations that look at data see
        the first `sample` rows only, so let these be in random order. A pass runs the earlier layers again,
        so the cost grows with the square of the depth: it buys memory with time.

        Parameters
        ----------
        batches : callable
            ``batches()`` starts a pass: it gives an iterable over tensors of shape (rows, dim).
        held_out : Tensor of shape (m, dim), optional
            Data that decide where to stop, kept in memory.
        sample : int
            Rows that are kept in memory for the rotations.
        random_state : int, optional
            Decides the rotations.

        Returns
        -------
        IterativeGaussianizer
            Itself.

        Raises
        ------
        ValueError
            As in ``fit``; or if a marginal map cannot be fitted from histograms.
        """
        for layer in self.layers:
            if isinstance(layer, MarginalMap) and not isinstance(layer, _FromHistogram):
                raise ValueError(
                    f"marginal: {type(layer).__name__} needs a whole column in memory; use 'kde', 'quantile' "
                    "or 'spline'"
                )
        generator = _seeded(random_state)
        self.history = {"train": [], "held_out": []}
        with torch.no_grad():
            self._standardize(*self._moments(batches()))
            some, held = self._start(self._first_rows(batches(), sample)), held_out
            if held is not None:
                held = self._start(check_rows(held, self.dim, like=self.center, name="held_out"))
            log_det = None if held is None else held.new_zeros(len(held))
            best, kept, since = math.inf, len(self.layers), 0
            for k, layer in enumerate(self.layers):

                def parts(depth: int = k) -> Iterable[Tensor]:
                    for batch in batches():
                        yield self._through(self._start(batch), depth)[0]

                if isinstance(layer, _FromHistogram):
                    _fit_streaming(layer, parts)
                else:
                    layer.fit(some, generator=generator)
                some = layer.forward_and_log_det(some)[0]
                if held is None or log_det is None:
                    continue
                held, more = layer.forward_and_log_det(held)
                log_det = log_det + more
                if isinstance(layer, Rotation):
                    continue
                self.history["held_out"].append(self._mean_loss(held, log_det))
                if self.patience is None:
                    continue
                if self.history["held_out"][-1] < best:
                    best, kept, since = self.history["held_out"][-1], k + 1, 0
                else:
                    since += 1
                if since >= self.patience:
                    break
        return self._keep(kept)

    def _first_rows(self, parts: Iterable[Tensor], count: int) -> Tensor:
        found: list[Tensor] = []
        for part in parts:
            found.append(part[: count - sum(map(len, found))])
            if sum(map(len, found)) >= count:
                break
        return torch.cat(found)

    # -------------------------------------------------------------------- the three tasks

    def _through(self, x: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for layer in self.layers[:depth]:
            x, log_det = layer.forward_and_log_det(x)
            total = total + log_det
        return x, total

    def _require_fit(self) -> None:
        if not self.fitted:
            raise RuntimeError("IterativeGaussianizer is not fitted: call fit(x) first")

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to latent, with the log-determinant.

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
        """
        self._require_fit()
        x = check_rows(x, self.dim, like=self.center)
        z, log_det = self._through(self._start(x), len(self.layers))
        return z, log_det - self.log_scale.sum()

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
        """
        self._require_fit()
        x = check_rows(z, self.dim, like=self.center, name="z")
        for layer in reversed(self.layers):
            x = layer.inverse(x)
        return x * self.log_scale.exp() + self.center

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
        """
        z, log_det = self.forward_and_log_det(x)
        return log_det - self._base_loss(z)

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw from the model: the inverse of standard normal points.

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
        like = self.center
        return self.inverse(
            torch.randn(n, self.dim, generator=generator, dtype=like.dtype, device=like.device)
        )

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        """Drop layers that the file does not hold: it has as many as early stopping left."""
        held = {
            int(key[len(prefix) + 7 :].split(".")[0]) for key in state if key.startswith(prefix + "layers.")
        }
        if held and max(held) + 1 < len(self.layers):
            self.layers = self.layers[: max(held) + 1]
        self.fitted = bool(held)
        super()._load_from_state_dict(state, prefix, *args)


def _fit_streaming(layer: _FromHistogram, parts: Callable[[], Iterable[Tensor]]) -> None:
    """Range of the columns in one pass, counts on that grid in another."""
    low = high = counts = None
    for part in parts():
        low = part.amin(dim=0) if low is None else torch.minimum(low, part.amin(dim=0))
        high = part.amax(dim=0) if high is None else torch.maximum(high, part.amax(dim=0))
    if low is None or high is None:
        raise ValueError("batches: gave nothing on a second pass; it must start anew at every call")
    low, high = layer.grid(all_sum(low, "MIN"), all_sum(high, "MAX"))
    for part in parts():
        more = histogram(part, low, high, layer.cells)
        counts = more if counts is None else counts + more
    if counts is None:
        raise ValueError("batches: gave nothing on a second pass; it must start anew at every call")
    layer.fit_counts(all_sum(counts), low, high)


# ------------------------------------------------------------------------------------ theory, in numbers


def covariance_recursion(
    dim: int, layers: int, *, spread: float = 0.1, random_state: int | None = None
) -> NDArray[np.float64]:
    r"""Distance to the standard normal law, layer by layer, where everything stays Gaussian.

    A Gaussian with covariance :math:`\Sigma` turned by a Haar rotation and divided by its deviations is again
    Gaussian: :math:`\Sigma \leftarrow D^{-1/2} R \Sigma R^\top D^{-1/2}`, with `D` the diagonal. No sample is
    drawn: this is the algorithm with infinite data.

    Parameters
    ----------
    dim : int
        Number of columns.
    layers : int
        Number of layers.
    spread : float
        Size of the entries of the first covariance less the identity.
    random_state : int, optional
        Decides the first covariance and the rotations.

    Returns
    -------
    ndarray of shape (layers + 1,)
        :math:`J_k = -\tfrac12 \log\det \Sigma_k` in nats, once the first layer has made the diagonal one.

    Raises
    ------
    ValueError
        If `dim` is less than two, or there is no layer.

    Notes
    -----
    Near the identity :math:`J_{k+1} \approx (1 - \tfrac{2}{d+2})\,J_k` in the mean over rotations.

    References
    ----------
    Draxler et al., 2023, "On the convergence rate of Gaussianization with random rotations",
    arXiv:2306.13520.

    Taught in :ref:`iterative`.
    """
    if dim < 2 or layers < 1:
        raise ValueError(f"dim={dim!r}, layers={layers!r}: expected at least 2 and 1")
    generator = _seeded(random_state)
    noise = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    covariance = torch.matrix_exp(spread * (noise + noise.T) / math.sqrt(2 * dim))
    found = []
    for k in range(layers + 1):
        if k > 0:
            turn = haar_matrix(dim, generator=generator)
            covariance = turn @ covariance @ turn.T
        scale = covariance.diagonal().rsqrt()
        covariance = scale[:, None] * covariance * scale
        covariance = 0.5 * (covariance + covariance.T)
        found.append(-0.5 * float(torch.log1p(torch.linalg.eigvalsh(covariance) - 1).sum()))
    return np.array(found)


def expected_excursions(dim: int, layers: int, n: int) -> float:
    r"""Count how often a fresh point is expected to leave the fitted ranges: :math:`2 d L/(n + 1)`.

    Of `n + 1` exchangeable values the last is the smallest or the largest with probability :math:`2/(n+1)`; a
    fresh point meets :math:`d L` fitted ranges. (Exact in the first layer, where fresh and fitted points are
    exchangeable.)

    Parameters
    ----------
    dim, layers, n : int
        Columns, layers, and points that each range was fitted to.

    Returns
    -------
    float
        Excursions per fresh point.

    Taught in :ref:`iterative`.

    Examples
    --------
    >>> round(expected_excursions(64, 30, 1297), 2)
    2.96
    """
    return 2 * dim * layers / (n + 1)


# ------------------------------------------------------------------------------------ the other direction


@catalogued(
    examples=lambda d: [Fitted(SlicedTransport, layers=5, random_state=0)],
    dims=(1, 2, 3),
    cost={"fit": "O(n d^2 + n d log n) per layer", "log_prob": "none", "sample": "O(d^2) per layer"},
)
class SlicedTransport(nn.Module):
    r"""From latent to data: move a cloud of latent points so that random views of it match those of the data.

    In each layer latents and data are turned by one Haar rotation; on each axis the i-th smallest latent is
    brought to the i-th smallest datum (one-dimensional optimal transport), a curve is fitted to these pairs,
    and the cloud is turned back. The curves are kept, so that fresh latents can go the same way.

    The cloud that was fitted always arrives. Whether *fresh* latents do is another question: they leave the
    fitted ranges, and what happens then is the curve's choice of extrapolation.

    Parameters
    ----------
    dim : int
        Number of columns.
    layers : int
        Number of layers.
    curve : {"quantile", "polynomial"}
        Straight lines between quantiles with linear tails (increasing), or least squares.
    knots : int
        Quantiles of a curve.
    degree : int
        Degree of a polynomial.
    support : {None, "clip", "linear"}
        What a polynomial does beyond the fitted range.
    latents : int, optional
        Size of the cloud; by default as many as data.

    Raises
    ------
    ValueError
        If a number is out of range or a choice unknown.

    References
    ----------
    Pitie, Kokaram and Dahyot, 2007 (iterative distribution transfer). Li, Moosmuller and Wang, 2023,
    arXiv:2307.05705 (what is proved of it).

    Notes
    -----
    Taught in :ref:`iterative`.
    """

    likelihood = Likelihood.NONE

    def __init__(
        self,
        dim: int,
        *,
        layers: int = 30,
        curve: str = "quantile",
        knots: int = 100,
        degree: int = 6,
        support: str | None = None,
        latents: int | None = None,
    ) -> None:
        super().__init__()
        if min(dim, layers) < 1 or knots < 3 or (latents is not None and latents < 2):
            raise ValueError(
                f"dim={dim!r}, layers={layers!r}, knots={knots!r}, latents={latents!r}: expected at least "
                "1, 1, 3, 2"
            )
        if curve not in ("quantile", "polynomial"):
            raise ValueError(f"curve: got {curve!r}, expected 'quantile' or 'polynomial'")
        self.dim, self.curve, self.knots, self.latents = dim, curve, knots, latents
        self.rotations = nn.ModuleList([Haar() for _ in range(layers)])
        self.curves = nn.ModuleList(
            [
                KnotMap()
                if curve == "quantile"
                else PolynomialMap(degree=degree, monotone=False, support=support)
                for _ in range(layers)
            ]
        )
        self.spot = nn.Parameter(torch.zeros(dim), requires_grad=False)
        self.arrived: Tensor | None = None

    def fit(self, x: Tensor, *, random_state: int | None = None) -> SlicedTransport:
        """Draw the cloud and move it to `x` (n, dim); where it arrived is kept as ``arrived``."""
        x = check_rows(x, self.dim, like=self.spot)
        if len(x) < 2:
            raise ValueError(f"x: got {len(x)} row, expected at least 2")
        generator = _seeded(random_state)
        z = torch.randn(self.latents or len(x), self.dim, generator=generator, dtype=torch.float64).to(x)
        for rotation, curve in zip(self.rotations, self.curves, strict=True):
            rotation.fit(x, generator=generator)
            a, b = z @ rotation.matrix.T, x @ rotation.matrix.T
            if isinstance(curve, PolynomialMap):
                level = (torch.arange(len(a), device=x.device) + 0.5) / len(a)
                curve.fit_pairs(a, _sorted_quantiles(b, level.to(x)))
            else:
                level = torch.linspace(0, 1, self.knots, dtype=x.dtype, device=x.device)
                curve.set_knots(*(_sorted_quantiles(part, level).T for part in (a, b)))
            z = self._bend(curve, a) @ rotation.matrix
        self.arrived = z
        return self

    @staticmethod
    def _bend(curve: nn.Module, a: Tensor) -> Tensor:
        return curve.value(a) if isinstance(curve, PolynomialMap) else curve.forward_and_log_det(a)[0]

    def transport(self, z: Tensor) -> Tensor:
        """Send latents (n, dim) the way of the cloud."""
        for rotation, curve in zip(self.rotations, self.curves, strict=True):
            z = self._bend(curve, z @ rotation.matrix.T) @ rotation.matrix
        return z

    def excursions(self, z: Tensor) -> Tensor:
        """How often each of the latents (n, dim) leaves a fitted range on its way, of shape (n,)."""
        count = z.new_zeros(len(z))
        for rotation, curve in zip(self.rotations, self.curves, strict=True):
            a = z @ rotation.matrix.T
            low, high = (curve.low, curve.high) if isinstance(curve, PolynomialMap) else curve.support
            count = count + ((a < low) | (a > high)).sum(dim=1)
            z = self._bend(curve, a) @ rotation.matrix
        return count

    def log_prob(self, x: Tensor) -> Tensor:
        """Not available: the transport is fitted as a sampler; use ``IterativeGaussianizer`` instead."""
        raise NotImplementedError(
            "SlicedTransport has no density: its curves need not increase. Compare samples "
            "(coursekit.metrics.sliced_wasserstein), or use IterativeGaussianizer instead"
        )

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw fresh latents and transport them: (n, dim)."""
        like = self.spot
        return self.transport(
            torch.randn(n, self.dim, generator=generator, dtype=like.dtype, device=like.device)
        )


def _sorted_quantiles(x: Tensor, level: Tensor) -> Tensor:
    """Quantiles (m, d) of the columns of `x` (n, d) at levels (m,), by linear interpolation."""
    ordered = x.sort(dim=0).values
    place = level * (len(x) - 1)
    k = place.floor().long().clamp(max=len(x) - 2)
    return torch.lerp(ordered[k], ordered[k + 1], (place - k)[:, None])
