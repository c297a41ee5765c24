"""Embedded images: the 8x8 digits and a small real part of MNIST, with one fixed split each.

Nothing here needs a network. ``train`` fits, ``validation`` chooses, ``test`` is looked at once: nothing is
chosen on it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from coursekit.data import _arguments as check

__all__ = ["Logit", "Part", "Splits", "bits_per_dim", "digits", "mnist_sample"]

LEVELS = 17  # grey levels of the 8x8 digits: 0, 1, ..., 16
FORMS = ("grey", "dequantized", "thresholded", "stochastic")


class Part(NamedTuple):
    """One part of a data set.

    Attributes
    ----------
    X : ndarray of shape (n, d)
        One image per row, pixels row by row.
    y : ndarray of shape (n,), int64, or None
        Class of each image; None where the data set has none.
    """

    X: NDArray[Any]
    y: NDArray[np.int64] | None


class Splits(NamedTuple):
    """The three parts of a data set: fit on one, choose on the next, report the last.

    Attributes
    ----------
    train, validation, test : Part
        The parts, disjoint.
    """

    train: Part
    validation: Part
    test: Part


@lru_cache(maxsize=1)
def _counts() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # here, because importing scikit-learn takes a second

    X, y = load_digits(return_X_y=True)
    return X.astype(np.float64), y.astype(np.int64)


def digits(form: str = "grey", *, random_state: check.RandomState = 0) -> Splits:
    r"""Load the 1,797 8x8 digits of scikit-learn in one of four forms, always in the same split.

    The split is ``order = np.random.default_rng(0).permutation(1797)``: ``order[:1097]`` trains,
    ``order[1097:1297]`` validates, ``order[1297:]`` tests. It does not depend on `form` or `random_state`.

    The forms are different problems, and their likelihoods must not be compared with one another:

    =============  ============================================  ================================
    form           value of a pixel, from its count c in 0..16   what a log-likelihood of it is
    =============  ============================================  ================================
    "grey"         c                                             log-probability, 17 levels
    "dequantized"  (c + u) / 17, u uniform on [0, 1)             log-density on the unit cube
    "thresholded"  1 if c > 7.5, else 0                          log-probability, binary
    "stochastic"   1 with probability c / 16, else 0             log-probability, binary
    =============  ============================================  ================================

    A density of the dequantized form bounds a probability of the grey form (Jensen): the cell of an image has
    volume :math:`17^{-64}`, so :math:`\mathbb{E}_u \log p((c + u)/17) - 64 \log 17 \le \log P(c)`.
    `bits_per_dim` does this.

    Parameters
    ----------
    form : {"grey", "dequantized", "thresholded", "stochastic"}
        What a pixel is.
    random_state : None, int, RandomState or Generator
        Randomness of the dequantized and stochastic forms, drawn once for every image; the others ignore it.
        To draw anew in each epoch, start from the grey form.

    Returns
    -------
    Splits
        ``train``, ``validation`` and ``test`` with 1,097, 200 and 500 rows; ``X`` float64 of shape (n, 64).

    Raises
    ------
    ValueError
        If `form` is not one of the four.

    References
    ----------
    .. [1] E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI Machine Learning
       Repository, 1998.
    .. [2] L. Theis, A. van den Oord, M. Bethge, "A note on the evaluation of generative models", 2016,
       arXiv:1511.01844 (dequantization).

    Notes
    -----
    Taught in :ref:`what_is`.

    Examples
    --------
    >>> train, validation, test = digits("thresholded")
    >>> train.X.shape, validation.X.shape, test.X.shape
    ((1097, 64), (200, 64), (500, 64))
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(map(repr, FORMS))}; got {form!r}")
    counts, y = _counts()
    if form == "grey":
        X = counts  # taking rows below copies it
    elif form == "thresholded":
        X = (counts > 7.5).astype(np.float64)
    else:
        u = check.generator(random_state).uniform(size=counts.shape)
        # 16 + u can round up to 17, which is outside [0, 1).
        dequantized = np.minimum((counts + u) / LEVELS, np.nextafter(1.0, 0.0))
        X = dequantized if form == "dequantized" else (16 * u < counts).astype(np.float64)
    order = np.random.default_rng(0).permutation(len(counts))
    return Splits(*(Part(X[i], y[i]) for i in np.split(order, [1097, 1297])))


def bits_per_dim(log_prob: ArrayLike, *, dim: int = 64, levels: int = LEVELS) -> NDArray[np.float64]:
    r"""Bits per dimension of the discrete data, from a log-density of its dequantized form on the unit cube.

    .. math:: b = \frac{D \log L - \log p(x)}{D \log 2}

    for :math:`D` dimensions with :math:`L` levels, where :math:`x = (c + u)/L`. The uniform density has
    :math:`\log_2 L` bits per dimension.

    Parameters
    ----------
    log_prob : array_like
        Log-densities in nats, any shape.
    dim : int
        Number of dimensions :math:`D`.
    levels : int
        Number of levels :math:`L`: 17 for the 8x8 digits, 256 for MNIST.

    Returns
    -------
    ndarray of the shape of `log_prob`
        Bits per dimension; less is better.

    Raises
    ------
    ValueError
        If `dim` or `levels` is not an integer of at least one.

    Examples
    --------
    >>> round(float(bits_per_dim(0.0, dim=64, levels=17)), 3)
    4.087
    """
    dim, levels = check.positive_count(dim, "dim"), check.positive_count(levels, "levels")
    return (math.log(levels) - np.asarray(log_prob, dtype=np.float64) / dim) / math.log(2)


class Logit:
    r"""Bijection from the unit cube (data) to the whole space (latent), one coordinate at a time.

    .. math:: z = \operatorname{logit}(s), \quad s = \alpha + (1 - 2\alpha)\,x, \qquad
        \log\Bigl|\det\frac{\partial z}{\partial x}\Bigr| = \sum_i \log\frac{1 - 2\alpha}{s_i (1 - s_i)}

    With :math:`\alpha > 0` the faces of the cube map to finite points. Latent points beyond the images of the
    faces go back to data slightly outside the cube: nothing is clipped, because a clipped map has no inverse.

    Parameters
    ----------
    alpha : float
        Margin :math:`\alpha`, at least zero and below one half.

    Raises
    ------
    ValueError
        If `alpha` is outside [0, 0.5).

    References
    ----------
    .. [1] L. Dinh, J. Sohl-Dickstein, S. Bengio, "Density estimation using Real NVP", 2017, arXiv:1605.08803,
       section 4.1.

    Examples
    --------
    >>> z, log_det = Logit(0.05).forward_and_log_det([[0.5, 0.5]])
    >>> z
    array([[0., 0.]])
    """

    def __init__(self, alpha: float = 0.05):
        self.alpha = check.finite(alpha, "alpha")
        if not 0 <= self.alpha < 0.5:
            raise ValueError(f"alpha must be in [0, 0.5); got {alpha!r}")

    def forward_and_log_det(self, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Map data to latent, with the logarithm of the absolute Jacobian determinant.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Data in the unit cube, faces included if `alpha` is above zero.

        Returns
        -------
        z : ndarray of shape (n, d)
            Latent points.
        log_det : ndarray of shape (n,)
            Log-determinant of each row, in nats.

        Raises
        ------
        ValueError
            If `x` is not two-dimensional, not finite, or outside the cube.
        """
        x = self._matrix(x, "x")
        inside = (x >= 0) & (x <= 1) if self.alpha > 0 else (x > 0) & (x < 1)
        if not inside.all():
            cube = "[0, 1]" if self.alpha > 0 else "(0, 1), because alpha is 0"
            raise ValueError(
                f"x must be in {cube}; it reaches from {x.min():.6g} to {x.max():.6g}: "
                "dequantize and scale it first"
            )
        log_s = np.log(self.alpha + (1 - 2 * self.alpha) * x)
        log_rest = np.log(self.alpha + (1 - 2 * self.alpha) * (1 - x))  # log(1 - s) without cancellation
        return log_s - log_rest, (math.log(1 - 2 * self.alpha) - log_s - log_rest).sum(1)

    def inverse(self, z: ArrayLike) -> NDArray[np.float64]:
        """Map latent to data.

        Parameters
        ----------
        z : array_like of shape (n, d)
            Latent points.

        Returns
        -------
        ndarray of shape (n, d)
            Data; beyond the cube by at most ``alpha / (1 - 2 alpha)``.

        Raises
        ------
        ValueError
            If `z` is not two-dimensional or not finite.
        """
        from scipy.special import expit

        return (expit(self._matrix(z, "z")) - self.alpha) / (1 - 2 * self.alpha)

    @staticmethod
    def _matrix(x: ArrayLike, name: str) -> NDArray[np.float64]:
        array = np.asarray(x)
        return check.points(array, array.shape[1] if array.ndim == 2 else 1, name)


def mnist_sample() -> Splits:
    """Load a small real part of MNIST that ships with the package: 8,000 images, each class equally often.

    Of the images of one digit in the order of the official training file, 600 evenly spaced ones are taken;
    every sixth of them validates, the others train. The test part is 200 evenly spaced images of each digit
    of the official test file. Parts keep the order of their file. ``python -m coursekit.data.mnist_subset``
    makes the file anew.

    Returns
    -------
    Splits
        ``train``, ``validation`` and ``test`` with 5,000, 1,000 and 2,000 rows; ``X`` uint8 of shape (n,
        784), grey values 0 to 255 with ink bright; ``y`` the digit.

    Notes
    -----
    MNIST is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under CC BY-SA 3.0; so is this part
    of it (``mnist_sample.LICENSE.txt`` beside the file).

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
       recognition", Proceedings of the IEEE 86(11), 1998.

    Examples
    --------
    >>> train, validation, test = mnist_sample()
    >>> train.X.shape, train.X.dtype
    ((5000, 784), dtype('uint8'))
    """
    with (resources.files("coursekit.data") / "mnist_sample.npz").open("rb") as file, np.load(file) as arrays:
        parts = (Part(arrays[f"{p}_X"], arrays[f"{p}_y"].astype(np.int64)) for p in Splits._fields)
        return Splits(*parts)
