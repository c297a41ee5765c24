"""Mixing: masks and terms by hand, codes whose every score is known, and a shortcut that costs nothing."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn
from torch.nn import functional as F

from coursekit.data import sprites
from coursekit.disentangling.beta_vae import mig
from coursekit.disentangling.mixing import (
    MixingAutoencoder,
    arithmetic_trials,
    chunk_retrieval,
    draw_masks,
    mix_chunks,
    nearest_image,
    random_like,
    retrieval_by_chance,
    source_floor,
    transfer,
    traverse_chunks,
)
from coursekit.train import train

LIKELIHOOD = {"MixingAutoencoder": "none"}

DATA = sprites()
TABLE = DATA.factors  # (1296, 5), a full table
CHANCE = np.array([(1296 / size - 1) / 1295 for size in DATA.sizes])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def bits(n=20, d=6, seed=0):
    return torch.as_tensor((np.random.default_rng(seed).random((n, d)) < 0.4).astype(float))


def made(seed=0, dim=6, **options):
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return MixingAutoencoder(dim, **{"chunks": 2, "latent_dim": 4, "hidden": (8,), **options}).double()


# ------------------------------------------------------------------ masks and mixtures


def test_a_mixture_is_what_a_loop_gives():
    rng = np.random.default_rng(0)
    a, b = (torch.as_tensor(rng.standard_normal((30, 12))) for _ in range(2))
    mask = torch.as_tensor(rng.random((30, 4)) < 0.5)
    expected = np.array([[(a if mask[i, j // 3] else b)[i, j].item() for j in range(12)] for i in range(30)])
    np.testing.assert_array_equal(mix_chunks(a, b, mask).numpy(), expected)
    assert torch.equal(mix_chunks(b, a, ~mask), mix_chunks(a, b, mask))


def test_masks_are_fair_and_independent_coins():
    """20,000 coins each: six standard errors, about 1e-8 by chance."""
    mask = draw_masks(20_000, 3, generator=seeded()).double()
    assert (mask.mean(0) - 0.5).abs().max() < 6 * 0.5 / math.sqrt(20_000)
    assert (torch.corrcoef(mask.T) - torch.eye(3)).abs().max() < 6 / math.sqrt(20_000)
    assert torch.equal(draw_masks(9, 2, generator=seeded(1)), draw_masks(9, 2, generator=seeded(1)))


def test_mixing_images_goes_through_their_codes():
    model, x = made(), bits()
    mask = draw_masks(10, 2, generator=seeded())
    z = model.encoder(x)
    chosen = torch.stack(
        [torch.cat([z[i if mask[i, c] else 10 + i, 2 * c : 2 * c + 2] for c in range(2)]) for i in range(10)]
    )
    torch.testing.assert_close(model.mix(x[:10], x[10:], mask), torch.sigmoid(model.decoder(chosen)))


# ------------------------------------------------------------------ the loss


def by_hand(model, x, generator):
    """Every term, by loops over rows and chunks, from the same draws."""
    n, size = len(x), model.chunk_dim
    shift = int(torch.randint(1, n, (1,), generator=generator))
    mask = torch.rand((n, model.chunks), generator=generator) < 0.5
    z, rows = model.encoder(x), []
    for i in range(n):
        b = (i + shift) % n
        cut = [slice(c * size, (c + 1) * size) for c in range(model.chunks)]
        code = torch.cat([z[i if mask[i, c] else b, cut[c]] for c in range(model.chunks)])
        mixed = torch.sigmoid(model.decoder(code[None]))
        back = model.encoder(mixed)[0]
        unmixed = torch.cat([(back if mask[i, c] else z[i])[cut[c]] for c in range(model.chunks)])
        row = []
        for one in (z[i], unmixed):
            p = torch.sigmoid(model.decoder(one[None]))[0]
            row.append(-(x[i] * p.log() + (1 - x[i]) * (1 - p).log()).sum())
        row.append(-torch.sigmoid(model.adversary(mixed)[0, 0]).log())
        q = torch.sigmoid(model.classifier(torch.cat([x[i], x[b], mixed[0]])[None])[0])
        row.append(
            torch.stack([-(q[c] if mask[i, c] else 1 - q[c]).log() for c in range(model.chunks)]).mean()
        )
        rows.append(torch.stack(row))
    return torch.stack(rows, 1)


def test_the_terms_are_what_loops_give():
    model, x = made(chunks=3, latent_dim=6), bits()
    torch.testing.assert_close(
        torch.stack(model.terms(x, generator=seeded())), by_hand(model, x, seeded()), rtol=1e-9, atol=1e-9
    )


def test_the_loss_weighs_the_terms():
    weights = {
        "reconstruction_weight": 2.0,
        "cycle_weight": 0.5,
        "adversary_weight": 3.0,
        "classifier_weight": 7.0,
    }
    model, x = made(**weights), bits()
    expected = (torch.tensor(list(weights.values()))[:, None] * by_hand(model, x, seeded())).sum(0)
    torch.testing.assert_close(model.loss(x, generator=seeded()), expected, rtol=1e-9, atol=1e-9)


def test_the_adversary_tells_reconstructions_from_mixtures():
    model, x = made(), bits()
    z, generator = model.encoder(x), seeded()
    shift = int(torch.randint(1, len(x), (1,), generator=generator))
    mask = draw_masks(len(x), 2, generator=generator)
    real, mixed = (torch.sigmoid(model.decoder(c)) for c in (z, mix_chunks(z, z.roll(-shift, 0), mask)))
    targets = [(real, torch.ones), (mixed, torch.zeros)]
    expected = sum(
        F.binary_cross_entropy_with_logits(
            model.adversary(image)[:, 0], label(len(x), dtype=x.dtype), reduction="none"
        )
        for image, label in targets
    )
    torch.testing.assert_close(model.loss(x, player="adversary", generator=seeded()), expected)


def test_the_adversary_sends_no_gradient_to_the_coder():
    model, x = made(), bits()
    model.loss(x, player="adversary", generator=seeded()).sum().backward()
    assert all(w.grad is None for part in (model.encoder, model.decoder) for w in part.parameters())
    assert all(float(w.grad.abs().sum()) > 0 for w in model.adversary.parameters())


def test_each_player_moves_its_own_weights():
    model, x = made(), bits()
    groups = {name: [id(w) for w in group] for name, group in model.players().items()}
    assert sorted(itertools.chain(*groups.values())) == sorted(map(id, model.parameters()))
    before = [w.detach().clone() for w in model.adversary.parameters()]
    encoder = [w.detach().clone() for w in model.encoder.parameters()]
    train(model, x, steps=1, random_state=0, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(before, model.adversary.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(encoder, model.encoder.parameters(), strict=True))
    train(model, x, steps=2, random_state=0, device="cpu")
    assert not all(torch.equal(a, b) for a, b in zip(before, model.adversary.parameters(), strict=True))


def test_weights_of_zero_drop_the_networks():
    model, x = made(adversary_weight=0, classifier_weight=0), bits()
    assert model.adversary is None
    assert model.classifier is None
    assert model.players() == {}
    terms = model.terms(x, generator=seeded())
    assert float(terms.adversary.abs().max()) == float(terms.classifier.abs().max()) == 0
    train(model, x, steps=3, random_state=0, device="cpu")
    with pytest.raises(ValueError, match="expected 'autoencoder'"):
        model.loss(x, player="adversary")


def test_training_lowers_the_cycle():
    x = torch.as_tensor(
        np.repeat(np.random.default_rng(0).integers(0, 2, (200, 2)), 3, axis=1).astype(np.float32)
    )
    torch.manual_seed(0)
    model = MixingAutoencoder(6, chunks=2, latent_dim=2, hidden=(16,), adversary_weight=0.1)
    before = float(model.terms(x, generator=seeded()).cycle.mean().detach())
    train(model, x, steps=300, lr=2e-2, random_state=0, device="cpu")
    assert float(model.terms(x, generator=seeded()).cycle.mean().detach()) < 0.3 * before


def test_a_last_batch_of_one_row_is_no_error():
    train(made(), bits(n=9), epochs=1, batch_size=4, random_state=0, device="cpu")


# ------------------------------------------------------------------ codes that are known: the shortcut


class Route(nn.Module):
    """A fixed linear map; for a decoder, its outputs become sure logits of the bits."""

    def __init__(self, matrix, gain=1.0, shift=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.as_tensor(np.array(matrix, dtype=float)))
        self.gain, self.shift = gain, shift

    def forward(self, x):
        return self.gain * (x @ self.weight.T) - self.shift


BITS = torch.tensor(
    list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64
)  # two independent bits
CODES = {  # chunks of two columns: what each holds of the bits (u, v)
    "factors": [[1, 0], [0, 0], [0, 1], [0, 0]],
    "shortcut": [[1, 0], [0, 1], [0, 0], [0, 0]],
}


def known(code):
    """A model with this code, exactly inverted by its decoder, and no other network."""
    matrix = np.array(CODES[code])
    options = {"encoder": Route(matrix), "decoder": Route(matrix.T, gain=80.0, shift=40.0)}
    return MixingAutoencoder(2, chunks=2, latent_dim=4, adversary_weight=0, classifier_weight=0, **options)


@pytest.mark.parametrize("code", list(CODES))
def test_both_codes_reconstruct_and_come_back_at_no_cost(code):
    terms = known(code).terms(BITS.repeat(25, 1), generator=seeded())
    assert float(terms.reconstruction.detach().max()) < 1e-15
    assert float(terms.cycle.detach().max()) < 1e-15


@pytest.mark.parametrize("code", list(CODES))
def test_both_mixtures_have_the_law_of_the_images(code):
    """All ordered pairs and masks: each of the four images comes out equally often."""
    model = known(code)
    i, j, m = map(torch.as_tensor, np.indices((4, 4, 4)).reshape(3, -1))
    masks = torch.tensor(list(itertools.product([False, True], repeat=2)))
    mixed = model.mix(BITS[i], BITS[j], masks[m]).round().long()
    np.testing.assert_array_equal(torch.bincount(2 * mixed[:, 0] + mixed[:, 1], minlength=4), 16)


def test_only_the_sources_tell_them_apart():
    """Bayes' classifier by enumeration: for each chunk, entropy of its source given (A, B, mixture)."""
    masks = list(itertools.product([False, True], repeat=2))
    for code, groups in (("factors", [[0], [1]]), ("shortcut", [[0, 1], []])):
        model, seen = known(code), {}
        for a, b, mask in itertools.product(BITS, BITS, masks):
            mixed = model.mix(a[None], b[None], torch.tensor([mask])).round()[0]
            seen.setdefault((*a.tolist(), *b.tolist(), *mixed.tolist()), []).append(mask)
        entropy = 0.0
        for group in seen.values():
            for c in range(2):
                p = np.mean([mask[c] for mask in group])
                entropy -= len(group) / 64 * sum(q * math.log(q) for q in (p, 1 - p) if q > 0) / 2
        assert entropy == pytest.approx(source_floor([2, 2], groups), abs=1e-12)
    assert source_floor([2, 2], [[0], [1]]) < source_floor([2, 2], [[0, 1], []])


def test_the_theorem_still_holds_for_mixing():
    """Chunks (u xor v, v) are as independent as (u, v): swapping cannot tell, and the score can."""
    u, v = np.indices((2, 2)).reshape(2, -1)
    law = np.stack([(u + v) % 2, v], 1)
    mixed = {(int(a[0]), int(b[1])) for a, b in itertools.product(law, law)}
    assert mixed == {tuple(map(int, row)) for row in law}
    sheared = TABLE.copy()
    sheared[:, 3] = (TABLE[:, 3] + TABLE[:, 4]) % 6
    assert len(np.unique(sheared, axis=0)) == 1296  # still one code for each image, all combinations
    assert mig(TABLE, TABLE) == pytest.approx(1.0)
    assert mig(sheared, TABLE) == pytest.approx(0.8)  # the column is in no latent alone


# ------------------------------------------------------------------ retrieval and transfer


def test_chance_is_the_share_of_pairs():
    v = np.random.default_rng(0).integers(0, 3, (12, 2))
    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    expected = [np.mean([v[i, k] == v[j, k] for i, j in pairs]) for k in range(2)]
    np.testing.assert_allclose(retrieval_by_chance(v), expected)
    np.testing.assert_allclose(retrieval_by_chance(TABLE), CHANCE)


def test_retrieval_by_the_factors_is_exact():
    """A chunk with one factor: its own always, another one by chance within the group of equal codes."""
    found = chunk_retrieval(TABLE, TABLE, chunks=5)
    for c, k in itertools.product(range(5), range(5)):
        group = 1296 / DATA.sizes[c]
        expected = 1.0 if c == k else (group / DATA.sizes[k] - 1) / (group - 1)
        assert found[c, k] == pytest.approx(expected, abs=1e-12)


def test_a_constant_chunk_retrieves_by_chance():
    codes = np.concatenate([TABLE[:, :2], np.zeros((1296, 2))], axis=1).astype(float)
    np.testing.assert_allclose(chunk_retrieval(codes, TABLE, chunks=2)[1], CHANCE)


def test_retrieval_without_ties_is_that_of_scikit_learn():
    z = np.random.default_rng(0).standard_normal((300, 6))
    v = np.random.default_rng(1).integers(0, 4, (300, 3))
    found = chunk_retrieval(z, v, chunks=3)
    for c in range(3):
        piece = z[:, 2 * c : 2 * c + 2]
        index = NearestNeighbors(n_neighbors=2).fit(piece).kneighbors(piece)[1][:, 1]
        np.testing.assert_allclose(found[c], (v == v[index]).mean(0))


class Codebook:
    """A model whose code is a table and whose decoder looks the code up: every mixture is a sprite."""

    chunks = 5

    def __init__(self, codes, mixer=None):
        self.codes, self.mixer = torch.as_tensor(codes), mixer

    def encode(self, x):
        return self.codes[nearest_image(x, IMAGES)].double()

    def decode(self, z):
        flat = (self.codes.double()[None] - z[:, None]).abs().sum(-1).argmin(1)
        return IMAGES[flat]


IMAGES = torch.as_tensor(DATA.X)


def read(images):
    return TABLE[nearest_image(images, IMAGES)]


def test_transfer_of_the_perfect_code_is_the_identity():
    found = transfer(Codebook(TABLE), IMAGES, TABLE, read=read, pairs=100)
    np.testing.assert_array_equal(found.moved, np.eye(5))
    np.testing.assert_array_equal(found.kept, 1 - np.eye(5))
    np.testing.assert_array_equal(found.floor, 0)
    assert found.gap == 1
    assert found.alive == 5


def test_transfer_of_a_sheared_code_is_known():
    """Chunk 3 holds column + row (mod 6), chunk 4 the row: swapping the row moves the column too."""
    sheared = TABLE.copy()
    sheared[:, 3] = (TABLE[:, 3] + TABLE[:, 4]) % 6
    found = transfer(Codebook(sheared), IMAGES, TABLE, read=read, pairs=150, random_state=2)
    np.testing.assert_array_equal(found.moved[:, :3], np.eye(5)[:, :3])
    assert found.moved[4, 4] == 1
    assert found.moved[3, 4] == 0
    assert found.moved[3, 3] < 0.6  # only where the two rows agree
    assert found.kept[4, 3] < 0.6
    assert found.gap < 1


def test_transfer_of_the_shortcut_is_one_row():
    codes = np.zeros((1296, 25))
    codes[:, :5] = TABLE
    found = transfer(Codebook(codes), IMAGES, TABLE, read=read, pairs=60)
    assert found.alive == 1
    np.testing.assert_array_equal(found.moved, np.eye(5)[:, :1] * np.ones(5))


def test_the_nearest_image_is_that_of_distances():
    x = torch.as_tensor(np.random.default_rng(0).random((30, 256)))
    expected = torch.cdist(x, IMAGES).argmin(1).numpy()
    np.testing.assert_array_equal(nearest_image(x, IMAGES), expected)
    np.testing.assert_array_equal(nearest_image(IMAGES[::9], IMAGES), np.arange(0, 1296, 9))


def test_a_traversal_ends_at_a_swapped_chunk():
    model, x = made(chunks=2, latent_dim=4), bits()
    path = traverse_chunks(model, x[0], x[1], steps=5)
    assert path.shape == (2, 5, 6)
    torch.testing.assert_close(path[:, 0], model.decode(model.encode(x[:1])).expand(2, -1).detach())
    for c in range(2):
        mask = torch.ones(1, 2, dtype=torch.bool)
        mask[0, c] = False
        torch.testing.assert_close(path[c, -1], model.mix(x[:1], x[1:2], mask)[0].detach())


# ------------------------------------------------------------------ arithmetic


def test_trials_are_what_they_say():
    t = arithmetic_trials(TABLE, 50, random_state=3)
    a, b, c, target = (TABLE[rows] for rows in t[:4])
    for i, k in enumerate(t.factor):
        others = np.arange(5) != k
        assert (a[i] == b[i])[others].all()
        assert a[i, k] != b[i, k]
        assert c[i, k] == b[i, k]
        assert (target[i] == c[i])[others].all()
        assert target[i, k] == a[i, k]
    np.testing.assert_array_equal(t.factor, np.arange(50) % 5)


def test_arithmetic_on_the_factors_always_succeeds():
    t = arithmetic_trials(TABLE, 200)
    np.testing.assert_array_equal(TABLE[t.a] - TABLE[t.b] + TABLE[t.c], TABLE[t.target])


def test_random_directions_are_as_long_and_point_nowhere():
    """20,000 directions in four columns: six standard errors of each mean."""
    step = torch.full((20_000, 4), 1.5, dtype=torch.float64)
    drawn = random_like(step, generator=seeded())
    torch.testing.assert_close(drawn.norm(dim=1), step.norm(dim=1))
    assert drawn.mean(0).abs().max() < 6 * 1.5 / math.sqrt(20_000)


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"chunks": 3, "latent_dim": 8}, "expected a divisor of 8"),
        ({"chunks": 1}, "chunks: got 1"),
        ({"latent_dim": 0}, "latent_dim: got 0"),
        ({"cycle_weight": -1.0}, "cycle_weight: got -1"),
        ({"adversary_weight": float("nan")}, "adversary_weight"),
        ({"classifier_weight": 0.0, "classifier": nn.Linear(18, 2)}, "nothing would use it"),
    ],
)
def test_the_constructor_refuses(options, match):
    with pytest.raises(ValueError, match=match):
        MixingAutoencoder(6, **options)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda x: x[:1], ValueError, "at least two"),
        (lambda x: x * 3, ValueError, r"values in \[0, 1\]"),
        (lambda x: x[:, :4], ValueError, r"expected \(n, 6\)"),
        (lambda x: x.float(), TypeError, "expected torch.float64"),
    ],
)
def test_data_are_refused(change, error, match):
    with pytest.raises(error, match=match):
        made().check_data(change(bits()))


def test_masks_are_refused():
    model, x = made(), bits()
    with pytest.raises(TypeError, match=r"expected torch\.bool"):
        mix_chunks(x, x, torch.ones(20, 2))
    with pytest.raises(ValueError, match="expected a divisor of 6"):
        mix_chunks(x, x, torch.ones(20, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"expected \(20, chunks\)"):
        mix_chunks(x, x, torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
        model.mix(x, x, torch.ones(20, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="player: got 'nobody'"):
        model.loss(x, player="nobody")
    with pytest.raises(NotImplementedError, match="no density"):
        model.log_prob(x)


def test_scores_refuse():
    with pytest.raises(ValueError, match="one value only"):
        chunk_retrieval(np.zeros((5, 2)), np.zeros((5, 1), dtype=int), chunks=2)
    with pytest.raises(ValueError, match="expected a divisor of 5"):
        chunk_retrieval(TABLE, TABLE, chunks=2)
    with pytest.raises(ValueError, match="finite"):
        chunk_retrieval(np.full((1296, 2), np.nan), TABLE, chunks=2)
    with pytest.raises(ValueError, match="whole numbers"):
        retrieval_by_chance(TABLE / 2)
    with pytest.raises(ValueError, match="each of 1296 combinations"):
        arithmetic_trials(TABLE[:-1], 5)
    with pytest.raises(ValueError, match="groups"):
        source_floor([2, 2], [[2]])
    with pytest.raises(ValueError, match="expected \\(m, dim\\)"):
        nearest_image(torch.zeros(2, 3), torch.zeros(2, 4))
