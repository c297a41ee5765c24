r"""InfoGAN: a code that the samples must give away, by a lower bound on mutual information.

.. math:: I(c; x) = H(c) - H(c \mid x) \;\ge\; H(c) + \operatorname{E}_{c, x} \log q(c \mid x)

for every law q(c | x), with equality where q is the posterior. Everything is in nats.

Taught in :ref:`infogan`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import xlogy
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.adversarial.gan import GAN, Generator
from coursekit.base import Fitted, catalogued
from coursekit.nn import check_rows, mlp

__all__ = [
    "CodedGenerator",
    "InfoGAN",
    "code_posterior",
    "contingency",
    "information_bound",
    "matched_accuracy",
    "mutual_information",
    "purity",
]

Float = NDArray[np.float64]


# ----------------------------------------------------------------------------------------------
# Information, where everything can be summed.


def _joint(joint: ArrayLike) -> Float:
    table = np.asarray(joint, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(
            f"joint: got shape {table.shape}, expected (codes, values of x), at least one of each"
        )
    if not (np.isfinite(table).all() and (table >= 0).all() and abs(table.sum() - 1) < 1e-8):
        raise ValueError(f"joint: expected probabilities with sum 1, got a sum of {table.sum():.6g}")
    return table


def mutual_information(joint: ArrayLike) -> float:
    r"""Mutual information of a code and an observation with finitely many values, exactly.

    .. math:: I(c; x) = \sum_{c, x} p(c, x) \log \frac{p(c, x)}{p(c)\, p(x)}

    Parameters
    ----------
    joint : array_like of shape (C, S)
        Entry (c, x) is the probability of both.

    Returns
    -------
    float
        Information in nats, at least 0 and at most the entropy of the code.

    Raises
    ------
    ValueError
        If `joint` holds no probabilities that sum to one.

    References
    ----------
    Cover and Thomas, 2006, Elements of information theory, section 2.3.

    Notes
    -----
    Taught in :ref:`infogan`.

    Examples
    --------
    >>> round(mutual_information([[0.5, 0.0], [0.0, 0.5]]), 6)  # the code can be read off: log 2
    0.693147
    """
    table = _joint(joint)
    apart = np.outer(table.sum(axis=1), table.sum(axis=0))
    log_ratio = np.log(table, where=table > 0, out=np.zeros_like(table))
    log_ratio -= np.log(apart, where=table > 0, out=np.zeros_like(table))
    return float(np.sum(table * log_ratio))


def code_posterior(joint: ArrayLike) -> Float:
    """Compute p(c | x) from the joint law: the q that makes the bound an equality.

    Parameters
    ----------
    joint : array_like of shape (C, S)
        Entry (c, x) is the probability of both.

    Returns
    -------
    ndarray of shape (C, S)
        Columns that sum to one; where x never happens, equal numbers.

    Raises
    ------
    ValueError
        If `joint` holds no probabilities that sum to one.

    Notes
    -----
    Taught in :ref:`infogan`.
    """
    table = _joint(joint)
    marginal = table.sum(axis=0)
    return np.where(marginal > 0, table / np.where(marginal > 0, marginal, 1.0), 1 / len(table))


def information_bound(joint: ArrayLike, q: ArrayLike) -> float:
    r"""Variational lower bound on the mutual information, exactly.

    .. math:: L(q) = H(c) + \sum_{c, x} p(c, x) \log q(c \mid x)
        = I(c; x) - \operatorname{E}_x \mathrm{KL}\bigl(p(c \mid x) \,\Vert\, q(c \mid x)\bigr)

    Parameters
    ----------
    joint : array_like of shape (C, S)
        Entry (c, x) is the probability of both.
    q : array_like of shape (C, S)
        A guess of p(c | x): its columns sum to one.

    Returns
    -------
    float
        The bound in nats; minus infinity where q excludes what happens.

    Raises
    ------
    ValueError
        If `joint` or the columns of `q` hold no probabilities.

    References
    ----------
    Barber and Agakov, 2003, The IM algorithm. Chen et al., 2016, arXiv:1606.03657, equation 4.

    Notes
    -----
    Taught in :ref:`infogan`.

    Examples
    --------
    >>> joint = [[0.4, 0.1], [0.1, 0.4]]
    >>> math.isclose(information_bound(joint, code_posterior(joint)), mutual_information(joint))
    True
    """
    table, guess = _joint(joint), np.asarray(q, dtype=np.float64)
    if guess.shape != table.shape:
        raise ValueError(f"q: got shape {guess.shape}, expected {table.shape}, as the joint law")
    sums = guess.sum(axis=0)
    if not ((guess >= 0).all() and np.abs(sums - 1).max() < 1e-8):
        raise ValueError("q: expected columns of probabilities that sum to one: a law of the code for each x")
    codes = table.sum(axis=1)
    with np.errstate(divide="ignore"):
        return float(np.sum(xlogy(table, guess)) - np.sum(xlogy(codes, codes)))


# ----------------------------------------------------------------------------------------------
# What a code has to do with labels that nobody showed to the model.


def contingency(labels: ArrayLike, codes: ArrayLike) -> NDArray[np.int64]:
    """Count how often each label meets each code.

    Parameters
    ----------
    labels, codes : array_like of shape (n,)
        Whole numbers of at least 0.

    Returns
    -------
    ndarray of shape (largest label + 1, largest code + 1)
        Counts.

    Raises
    ------
    ValueError
        If they are empty, of different lengths, or no whole numbers of at least 0.

    Notes
    -----
    Taught in :ref:`infogan`.
    """
    a, b = np.asarray(labels), np.asarray(codes)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(
            f"labels, codes: got shapes {a.shape} and {b.shape}, expected (n,) twice, n at least 1"
        )
    if a.dtype.kind not in "iu" or b.dtype.kind not in "iu" or min(a.min(), b.min()) < 0:
        raise ValueError("labels, codes: expected whole numbers of at least 0")
    counts = np.zeros((int(a.max()) + 1, int(b.max()) + 1), dtype=np.int64)
    np.add.at(counts, (a, b), 1)
    return counts


def purity(labels: ArrayLike, codes: ArrayLike) -> float:
    """Share of rows that have the commonest label of their code.

    Each code is named after its commonest label, so two codes may have one name; with as many codes as rows
    it is one. It flatters: compare only with another grouping into as many groups.

    Parameters
    ----------
    labels, codes : array_like of shape (n,)
        Whole numbers of at least 0.

    Returns
    -------
    float
        Between the share of the commonest label and one.

    Notes
    -----
    Taught in :ref:`infogan`.

    Examples
    --------
    >>> purity([0, 0, 1, 1], [2, 2, 2, 0])
    0.75
    """
    counts = contingency(labels, codes)
    return float(counts.max(axis=0).sum() / counts.sum())


def matched_accuracy(labels: ArrayLike, codes: ArrayLike) -> float:
    """Share of rows that are right under the best one-to-one naming of the codes by labels.

    Parameters
    ----------
    labels, codes : array_like of shape (n,)
        Whole numbers of at least 0.

    Returns
    -------
    float
        At most the purity.

    References
    ----------
    Kuhn, 1955 (the assignment problem).

    Notes
    -----
    Taught in :ref:`infogan`.

    Examples
    --------
    >>> matched_accuracy([0, 0, 1, 1], [2, 2, 2, 0])
    0.75
    """
    counts = contingency(labels, codes)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


# ----------------------------------------------------------------------------------------------
# The model.


class CodedGenerator(Generator):
    """A generator whose noise is followed by a code: one column for each value of the code, a single 1.

    Parameters
    ----------
    dim, latent_dim, n_codes : int
        Columns of x, columns of the noise, and values of the code.
    hidden : sequence of int
        Widths of the hidden layers.
    net : torch.nn.Module, optional
        Another network, from (n, latent_dim + n_codes) to (n, dim).

    Notes
    -----
    Taught in :ref:`infogan`.
    """

    def __init__(
        self,
        dim: int,
        latent_dim: int,
        n_codes: int,
        *,
        hidden: Sequence[int] = (64, 64),
        net: nn.Module | None = None,
    ) -> None:
        super().__init__(dim, latent_dim + n_codes, hidden=hidden, net=net)
        self.n_codes = n_codes

    def draw(self, n: int, *, generator: torch.Generator | None = None, code: int | None = None) -> Tensor:
        """Draw standard normal noise, and a code, the same for all rows if it is given."""
        z = super().draw(n, generator=generator)  # (n, latent_dim + n_codes)
        codes = torch.randint(self.n_codes, (n,), generator=generator, device=z.device)
        if code is not None:
            codes = torch.full_like(codes, code)
        one_hot = F.one_hot(codes, self.n_codes).to(z.dtype)
        return torch.cat([z[:, : -self.n_codes], one_hot], dim=1)

    def code_of(self, z: Tensor) -> Tensor:
        """Give back the code of each row that `draw` made: whole numbers (n,)."""
        return z[:, -self.n_codes :].argmax(dim=1)


@catalogued(
    examples=lambda d: [
        Fitted(InfoGAN, n_codes=3, latent_dim=2, hidden=(16,), steps=12, device="cpu", random_state=0)
    ],
    dims=(1, 2),
    cost={"fit": "O(steps * batch * weights)", "log_prob": "none", "sample": "O(weights)"},
)
class InfoGAN(GAN):
    r"""A GAN whose generator also gets a code, which a network must be able to read off the samples.

    .. math:: \min_{G, q} \max_D \; V(D, G)
        - \lambda \, \bigl( H(c) + \operatorname{E} \log q(c \mid G(z, c)) \bigr)

    The code is uniform on `n_codes` values. The reader q learns in the discriminator's turns, from samples;
    the generator descends both terms in its own.

    Parameters
    ----------
    dim : int
        Columns of the data.
    n_codes : int
        Values of the code, at least 2.
    latent_dim : int
        Columns of the noise beside the code.
    hidden : sequence of int
        Widths of the hidden layers, of all networks.
    generator_hidden : sequence of int, optional
        Those of the generator, where they differ.
    weight : float
        Weight :math:`\lambda` of the information; 0 gives a plain GAN that ignores whether the code is used.
    d_steps, g_steps : int
        Turns, as in `GAN`.
    generator, discriminator, reader : torch.nn.Module, optional
        Other networks: from (n, latent_dim + n_codes) to (n, dim), from (n, dim) to (n, 1), and from (n, dim)
        to (n, n_codes) logits. (In the paper the last two share all layers but one.)
    augment : callable, optional
        As in `GAN`; the reader sees what the discriminator sees.

    Raises
    ------
    ValueError
        If a size is out of range; a code without a value, or with a single one, can carry nothing.

    References
    ----------
    Chen, Duan, Houthooft, Schulman, Sutskever and Abbeel, 2016, arXiv:1606.03657.

    Notes
    -----
    Taught in :ref:`infogan`.

    Examples
    --------
    >>> model = InfoGAN(2, n_codes=3)
    >>> model.sample(4, code=1).shape, model.code(torch.zeros(5, 2)).shape
    (torch.Size([4, 2]), torch.Size([5, 3]))
    """

    def __init__(
        self,
        dim: int,
        *,
        n_codes: int = 10,
        latent_dim: int = 8,
        hidden: Sequence[int] = (64, 64),
        generator_hidden: Sequence[int] | None = None,
        weight: float = 1.0,
        d_steps: int = 1,
        g_steps: int = 1,
        generator: nn.Module | None = None,
        discriminator: nn.Module | None = None,
        reader: nn.Module | None = None,
        augment: Callable[..., Tensor] | None = None,
    ) -> None:
        if isinstance(n_codes, bool) or not isinstance(n_codes, int | np.integer) or n_codes < 2:
            raise ValueError(
                f"n_codes: got {n_codes!r}, expected a whole number of at least 2: a code with fewer values "
                "has no entropy, so samples can tell nothing about it. Without a code use GAN or WGAN"
            )
        if not 0 <= weight < math.inf:
            raise ValueError(f"weight: got {weight!r}, expected a number of at least 0")
        super().__init__(
            dim,
            latent_dim=latent_dim,
            hidden=hidden,
            d_steps=d_steps,
            g_steps=g_steps,
            discriminator=discriminator,
            augment=augment,
        )
        self.n_codes, self.weight = int(n_codes), float(weight)
        widths = hidden if generator_hidden is None else generator_hidden
        self.generator = CodedGenerator(dim, latent_dim, self.n_codes, hidden=widths, net=generator)
        slope = lambda: nn.LeakyReLU(0.2)
        self.reader = mlp(dim, self.n_codes, hidden=hidden, activation=slope) if reader is None else reader

    # --- estimation

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Name the weights that each player moves: the reader's are the discriminator's to move."""
        found = super().players()
        found["discriminator"] += list(self.reader.parameters())
        return found

    def loss(
        self, batch: Tensor, *, player: str = "discriminator", generator: torch.Generator | None = None
    ) -> Tensor:
        """Loss of one player: its part of the game, and `weight` times the log-loss of reading the code.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Data; the generator's turn looks only at how many rows there are.
        player : {"discriminator", "generator"}
            Whose loss.
        generator : torch.Generator, optional
            Source of the noise.

        Returns
        -------
        Tensor of shape (n,)
            What that player's step descends, in the mean.

        Raises
        ------
        ValueError
            If there is no such player.
        """
        z = self.generator.draw(len(batch), generator=generator)
        with torch.set_grad_enabled(torch.is_grad_enabled() and player == "generator"):
            fake = self.generator(z)
        if player == "discriminator":
            game = self.discriminator_loss(batch, fake, generator=generator)
        elif player == "generator":
            game = self.generator_loss(fake, generator=generator)
        else:
            raise ValueError(f"player: got {player!r}, expected 'discriminator' or 'generator'")
        logits = self.reader(self._shown(fake, generator))
        return game + self.weight * F.cross_entropy(logits, self.generator.code_of(z), reduction="none")

    # --- evaluation

    @torch.no_grad()
    def code(self, x: Tensor) -> Tensor:
        """Read the code off each row: probabilities q(c | x).

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Rows, data or samples.

        Returns
        -------
        Tensor of shape (n, n_codes)
            Rows that sum to one.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of that shape in the module's dtype.
        """
        x = check_rows(x, self.dim, like=next(self.parameters()))
        return torch.softmax(self.reader(x), dim=1)

    @torch.no_grad()
    def information(self, n: int = 1000, *, generator: torch.Generator | None = None) -> float:
        """Estimate the bound on I(c; x) that training raises, from n samples.

        It is about the model's own samples: it says that the codes can be told apart, not what they mean.

        Parameters
        ----------
        n : int
            How many samples.
        generator : torch.Generator, optional
            Source of the randomness.

        Returns
        -------
        float
            Nats, at most log n_codes.
        """
        z = self.generator.draw(n, generator=generator)
        unread = F.cross_entropy(self.reader(self.generator(z)), self.generator.code_of(z))
        return math.log(self.n_codes) - float(unread)

    # --- sampling

    @torch.no_grad()
    def sample(self, n: int, *, code: int | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw noise and code, and map them.

        Parameters
        ----------
        n : int
            How many rows.
        code : int, optional
            The same code for all rows; by default each row draws its own.
        generator : torch.Generator, optional
            Source of the randomness, on the module's device.

        Returns
        -------
        Tensor of shape (n, dim)
            The samples.

        Raises
        ------
        ValueError
            If `n` is less than one, or `code` is none of 0, ..., n_codes - 1.
        """
        if code is not None and not (isinstance(code, int | np.integer) and 0 <= code < self.n_codes):
            raise ValueError(f"code: got {code!r}, expected a whole number from 0 to {self.n_codes - 1}")
        z = cast(CodedGenerator, self.generator).draw(n, generator=generator, code=code)
        return self.generator(z)
