"""Beta-VAE and its scores against closed forms, quadrature, scikit-learn, and codes whose score is known.

Everything is in float64 unless a test says otherwise; seeds are fixed.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score

from coursekit import check
from coursekit.data import sprites
from coursekit.disentangling.beta_vae import (
    BetaVAE,
    RotatedPosterior,
    dci,
    factor_vae_score,
    mig,
    mutual_information,
    rate_distortion,
    rotate_latents,
    sap,
    traverse,
    water_filling,
)
from coursekit.latent.vae import (
    DiagonalGaussian,
    GaussianDecoder,
    ProbabilisticPCA,
    linear_vae,
    log_evidence,
)
from coursekit.train import train

LIKELIHOOD = {"BetaVAE": "bound"}

TABLE = sprites().factors  # (1296, 5), a full table
AXES = (TABLE - TABLE.mean(0)) / TABLE.std(0)  # the code that is the factors


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def bits(n=20, d=6, seed=0):
    return torch.as_tensor((np.random.default_rng(seed).random((n, d)) < 0.4).astype(float))


def made(seed=0, dim=6, **options):
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return BetaVAE(dim, **{"latent_dim": 2, "hidden": (8,), **options}).double()


def rotation(size, seed=0):
    return stats.ortho_group.rvs(size, random_state=seed)


def in_the_plane(angle, size=5):
    """A rotation of the last two coordinates only."""
    turn = np.eye(size)
    turn[-2:, -2:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


# ------------------------------------------------------------------ the objective


def parts(model, x, seed=0):
    posterior = model.encoder(x)
    z = posterior.rsample(1, generator=seeded(seed))
    return model.decoder.log_prob(x, z)[0], posterior.kl_to_prior()


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 7.0])
def test_loss_weighs_the_kl_term_of_each_row(beta):
    model, x = made(beta=beta).eval(), bits()
    reconstruction, kl = parts(model, x)
    torch.testing.assert_close(model.loss(x, generator=seeded()), beta * kl - reconstruction)


@pytest.mark.parametrize("capacity", [0.0, 0.05, 30.0])
def test_capacity_is_the_distance_of_the_mean_kl(capacity):
    """Below and above: the absolute value keeps the KL term from running away on either side."""
    model, x = made(beta=5.0, capacity=capacity).eval(), bits()
    reconstruction, kl = parts(model, x)
    expected = 5.0 * abs(float(kl.mean().detach()) - capacity) - reconstruction
    torch.testing.assert_close(model.loss(x, generator=seeded()), expected)


def test_capacity_rises_and_is_saved():
    model, x = made(beta=3.0, capacity=2.0, capacity_steps=4), bits()
    reconstruction, kl = parts(model, x)
    kl = float(kl.detach().mean())
    assert kl < 0.4  # so that every step of the rising capacity is above it
    seen = []
    for _ in range(6):
        penalty = (model.loss(x, generator=seeded()) + reconstruction).detach()
        seen.append(float(penalty[0]) / 3.0 + kl)
    np.testing.assert_allclose(seen, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0])
    again = made(beta=3.0, capacity=2.0, capacity_steps=4)
    again.load_state_dict(model.state_dict())
    assert float(again.steps_done) == 6
    model.eval().loss(x)
    assert float(model.steps_done) == 6


def test_a_capacity_is_reached():
    """Bits in two blocks carry up to 2 log 2 nats; training holds the KL term near 0.6."""
    generator = np.random.default_rng(0)
    x = torch.as_tensor(np.repeat(generator.integers(0, 2, (400, 2)), 3, axis=1).astype(np.float32))
    torch.manual_seed(0)
    model = BetaVAE(6, beta=20.0, capacity=0.6, latent_dim=2, hidden=(16,))
    train(model, x, steps=250, lr=2e-2, schedule="cosine", random_state=0, device="cpu")
    assert rate_distortion(model, x).rate == pytest.approx(0.6, abs=0.15)


def test_elbo_and_iwae_do_not_know_beta():
    x, plain, heavy = bits(), made(beta=1.0), made(beta=9.0)
    torch.testing.assert_close(plain.elbo(x, generator=seeded()), heavy.elbo(x, generator=seeded()))
    check.bounds_are_ordered(heavy, x, log_prob=log_evidence(heavy, x), ks=(1, 5, 50, 500))


# ------------------------------------------------------------------ when it is a bound (C18)


def linear(beta, scale=1.0):
    """A linear model with exact evidence, its encoder exact up to a factor on the scales."""
    rows = np.random.default_rng(0).standard_normal((300, 4)) * [3.0, 2.0, 0.5, 0.5]
    ppca = ProbabilisticPCA(2).fit(rows)
    base = linear_vae(ppca, posterior_scale=scale)
    model = BetaVAE(4, beta=beta, hidden=(), decoder=base.decoder, encoder=base.encoder).double()
    return model, torch.as_tensor(rows), torch.as_tensor(ppca.log_prob(rows))


def test_the_difference_to_the_elbo_is_the_formula():
    for beta, capacity in itertools.product((0.3, 1.0, 6.0), (0.0, 2.0)):
        model, x, _ = linear(beta)
        kl = model.encoder(x).kl_to_prior()
        gap = model.lagrangian(x, capacity=capacity, generator=seeded()) - model.elbo(x, generator=seeded())
        torch.testing.assert_close(gap, (beta * capacity - (beta - 1) * kl).detach())


def test_below_the_evidence_for_beta_at_least_one_and_not_otherwise():
    """With 4000 draws the means over 300 rows are exact to a few hundredths of a nat."""
    model, x, log_p = linear(4.0)
    assert float((model.lagrangian(x, 4000, generator=seeded()) - log_p).mean()) < -1
    light, x, log_p = linear(0.2)
    assert float((light.lagrangian(x, 4000, generator=seeded()) - log_p).mean()) > 1
    kept = model.lagrangian(x, 4000, capacity=8.0, generator=seeded()) - log_p
    kl = model.encoder(x).kl_to_prior()
    clear = (kl - 4 * 8 / 3).abs() > 0.3
    assert ((kept > 0) == (kl < 4 * 8 / 3))[clear].all()
    assert (kept > 0).any()


# ------------------------------------------------------------------ rate and distortion


def test_water_filling_has_slope_minus_beta():
    values = [5.0, 2.0, 0.7, 0.1]
    for beta in (0.5, 1.0, 3.0, 6.0):
        low, high = (water_filling(values, beta * (1 + e), 0.4) for e in (-1e-5, 1e-5))
        slope = (high.distortion - low.distortion) / (high.rate - low.rate)
        assert slope == pytest.approx(-beta, rel=1e-4)


def test_water_filling_is_the_best_of_all_linear_models():
    """Against a numerical minimum over weight and posterior scale, one eigenvector at a time."""
    from scipy.optimize import minimize

    for value, beta, noise in ((3.0, 1.0, 0.5), (3.0, 4.0, 0.5), (0.4, 1.0, 0.5)):

        def objective(free, value=value, beta=beta, noise=noise):
            weight, gain, log_s = free  # decoder w z, encoder mean g x, scale s
            s2 = math.exp(2 * log_s)
            error = (1 - weight * gain) ** 2 * value + weight**2 * s2
            kl = 0.5 * (gain**2 * value + s2 - 1) - log_s
            return error / (2 * noise) + 0.5 * math.log(2 * math.pi * noise) + beta * kl

        best = min(
            minimize(
                objective,
                [w, 0.3, -0.3],
                method="Nelder-Mead",
                options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000},
            ).fun
            for w in (0.1, 1.0)
        )
        found = water_filling([value], beta, noise)
        assert found.distortion + beta * found.rate == pytest.approx(best, abs=1e-6)


def test_a_trained_linear_model_reaches_it():
    values = np.array([9.0, 4.0, 1.0, 0.5])
    source = np.random.default_rng(0).standard_normal((400, 4))
    x = torch.as_tensor(np.linalg.qr(source - source.mean(0))[0] * np.sqrt(400 * values))
    torch.manual_seed(0)
    decoder = GaussianDecoder(4, 4, hidden=(), learn_scale=False)
    model = BetaVAE(4, latent_dim=4, beta=2.0, hidden=(), decoder=decoder).double()
    train(model, x, steps=400, lr=0.05, batch_size=400, schedule="cosine", random_state=0, device="cpu")
    found, exact = rate_distortion(model, x, 200, generator=seeded()), water_filling(values, 2.0, 1.0)
    assert found.rate == pytest.approx(exact.rate, abs=0.1)
    assert found.distortion == pytest.approx(exact.distortion, abs=0.2)


def test_rate_and_distortion_sum_to_the_negative_elbo():
    model, x = made(), bits()
    rate, distortion = rate_distortion(model, x, 3, generator=seeded())
    assert rate == pytest.approx(float(model.encoder(x).kl_to_prior().detach().mean()))
    assert rate + distortion == pytest.approx(-float(model.elbo(x, 3, generator=seeded()).mean()))


def test_traversals_change_one_latent():
    model, z, values = made(latent_dim=3), torch.tensor([0.25, -1.0, 2.0]).double(), torch.linspace(-2, 2, 5)
    found = traverse(model, z, values)
    assert found.shape == (3, 5, 6)
    for j, step in itertools.product(range(3), range(5)):
        other = z.clone()
        other[j] = values[step]
        torch.testing.assert_close(found[j, step], model.decoder.mean(other))
    assert z.tolist() == [0.25, -1.0, 2.0]


# ------------------------------------------------------------------ what a rotation changes


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_a_rotation_changes_no_bound(kind):
    model, x = made(latent_dim=3, decoder=kind), bits()
    turned = rotate_latents(model, torch.as_tensor(rotation(3)))
    for call in (
        lambda m: m.elbo(x, 7, generator=seeded()),
        lambda m: m.elbo(x, 7, analytic_kl=False, generator=seeded()),
        lambda m: m.iwae(x, 20, generator=seeded()),
        lambda m: m.loss(x, generator=seeded()),
    ):
        torch.testing.assert_close(call(turned), call(model), rtol=1e-10, atol=1e-10)


def test_a_rotation_changes_no_evidence():
    """By quadrature on a square: of 400 nodes, rotated or not."""
    model, x = made(), bits()
    turned = rotate_latents(model, torch.as_tensor(rotation(2)))
    torch.testing.assert_close(
        log_evidence(turned, x, nodes=400, reach=8),
        log_evidence(model, x, nodes=400, reach=8),
        rtol=1e-7,
        atol=1e-7,
    )


def test_rotated_posterior_is_scipys_multivariate_normal():
    base = DiagonalGaussian(
        torch.tensor([[0.4, -1.0, 0.2]]).double(), torch.tensor([[-1.0, 0.3, 0.1]]).double()
    )
    turn = torch.as_tensor(rotation(3, 1))
    law = RotatedPosterior(base, turn)
    covariance = turn @ torch.diag((2 * base.log_scale[0]).exp()) @ turn.T
    oracle = stats.multivariate_normal((turn @ base.mean[0]).numpy(), covariance.numpy())
    z, log_q = law.rsample_and_log_prob(5, generator=seeded())
    check.matches(log_q[:, 0], oracle.logpdf(z[:, 0].numpy()), name="log q of draws")
    check.matches(law.log_prob(z)[:, 0], oracle.logpdf(z[:, 0].numpy()), name="log q")
    kl = 0.5 * (covariance.trace() + (turn @ base.mean[0]).square().sum() - 3 - covariance.logdet())
    torch.testing.assert_close(law.kl_to_prior()[0], kl)
    torch.testing.assert_close(law.mean[0], turn @ base.mean[0])


# ------------------------------------------------------------------ scores

SCORES = {
    "mig": lambda z, v: mig(z, v),
    "sap": lambda z, v: sap(z, v),
    "disentanglement": lambda z, v: dci(z, v).disentanglement,
    "completeness": lambda z, v: dci(z, v).completeness,
    "factor-VAE": lambda z, v: factor_vae_score(z, v),
}


@pytest.mark.parametrize("name", SCORES)
def test_the_factors_themselves_score_one(name):
    assert SCORES[name](AXES, TABLE) == pytest.approx(1.0, abs=1e-9)
    assert SCORES[name](-3 * AXES[:, ::-1] + 7, TABLE) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_order_of_latents_does_not_matter(name):
    generator = np.random.default_rng(0)
    z = AXES @ rotation(5) + 0.3 * generator.standard_normal(AXES.shape)
    for order in ([4, 2, 0, 1, 3], [1, 0, 2, 4, 3]):
        assert SCORES[name](z[:, order], TABLE) == pytest.approx(SCORES[name](z, TABLE), abs=1e-12)


def test_two_factors_at_45_degrees():
    """Two factors with equally many values, turned by 45 degrees: both latents know equally much."""
    v = TABLE[:, 3:]
    z = AXES[:, 3:] @ in_the_plane(math.pi / 4, 2).T
    assert mig(z, v) == pytest.approx(0, abs=1e-9)
    assert sap(z, v) == pytest.approx(0, abs=1e-9)
    assert dci(z, v).disentanglement < 0.1
    assert factor_vae_score(z, v) < 0.65  # chance is one half
    assert mig(AXES[:, 3:], v) == pytest.approx(1)


def test_sap_of_a_rotation_is_in_its_matrix():
    """Squared correlation of (R v)_j with v_k is R_jk^2."""
    for seed in range(3):
        turn = rotation(5, seed)
        squares = np.sort(turn**2, axis=0)
        assert sap(AXES @ turn.T, TABLE) == pytest.approx((squares[-1] - squares[-2]).mean(), abs=1e-9)


def test_mutual_information_is_scikit_learns():
    generator = np.random.default_rng(1)
    z = AXES[:, :3] @ generator.standard_normal((3, 3)) + 0.5 * generator.standard_normal((1296, 3))
    found = mutual_information(z, TABLE, bins=9)
    for j, k in itertools.product(range(3), range(5)):
        cells = np.digitize(z[:, j], np.linspace(z[:, j].min(), z[:, j].max(), 10)[1:-1])
        assert found[j, k] == pytest.approx(mutual_info_score(cells, TABLE[:, k]), abs=1e-12)


def test_information_of_a_known_channel():
    """Two values plus Gaussian noise: bins against quadrature, and a nearest-neighbour estimate."""
    generator = np.random.default_rng(0)
    v = np.arange(40_000)[:, None] % 2
    z = 2.0 * v + generator.standard_normal((40_000, 1))
    t = np.linspace(-8, 10, 20001)
    p = [stats.norm.pdf(t, m) for m in (0.0, 2.0)]
    mix = (p[0] + p[1]) / 2
    exact = np.trapezoid(sum(0.5 * q * np.log(np.maximum(q, 1e-300) / mix) for q in p), t)
    assert mutual_information(z, v, bins=40)[0, 0] == pytest.approx(exact, abs=0.01)
    near = mutual_info_classif(z[:4000], v[:4000, 0], random_state=0)[0]
    assert near == pytest.approx(exact, abs=0.05)


def test_mig_divides_by_the_entropy():
    """One latent knows the first of two bits and half of a factor of four values: written out by hand."""
    v = np.array(list(itertools.product(range(2), range(4))))
    z = np.column_stack([v[:, 0], v[:, 1] // 2]).astype(float)
    assert mig(z, v) == pytest.approx((1 + 0.5) / 2)


def test_sap_of_categories_is_the_share_between_them():
    generator = np.random.default_rng(0)
    z = generator.standard_normal((1296, 2)) + TABLE[:, [0, 0]] ** 2 * [1.0, 0.2]
    expected = []
    for k in range(5):
        share = []
        for j in range(2):
            design = np.eye(3)[TABLE[:, 0]][:, 1:] if k == 0 else TABLE[:, [k]]
            share.append(LinearRegression().fit(design, z[:, j]).score(design, z[:, j]))
        expected.append(abs(share[0] - share[1]))
    assert sap(z, TABLE, categorical=[0]) == pytest.approx(np.mean(expected), abs=1e-9)


def test_one_latent_for_two_factors_is_complete_but_not_disentangled():
    v = TABLE[:, 3:]
    both = (6 * v[:, [0]] + v[:, [1]]).astype(float)
    found = dci(np.column_stack([both, np.zeros(1296)]), v)
    assert found.completeness == pytest.approx(1)
    assert found.disentanglement < 0.05
    assert found.informativeness > 0.9
    twice = dci(np.column_stack([AXES[:, 3], AXES[:, 4], AXES[:, 4] + AXES[:, 3]]), v)
    assert twice.importance.sum(0) == pytest.approx([1, 1])


def test_noise_scores_like_chance():
    z = np.random.default_rng(0).standard_normal((1296, 5))
    assert mig(z, TABLE) < 0.03
    assert sap(z, TABLE) < 0.03
    assert factor_vae_score(z, TABLE) < 0.4
    assert dci(z, TABLE).informativeness < 0.4


def test_constant_latents_count_for_nothing():
    z = np.column_stack([AXES, np.full(1296, 3.0)])
    for name, score in SCORES.items():
        assert score(z, TABLE) == pytest.approx(1.0, abs=1e-9), name


def test_a_rotated_model_keeps_its_bound_and_loses_its_score():
    """An encoder that is the factors, as a module: what the theorem says, on one model."""
    data = sprites()
    x = torch.as_tensor(AXES[:, 3:])
    decoder = GaussianDecoder(2, 2, hidden=(), scale=0.3).double()
    model = BetaVAE(2, hidden=(), decoder=decoder).double()
    with torch.no_grad():
        model.encoder.net[0].weight.copy_(torch.cat([torch.eye(2), torch.zeros(2, 2)]))
        model.encoder.net[0].bias.copy_(torch.tensor([0.0, 0.0, -1.0, -1.0]))
    turned = rotate_latents(model, torch.as_tensor(in_the_plane(math.pi / 4, 2)))
    codes = [m.encoder(x).mean.detach().numpy() for m in (model, turned)]
    torch.testing.assert_close(
        model.elbo(x, generator=seeded()), turned.elbo(x, generator=seeded()), rtol=1e-10, atol=1e-10
    )
    assert mig(codes[0], data.factors[:, 3:]) == pytest.approx(1)
    assert mig(codes[1], data.factors[:, 3:]) < 0.02


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: BetaVAE(3, beta=-1.0), "beta: got -1"),
        (lambda: BetaVAE(3, beta=math.nan), "beta: got nan"),
        (lambda: BetaVAE(3, beta=math.inf), "beta: got inf"),
        (lambda: BetaVAE(3, capacity=-0.1), "capacity: got -0.1"),
        (lambda: BetaVAE(3, capacity=1.0, capacity_steps=-1), "capacity_steps"),
        (lambda: BetaVAE(3, capacity_steps=10), "without a capacity"),
        (lambda: BetaVAE(3, capacity=1.0, warm_up=10), "warm_up"),
        (lambda: BetaVAE(0), "dim"),
        (lambda: water_filling([1.0, 0.0], 1.0, 1.0), "eigenvalues"),
        (lambda: water_filling([1.0], 0.0, 1.0), "beta"),
        (lambda: water_filling([1.0], 1.0, -1.0), "noise_variance"),
        (lambda: traverse(made(), torch.zeros(3).double(), torch.zeros(4)), r"z: got shape \(3,\)"),
        (lambda: traverse(made(), torch.zeros(2).double(), torch.zeros(0)), "values"),
        (lambda: rotate_latents(made(), torch.eye(3)), "rotation: got shape"),
        (lambda: rotate_latents(made(), torch.ones(2, 2)), "orthogonal"),
        (lambda: rotate_latents(made(), torch.full((2, 2), math.nan)), "orthogonal"),
        (lambda: mutual_information(AXES, TABLE, bins=1), "bins"),
        (lambda: sap(AXES, TABLE, categorical=[5]), "categorical"),
        (lambda: dci(AXES, TABLE[:, :1]), "two factors"),
        (lambda: dci(AXES, TABLE, n_trees=0), "n_trees"),
        (lambda: dci(np.zeros((1296, 2)), TABLE), "constant"),
        (lambda: factor_vae_score(AXES, TABLE, rows_per_vote=1), "rows_per_vote"),
        (lambda: factor_vae_score(AXES, TABLE, votes=0), "votes"),
        (lambda: factor_vae_score(np.zeros((1296, 2)), TABLE), "constant"),
    ],
)
def test_bad_settings_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


BAD_PAIRS = {
    "one value": (AXES, np.column_stack([TABLE[:, 0], np.ones(1296, int)]), "column 1 has one value only"),
    "rows": (AXES[:-1], TABLE, "1295 and 1296 rows"),
    "flat codes": (AXES[:, 0], TABLE, "codes: got shape"),
    "flat factors": (AXES, TABLE[:, 0], "factors: got shape"),
    "empty": (AXES[:0], TABLE[:0], "none of them 0"),
    "NaN": (np.where(AXES > 1, np.nan, AXES), TABLE, "codes: hold NaN"),
    "text": (AXES.astype(str), TABLE, "codes: hold"),
    "real factors": (AXES, AXES, "whole numbers"),
}


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("bad", BAD_PAIRS)
def test_bad_pairs_are_refused(score, bad):
    codes, factors, words = BAD_PAIRS[bad]
    with pytest.raises(ValueError, match=words):
        SCORES[score](codes, factors)


def test_log_prob_says_what_to_use():
    with pytest.raises(NotImplementedError, match=r"elbo.*iwae"):
        BetaVAE(2).log_prob(torch.zeros(1, 2))
