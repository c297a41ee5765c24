"""Information bounds against scikit-learn, scipy and enumeration; InfoGAN against its parts and a known case.

Seeds are fixed, so a pass stays a pass.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from torch.nn import functional as F

from coursekit import check
from coursekit.adversarial.infogan import (
    CodedGenerator,
    InfoGAN,
    code_posterior,
    contingency,
    information_bound,
    matched_accuracy,
    mutual_information,
    purity,
)
from coursekit.train import train

LIKELIHOOD = {"InfoGAN": "none"}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_joint(codes, values, seed):
    return np.random.default_rng(seed).dirichlet(np.full(codes * values, 0.5)).reshape(codes, values)


def random_guess(codes, values, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(codes), size=values).T


# ------------------------------------------------------------------ the bound


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 10**6))
def test_no_guess_exceeds_the_information_and_the_posterior_reaches_it(codes, values, seed):
    joint = random_joint(codes, values, seed)
    exact = mutual_information(joint)
    assert information_bound(joint, random_guess(codes, values, seed + 1)) <= exact + 1e-9
    check.matches(information_bound(joint, code_posterior(joint)), exact, name="at the posterior", atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_gap_is_the_mean_divergence_from_the_posterior(seed):
    joint, guess = random_joint(4, 6, seed), random_guess(4, 6, seed + 50)
    gap = joint.sum(axis=0) @ stats.entropy(code_posterior(joint), guess)
    found = mutual_information(joint) - information_bound(joint, guess)
    check.matches(found, gap, name="gap", rtol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_mutual_information_agrees_with_scikit_learn_and_with_entropies(seed):
    counts = np.random.default_rng(seed).poisson(2.0, (3, 5))  # some are zero
    joint, oracle = counts / counts.sum(), mutual_info_score(None, None, contingency=counts)
    check.matches(mutual_information(joint), oracle, name="MI", rtol=1e-8)
    entropies = stats.entropy(joint.sum(0)) + stats.entropy(joint.sum(1)) - stats.entropy(joint.ravel())
    check.matches(mutual_information(joint), entropies, name="by entropies", rtol=1e-8)


def test_known_values():
    independent = np.outer([0.2, 0.8], [0.5, 0.3, 0.2])
    assert abs(mutual_information(independent)) < 1e-12
    check.matches(mutual_information(np.eye(4) / 4), math.log(4), name="a code that is read off")
    even = np.full((4, 4), 0.25)
    assert abs(information_bound(np.eye(4) / 4, even)) < 1e-12  # a guess that does not look
    assert information_bound(np.eye(2) / 2, np.eye(2)[::-1]) == -math.inf  # sure and wrong


def test_values_that_never_happen_change_nothing():
    joint = np.array([[0.5, 0.0, 0.1], [0.2, 0.0, 0.2]])
    without = joint[:, [0, 2]]
    check.matches(mutual_information(joint), mutual_information(without), name="MI")
    np.testing.assert_allclose(code_posterior(joint).sum(axis=0), 1.0)


# ------------------------------------------------------------------ codes and labels


def test_counts_purity_and_matching_against_scikit_learn_and_all_namings():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    codes = np.where(rng.random(300) < 0.6, (labels * 3) % 4, rng.integers(0, 4, 300))
    counts = contingency(labels, codes)
    np.testing.assert_array_equal(counts, contingency_matrix(labels, codes))
    assert purity(labels, codes) == counts.max(axis=0).sum() / 300
    best = max(sum(counts[name[c], c] for c in range(4)) for name in itertools.permutations(range(4)))
    check.matches(matched_accuracy(labels, codes), best / 300, name="matched")
    assert matched_accuracy(labels, codes) <= purity(labels, codes)
    renamed = np.array([2, 0, 3, 1])[codes]
    assert purity(labels, renamed) == purity(labels, codes)


def test_purity_flatters_fine_groupings_and_a_single_group_gets_the_commonest_share():
    labels = np.array([0, 1, 2, 2])
    assert purity(labels, np.arange(4)) == 1.0
    assert purity(labels, np.zeros(4, dtype=int)) == 0.5


# ------------------------------------------------------------------ the model


def made(seed=0, **options):
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return InfoGAN(2, **{"n_codes": 3, "latent_dim": 2, "hidden": (16,), **options}).double()


def test_noise_and_code_are_drawn_as_they_should():
    generator = CodedGenerator(2, 3, 4)
    z = generator.draw(4000, generator=seeded())
    assert z.shape == (4000, 7)
    codes = generator.code_of(z)
    torch.testing.assert_close(z[:, 3:], F.one_hot(codes, 4).to(z.dtype))
    assert stats.chisquare(np.bincount(codes, minlength=4)).pvalue > 1e-6
    assert stats.kstest(z[:, :3].flatten().numpy(), "norm").pvalue > 1e-6
    assert generator.code_of(generator.draw(9, code=2)).tolist() == [2] * 9


def test_losses_are_the_games_plus_the_codes_log_loss():
    """The same noise, taken apart: softplus of the logits, and cross-entropy of the code."""
    model, x = made(weight=0.7), torch.randn(5, 2, generator=seeded(), dtype=torch.float64)
    z = model.generator.draw(5, generator=seeded(3))
    fake = model.generator(z)
    log_q = model.reader(fake).log_softmax(dim=1)
    unread = -log_q[range(5), z[:, 2:].argmax(dim=1)]
    verdict = model.discriminator(fake)
    wanted = {
        "discriminator": F.softplus(-model.discriminator(x)) + F.softplus(verdict) + 0.7 * unread,
        "generator": F.softplus(-verdict) + 0.7 * unread,
    }
    for player, oracle in wanted.items():
        torch.testing.assert_close(model.loss(x, player=player, generator=seeded(3)), oracle)


def test_the_reader_is_the_discriminators_to_move():
    model, x = made(), torch.randn(8, 2, generator=seeded(), dtype=torch.float64)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train(model, x, steps=1, random_state=0, device="cpu")  # the discriminator's turn
    moved = {
        name.split(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {"discriminator", "reader"}


def test_codes_of_rows_are_laws_and_information_is_bounded():
    model = made()
    q = model.code(torch.randn(7, 2, generator=seeded(), dtype=torch.float64))
    torch.testing.assert_close(q.sum(dim=1), torch.ones(7).double())
    assert model.information(2000, generator=seeded()) <= math.log(3)


def test_information_is_what_the_reader_knows():
    """A generator that shows the code, and a reader that knows how: log n_codes; one that guesses: 0."""

    class Shows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, z):
            return z[:, -3:] * self.scale

    reader = torch.nn.Linear(3, 3)
    reader.weight.data, reader.bias.data = 50.0 * torch.eye(3), torch.zeros(3)
    model = InfoGAN(3, n_codes=3, latent_dim=1, generator=Shows(), reader=reader)
    check.matches(model.information(100), math.log(3), name="all of it", rtol=1e-5)
    reader.weight.data.zero_()
    assert abs(model.information(100)) < 1e-5
    reader.weight.data = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    exact = math.log(3) + special.log_softmax([1.0, 0.0, 0.0])[0]
    check.matches(model.information(100), exact, name="some of it", rtol=1e-4)


def test_training_makes_codes_readable_and_without_weight_they_are_not_taught():
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.normal(size=(300, 2)) * 0.2 + 2 * rng.integers(0, 2, (300, 1)))
    adam = lambda weights, lr: torch.optim.Adam(weights, lr=lr, betas=(0.5, 0.999))
    told = {}
    for weight in (0.0, 1.0):
        model = made(n_codes=2, weight=weight, hidden=(32,))
        train(model, x, steps=400, batch_size=64, lr=3e-3, optimizer=adam, random_state=0, device="cpu")
        told[weight] = model.information(2000, generator=seeded())
    assert told[1.0] > 0.5 * math.log(2)
    assert told[0.0] < 0.25 * math.log(2)


def test_samples_follow_the_seed_and_the_code():
    model = made()
    assert torch.equal(model.sample(4, generator=seeded(1)), model.sample(4, generator=seeded(1)))
    one, two = (model.sample(4, code=c, generator=seeded(1)) for c in (0, 1))
    assert not torch.equal(one, two)
    with pytest.raises(NotImplementedError, match="instead"):
        model.log_prob(torch.zeros(1, 2).double())


def test_a_batch_of_one_row_trains():
    train(made(), torch.zeros(1, 2).double(), steps=4, batch_size=1, random_state=0, device="cpu")


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: InfoGAN(2, n_codes=0), "n_codes: got 0, expected a whole number of at least 2"),
        (lambda: InfoGAN(2, n_codes=1), "no entropy"),
        (lambda: InfoGAN(2, n_codes=2.5), "n_codes: got 2.5"),
        (lambda: InfoGAN(2, weight=-1.0), "weight: got -1.0"),
        (lambda: InfoGAN(0), "dim: got 0"),
        (lambda: InfoGAN(2, latent_dim=0), "latent_dim: got 0"),
        (lambda: made().sample(2, code=3), "from 0 to 2"),
        (lambda: made().sample(2, code=0.5), "code: got 0.5"),
        (lambda: made().sample(0), "n: got 0"),
        (lambda: made().code(torch.zeros(2, 3).double()), r"expected \(n, 2\)"),
        (lambda: made().loss(torch.zeros(2, 2).double(), player="critic"), "player: got 'critic'"),
        (lambda: mutual_information([0.5, 0.5]), r"expected \(codes"),
        (lambda: mutual_information([[0.5, 0.6]]), "sum of 1.1"),
        (lambda: mutual_information([[1.5, -0.5]]), "expected probabilities"),
        (lambda: information_bound(np.eye(2) / 2, np.ones((3, 2)) / 3), r"q: got shape \(3, 2\)"),
        (lambda: information_bound(np.eye(2) / 2, np.ones((2, 2))), "columns of probabilities"),
        (lambda: purity([0, 1], [0]), "labels, codes"),
        (lambda: purity([], []), "at least 1"),
        (lambda: purity([0.5], [0]), "whole numbers"),
        (lambda: matched_accuracy([0], [-1]), "at least 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
