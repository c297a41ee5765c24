r"""Disentangling by mixing: chunks of two codes are swapped, and what was mixed must come apart again.

With codes :math:`z = E(x)` in equal chunks and a random mask of chunks :math:`m`,

.. math:: \tilde x = D(m \odot z_A + (1 - m) \odot z_B), \qquad
    \hat x_A = D(m \odot E(\tilde x) + (1 - m) \odot z_A)

:math:`\hat x_A` must be A again, :math:`\tilde x` must look like an image, and a classifier that sees A, B
and :math:`\tilde x` must be able to say, for each chunk, which of the two it came from.

Codes are (n, latent_dim), one row per image; factors are (n, K) whole numbers, the values that made it. A
mask is (n, chunks), true where the chunk is A's.

Taught in :ref:`mixing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from torch import Tensor, nn
from torch.nn import functional as F

from coursekit.adversarial.gan import discriminator_loss, non_saturating_loss
from coursekit.base import Fitted, Likelihood, catalogued
from coursekit.nn import check_count, check_rows, mlp

__all__ = [
    "ArithmeticTrials",
    "MixingAutoencoder",
    "MixingTerms",
    "Transfer",
    "arithmetic_trials",
    "chunk_retrieval",
    "draw_masks",
    "draw_partners",
    "mix_chunks",
    "nearest_image",
    "random_like",
    "retrieval_by_chance",
    "source_floor",
    "transfer",
    "traverse_chunks",
]

Array = NDArray[np.float64]
Index = NDArray[np.int64]


# ----------------------------------------------------------------------------------------------
# Masks and mixtures.


def draw_masks(n: int, chunks: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Throw a fair coin for each chunk of each pair.

    Parameters
    ----------
    n, chunks : int
        How many pairs, and chunks of a code.
    generator : torch.Generator, optional
        Source of the coins; they fall on its device.

    Returns
    -------
    Tensor of shape (n, chunks), bool
        True where the chunk is taken from the first code.

    Notes
    -----
    Taught in :ref:`mixing`.
    """
    place = None if generator is None else generator.device
    size = (check_count("n", n), check_count("chunks", chunks))
    return torch.rand(size, generator=generator, device=place) < 0.5


def draw_partners(batch: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Pair each row of a batch with another one: the batch with itself, shifted by a random number of rows.

    Parameters
    ----------
    batch : Tensor of shape (n, ...)
        Rows; a single one is paired with itself.
    generator : torch.Generator, optional
        Source of the shift, on the device of `batch`.

    Returns
    -------
    Tensor of shape (n,)
        Place of each row's partner.

    Notes
    -----
    Taught in :ref:`mixing`.
    """
    n, place = len(batch), batch.device
    shift = torch.randint(1, max(n, 2), (1,), generator=generator, device=place)
    return (torch.arange(n, device=place) + shift) % n


def mix_chunks(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Take each chunk from the first code where the mask is true, else from the second.

    Parameters
    ----------
    first, second : Tensor of shape (n, latent_dim)
        Codes.
    mask : Tensor of shape (n, chunks), bool
        One truth value for each chunk; `chunks` divides `latent_dim`.

    Returns
    -------
    Tensor of shape (n, latent_dim)
        Mixed codes.

    Raises
    ------
    TypeError
        If the mask is not of truth values.
    ValueError
        If shapes do not fit, or the chunks do not divide the code.

    Notes
    -----
    Taught in :ref:`mixing`.

    Examples
    --------
    >>> a, b = torch.arange(4.0)[None], -torch.arange(4.0)[None]
    >>> mix_chunks(a, b, torch.tensor([[False, True]])).tolist()
    [[-0.0, -1.0, 2.0, 3.0]]
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"mask: got {mask.dtype}, expected torch.bool: true takes a chunk from the first")
    if first.ndim != 2 or first.shape != second.shape:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"first, second: got shapes {shapes}, expected (n, latent_dim) twice")
    if mask.ndim != 2 or len(mask) != len(first):
        raise ValueError(f"mask: got shape {tuple(mask.shape)}, expected ({len(first)}, chunks)")
    size = _chunk_size(first.shape[1], mask.shape[1])
    return torch.where(mask.repeat_interleave(size, dim=1), first, second)


def _chunk_size(latent_dim: int, chunks: int) -> int:
    if chunks < 1 or latent_dim % chunks:
        raise ValueError(
            f"chunks: got {chunks} for a code of {latent_dim} columns, expected a divisor of {latent_dim}: "
            "all chunks are equally wide"
        )
    return latent_dim // chunks


# ----------------------------------------------------------------------------------------------
# The model.


class MixingTerms(NamedTuple):
    """What a batch costs, term by term and row by row, unweighted.

    Attributes
    ----------
    reconstruction : Tensor of shape (n,)
        Of A from its own code, summed over the columns.
    cycle : Tensor of shape (n,)
        Of A from the mixed image's chunks where the mask says A, and its own elsewhere.
    adversary : Tensor of shape (n,)
        How much the mixed image looks made up, in nats; 0 without an adversary.
    classifier : Tensor of shape (n,)
        Cross-entropy of the chunks' sources, mean over the chunks, in nats; log 2 is guessing. 0 without a
        classifier.
    """

    reconstruction: Tensor
    cycle: Tensor
    adversary: Tensor
    classifier: Tensor


@catalogued(
    examples=lambda d: [
        Fitted(
            MixingAutoencoder, chunks=2, latent_dim=4, hidden=(8,), steps=10, device="cpu", random_state=0
        ),
        Fitted(
            MixingAutoencoder,
            chunks=2,
            latent_dim=2,
            hidden=(8,),
            adversary_weight=0.0,
            steps=10,
            device="cpu",
            random_state=0,
        ),
    ],
    dims=(2, 5),
    support="binary",
    cost={"fit": "O(steps * batch * weights), five passes a step", "log_prob": "none", "sample": "none"},
)
class MixingAutoencoder(nn.Module):
    r"""Autoencoder whose code is cut into chunks that must survive being swapped between images.

    A batch is paired with itself, shifted: each image A with another, B. What is minimized, by the networks
    that code and decode together with the classifier, is

    .. math:: w_r\, d(x_A, D(z_A)) + w_c\, d(x_A, \hat x_A) - w_a \log \sigma(T(\tilde x))
        + w_s \tfrac{1}{C} \sum_c \mathrm{CE}(m_c \mid x_A, x_B, \tilde x)

    with the cross-entropy of the pixels, summed, for d. The adversary T tells mixed images from reconstructed
    ones: both come from the same decoder, so that only what does not fit together gives a mixture away. A
    weight of 0 drops the term and its network.

    It estimates neither a density nor a sampler, so it has no ``sample``, and ``log_prob`` says so.

    Parameters
    ----------
    dim : int
        Columns of x, bits or grey values in [0, 1].
    chunks : int
        How many chunks a code has.
    latent_dim : int
        Columns of the code, a multiple of `chunks`.
    hidden : sequence of int
        Widths of the encoder's hidden layers; the decoder has them in reverse, the other two networks have
        the last of them.
    reconstruction_weight, cycle_weight, adversary_weight, classifier_weight : float
        :math:`w_r, w_c, w_a, w_s`, at least 0.
    activation : callable
        Makes the activation of the networks that are built.
    encoder, decoder, adversary, classifier : torch.nn.Module, optional
        Other networks: from (n, dim) to (n, latent_dim); from there to (n, dim) logits; from (n, dim) to
        (n, 1) logits, large for what looks true; from (n, 3 dim), that is A, B and the mixture side by side,
        to (n, chunks) logits, large for A.

    Raises
    ------
    ValueError
        If a count is no whole number above 0, the chunks do not divide the code, there are fewer than two of
        them, a weight is negative or not finite, or a network comes for a term of weight 0.

    References
    ----------
    Hu, Szabó, Portenier, Favaro and Zwicker, 2018, "Disentangling factors of variation by mixing them", CVPR,
    arXiv:1711.07410. The original shows the adversary real images, not reconstructions.

    Notes
    -----
    Taught in :ref:`mixing`.

    Examples
    --------
    >>> model = MixingAutoencoder(6, chunks=2, latent_dim=4)
    >>> model.loss(torch.ones(3, 6)).shape
    torch.Size([3])
    """

    likelihood = Likelihood.NONE

    def __init__(
        self,
        dim: int,
        *,
        chunks: int = 4,
        latent_dim: int = 8,
        hidden: Sequence[int] = (128,),
        reconstruction_weight: float = 1.0,
        cycle_weight: float = 1.0,
        adversary_weight: float = 1.0,
        classifier_weight: float = 10.0,
        activation: Callable[[], nn.Module] = nn.SiLU,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        adversary: nn.Module | None = None,
        classifier: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.chunks = check_count("dim", dim), check_count("chunks", chunks, 2)
        self.latent_dim = check_count("latent_dim", latent_dim)
        self.chunk_dim = _chunk_size(latent_dim, chunks)
        self.weights = {
            "reconstruction": reconstruction_weight,
            "cycle": cycle_weight,
            "adversary": adversary_weight,
            "classifier": classifier_weight,
        }
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name}_weight: got {weight!r}, expected a number of at least 0")
        for name, given in {"adversary": adversary, "classifier": classifier}.items():
            if given is not None and not self.weights[name]:
                raise ValueError(f"{name}: got a network, but {name}_weight is 0 and nothing would use it")
        widths = list(hidden)
        last, common = widths[-1:], {"activation": activation}
        self.encoder = mlp(dim, latent_dim, hidden=widths, **common) if encoder is None else encoder
        self.decoder = mlp(latent_dim, dim, hidden=widths[::-1], **common) if decoder is None else decoder
        if adversary is None and adversary_weight:
            adversary = mlp(dim, 1, hidden=last, **common)
        if classifier is None and classifier_weight:
            classifier = mlp(3 * dim, chunks, hidden=last, **common)
        self.adversary, self.classifier = adversary, classifier
        self.turns = ("autoencoder", "adversary") if adversary is not None else ()

    # --- estimation

    def players(self) -> dict[str, list[nn.Parameter]]:
        """Name the weights that each player moves; without an adversary there is no game."""
        if self.adversary is None:
            return {}
        adversary = list(self.adversary.parameters())
        theirs = {id(weight) for weight in adversary}
        return {
            "autoencoder": [weight for weight in self.parameters() if id(weight) not in theirs],
            "adversary": adversary,
        }

    def check_data(self, x: Tensor) -> None:
        """Refuse training data that the loss is not made for; ``train`` asks before its first step.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Training data, two rows at least.

        Raises
        ------
        TypeError, ValueError
            As in ``encode``, and if there is no second image to mix with.
        """
        self._checked(x, "data")
        if len(x) < 2:
            raise ValueError(f"data: got {len(x)} image, expected at least two: one alone cannot be mixed")

    def loss(
        self, batch: Tensor, *, player: str = "autoencoder", generator: torch.Generator | None = None
    ) -> Tensor:
        """Weighted loss of each row, as one player sees it.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Images. A batch of one row is mixed with itself.
        player : {"autoencoder", "adversary"}
            Whose loss.
        generator : torch.Generator, optional
            Source of the pairs and masks.

        Returns
        -------
        Tensor of shape (n,)
            What that player's step descends, in the mean.

        Raises
        ------
        ValueError
            If there is no such player.
        """
        if player == "autoencoder":
            terms = self.terms(batch, generator=generator)._asdict()
            total = torch.zeros_like(batch[:, 0])
            for name, value in terms.items():
                total = total + self.weights[name] * value
            return total
        if player == "adversary" and self.adversary is not None:
            with torch.no_grad():  # the images are facts for this player: no gradient goes into them
                z, _, mixed_code, _ = self._pairs(batch, generator)
                real, mixed = self._pixels(z), self._pixels(mixed_code)
            return discriminator_loss(self.adversary(real)[:, 0], self.adversary(mixed)[:, 0])
        known = "'autoencoder' or 'adversary'" if self.adversary is not None else "'autoencoder'"
        raise ValueError(f"player: got {player!r}, expected {known}")

    def terms(self, batch: Tensor, *, generator: torch.Generator | None = None) -> MixingTerms:
        """Unweighted terms of the loss of each row.

        Parameters
        ----------
        batch : Tensor of shape (n, dim)
            Images.
        generator : torch.Generator, optional
            Source of the pairs and masks.

        Returns
        -------
        MixingTerms
            Each of shape (n,).
        """
        z, partner, mixed_code, mask = self._pairs(batch, generator)
        mixed = self._pixels(mixed_code)
        unmixed = mix_chunks(self.encoder(mixed), z, mask)
        none = torch.zeros_like(z[:, 0])
        looks = none if self.adversary is None else non_saturating_loss(self.adversary(mixed)[:, 0])
        source = none
        if self.classifier is not None:
            logits = self.classifier(torch.cat([batch, batch[partner], mixed], dim=1))  # (n, chunks)
            truth = mask.to(logits)
            source = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)
        return MixingTerms(self._misfit(batch, z), self._misfit(batch, unmixed), looks, source)

    def _pairs(
        self, batch: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Codes (n, latent_dim) of the batch, each row's partner (n,), mixed codes, and masks."""
        partner = draw_partners(batch, generator=generator)
        mask = draw_masks(len(batch), self.chunks, generator=generator).to(batch.device)
        z = self.encoder(batch)
        return z, partner, mix_chunks(z, z[partner], mask), mask

    def _pixels(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(z))

    def _misfit(self, x: Tensor, z: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(1)

    # --- use

    def encode(self, x: Tensor) -> Tensor:
        """Find the code of each row.

        Parameters
        ----------
        x : Tensor of shape (n, dim)
            Images.

        Returns
        -------
        Tensor of shape (n, latent_dim)
            Codes: `chunks` pieces of `chunk_dim` columns each.

        Raises
        ------
        TypeError, ValueError
            If `x` is no finite tensor of this shape and the module's dtype, or leaves [0, 1].
        """
        return self.encoder(self._checked(x, "x"))

    def decode(self, z: Tensor) -> Tensor:
        """Turn codes into images.

        Parameters
        ----------
        z : Tensor of shape (n, latent_dim)
            Codes.

        Returns
        -------
        Tensor of shape (n, dim)
            Chances that a pixel is on.

        Raises
        ------
        TypeError, ValueError
            If `z` is no finite tensor of this shape and the module's dtype.
        """
        return self._pixels(check_rows(z, self.latent_dim, like=next(self.parameters()), name="z"))

    def mix(self, first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
        """Decode chunks of the first images where the mask is true, of the second ones elsewhere.

        Parameters
        ----------
        first, second : Tensor of shape (n, dim)
            Images.
        mask : Tensor of shape (n, chunks), bool
            Whose chunk it is.

        Returns
        -------
        Tensor of shape (n, dim)
            Mixed images.

        Raises
        ------
        TypeError, ValueError
            As in ``encode`` and `mix_chunks`, or if the mask has another number of chunks.
        """
        if mask.ndim != 2 or mask.shape[1] != self.chunks:
            raise ValueError(f"mask: got shape {tuple(mask.shape)}, expected (n, {self.chunks})")
        return self.decode(mix_chunks(self.encode(first), self.encode(second), mask))

    def log_prob(self, x: Tensor) -> NoReturn:
        """Refuse: an autoencoder has no density.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError(
            "MixingAutoencoder has no density, whatever its adversary says: compare terms(x) instead, or use "
            "a variational autoencoder (a bound)"
        )

    def _checked(self, x: Tensor, name: str) -> Tensor:
        x = check_rows(x, self.dim, like=next(self.parameters()), name=name)
        low, high = (float(value) for value in x.aminmax()) if len(x) else (0.0, 1.0)
        if low < 0 or high > 1:
            raise ValueError(
                f"{name}: got values from {low:g} to {high:g}, expected values in [0, 1]; divide by the "
                "largest grey level"
            )
        return x


@torch.no_grad()
def traverse_chunks(model: MixingAutoencoder, start: Tensor, end: Tensor, steps: int = 7) -> Tensor:
    """Walk from one image towards another along one chunk at a time, the other chunks standing still.

    Parameters
    ----------
    model : MixingAutoencoder
        The model.
    start, end : Tensor of shape (dim,)
        Two images.
    steps : int
        Images in a row, two at least: the first has no chunk of `end`, the last one whole chunk.

    Returns
    -------
    Tensor of shape (chunks, steps, dim)
        A row of images for each chunk.

    Raises
    ------
    TypeError, ValueError
        If an image or the number of steps is wrong.

    Notes
    -----
    Taught in :ref:`mixing`.
    """
    check_count("steps", steps, 2)
    ends = model.encode(torch.stack([start, end])).reshape(2, model.chunks, model.chunk_dim)
    share = torch.linspace(0, 1, steps).to(ends)[None, :, None, None]
    moving = torch.eye(model.chunks).to(ends)[:, None, :, None]  # (chunks, 1, chunks, 1)
    path = ends[0] + share * moving * (ends[1] - ends[0])  # (chunks, steps, chunks, chunk_dim)
    return model.decode(path.reshape(-1, model.latent_dim)).reshape(model.chunks, steps, -1)


# ----------------------------------------------------------------------------------------------
# What a chunk holds.


def _checked_factors(factors: ArrayLike, rows: int | None = None) -> Index:
    v = np.asarray(factors)
    if v.ndim != 2 or 0 in v.shape or v.dtype.kind not in "iu":
        raise ValueError(f"factors: got {v.dtype} of shape {v.shape}, expected whole numbers (n, K)")
    if rows is not None and len(v) != rows:
        raise ValueError(f"codes, factors: got {rows} and {len(v)} rows, expected equally many")
    if len(v) < 2:
        raise ValueError("factors: got one row, expected at least two images")
    for number, column in enumerate(v.T):
        if (column == column[0]).all():
            raise ValueError(
                f"factors: column {number} has one value only, so it tells nothing; leave it out"
            )
    return v.astype(np.int64)


def retrieval_by_chance(factors: ArrayLike) -> Array:
    """Chance that two different images share the value of a factor.

    Parameters
    ----------
    factors : array_like of shape (n, K)
        Whole numbers: the value of each factor.

    Returns
    -------
    ndarray of shape (K,)
        Shares of all ordered pairs.

    Raises
    ------
    ValueError
        If the factors are no whole numbers, or one has one value only.

    Notes
    -----
    Taught in :ref:`mixing`.

    Examples
    --------
    >>> retrieval_by_chance([[0], [0], [1], [1]]).round(4).tolist()
    [0.3333]
    """
    v = _checked_factors(factors)
    n = len(v)
    counts = [np.unique(column, return_counts=True)[1] for column in v.T]
    return np.array([(count * (count - 1)).sum() / (n * (n - 1)) for count in counts])


def chunk_retrieval(codes: ArrayLike, factors: ArrayLike, *, chunks: int) -> Array:
    """Share of nearest neighbours, by one chunk alone, that have the same value of a factor.

    Distances are Euclidean. Images at the same least distance (up to rounding) all count, in equal parts: so
    a chunk that is constant retrieves by chance, and a code of labels has an exact score.

    Parameters
    ----------
    codes : array_like of shape (n, latent_dim)
        One code for each image.
    factors : array_like of shape (n, K)
        Whole numbers: the value of each factor.
    chunks : int
        Equal pieces of a code.

    Returns
    -------
    ndarray of shape (chunks, K)
        To be read against `retrieval_by_chance`.

    Raises
    ------
    ValueError
        If shapes or values are wrong, or the chunks do not divide the code.

    Notes
    -----
    Taught in :ref:`mixing`.
    """
    z = np.asarray(codes)
    if z.ndim != 2 or z.dtype.kind not in "fiu" or not np.isfinite(z).all():
        raise ValueError(f"codes: got {z.dtype} of shape {z.shape}, expected finite numbers (n, latent_dim)")
    v = _checked_factors(factors, len(z))
    size = _chunk_size(z.shape[1], check_count("chunks", chunks))
    found = np.zeros((chunks, v.shape[1]))
    for c in range(chunks):
        piece = z[:, c * size : (c + 1) * size].astype(np.float64)
        for rows in np.array_split(np.arange(len(z)), math.ceil(len(z) / 256)):
            gap = np.square(piece[rows, None] - piece[None]).sum(-1)  # (rows, n)
            gap[np.arange(len(rows)), rows] = np.inf
            least = gap.min(1, keepdims=True)
            near = (gap <= least * (1 + 1e-9) + 1e-24).astype(float)
            near /= near.sum(1, keepdims=True)
            for k, column in enumerate(v.T):
                found[c, k] += (near * (column[rows, None] == column[None])).sum()
    return found / len(z)


class Transfer(NamedTuple):
    """What happens to the factors of an image when one chunk comes from another.

    Attributes
    ----------
    moved : ndarray of shape (chunks, K)
        Where the two images differ in a factor: share in which the mixture has the donor's value.
    kept : ndarray of shape (chunks, K)
        The same pairs: share in which it still has its own.
    floor : ndarray of shape (K,)
        What `moved` is if nothing is swapped: reconstructions that are read wrongly.
    """

    moved: Array
    kept: Array
    floor: Array

    @property
    def gap(self) -> float:
        """Mean over the factors of how far the best chunk is ahead of the second best, in `moved`."""
        best = np.sort(self.moved, axis=0)
        return float((best[-1] - best[-2]).mean())

    @property
    def alive(self) -> int:
        """How many chunks move some factor in more than one case of ten, beyond the floor."""
        return int(((self.moved - self.floor).max(axis=1) > 0.1).sum())


@torch.no_grad()
def transfer(
    model: Any,
    x: Tensor,
    factors: ArrayLike,
    *,
    read: Callable[[Tensor], ArrayLike],
    chunks: int | None = None,
    pairs: int = 1000,
    random_state: Any = 0,
) -> Transfer:
    """Swap one chunk at a time between random images, and read the factors of what comes out.

    Parameters
    ----------
    model : object with ``encode`` and ``decode``
        The model.
    x : Tensor of shape (n, dim)
        Images.
    factors : array_like of shape (n, K)
        Whole numbers: the value of each factor.
    read : callable
        ``read(images)`` gives the factors (m, K) of images (m, dim), such as ``factors`` at `nearest_image`.
    chunks : int, optional
        Equal pieces of a code; by default ``model.chunks``.
    pairs : int
        Random pairs, the same ones for each chunk.
    random_state : int, RandomState or None
        Decides the pairs.

    Returns
    -------
    Transfer
        The factor-leakage matrix: one entry of a column near 1, the others near 0, where each factor lives
        in one chunk.

    Raises
    ------
    ValueError
        If shapes or values are wrong, or some factor differs in no pair.

    Notes
    -----
    Taught in :ref:`mixing`.
    """
    v = _checked_factors(factors, len(x))
    rng = check_random_state(random_state)
    first, second = rng.randint(len(v), size=(2, check_count("pairs", pairs)))
    differ = v[first] != v[second]
    if not differ.any(0).all():
        raise ValueError(f"pairs: got {pairs}, too few for every factor to differ somewhere")
    z = model.encode(x)
    count = check_count("chunks", model.chunks if chunks is None else chunks)
    tables = np.zeros((2, count + 1, v.shape[1]))
    for c in range(count + 1):  # the last time nothing is swapped
        mask = torch.ones(pairs, count, dtype=torch.bool, device=z.device)
        mask[:, c : c + 1] = False
        got = np.asarray(read(model.decode(mix_chunks(z[first], z[second], mask))))
        for table, wanted in zip(tables, (v[second], v[first]), strict=True):
            table[c] = ((got == wanted) & differ).sum(0) / differ.sum(0)
    return Transfer(tables[0, :-1], tables[1, :-1], tables[0, -1])


def nearest_image(images: Tensor, table: Tensor) -> Index:
    """Find the image of a table that is nearest to each of some images, in squared distance.

    Parameters
    ----------
    images : Tensor of shape (m, dim)
        Any grey values.
    table : Tensor of shape (n, dim)
        Images whose factors are known.

    Returns
    -------
    ndarray of shape (m,)
        Row numbers of the table.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Notes
    -----
    Taught in :ref:`mixing`.
    """
    if images.ndim != 2 or table.ndim != 2 or images.shape[1] != table.shape[1] or not len(table):
        shapes = f"{tuple(images.shape)} and {tuple(table.shape)}"
        raise ValueError(f"images, table: got shapes {shapes}, expected (m, dim) and (n, dim)")
    score = images @ table.mT - table.square().sum(1) / 2  # (m, n)
    return score.argmax(1).cpu().numpy()


def source_floor(sizes: Sequence[int], groups: Sequence[Sequence[int]]) -> float:
    r"""Least cross-entropy of a classifier of sources, if the chunks are known to hold these factors.

    A chunk's source can be told unless the two images agree in all of its factors; then it costs log 2:

    .. math:: \frac{\log 2}{C} \sum_c \prod_{k \in c} \frac{1}{S_k}

    Parameters
    ----------
    sizes : sequence of int
        How many equally likely values :math:`S_k` each factor has.
    groups : sequence of sequence of int
        For each chunk, the numbers of the factors that it alone holds; an empty one is ignored by the
        decoder.

    Returns
    -------
    float
        Nats, mean over the chunks.

    Raises
    ------
    ValueError
        If a factor has no whole number of values, or does not exist.

    Notes
    -----
    For pairs drawn independently: an image may then be paired with itself. Taught in :ref:`mixing`.

    Examples
    --------
    >>> round(source_floor([2, 4], [[0, 1], []]), 4)  # the shortcut: one chunk holds all
    0.3899
    >>> round(source_floor([2, 4], [[0], [1]]), 4)
    0.2599
    """
    shares = [1 / check_count("sizes", size) for size in sizes]
    if not groups or any(not 0 <= k < len(shares) for group in groups for k in group):
        raise ValueError(f"groups: got {groups!r}, expected numbers of factors from 0 to {len(shares) - 1}")
    return math.log(2) * float(np.mean([math.prod(shares[k] for k in group) for group in groups]))


# ----------------------------------------------------------------------------------------------
# Arithmetic with features.


class ArithmeticTrials(NamedTuple):
    """Row numbers for z(A) - z(B) + z(C), and what should come out.

    Attributes
    ----------
    a, b, c, target : ndarray of shape (trials,)
        A and B differ in one factor only; C has that factor as B has it; the target is C with A's value.
    factor : ndarray of shape (trials,)
        Which factor.
    """

    a: Index
    b: Index
    c: Index
    target: Index
    factor: Index


def arithmetic_trials(factors: ArrayLike, trials: int, *, random_state: Any = 0) -> ArithmeticTrials:
    """Draw trials of feature arithmetic from a full table of factors.

    Parameters
    ----------
    factors : array_like of shape (n, K)
        Whole numbers, each combination once.
    trials : int
        How many, over all factors in turn.
    random_state : int, RandomState or None
        Decides them.

    Returns
    -------
    ArithmeticTrials
        Row numbers.

    Raises
    ------
    ValueError
        If the table is not full.

    Notes
    -----
    Taught in :ref:`mixing`.
    """
    v = _checked_factors(factors)
    values = [np.unique(column) for column in v.T]
    rows = {tuple(row): i for i, row in enumerate(v.tolist())}
    full = math.prod(map(len, values))
    if len(rows) != full or len(v) != full:
        raise ValueError(f"factors: got {len(v)} rows, expected each of {full} combinations once")
    rng, found = check_random_state(random_state), []
    for trial in range(check_count("trials", trials)):
        k = trial % v.shape[1]
        b, c = (v[rng.randint(len(v))].copy() for _ in range(2))
        new, c[k] = rng.choice(values[k][values[k] != b[k]]), b[k]
        a, target = b.copy(), c.copy()
        a[k] = target[k] = new
        found.append([*(rows[tuple(row.tolist())] for row in (a, b, c, target)), k])
    return ArithmeticTrials(*np.array(found).T)


def random_like(step: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw directions at random, each as long as the row it stands for: the control of an arithmetic.

    Parameters
    ----------
    step : Tensor of shape (n, latent_dim)
        Differences of codes.
    generator : torch.Generator, optional
        Source of the directions.

    Returns
    -------
    Tensor of shape (n, latent_dim)
        Vectors of the same lengths, uniform on the sphere.

    Notes
    -----
    Taught in :ref:`mixing`.
    """
    noise = torch.randn(step.shape, generator=generator, dtype=step.dtype, device=step.device)
    return noise * step.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
