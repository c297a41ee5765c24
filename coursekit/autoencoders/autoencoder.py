r"""Autoencoders: a code, its reconstruction, and no density; with the dimension that a code needs.

.. math:: z = f(x), \qquad \hat x = g(z), \qquad \min_{f, g} \; \E\, L(x, g(f(x)))

The linear one finds the subspace of principal components. ``exp(-L)`` is no density of ``x``:
:func:`log_mass_of_exp_minus_loss` adds it up. :func:`twonn_dimension` and :func:`levina_bickel_dimension`
estimate how many numbers a code needs.

Taught in :ref:`autoencoder`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, NoReturn

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.metrics import nearest_neighbours
from coursekit.nn import check_rows, mlp

__all__ = [
    "Autoencoder",
    "levina_bickel_dimension",
    "log_mass_of_exp_minus_loss",
    "twonn_dimension",
]

_MOST_BITS = 20  # a million states are enumerated in a second or two


class _Transposed(nn.Module):
    """The decoder with tied weights: the encoder's matrices transposed, in reverse order, with own biases."""

    def __init__(self, encoder: nn.Sequential, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        layers = [layer for layer in encoder if isinstance(layer, nn.Linear)][::-1]
        object.__setattr__(self, "layers", layers)  # the encoder owns them: not registered twice
        self.biases = nn.ParameterList([torch.zeros(layer.in_features) for layer in layers])
        self.activation = activation()

    def forward(self, z: Tensor) -> Tensor:
        for i, (layer, bias) in enumerate(zip(self.layers, self.biases, strict=True)):
            z = F.linear(self.activation(z) if i else z, layer.weight.T, bias)
        return z


@catalogued(
    examples=lambda d: [
        Fitted(Autoencoder, latent_dim=1, hidden=(8,), epochs=3, lr=1e-2, device="cpu", random_state=0),
        Fitted(Autoencoder, latent_dim=1, hidden=(), tied=True, epochs=3, device="cpu", random_state=0),
    ],
    dims=(2, 3),
    cost={"fit": "O(n w) an epoch, w weights", "log_prob": "none", "sample": "none"},
)
class Autoencoder(nn.Module):
    r"""A network that must pass every row through a narrow code, and give the row back.

    .. math::
        L(x) = |x - \hat x|^2 \quad\text{(squared)}, \qquad
        L(x) = -\sum_i x_i \log r_i + (1 - x_i) \log(1 - r_i) \quad\text{(cross-entropy)}

    with :math:`\hat x = g(f(x))`, and with :math:`r = \sigma(g(f(x)))` for cross-entropy. With ``hidden=()``
    and the squared loss the best weights span the subspace of the first principal components.

    It estimates neither a density nor a sampler, so it has no ``sample``, and ``log_prob`` says what to use
    instead.

    Parameters
    ----------
    dim : int
        Columns of the data.
    latent_dim : int
        Columns of the code, the bottleneck.
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder has them in reverse. None makes both affine.
    reconstruction : {"squared", "cross-entropy"}
        The loss. Cross-entropy is for values in [0, 1]: bits, or grey levels.
    tied : bool
        Use the encoder's matrices, transposed, in the decoder: half the weights.
    activation : callable
        Makes the activation, such as ``nn.SiLU`` or ``nn.Tanh``.
    encoder, decoder : torch.nn.Module, optional
        Your own networks, from (n, dim) to (n, latent_dim) and back, in place of the fully connected ones.

    Raises
    ------
    ValueError
        If a width is less than one, if `reconstruction` has another name, or if `tied` comes with a network
        of your own.

    References
    ----------
    Rumelhart, Hinton, Williams 1986, "Learning internal representations by error propagation". Baldi, Hornik
    1989, "Neural networks and principal component analysis: learning from examples without local minima",
    Neural Networks 2. Hinton, Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks",
    Science 313.

    Notes
    -----
    Taught in :ref:`autoencoder`.

    Examples
    --------
    >>> model = Autoencoder(64, latent_dim=2, reconstruction="cross-entropy")
    >>> model.encode(torch.full((5, 64), 0.5)).shape
    torch.Size([5, 2])
    """

    likelihood = Likelihood.NONE

    def __init__(
        self,
        dim: int,
        *,
        latent_dim: int = 2,
        hidden: Sequence[int] = (64,),
        reconstruction: Literal["squared", "cross-entropy"] = "squared",
        tied: bool = False,
        activation: Callable[[], nn.Module] = nn.SiLU,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if reconstruction not in ("squared", "cross-entropy"):
            raise ValueError(f"reconstruction={reconstruction!r}: expected 'squared' or 'cross-entropy'")
        if tied and not (encoder is None and decoder is None):
            raise ValueError("tied=True ties the built-in networks: leave out `encoder` and `decoder`")
        self.dim, self.latent_dim, self.reconstruction = dim, latent_dim, reconstruction
        widths = list(hidden)
        built = mlp(dim, latent_dim, hidden=widths, activation=activation)
        self.encoder: nn.Module = built if encoder is None else encoder
        if tied:
            self.decoder: nn.Module = _Transposed(built, activation)
        else:
            own = mlp(latent_dim, dim, hidden=widths[::-1], activation=activation)
            self.decoder = own if decoder is None else decoder

    def encode(self, x: Tensor) -> Tensor:
        """Find the code of each row.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.

        Returns
        -------
        Tensor of shape (n, latent_dim)
            Codes.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of this shape and the module's dtype, or if a value lies outside [0, 1]
            where the loss is cross-entropy.
        """
        return self.encoder(self._checked(x))

    def decode(self, z: Tensor) -> Tensor:
        """Turn codes into rows: values, or probabilities of a one where the loss is cross-entropy.

        Parameters
        ----------
        z : Tensor of shape (n, latent_dim)
            Codes.

        Returns
        -------
        Tensor of shape (n, dim)
            Reconstructions.

        Raises
        ------
        TypeError, ValueError
            If `z` is no finite tensor of this shape and the module's dtype.
        """
        out = self.decoder(check_rows(z, self.latent_dim, like=self._weight(), name="z"))
        return torch.sigmoid(out) if self.reconstruction == "cross-entropy" else out

    def reconstruct(self, x: Tensor) -> Tensor:
        """Pass rows through the code and back.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Data.

        Returns
        -------
        Tensor of shape (n, dim)
            ``decode(encode(x))``.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``.
        """
        return self.decode(self.encode(x))

    def loss(self, batch: Tensor) -> Tensor:
        """Reconstruction error of each row, summed over the columns.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Data.

        Returns
        -------
        Tensor of shape (n,)
            Squared distance in squared units of the data, or cross-entropy in nats.
        """
        out = self.decoder(self.encoder(batch))
        if self.reconstruction == "squared":
            return (batch - out).square().sum(dim=1)
        # From the logits: log sigmoid(t) computed from sigmoid(t) loses all digits where the net is sure.
        return F.binary_cross_entropy_with_logits(out, batch, reduction="none").sum(dim=1)

    def check_data(self, x: Tensor) -> None:
        """Refuse training data that the loss is not made for; ``train`` asks before its first step.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Training data.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``.
        """
        self._checked(x, name="data")

    def log_prob(self, x: Tensor) -> NoReturn:
        """Refuse: an autoencoder has no density.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Points.

        Raises
        ------
        NotImplementedError
            Always; it says what to use instead.
        """
        raise NotImplementedError(
            "Autoencoder has no density: exp(-loss(x)) does not sum to one over x. Compare reconstructions "
            "by loss(x); for a density use a model that has one instead, such as a mixture, a variational "
            "autoencoder (a bound) or an autoregressive model (exact)"
        )

    def _weight(self) -> Tensor:
        return next(self.parameters())

    def _checked(self, x: Tensor, name: str = "x") -> Tensor:
        x = check_rows(x, self.dim, like=self._weight(), name=name)
        if self.reconstruction == "cross-entropy" and len(x):
            low, high = (float(value) for value in x.aminmax())
            if low < 0 or high > 1:
                raise ValueError(
                    f"{name}: got values from {low:g} to {high:g}, expected values in [0, 1] for a Bernoulli "
                    "decoder; divide by the largest grey level, or use reconstruction='squared'"
                )
        return x


def log_mass_of_exp_minus_loss(model: Autoencoder) -> float:
    r"""Logarithm of the sum of ``exp(-loss(x))`` over all vectors of bits, by enumeration.

    .. math:: \log \sum_{x \in \{0, 1\}^n} e^{-L(x)}

    A density would give 0. An autoencoder whose reconstruction does not look at `x` does; one that can
    reconstruct gives more, up to :math:`n \log 2`.

    Parameters
    ----------
    model : Autoencoder
        With cross-entropy; any module with ``dim`` and ``loss`` in nats will do.

    Returns
    -------
    float
        Logarithm of the mass.

    Raises
    ------
    ValueError
        If there are more than 20 columns, or if the loss is not cross-entropy.

    Notes
    -----
    Taught in :ref:`autoencoder`.
    """
    if getattr(model, "reconstruction", "cross-entropy") != "cross-entropy":
        raise ValueError("model: got the squared loss, expected cross-entropy: only bits can be enumerated")
    if model.dim > _MOST_BITS:
        raise ValueError(
            f"model: got {model.dim} columns, expected at most {_MOST_BITS}: 2^dim rows are added up"
        )
    states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=model.dim)))
    weight = next(model.parameters(), states)
    with torch.no_grad():
        parts = [model.loss(part.to(weight)).double() for part in states.split(2**14)]
    return float(torch.logsumexp(-torch.cat(parts), dim=0))


# ----------------------------------------------------------------------------------------------
# How many numbers does a code need?


def _log_ratios(X: ArrayLike, n_neighbors: int) -> NDArray[np.float64]:
    """Log T_k / T_j for j < k, of shape (n, k - 1): distances to the neighbours of each distinct row."""
    x = np.unique(np.asarray(X), axis=0) if np.ndim(X) == 2 else np.asarray(X)
    k = n_neighbors
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 2:
        raise ValueError(f"n_neighbors={k!r}: expected a whole number of at least 2")
    if x.ndim == 2 and 0 < len(x) <= k:
        raise ValueError(f"X: got {len(x)} distinct rows, expected more than n_neighbors={k}")
    distances = nearest_neighbours(x, x, n_neighbors=int(k) + 1)[0][:, 1:]  # (n, k), without the point itself
    return np.log(distances[:, -1:] / distances[:, :-1])


def twonn_dimension(X: ArrayLike, *, discard: float = 0.1) -> float:
    r"""Intrinsic dimension from the ratio of the distances to the two nearest neighbours (TwoNN).

    Where the density is constant over a neighbourhood, :math:`\mu = r_2 / r_1` has the law
    :math:`P(\mu > t) = t^{-d}`, whatever the density is: :math:`\log \mu` is exponential with rate `d`. The
    largest ratios, where this fails first, are discarded (censored), and `d` is the maximum of the likelihood
    of the others:

    .. math:: \hat d = \frac{m}{\sum_{i \le m} \log \mu_{(i)} + (n - m) \log \mu_{(m)}} .

    Parameters
    ----------
    X : array_like of shape (n, d)
        Data; rows that occur twice count once.
    discard : float
        Fraction of the largest ratios that is discarded, at least 0 and below 1.

    Returns
    -------
    float
        Estimated dimension. Its relative standard error is about ``1 / sqrt((1 - discard) n)``.

    Raises
    ------
    ValueError
        If there are fewer than three distinct rows, a value is not finite, or `discard` is not in [0, 1).

    References
    ----------
    Facco, d'Errico, Rodriguez, Laio 2017, "Estimating the intrinsic dimension of datasets by a minimal
    neighborhood information", Scientific Reports 7 (arXiv:1803.06992). They fit a line to the empirical
    distribution where this takes the likelihood.

    Notes
    -----
    Taught in :ref:`autoencoder`.
    """
    if not 0 <= discard < 1:
        raise ValueError(f"discard={discard!r}: expected a fraction of at least 0 and below 1")
    log_mu = np.sort(_log_ratios(X, 2)[:, 0])
    kept = max(1, math.ceil((1 - discard) * len(log_mu)))
    total = log_mu[:kept].sum() + (len(log_mu) - kept) * log_mu[kept - 1]
    return kept / float(total) if total > 0 else math.inf


def levina_bickel_dimension(X: ArrayLike, *, n_neighbors: int = 10) -> float:
    r"""Intrinsic dimension by maximum likelihood from the distances to `k` neighbours.

    If points fall near `x` like a Poisson process on a `d`-dimensional surface, the logarithms of the
    distance ratios are exponential with rate `d`. Over all points together,

    .. math:: \hat d^{-1} = \frac{1}{n (k - 1)} \sum_{i=1}^n \sum_{j=1}^{k-1} \log \frac{T_k(x_i)}{T_j(x_i)} .

    Parameters
    ----------
    X : array_like of shape (n, d)
        Data; rows that occur twice count once.
    n_neighbors : int
        Neighbours `k`, at least 2. More of them look at a larger scale, with less variance.

    Returns
    -------
    float
        Estimated dimension. With ``n_neighbors=2`` it is ``twonn_dimension(X, discard=0)``.

    Raises
    ------
    ValueError
        If there are not more than `n_neighbors` distinct rows, or a value is not finite.

    References
    ----------
    Levina, Bickel 2004, "Maximum likelihood estimation of intrinsic dimension", NIPS 17. MacKay, Ghahramani
    2005, comments on it: average the inverses, as here.

    Notes
    -----
    Taught in :ref:`autoencoder`.
    """
    mean = float(_log_ratios(X, n_neighbors).mean())
    return 1 / mean if mean > 0 else math.inf
