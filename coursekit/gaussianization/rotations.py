r"""Rotations: the half of a layer that turns the data, so that the next marginals have something to do.

Each is a layer of its own, ``fit / forward_and_log_det / inverse``, that ends as one stored matrix,
:math:`z = W (x - m)`. For an orthogonal :math:`W` the log-determinant is zero and the inverse is the
transpose; ICA and PCA with whitening also scale, and their log-determinant counts.

Taught in :ref:`iterative`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from coursekit.gaussianization.marginals import all_sum, probit_of_cells, smooth
from coursekit.nn import check_count

__all__ = ["ICA", "PCA", "Haar", "Householder", "MaxSliced", "Rotation", "haar_matrix"]


def haar_matrix(dim: int, *, generator: torch.Generator | None = None, like: Tensor | None = None) -> Tensor:
    """Draw an orthogonal matrix uniformly (from Haar measure): QR of a Gaussian matrix, signs fixed.

    The plain Q of a QR decomposition is *not* uniform: LAPACK's choice of signs makes its diagonal lean to
    one side. Multiplying each column by the sign of R's diagonal repairs it.

    Parameters
    ----------
    dim : int
        Number of rows and columns.
    generator : torch.Generator, optional
        Source of the randomness, on the CPU: the same matrix on every device.
    like : Tensor, optional
        Gives dtype and device.

    Returns
    -------
    Tensor of shape (dim, dim)
        Orthogonal.

    References
    ----------
    Mezzadri, 2007, arXiv:math-ph/0609050.

    Taught in :ref:`iterative`.

    Examples
    --------
    >>> q = haar_matrix(3, generator=torch.Generator().manual_seed(0))
    >>> torch.allclose(q @ q.T, torch.eye(3, dtype=q.dtype))
    True
    """
    q, r = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    q = q * r.diagonal().sign()
    return q if like is None else q.to(like)


def _scatter(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) over the rows of all processes."""
    n = all_sum(x.new_tensor(float(len(x))))
    mean = all_sum(x.sum(dim=0)) / n
    centred = x - mean
    return mean, all_sum(centred.T @ centred) / n


class Rotation(nn.Module):
    """A stored affine map ``z = W (x - m)``; subclasses write ``fit``, which sets it."""

    matrix: Tensor
    center: Tensor
    log_det: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("matrix", "center", "log_det"):
            self.register_buffer(name, torch.empty(0))

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> Rotation:
        """Choose the map for `x` (n, d), and return itself."""
        raise NotImplementedError

    def set_matrix(
        self, matrix: Tensor, *, center: Tensor | None = None, orthogonal: bool = True
    ) -> Rotation:
        """Store the map; its log-determinant is zero if `orthogonal`, else computed once."""
        self.matrix = matrix
        self.center = matrix.new_zeros(len(matrix)) if center is None else center
        self.log_det = matrix.new_zeros(()) if orthogonal else torch.linalg.slogdet(matrix)[1]
        self.orthogonal = orthogonal
        return self

    orthogonal = True  # a subclass whose matrix also scales says False, before a state is loaded

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("matrix", "center", "log_det"):
            if prefix + name in state and getattr(self, name).shape != state[prefix + name].shape:
                setattr(self, name, torch.empty_like(state[prefix + name]))
        super()._load_from_state_dict(state, prefix, *args)

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, d) to (n, d), with the log-determinant (n,) in nats."""
        if self.matrix.numel() == 0:
            raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(x) first")
        return (x - self.center) @ self.matrix.T, self.log_det.expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Undo the map: by the transpose where it is orthogonal, by solving where it also scales."""
        if self.orthogonal:
            return z @ self.matrix + self.center
        return torch.linalg.solve(self.matrix, z.T).T + self.center


class Haar(Rotation):
    """A rotation drawn uniformly: it needs no data, and the convergence theorem is about it.

    References
    ----------
    Laparra, Camps-Valls and Malo, 2011, arXiv:1602.00229.

    Taught in :ref:`iterative`.
    """

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> Rotation:
        """Draw the matrix for data with as many columns as `x` (n, d)."""
        return self.set_matrix(haar_matrix(x.shape[1], generator=generator, like=x))


class PCA(Rotation):
    """Eigenvectors of the covariance, largest variance first.

    Parameters
    ----------
    whiten : bool
        Also bring every component to variance one; then the log-determinant is not zero.

    Raises
    ------
    ValueError
        If `whiten` and the covariance is singular: constant or duplicated columns, or too few rows.

    References
    ----------
    Laparra, Camps-Valls and Malo, 2011, arXiv:1602.00229.

    Taught in :ref:`iterative`.
    """

    def __init__(self, *, whiten: bool = False) -> None:
        super().__init__()
        self.whiten, self.orthogonal = whiten, not whiten

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> Rotation:
        """Diagonalize the covariance of `x` (n, d)."""
        mean, covariance = _scatter(x)
        values, vectors = torch.linalg.eigh(covariance)
        rows = vectors.T.flip(0)
        if not self.whiten:
            return self.set_matrix(rows.contiguous())
        return self.set_matrix(rows / _deviations(values).flip(0)[:, None], center=mean, orthogonal=False)


def _deviations(eigenvalues: Tensor) -> Tensor:
    """Roots of the eigenvalues of a covariance, refused where it is singular."""
    if not bool(eigenvalues[0] > 1e-10 * eigenvalues[-1]):
        raise ValueError(
            "x: the covariance is singular (constant or duplicated columns, or fewer rows than columns), "
            "so that whitening would divide by zero; drop columns, add noise, or use another rotation"
        )
    return eigenvalues.sqrt()


class ICA(Rotation):
    """Whitening and the independent components of scikit-learn's FastICA: the least Gaussian directions.

    Parameters
    ----------
    iterations : int
        Most iterations of FastICA.

    Raises
    ------
    ValueError
        If the covariance is singular.

    References
    ----------
    Hyvarinen and Oja, 2000; Chen and Gopinath, 2000 (as a layer of Gaussianization).

    Taught in :ref:`iterative`.
    """

    orthogonal = False

    def __init__(self, *, iterations: int = 50) -> None:
        super().__init__()
        self.iterations = iterations

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> Rotation:
        """Whiten `x` (n, d) and turn it to its independent components."""
        import warnings

        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        mean, covariance = _scatter(x)
        values, vectors = torch.linalg.eigh(covariance)
        whitener = (vectors / _deviations(values)).T
        seed = int(torch.randint(2**31, (), generator=generator))
        model = FastICA(whiten=False, max_iter=self.iterations, random_state=seed)
        with warnings.catch_warnings():  # near-Gaussian data have no best direction: any one will do
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(((x - mean) @ whitener.T).double().cpu().numpy())
        turn, _, back = torch.linalg.svd(torch.as_tensor(model.components_))
        return self.set_matrix((turn @ back).to(x) @ whitener, center=mean, orthogonal=False)


class Householder(Rotation):
    r"""A product of random reflections :math:`I - 2 v v^\top`: cheap where `dim` is large.

    Turning n rows costs :math:`O(n k d)` for `k` reflections, against :math:`O(n d^2)`. With few reflections
    it is not uniform; `dim` of them mix well.

    Parameters
    ----------
    reflections : int
        How many.

    Raises
    ------
    ValueError
        If `reflections` is less than one.

    References
    ----------
    Tomczak and Welling, 2016, arXiv:1611.09630.

    Taught in :ref:`iterative`.
    """

    def __init__(self, *, reflections: int = 8) -> None:
        super().__init__()
        self.reflections = check_count("reflections", reflections)

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> Rotation:
        """Draw the directions for data with as many columns as `x` (n, d)."""
        v = torch.randn(self.reflections, x.shape[1], generator=generator, dtype=torch.float64)
        return self.set_matrix(nn.functional.normalize(v).to(x))

    def set_matrix(
        self, matrix: Tensor, *, center: Tensor | None = None, orthogonal: bool = True
    ) -> Rotation:
        """Store the directions, rows of length one (k, d)."""
        super().set_matrix(matrix)
        self.center = matrix.new_zeros(matrix.shape[1])
        return self

    def forward_and_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reflect (n, d) at each direction in turn."""
        if self.matrix.numel() == 0:
            raise RuntimeError("Householder is not fitted: call fit(x) first")
        for v in self.matrix:
            x = x - 2 * torch.outer(x @ v, v)
        return x, self.log_det.expand(len(x))

    def inverse(self, z: Tensor) -> Tensor:
        """Reflect in reverse order: each reflection undoes itself."""
        for v in self.matrix.flip(0):
            z = z - 2 * torch.outer(z @ v, v)
        return z


class MaxSliced(Rotation):
    r"""The rotation whose axes look least Gaussian, by ascent on the orthogonal group.

    With :math:`y = R x`, the sum over the axes of :math:`W_2^2(y_i, N(0, 1))` is a constant less twice
    :math:`\sum_i \mathbb E[\psi_i(y_i)\, y_i]`, where :math:`\psi_i = -g_i` makes axis `i` Gaussian; and the
    sum of :math:`\mathbb E \log f_i(y_i)`, the likelihood of the axes, has the score :math:`g_i = (\log
    f_i)'`. Either way the steepest turn is the skew part of :math:`M = \mathbb E[g(y)\, y^\top]`, and a step
    along it

    .. math:: R \leftarrow (I - \tfrac{\eta}{2} A)^{-1} (I + \tfrac{\eta}{2} A)\, R, \qquad
        A = \frac{M - M^\top}{\|M - M^\top\|} ,

    which stays orthogonal (Cayley). The likelihood objective is what a layer gains, exactly: maximum
    likelihood ICA. Both read :math:`g` off a histogram, so nothing is sorted.

    Parameters
    ----------
    objective : {"wasserstein", "likelihood"}
        What to make largest.
    steps : int
        Steps of the ascent; their size falls from `first` to `last` (radians, in all planes together).
    sample : int
        Rows to use, at most; another choice in each layer.
    first, last : float
        Sizes of the first and the last step.
    bandwidth : float
        Factor on the normal-reference bandwidth of the density whose score is followed. Twice the reference
        keeps the search from chasing noise.

    Raises
    ------
    ValueError
        If the objective is unknown, or a number out of range.

    References
    ----------
    Dai and Seljak, 2021, arXiv:2007.00674 (max-K-sliced Wasserstein); Deshpande et al., 2019,
    arXiv:1904.05877; Bell and Sejnowski, 1995 (likelihood).

    Taught in :ref:`iterative`.
    """

    _BOUND, _CELLS = 5.0, 200

    def __init__(
        self,
        *,
        objective: str = "wasserstein",
        steps: int = 25,
        sample: int = 20_000,
        first: float = 0.4,
        last: float = 0.03,
        bandwidth: float = 2.0,
    ) -> None:
        super().__init__()
        if objective not in ("wasserstein", "likelihood"):
            raise ValueError(f"objective: got {objective!r}, expected 'wasserstein' or 'likelihood'")
        if not (
            isinstance(steps, int) and steps >= 0 and sample >= 2 and 0 < last <= first and bandwidth > 0
        ):
            raise ValueError(
                f"steps={steps!r}, sample={sample!r}, first={first!r}, last={last!r}, "
                f"bandwidth={bandwidth!r}: expected a count, at least 2 rows, 0 < last <= first, and above 0"
            )
        self.objective, self.steps, self.sample, self.first, self.last = objective, steps, sample, first, last
        self.bandwidth = bandwidth

    def fit(self, x: Tensor, *, generator: torch.Generator | None = None) -> Rotation:
        """Climb from a Haar rotation; the columns of `x` (n, d) must be roughly standardized."""
        dim = x.shape[1]
        turn = haar_matrix(dim, generator=generator, like=x)
        seed = int(torch.randint(2**31, (), generator=generator))
        if len(x) > self.sample:  # drawn with replacement: no permutation of millions of rows
            rows = torch.randint(len(x), (self.sample,), generator=torch.Generator().manual_seed(seed))
            x = x[rows.to(x.device)]
        n = all_sum(x.new_tensor(float(len(x))))
        eye = torch.eye(dim, dtype=x.dtype, device=x.device)
        for k in range(self.steps):
            size = self.first * (self.last / self.first) ** (k / max(1, self.steps - 1))
            y = x @ turn.T
            pull = all_sum(self._pull(y, n).T @ y) / n  # (d, d)
            skew = pull - pull.T
            skew = skew * (size * math.sqrt(2) / skew.norm().clamp(min=1e-12))
            turn = torch.linalg.solve(eye - skew / 2, eye + skew / 2) @ turn
        left, _, right = torch.linalg.svd(turn)  # the rounding of many steps
        return self.set_matrix(left @ right)

    def _pull(self, y: Tensor, n: Tensor) -> Tensor:
        """Give g at each number of `y` (n, d): that of its cell, from the cells' counts."""
        columns, cells, width = y.shape[1], self._CELLS, 2 * self._BOUND / self._CELLS
        k = ((y + self._BOUND) * (1 / width)).clamp_(0, cells - 1).long()
        k += cells * torch.arange(columns, device=y.device)
        counts = torch.bincount(k.flatten(), minlength=cells * columns).view(columns, cells)
        mass = all_sum(counts.to(y.dtype)).double() / n
        if self.objective == "wasserstein":
            z = probit_of_cells((mass + 1e-7) / (1 + 1e-7 * cells))
            table = -torch.cat([z[:, :1], 0.5 * (z[:, 1:] + z[:, :-1]), z[:, -1:]], dim=1)
        else:
            middle = -self._BOUND + width * (torch.arange(cells, device=y.device).double() + 0.5)
            h = self.bandwidth * 1.06 * n.double() ** -0.2 / width  # in cells
            soft = smooth(mass, h.expand(columns))
            log_f = (soft + width * (0.02 * torch.exp(-0.5 * middle**2) + 1e-4)).log()
            table = nn.functional.pad((log_f[:, 2:] - log_f[:, :-2]) / (2 * width), (1, 1), mode="replicate")
        return table.to(y.dtype).flatten()[k]


ROTATIONS: dict[str, type[Rotation]] = {
    "haar": Haar,
    "householder": Householder,
    "ica": ICA,
    "max-sliced": MaxSliced,
    "pca": PCA,
}
