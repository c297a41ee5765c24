"""Denoising chains against enumeration, Bayes' rule by hand, autograd and simulation.

Random inputs have fixed seeds. Chi-square tests fail a right chain with probability 1e-6 each.
"""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from coursekit import check
from coursekit.autoencoders.denoising import (
    DenoisingAutoencoder,
    bayes_posterior,
    corrupt,
    corruption_matrix,
    dae_chain,
    empirical_denoiser,
    exact_chain,
    factorize,
    perturbation_bound,
    spectral_gap,
    stationary_law,
    total_variation,
    tweedie_score,
    walkback_posterior,
    walkback_weights,
)
from coursekit.density.kde import KernelDensity
from coursekit.train import train

LIKELIHOOD = {"DenoisingAutoencoder": "none"}

seeds = st.integers(0, 2**32 - 1)


def random_case(seed, n=None, width=None):
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(2, 9))
    return rng.dirichlet(np.ones(n)), rng.dirichlet(np.full(width or int(rng.integers(2, 9)), 0.7), n), rng


def line(noise, n=12):
    """Twelve states on a line, two hills, and a corruption that moves about `noise` states."""
    i = np.arange(n)
    pi = np.exp(-0.5 * (i - 2.5) ** 2) + 0.7 * np.exp(-0.5 * ((i - 8.5) / 1.2) ** 2) + 0.01
    C = np.exp(-0.5 * ((i[:, None] - i) / noise) ** 2)
    return pi / pi.sum(), C / C.sum(axis=1, keepdims=True)


def states(d):
    return np.array(list(itertools.product([0.0, 1.0], repeat=d)))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------------------------------------
# Corruptions


@pytest.mark.parametrize(("kind", "level"), [("salt_and_pepper", 0.3), ("masking", 0.4), ("masking", 1.0)])
def test_draws_follow_the_matrix(kind, level):
    grid, n = states(3), 20_000
    C = corruption_matrix(grid, kind, level)
    np.testing.assert_allclose(C.sum(axis=1), 1, atol=1e-12)
    for i in (0, 3, 7):
        draws = corrupt(torch.tensor(grid[i]).repeat(n, 1), kind, level, generator=generator(i)).numpy()
        counts = np.bincount((draws @ [4, 2, 1]).astype(int), minlength=8)
        possible = C[i] > 0
        assert counts[~possible].sum() == 0
        if possible.sum() > 1:
            assert stats.chisquare(counts[possible], n * C[i][possible]).pvalue > 1e-6


def test_matrix_by_hand():
    C = corruption_matrix(states(2), "salt_and_pepper", 0.2)
    assert C[0] == pytest.approx([0.81, 0.09, 0.09, 0.01])
    C = corruption_matrix(states(2), "masking", 0.2)
    assert C[3] == pytest.approx([0.04, 0.16, 0.16, 0.64])  # only ones can vanish
    assert C[0] == pytest.approx([1, 0, 0, 0])


def test_gaussian_noise_has_the_stated_deviation_and_leaves_its_argument_alone():
    x = torch.zeros(100_000, 1, dtype=torch.float64)
    noisy = corrupt(x, "gaussian", 0.7, generator=generator())
    assert stats.kstest(noisy[:, 0].numpy(), stats.norm(0, 0.7).cdf).pvalue > 1e-6
    assert not x.any()


def test_salt_and_pepper_replaces_grey_pixels_by_coins():
    out = corrupt(torch.full((20_000, 1), 0.37), "salt_and_pepper", 0.5, generator=generator())
    kept, salt, pepper = ((out == value).float().mean().item() for value in (0.37, 1.0, 0.0))
    assert kept == pytest.approx(0.5, abs=0.02)
    assert salt == pytest.approx(0.25, abs=0.02)
    assert pepper == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("salt_and_pepper", 0.0),
        ("salt_and_pepper", 1.1),
        ("masking", -0.1),
        ("masking", float("nan")),
        ("gaussian", 0.0),
        ("gaussian", float("inf")),
        ("gaussian", True),
        ("masking", "0.3"),
    ],
)
def test_a_level_outside_its_range_is_refused(kind, level):
    for attempt in (
        lambda: corrupt(torch.ones(1, 2), kind, level),
        lambda: DenoisingAutoencoder(2, corruption=kind, level=level),
    ):
        with pytest.raises(ValueError, match=r"level: got .* expected a"):
            attempt()


def test_other_bad_input_is_refused():
    with pytest.raises(ValueError, match="corruption: got 'snow'"):
        DenoisingAutoencoder(2, corruption="snow")
    with pytest.raises(ValueError, match="no matrix"):
        corruption_matrix(states(2), "gaussian", 0.5)
    with pytest.raises(ValueError, match="binary"):
        corruption_matrix([[0.5]], "masking", 0.5)
    with pytest.raises(ValueError, match="walkback"):
        DenoisingAutoencoder(2, walkback=1.0)
    with pytest.raises(ValueError, match="max_steps"):
        walkback_weights(0.5, 0)
    with pytest.raises(ValueError, match="burn_in"):
        DenoisingAutoencoder(2, burn_in=0)
    with pytest.raises(ValueError, match="sum to one"):
        bayes_posterior([0.5, 0.6], np.eye(2))
    with pytest.raises(ValueError, match="transposed"):
        stationary_law([[0.5, 0.5], [0.1, 0.1]])
    with pytest.raises(ValueError, match="more than one"):
        stationary_law(np.eye(3))
    with pytest.raises(ValueError, match="probability 0"):
        perturbation_bound([1.0, 0.0], np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match="expected"):
        total_variation([1.0], [0.5, 0.5])
    with pytest.raises(ValueError, match="shape"):
        tweedie_score(np.zeros((2, 1)), np.zeros((2, 2)), 1.0)
    with pytest.raises(ValueError, match="shapes"):
        empirical_denoiser(np.zeros((2, 1)), np.zeros((2, 2)), 1.0)
    with pytest.raises(ValueError, match="NaN"):
        empirical_denoiser([[np.nan]], [[0.0]], 1.0)


# ---------------------------------------------------------------------------------------------
# The exact chain


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_the_posterior_is_bayes_rule(seed):
    pi, C, rng = random_case(seed)
    P = bayes_posterior(pi, C)
    i, j = rng.integers(len(pi)), rng.integers(C.shape[1])
    by_hand = pi[i] * C[i, j] / sum(pi[k] * C[k, j] for k in range(len(pi)))
    assert P[j, i] == pytest.approx(by_hand, abs=1e-12)


@given(seeds)
@settings(max_examples=50, deadline=None)
def test_corrupt_and_repair_keeps_the_law_reversibly(seed):
    pi, C, _ = random_case(seed)
    T = C @ bayes_posterior(pi, C)
    check.is_stationary(pi, T)
    check.detailed_balance(pi, T)


def test_an_impossible_corrupted_state_has_the_prior_for_a_posterior():
    P = bayes_posterior([0.3, 0.7], [[1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(P, [[0.3, 0.7], [0.3, 0.7]])


def test_the_corrupted_variable_has_another_law():
    pi, C = line(1.5)
    P = bayes_posterior(pi, C)
    check.is_stationary(pi @ C, P @ C)  # the chain of the corrupted states
    assert total_variation(pi, pi @ C) == pytest.approx(0.218, abs=0.001)
    with pytest.raises(check.LawBroken):
        check.is_stationary(pi @ C, C @ P)


@given(seeds)
@settings(max_examples=30, deadline=None)
def test_stationary_law_and_gap_against_powers_of_the_matrix(seed):
    rng = np.random.default_rng(seed)
    T = rng.dirichlet(np.ones(5), 5)
    pi = stationary_law(T)
    far = np.linalg.matrix_power(T, 200)
    np.testing.assert_allclose(far, np.tile(pi, (5, 1)), atol=1e-9)
    # ||T^t - 1 pi||^(1/t) tends to the second modulus
    error = np.linalg.norm(np.linalg.matrix_power(T - pi, 40), 2) ** (1 / 40)
    assert 1 - spectral_gap(T) <= error + 1e-9
    assert 1 - spectral_gap(T) == pytest.approx(error, rel=0.15, abs=1e-3)


def test_two_states_by_hand():
    a, b = 0.3, 0.1
    T = [[1 - a, a], [b, 1 - b]]
    np.testing.assert_allclose(stationary_law(T), [b / (a + b), a / (a + b)])
    assert spectral_gap(T) == pytest.approx(a + b)
    assert spectral_gap([[1.0]]) == 1.0
    assert total_variation([0.2, 0.8], [0.5, 0.5]) == pytest.approx(0.3)


def test_little_noise_mixes_slowly_and_much_noise_forgets():
    gaps = [spectral_gap(C @ bayes_posterior(pi, C)) for pi, C in map(line, (0.3, 0.6, 1.5, 3.0))]
    assert gaps == sorted(gaps)
    assert gaps[0] < 1e-3
    assert gaps[-1] > 0.5


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_perturbation_bound(seed):
    pi, C, rng = random_case(seed, n=6, width=6)
    pi = (pi + 0.02) / (pi + 0.02).sum()
    T, e = C @ bayes_posterior(pi, C), rng.uniform(0.001, 0.3)
    learned = (1 - e) * T + e * rng.dirichlet(np.ones(6), 6)
    assert total_variation(stationary_law(learned), pi) <= perturbation_bound(pi, T, learned) + 1e-12


# ---------------------------------------------------------------------------------------------
# Walkback


def test_weights_are_the_truncated_geometric_law():
    np.testing.assert_allclose(walkback_weights(0.5, 4), [0.5, 0.25, 0.125, 0.125])
    np.testing.assert_allclose(walkback_weights(0.0, 3), [1, 0, 0])
    assert walkback_weights(0.7, 6).sum() == pytest.approx(1)


@pytest.mark.parametrize("noise", [0.6, 1.5, 3.0])
def test_walkback_changes_the_denoiser_and_not_the_law(noise):
    pi, C = line(noise)
    plain, walked = bayes_posterior(pi, C), walkback_posterior(pi, C, walkback_weights(0.5, 4))
    assert np.abs(plain - walked).max() > 0.05
    check.is_stationary(pi, C @ walked)
    check.detailed_balance(pi, C @ walked)
    assert total_variation(stationary_law(C @ walked), pi) < 1e-12
    assert spectral_gap(C @ walked) > 1.3 * spectral_gap(C @ plain)


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_the_fixed_point_is_bayes_for_the_walk_that_it_makes(seed):
    pi, C, _ = random_case(seed, n=5, width=5)
    C = 0.5 * C + 0.5 * np.full_like(C, 0.2)  # enough noise for a quick iteration
    w = walkback_weights(0.4, 3)
    P = walkback_posterior(pi, C, w)
    T = C @ P
    walk = w[0] * C + w[1] * T @ C + w[2] * T @ T @ C
    np.testing.assert_allclose(P, bayes_posterior(pi, walk), atol=1e-10)


def test_one_step_is_plain_training_and_an_unsettled_iteration_says_so():
    pi, C = line(1.5)
    np.testing.assert_allclose(walkback_posterior(pi, C, [1.0]), bayes_posterior(pi, C))
    with pytest.raises(RuntimeError, match="still moving"):
        walkback_posterior(pi, C, [0.5, 0.5], max_iterations=1)


# ---------------------------------------------------------------------------------------------
# The score


@pytest.mark.parametrize("std", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("d", [1, 3])
def test_the_best_denoiser_is_the_score_of_the_kernel_estimate(std, d):
    """At every noise level, by autograd through the log-sum-exp of the definition."""
    rng = np.random.default_rng(d)
    data = rng.normal(size=(40, d))
    x = data[:10] + std * rng.normal(size=(10, d))
    at = torch.tensor(x, requires_grad=True)
    log_p = torch.logsumexp(-0.5 * ((at[:, None] - torch.tensor(data)) / std).square().sum(2), dim=1)
    (score,) = torch.autograd.grad(log_p.sum(), at)
    found = tweedie_score(empirical_denoiser(x, data, std), x, std)
    np.testing.assert_allclose(found, score.numpy(), atol=1e-9 * max(1, np.abs(score.numpy()).max()))
    step, kde = 1e-5 * std, KernelDensity(std).fit(data)  # and by differences of another module
    up, down = (kde.log_prob(x + sign * step * np.eye(d)[0]) for sign in (1, -1))
    np.testing.assert_allclose(found[:, 0], (up - down) / (2 * step), rtol=1e-4, atol=1e-4 / std)


def test_far_from_all_data_the_denoiser_is_the_nearest_row():
    np.testing.assert_allclose(empirical_denoiser([[1e4]], [[0.0], [1.0]], 0.1), [[1.0]])


def test_the_score_of_the_data_is_reached_quadratically():
    """Two normals: the denoiser's exact score against the score of the law itself, error O(std^2)."""
    x = np.linspace(-3, 3, 201)

    def score(x, extra):
        w, m, v = np.array([0.6, 0.4]), np.array([-1.0, 1.5]), np.array([0.36, 0.81]) + extra
        p = w * stats.norm.pdf(x[:, None], m, np.sqrt(v))
        return (p * (m - x[:, None]) / v).sum(1) / p.sum(1)

    def denoiser(x, std):  # E[X | x] by quadrature over the clean value
        clean = np.linspace(-8, 8, 8001)
        prior = 0.6 * stats.norm.pdf(clean, -1, 0.6) + 0.4 * stats.norm.pdf(clean, 1.5, 0.9)
        weight = prior * np.exp(-0.5 * ((x[:, None] - clean) / std) ** 2)
        return weight @ clean / weight.sum(1)

    errors = []
    for std in (0.4, 0.2, 0.1, 0.05):
        found = tweedie_score(denoiser(x, std), x, std)
        np.testing.assert_allclose(found, score(x, std**2), atol=1e-7)
        errors.append(np.abs(found - score(x, 0)).max())
    ratios = np.array(errors[:-1]) / errors[1:]
    assert ratios[-1] == pytest.approx(4, rel=0.1)


# ---------------------------------------------------------------------------------------------
# The model


class Independent(torch.nn.Module):
    """The Bayes denoiser for independent bits under salt and pepper, which a product of Bernoullis can be."""

    def __init__(self, p, level):
        super().__init__()
        self.p, self.flip = torch.nn.Parameter(torch.tensor(p)), torch.tensor(level / 2, dtype=torch.float64)

    def forward(self, x):
        likelihood_ratio = torch.where(x == 1, (1 - self.flip) / self.flip, self.flip / (1 - self.flip))
        return torch.log(self.p / (1 - self.p)) + torch.log(likelihood_ratio)


def perfect(d=3, level=0.4):
    p = np.linspace(0.2, 0.7, d)
    return p, DenoisingAutoencoder(d, level=level, net=Independent(p, level), burn_in=25)


def counts_of(x):
    return np.bincount((x.numpy() @ 2 ** np.arange(x.shape[1])[::-1]).astype(int), minlength=2 ** x.shape[1])


def test_the_chain_of_a_perfect_denoiser_has_the_law_of_the_data():
    p, model = perfect()
    law = np.where(states(3) == 1, p, 1 - p).prod(axis=1)
    grid, T = exact_chain(model)
    np.testing.assert_array_equal(grid, states(3))
    check.is_stationary(law, T)
    check.detailed_balance(law, T)
    draws = model.sample(20_000, generator=generator())
    assert stats.chisquare(counts_of(draws), 20_000 * law).pvalue > 1e-6
    seen = model.corrupt(draws, generator=generator(1))  # the corrupted variable: pi C, not pi
    C = corruption_matrix(grid, "salt_and_pepper", model.level)
    assert stats.chisquare(counts_of(seen), 20_000 * law @ C).pvalue > 1e-6
    assert stats.chisquare(counts_of(seen), 20_000 * law).pvalue < 1e-6


@pytest.mark.parametrize("corruption", ["salt_and_pepper", "masking"])
def test_the_simulated_chain_is_the_enumerated_one(corruption):
    """A network with random weights: k steps from a fixed state against a power of the matrix."""
    torch.manual_seed(0)
    model = DenoisingAutoencoder(4, corruption=corruption, level=0.5, hidden=(8,)).double()
    _, T = exact_chain(model)
    start = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=torch.float64).repeat(20_000, 1)
    path = dae_chain(model, start, 3, generator=generator())
    assert path.shape == (3, 20_000, 4)
    for k in (1, 3):
        law = np.linalg.matrix_power(T, k)[11]
        assert stats.chisquare(counts_of(path[k - 1]), 20_000 * law).pvalue > 1e-6


def test_a_walk_makes_the_walkback_corruption():
    _, model = perfect(d=2, level=0.3)
    model.walkback, model.max_steps = 0.6, 3
    C = corruption_matrix(states(2), "salt_and_pepper", 0.3)
    _, T = exact_chain(model)
    w = walkback_weights(0.6, 3)
    law = (w[0] * C + w[1] * T @ C + w[2] * T @ T @ C)[2]
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64).repeat(20_000, 1)
    ends = model.walk(start, generator=generator())
    assert stats.chisquare(counts_of(ends), 20_000 * law).pvalue > 1e-6


def test_training_reaches_the_best_chain_of_independent_pixels():
    """Two bits that agree: the exact law of the learned chain, the best its decoder can do, the data."""
    rng = np.random.default_rng(0)
    first = rng.random(4000) < 0.7
    second = np.where(rng.random(4000) < 0.9, first, ~first)
    X = torch.tensor(np.stack([first, second], 1), dtype=torch.float64)
    law, grid = counts_of(X) / 4000, states(2)
    torch.manual_seed(0)
    model = DenoisingAutoencoder(2, level=0.4, hidden=(16,)).double()
    train(
        model, X, steps=600, batch_size=512, lr=0.02, schedule="cosine", random_state=0, device="cpu",
        progress=False,
    )  # fmt: skip
    learned = stationary_law(exact_chain(model)[1])
    C = corruption_matrix(grid, "salt_and_pepper", 0.4)
    best = stationary_law(C @ factorize(bayes_posterior(law, C), grid))
    assert total_variation(learned, best) < 0.02
    assert total_variation(best, law) > 0.1  # the decoder's own error: its pixels do not know of each other


def test_independent_pixels_err_more_with_more_noise_and_with_walkback():
    grid = states(6)
    a = np.array([0.9, 0.9, 0.9, 0.1, 0.1, 0.1])
    pi = sum(w * np.where(grid == 1, p, 1 - p).prod(axis=1) for w, p in ((0.6, a), (0.4, 1 - a)))
    errors, early = {}, {}
    for q in (0.02, 0.25):
        C = corruption_matrix(grid, "salt_and_pepper", q)
        for p in (0.0, 0.5):
            P = walkback_posterior(pi, C, walkback_weights(p, 4), project=lambda P: factorize(P, grid))
            errors[q, p] = total_variation(stationary_law(C @ P), pi)
            early[q, p] = total_variation(np.full(64, 1 / 64) @ np.linalg.matrix_power(C @ P, 10), pi)
    assert errors[0.02, 0.0] < errors[0.25, 0.0] < errors[0.25, 0.5]
    assert early[0.02, 0.5] < 0.5 * early[0.02, 0.0]  # walkback mixes where noise is small
    assert early[0.25, 0.5] > 2 * early[0.25, 0.0]  # and only errs where it is large


def test_factorize_keeps_the_means_and_what_is_independent_already():
    rng = np.random.default_rng(0)
    P, grid = rng.dirichlet(np.ones(8), 3), states(3)
    Q = factorize(P, grid)
    np.testing.assert_allclose(Q.sum(axis=1), 1)
    np.testing.assert_allclose(Q @ grid, P @ grid)
    np.testing.assert_allclose(factorize(Q, grid), Q)
    with pytest.raises(ValueError, match="all 2"):
        factorize(P, grid[:4])


def test_the_loss_is_the_cross_entropy_of_the_repair():
    _, model = perfect(d=2, level=0.4)
    x = torch.tensor(states(2))
    seen = model.walk(x, generator=generator(5))
    q = torch.sigmoid(model.net(seen))
    literal = -torch.log(torch.where(x == 1, q, 1 - q)).sum(1)
    torch.testing.assert_close(model.loss(x, generator=generator(5)), literal)


def test_what_the_model_refuses():
    model = DenoisingAutoencoder(3)
    with pytest.raises(ValueError, match=r"values from 0 to 16, expected 0 to 1"):
        model.loss(torch.tensor([[0.0, 16.0, 3.0]]))
    with pytest.raises(ValueError, match="expected 0 to 1"):
        model.loss(torch.full((1, 3), float("nan")))
    with pytest.raises(NotImplementedError, match=r"samples instead.*spurious_rate"):
        model.log_prob(torch.zeros(1, 3))
    with pytest.raises(TypeError, match="tensor"):
        dae_chain(model, np.zeros((1, 3)), 1)
    with pytest.raises(ValueError, match="shape"):
        dae_chain(model, torch.zeros(1, 2), 1)
    for n_steps, every in [(0, 1), (3, 4), (2.0, 1)]:
        with pytest.raises(ValueError, match="n_steps, every"):
            dae_chain(model, torch.zeros(1, 3), n_steps, every=every)
    with pytest.raises(ValueError, match="at most 12"):
        exact_chain(DenoisingAutoencoder(13))
    with pytest.raises(ValueError, match="no matrix"):
        exact_chain(DenoisingAutoencoder(2, corruption="gaussian"))


def test_thinning_keeps_every_kth_state():
    model = DenoisingAutoencoder(3)
    x = torch.zeros(4, 3)
    whole = dae_chain(model, x, 6, generator=generator(2))
    assert torch.equal(dae_chain(model, x, 6, every=3, generator=generator(2)), whole[2::3])


def test_gaussian_corruption_trains_and_samples():
    torch.manual_seed(0)
    model = DenoisingAutoencoder(2, corruption="gaussian", level=0.5, hidden=(8,))
    X = (torch.rand(300, 2, generator=generator()) < torch.tensor([0.9, 0.1])).float()
    train(model, X, epochs=20, lr=0.02, random_state=0, device="cpu", progress=False)
    mean = model.sample(2000, generator=generator()).mean(dim=0)
    assert mean[0] > 0.75
    assert mean[1] < 0.25
