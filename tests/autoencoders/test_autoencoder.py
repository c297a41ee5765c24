"""Autoencoders against principal components, hand-written losses and enumeration; dimensions of surfaces.

Seeds are fixed. Statistical tests allow five standard errors or more: a fresh seed would fail a right program
less often than once in a million.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.linalg import subspace_angles
from sklearn.datasets import make_swiss_roll
from sklearn.decomposition import PCA
from torch import nn

from coursekit.autoencoders.autoencoder import (
    Autoencoder,
    levina_bickel_dimension,
    log_mass_of_exp_minus_loss,
    twonn_dimension,
)
from coursekit.base import Fitted, catalogue
from coursekit.data import digits
from coursekit.train import train

LIKELIHOOD = {"Autoencoder": "none"}


def seeded(seed=0, dtype=torch.float64, **options):
    """An autoencoder with weights drawn from `seed`, leaving torch's own generator alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return Autoencoder(options.pop("dim", 6), **options).to(dtype)


def uniform(rows=20, dim=6, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).random((rows, dim)))


# ---- The losses -----------------------------------------------------------------------------------


def layers_by_hand(x, network):
    """A network of affine layers and SiLU, in numpy."""
    weights = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in network
        if isinstance(layer, nn.Linear)
    ]
    for i, (weight, bias) in enumerate(weights):
        x = (x / (1 + np.exp(-x)) if i else x) @ weight.T + bias
    return x


@pytest.mark.parametrize("hidden", [(), (5,), (7, 4)], ids=str)
def test_losses_by_hand(hidden):
    x = uniform()
    squared = seeded(hidden=hidden, latent_dim=3)
    code = layers_by_hand(x.numpy(), squared.encoder)
    back = layers_by_hand(code, squared.decoder)
    np.testing.assert_allclose(squared.encode(x).detach(), code, rtol=1e-12)
    np.testing.assert_allclose(squared.reconstruct(x).detach(), back, rtol=1e-12)
    np.testing.assert_allclose(squared.loss(x).detach(), ((x.numpy() - back) ** 2).sum(axis=1), rtol=1e-12)

    bernoulli = seeded(hidden=hidden, latent_dim=3, reconstruction="cross-entropy")
    bernoulli.load_state_dict(squared.state_dict())
    r = 1 / (1 + np.exp(-back))
    np.testing.assert_allclose(bernoulli.reconstruct(x).detach(), r, rtol=1e-12)
    expected = -(x.numpy() * np.log(r) + (1 - x.numpy()) * np.log1p(-r)).sum(axis=1)
    np.testing.assert_allclose(bernoulli.loss(x).detach(), expected, rtol=1e-12)


def test_cross_entropy_of_bits_is_minus_the_bernoulli_log_probability():
    x, model = uniform().round(), seeded(reconstruction="cross-entropy")
    expected = -stats.bernoulli(model.reconstruct(x).detach().numpy()).logpmf(x.numpy()).sum(axis=1)
    np.testing.assert_allclose(model.loss(x).detach(), expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_cross_entropy_survives_a_net_that_is_sure(dtype):
    """A logit of 200 is 1 after the sigmoid in any precision: the loss must say 200, its slope 1."""
    model = seeded(dim=1, latent_dim=1, hidden=(), reconstruction="cross-entropy", dtype=dtype)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.decoder[0].bias.fill_(200.0)
    loss = model.loss(torch.tensor([[0.0], [1.0]], dtype=dtype))
    assert loss.tolist() == pytest.approx([200.0, 0.0], abs=1e-80)
    loss[0].backward()
    assert model.decoder[0].bias.grad.item() == 1.0


def test_tied_weights_are_the_encoders_transposed():
    x, model = uniform(), seeded(hidden=(5, 4), latent_dim=2, tied=True)
    with torch.no_grad():
        for bias in model.decoder.biases:
            bias.normal_(generator=torch.Generator().manual_seed(1))
    matrices = [layer.weight for layer in model.encoder if isinstance(layer, nn.Linear)]
    out = model.encode(x)
    for i, (matrix, bias) in enumerate(zip(matrices[::-1], model.decoder.biases, strict=True)):
        out = (nn.functional.silu(out) if i else out) @ matrix + bias
    torch.testing.assert_close(model.reconstruct(x), out)
    untied = seeded(hidden=(5, 4), latent_dim=2)
    count = sum(w.numel() for w in model.parameters())
    assert count == sum(w.numel() for w in untied.parameters()) - sum(w.numel() for w in matrices)


def test_gradients_of_tied_weights_come_from_both_ends():
    x, model = uniform(), seeded(hidden=(), latent_dim=2, tied=True)
    model.loss(x).mean().backward()
    W, b, c = (
        model.encoder[0].weight.detach(),
        model.encoder[0].bias.detach(),
        model.decoder.biases[0].detach(),
    )

    def loss(matrix):
        return float(((x @ matrix.T + b) @ matrix + c - x).square().sum(dim=1).mean())

    step = torch.zeros_like(W)
    step[1, 3] = 1e-5
    slope = (loss(W + step) - loss(W - step)) / 2e-5
    assert model.encoder[0].weight.grad[1, 3].item() == pytest.approx(slope, rel=1e-6)


def test_tied_weights_stay_tied_when_copied_saved_and_moved():
    import copy

    x, model = uniform(), seeded(hidden=(5,), latent_dim=2, tied=True)
    twin = copy.deepcopy(model)
    again = seeded(seed=9, hidden=(5,), latent_dim=2, tied=True)
    again.load_state_dict(model.state_dict())
    for other in (twin, again):
        torch.testing.assert_close(other.reconstruct(x), model.reconstruct(x))
        with torch.no_grad():
            other.encoder[0].weight += 1.0
        assert not torch.allclose(other.decode(other.encode(x)), model.reconstruct(x))
        code = uniform(dim=2)
        assert not torch.allclose(other.decode(code), model.decode(code)), "the decoder kept the old matrix"


def test_networks_of_your_own():
    encoder, decoder = nn.Linear(6, 2).double(), nn.Linear(2, 6).double()
    model = Autoencoder(6, latent_dim=2, encoder=encoder, decoder=decoder)
    x = uniform()
    torch.testing.assert_close(model.reconstruct(x), decoder(encoder(x)))


# ---- The linear autoencoder is PCA ----------------------------------------------------------------


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("latent_dim", [1, 4])
def test_a_linear_autoencoder_finds_the_principal_subspace(latent_dim, tied):
    """Columns of unequal variance, correlated, with a mean far from zero: the biases must find the mean."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    X = rng.standard_normal((300, 8)) * [3, 1.8, 1.5, 1.2, 0.5, 0.4, 0.3, 0.2] @ turn + 1.0
    model = seeded(dim=8, latent_dim=latent_dim, hidden=(), tied=tied)
    settings = {"max_iter": 400, "tolerance_grad": 1e-10, "tolerance_change": 1e-14}
    descent = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe", **settings)

    def closure():
        descent.zero_grad()
        loss = model.loss(torch.as_tensor(X)).mean()
        loss.backward()
        return loss

    descent.step(closure)
    least = closure().item()
    decoder = model.encoder[0].weight.T if tied else model.decoder[0].weight
    pca = PCA(latent_dim).fit(X)
    angles = subspace_angles(decoder.detach().numpy(), pca.components_.T)
    assert angles.max() < 1e-2
    best = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum(axis=1).mean()
    assert least == pytest.approx(best, rel=1e-4)
    if tied:  # its least loss is reached by orthonormal rows only
        W = model.encoder[0].weight.detach().numpy()
        np.testing.assert_allclose(W @ W.T, np.eye(latent_dim), atol=1e-3)


def test_no_linear_autoencoder_beats_pca():
    X = digits("grey").train.X / 16
    pca = PCA(5).fit(X)
    best = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum(axis=1).mean()
    model, rng = seeded(dim=64, latent_dim=5, hidden=()), np.random.default_rng(0)
    with torch.no_grad():
        for size in (0.0, 1e-3, 1e-2, 0.1):
            noise = size * rng.standard_normal((5, 64))
            model.encoder[0].weight.copy_(torch.as_tensor(pca.components_ + noise))
            model.encoder[0].bias.copy_(-model.encoder[0].weight @ torch.as_tensor(pca.mean_))
            model.decoder[0].weight.copy_(torch.as_tensor(pca.components_.T))
            model.decoder[0].bias.copy_(torch.as_tensor(pca.mean_))
            loss = float(model.loss(torch.as_tensor(X)).mean())
            assert loss >= best * (1 - 1e-12)
            assert size or loss == pytest.approx(best, rel=1e-10)


# ---- exp(-loss) is no density ---------------------------------------------------------------------


def by_loops(model):
    """The sum of exp(-loss), one state at a time."""
    total = 0.0
    for bits in itertools.product([0.0, 1.0], repeat=model.dim):
        r = model.reconstruct(torch.tensor([bits], dtype=torch.float64))[0].tolist()
        total += math.prod(p if bit else 1 - p for p, bit in zip(r, bits, strict=True))
    return total


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_mass_by_loops(latent_dim):
    model = seeded(dim=5, latent_dim=latent_dim, reconstruction="cross-entropy")
    with torch.no_grad():
        for layer in (*model.encoder, *model.decoder):
            if isinstance(layer, nn.Linear):
                layer.weight *= 6
    mass = by_loops(model)
    assert log_mass_of_exp_minus_loss(model) == pytest.approx(math.log(mass), abs=1e-12)
    assert abs(mass - 1) > 0.05


def test_mass_is_one_if_the_reconstruction_does_not_look():
    model = seeded(dim=7, reconstruction="cross-entropy")
    with torch.no_grad():
        model.decoder[-1].weight.zero_()
        model.decoder[-1].bias.normal_(generator=torch.Generator().manual_seed(0))
    assert log_mass_of_exp_minus_loss(model) == pytest.approx(0.0, abs=1e-12)


def test_mass_is_one_with_a_mask_whatever_the_weights_are():
    """Pixel i reconstructed from the pixels before it alone: the product of conditionals."""

    class Masked(nn.Module):
        dim = 7

        def __init__(self):
            super().__init__()
            generator = torch.Generator().manual_seed(3)
            self.weight = nn.Parameter(3 * torch.randn(7, 7, generator=generator, dtype=torch.float64))
            self.bias = nn.Parameter(torch.randn(7, generator=generator, dtype=torch.float64))

        def loss(self, x):
            out = x @ self.weight.tril(-1).T + self.bias
            return nn.functional.binary_cross_entropy_with_logits(out, x, reduction="none").sum(dim=1)

    assert log_mass_of_exp_minus_loss(Masked()) == pytest.approx(0.0, abs=1e-12)


def test_mass_of_a_perfect_reconstruction_is_the_number_of_states():
    model = seeded(dim=8, latent_dim=8, hidden=(), reconstruction="cross-entropy")
    with torch.no_grad():
        model.encoder[0].weight.copy_(torch.eye(8))
        model.encoder[0].bias.fill_(-0.5)
        model.decoder[0].weight.copy_(80 * torch.eye(8))
        model.decoder[0].bias.zero_()
    assert log_mass_of_exp_minus_loss(model) == pytest.approx(8 * math.log(2), abs=1e-12)


def test_mass_refuses_what_it_cannot_add_up():
    with pytest.raises(ValueError, match="expected at most 20"):
        log_mass_of_exp_minus_loss(Autoencoder(21, reconstruction="cross-entropy"))
    with pytest.raises(ValueError, match="expected cross-entropy"):
        log_mass_of_exp_minus_loss(Autoencoder(3))


# ---- Dimensions -----------------------------------------------------------------------------------


def ratios_by_loops(X, k):
    """Logarithms of T_k / T_j for every point, from the whole matrix of distances."""
    distances = np.sort(np.linalg.norm(X[:, None] - X, axis=2), axis=1)[:, 1 : k + 1]
    return np.log(distances[:, -1:] / distances[:, :-1])


def test_estimators_by_loops():
    X = np.random.default_rng(0).standard_normal((150, 3))
    expected = 1 / ratios_by_loops(X, 7).mean()
    assert levina_bickel_dimension(X, n_neighbors=7) == pytest.approx(expected, rel=1e-12)
    mu = np.sort(ratios_by_loops(X, 2)[:, 0])
    assert twonn_dimension(X, discard=0) == pytest.approx(150 / mu.sum(), rel=1e-12)
    assert levina_bickel_dimension(X, n_neighbors=2) == pytest.approx(150 / mu.sum(), rel=1e-12)
    assert twonn_dimension(X, discard=0.2) == pytest.approx(120 / (mu[:120].sum() + 30 * mu[119]), rel=1e-12)


def test_censoring_is_the_likelihoods_maximum():
    """The score of the censored exponential likelihood vanishes at the estimate."""
    X = np.random.default_rng(1).random((200, 2))
    mu = np.sort(ratios_by_loops(X, 2)[:, 0])
    d = twonn_dimension(X, discard=0.25)

    def log_likelihood(rate):
        seen = stats.expon(scale=1 / rate).logpdf(mu[:150]).sum()
        return seen + 50 * stats.expon(scale=1 / rate).logsf(mu[149])

    assert log_likelihood(d) > max(log_likelihood(0.999 * d), log_likelihood(1.001 * d))


SURFACES = {
    "line in 5-D": (1, lambda t: t[:, :1] @ np.ones((1, 5))),
    "plane in 6-D": (2, lambda t: t[:, :2] @ np.eye(2, 6)),
    "swiss roll": (2, lambda t: make_swiss_roll(2000, random_state=3)[0]),
    "sphere": (2, lambda t: t[:, :3] / np.linalg.norm(t[:, :3], axis=1, keepdims=True)),
    "gaussian in 4-D": (4, lambda t: t[:, :4]),
}


@pytest.mark.parametrize("name", SURFACES)
def test_dimension_of_known_surfaces(name):
    """2000 points: five standard errors of TwoNN are 12 %; ten neighbours add a bias of a few per cent."""
    dim, embed = SURFACES[name]
    X = embed(np.random.default_rng(5).standard_normal((2000, 6)))
    assert twonn_dimension(X) == pytest.approx(dim, rel=0.12)
    assert levina_bickel_dimension(X) == pytest.approx(dim, rel=0.06)


def test_noise_is_full_dimensional():
    """The same roll gains its third dimension as the noise grows: a manifold is a hypothesis at a scale."""
    found = [twonn_dimension(make_swiss_roll(2000, noise=s, random_state=3)[0]) for s in (0.0, 0.2, 0.5)]
    assert found[0] < 2.2 < found[1] < 2.7 < found[2] < 3.2


def test_the_digits_use_far_fewer_dimensions_than_pixels():
    X = digits("grey").train.X
    assert 8 < twonn_dimension(X) < 10.5
    assert twonn_dimension(3 * X + 1) == pytest.approx(twonn_dimension(X), rel=1e-12)


def test_repeated_rows_count_once():
    X = np.random.default_rng(0).random((100, 2))
    twice = np.concatenate([X, X[:40]])
    for estimate in (twonn_dimension, levina_bickel_dimension):
        assert estimate(twice) == pytest.approx(estimate(X), rel=1e-12)


@pytest.mark.parametrize("estimate", [twonn_dimension, levina_bickel_dimension])
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.empty((0, 2)), "at least 1 row|distinct rows"),
        (np.zeros((50, 2)), "got 1 distinct rows"),
        (np.ones(5), "one sample per row"),
        (np.array([[0.0, np.nan], [1.0, 2.0]] * 20), "finite|distinct"),
    ],
    ids=["empty", "constant", "one-dimensional", "NaN"],
)
def test_estimators_refuse_bad_data(estimate, X, message):
    with pytest.raises(ValueError, match=message):
        estimate(X)


def test_estimators_refuse_bad_settings():
    X = np.random.default_rng(0).random((20, 2))
    for discard in (1.0, -0.1):
        with pytest.raises(ValueError, match="discard="):
            twonn_dimension(X, discard=discard)
    for k in (1, 2.5, True):
        with pytest.raises(ValueError, match="n_neighbors="):
            levina_bickel_dimension(X, n_neighbors=k)
    with pytest.raises(ValueError, match="got 20 distinct rows, expected more than n_neighbors=20"):
        levina_bickel_dimension(X, n_neighbors=20)


# ---- What it is not, and bad input ----------------------------------------------------------------


def test_it_evaluates_nothing_and_samples_nothing():
    entry = catalogue()["Autoencoder"]
    assert not entry.can_sample
    with pytest.raises(NotImplementedError, match=r"no density.*instead"):
        seeded().log_prob(uniform())


def test_saved_weights_say_it_all():
    model, other, x = seeded(), seeded(seed=1), uniform()
    assert not torch.allclose(model.reconstruct(x), other.reconstruct(x))
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.reconstruct(x), other.reconstruct(x))


@pytest.mark.parametrize("bad", [-0.01, 1.01, 255.0])
def test_pixels_outside_the_unit_interval_are_refused_before_training(bad):
    X = uniform()
    X[3, 2] = bad
    model = seeded(reconstruction="cross-entropy")
    before = [w.clone() for w in model.parameters()]
    told = r"got values from .* expected values in \[0, 1\] for a Bernoulli decoder"
    for call in (model.encode, model.reconstruct):
        with pytest.raises(ValueError, match="x: " + told):
            call(X)
    with pytest.raises(ValueError, match="data: " + told):
        train(model, X, epochs=1, random_state=0, device="cpu")
    with pytest.raises(ValueError, match="data: " + told):
        train(model, uniform(), epochs=1, held_out=X, random_state=0, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    seeded().encode(X)  # the squared loss takes any number


def test_bad_input_is_named():
    model = seeded(latent_dim=2)
    for call, width in ((model.encode, 6), (model.decode, 2)):
        with pytest.raises(TypeError, match="torch tensor"):
            call(np.zeros((3, width)))
        with pytest.raises(TypeError, match="int64"):
            call(torch.zeros(3, width, dtype=torch.int64))
        with pytest.raises(TypeError, match="float32"):
            call(torch.zeros(3, width))
        with pytest.raises(ValueError, match=r"got shape \(3, 9\)"):
            call(torch.zeros(3, 9, dtype=torch.float64))
        with pytest.raises(ValueError, match="NaN or infinity"):
            call(torch.full((3, width), math.nan, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"data is empty"):
        train(model, torch.empty(0, 6, dtype=torch.float64), epochs=1)
    with pytest.raises(ValueError, match=r"data: got shape \(20, 5\)"):
        train(model, uniform(dim=5), epochs=1, device="cpu")


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="reconstruction='bce'"):
        Autoencoder(4, reconstruction="bce")
    with pytest.raises(ValueError, match="tied=True"):
        Autoencoder(4, tied=True, encoder=nn.Linear(4, 2))
    with pytest.raises(ValueError, match="widths"):
        Autoencoder(4, latent_dim=0)


def test_the_bridge_learns_a_curve():
    """A parabola in the plane has one dimension: one number brings it back, and no line does."""
    t = np.random.default_rng(0).uniform(-1, 1, (400, 1))
    X = np.concatenate([t, t**2], axis=1)
    options = {"epochs": 60, "batch_size": 50, "lr": 1e-2, "schedule": "cosine", "device": "cpu"}
    model = Fitted(Autoencoder, latent_dim=1, hidden=(16,), random_state=0, **options).fit(X)
    left = model.module_.loss(torch.as_tensor(X)).mean().item()
    line = PCA(1).fit(X).noise_variance_
    assert left < 0.05 * line
