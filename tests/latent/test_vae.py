"""Variational autoencoders against closed forms, quadrature, autograd, torch.distributions and scikit-learn.

Statistical comparisons allow 5 standard errors: one false alarm in 1.7 million for a fresh seed. Seeds are
fixed, so a pass stays a pass. Everything is in float64 unless a test says otherwise.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.decomposition import PCA
from torch import nn

from coursekit import check
from coursekit.latent.vae import (
    GLO,
    VAE,
    BernoulliDecoder,
    DiagonalGaussian,
    GaussianDecoder,
    GaussianEncoder,
    ProbabilisticPCA,
    active_units,
    conv_nets,
    infer_per_row,
    interpolate,
    linear_vae,
    log_evidence,
)
from coursekit.train import train

LIKELIHOOD = {"VAE": "bound", "GLO": "none", "ProbabilisticPCA": "exact"}
SIGMAS = 5.0


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n=200, d=5, seed=0):
    """Gaussian rows with three strong directions."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ (np.diag([3.0, 2.0, 1.0, 0.4, 0.3])[:d, :d]) + 1.0


def bits(n=20, d=6, seed=0):
    return torch.as_tensor((np.random.default_rng(seed).random((n, d)) < 0.4).astype(float))


def made(seed=0, dim=6, **options):
    """A VAE in float64 with weights from a seed."""
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(seed)
        return VAE(dim, **{"latent_dim": 2, "hidden": (8,), **options}).double()


def se(values):
    return values.std(0) / len(values) ** 0.5


# ------------------------------------------------------------------ posterior and decoders


def test_diagonal_gaussian_is_torch_distributions_normal():
    mean, log_scale = torch.randn(2, 4, 3, generator=seeded(), dtype=torch.float64)
    q = DiagonalGaussian(mean, log_scale)
    oracle = torch.distributions.Normal(mean, log_scale.exp())
    z = q.rsample(7, generator=seeded(1))
    assert z.shape == (7, 4, 3)
    check.matches(q.log_prob(z), oracle.log_prob(z).sum(-1), name="log q")
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    kl = torch.distributions.kl_divergence(oracle, prior).sum(-1)
    check.matches(q.kl_to_prior(), kl, name="KL")


def test_analytic_kl_is_that_of_draws():
    q = DiagonalGaussian(
        torch.tensor([[0.7, -1.2, 0.1]]).double(), torch.tensor([[-0.9, 0.3, -2.0]]).double()
    )
    z, log_q = q.rsample_and_log_prob(20_000, generator=seeded())
    log_p = stats.norm.logpdf(z[:, 0].numpy()).sum(-1)
    check.kl_matches_monte_carlo(float(q.kl_to_prior()), log_q[:, 0], log_p)


def test_draws_are_differentiable_in_mean_and_scale():
    """d z / d mean = 1 and d z / d log_scale = z - mean."""
    mean, log_scale = (torch.randn(1, 2, generator=seeded(i)).double().requires_grad_() for i in (0, 1))
    z = DiagonalGaussian(mean, log_scale).rsample(1, generator=seeded(2))
    slopes = torch.autograd.grad(z.sum(), [mean, log_scale])
    torch.testing.assert_close(slopes[0], torch.ones(1, 2).double())
    torch.testing.assert_close(slopes[1], (z[0] - mean).detach())


class AtOneLatent:
    """p(x | z) at one fixed z, as a model that the laws can look at."""

    def __init__(self, decoder, z, dim):
        self.decoder, self.z, self.dim = decoder, z, dim

    def log_prob(self, x):
        return self.decoder.log_prob(torch.as_tensor(x), self.z).detach()[0]

    def sample(self, n, random_state):
        draws = self.decoder.sample(self.z[:, 0].expand(n, -1), generator=seeded(random_state))
        return draws.detach().numpy()


@pytest.mark.parametrize(("dim", "scale"), [(1, 0.3), (2, 2.0), (3, 0.3)])
def test_gaussian_decoder_integrates_to_one_and_samples_follow_it(dim, scale):
    torch.manual_seed(dim)
    decoder = GaussianDecoder(2, dim, hidden=(4,), scale=scale).double()
    law = AtOneLatent(decoder, torch.randn(1, 1, 2, generator=seeded(), dtype=torch.float64), dim)
    check.integrates_to_one(law)
    check.samples_follow_density(law)


def test_bernoulli_decoder_sums_to_one_and_samples_follow_it():
    torch.manual_seed(0)
    decoder = BernoulliDecoder(2, 4, hidden=(4,)).double()
    law = AtOneLatent(decoder, torch.randn(1, 1, 2, generator=seeded(), dtype=torch.float64), 4)
    states = np.array(np.meshgrid(*[[0.0, 1.0]] * 4)).reshape(4, -1).T
    check.sums_to_one(law, states)
    check.samples_follow_density(law, states=states)


def test_decoders_agree_with_torch_distributions_for_shared_and_for_own_latents():
    x = bits(n=5)
    for z in (
        torch.randn(3, 5, 2, generator=seeded()).double(),
        torch.randn(3, 1, 2, generator=seeded()).double(),
    ):
        torch.manual_seed(0)
        bernoulli, gaussian = BernoulliDecoder(2, 6).double(), GaussianDecoder(2, 6, scale=0.5).double()
        oracle = torch.distributions.Bernoulli(logits=bernoulli.net(z)).log_prob(x.expand(3, 5, 6)).sum(-1)
        check.matches(bernoulli.log_prob(x, z), oracle, name="Bernoulli")
        oracle = torch.distributions.Normal(gaussian.net(z), 0.5).log_prob(x).sum(-1)
        check.matches(gaussian.log_prob(x, z), oracle, name="Gaussian", rtol=1e-6)


def test_extreme_logits_stay_finite():
    decoder = BernoulliDecoder(1, 1, net=nn.Linear(1, 1, bias=False).double())
    nn.init.constant_(decoder.net.weight, 1e4)
    z = torch.tensor([[[1.0]], [[-1.0]]]).double()
    found = decoder.log_prob(torch.tensor([[1.0], [0.0]]).double(), z)
    torch.testing.assert_close(found, torch.tensor([[0.0, -1e4], [-1e4, 0.0]]).double())


# ------------------------------------------------------------------ pPCA, the linear oracle


def test_ppca_is_scikit_learns():
    X, new = rows(), rows(seed=1)
    ours, theirs = ProbabilisticPCA(2).fit(X), PCA(2).fit(X)
    shrink = (len(X) - 1) / len(X)  # scikit-learn divides by n - 1
    assert ours.noise_variance_ == pytest.approx(theirs.noise_variance_ * shrink)
    density = stats.multivariate_normal(X.mean(0), theirs.get_covariance() * shrink)
    np.testing.assert_allclose(ours.log_prob(new), density.logpdf(new), rtol=1e-9)


def test_ppca_is_the_maximum():
    X = rows()
    best = ProbabilisticPCA(2).fit(X)
    base = best.score(X)
    rng = np.random.default_rng(0)
    for _ in range(10):
        other = ProbabilisticPCA(2).fit(X)
        other.weight_ = other.weight_ + 0.02 * rng.standard_normal(other.weight_.shape)
        other.noise_variance_ *= math.exp(0.05 * rng.standard_normal())
        assert other.score(X) < base


def test_ppca_posterior_is_the_conditional_law():
    """From the joint normal of (x, z), by the textbook formula with the full covariance."""
    model, x = ProbabilisticPCA(2).fit(rows()), rows(3, seed=2)
    gain = model.weight_.T @ np.linalg.inv(
        model.weight_ @ model.weight_.T + model.noise_variance_ * np.eye(5)
    )
    mean, covariance = model.posterior(x)
    np.testing.assert_allclose(mean, (x - model.mean_) @ gain.T, rtol=1e-9)
    np.testing.assert_allclose(covariance, np.eye(2) - gain @ model.weight_, atol=1e-12)


def test_elbo_of_the_linear_vae_with_the_exact_posterior_is_the_evidence():
    """For a single draw, because log p(x, z) - log q(z | x) does not depend on z: to 1e-10."""
    ppca, x = ProbabilisticPCA(3).fit(rows()), rows(20, seed=3)
    model, exact = linear_vae(ppca), ppca.log_prob(x)
    x = torch.as_tensor(x)
    check.matches(model.elbo(x, analytic_kl=False), exact, name="ELBO", rtol=1e-10)
    check.matches(model.iwae(x, 7), exact, name="IWAE", rtol=1e-10)


def test_gap_of_a_wrong_posterior_is_its_kl():
    """log p - ELBO = KL(q || posterior), here of two Gaussians in closed form."""
    ppca, x = ProbabilisticPCA(2).fit(rows()), rows(8, seed=4)
    model = linear_vae(ppca, posterior_scale=1.7)
    values = torch.stack([model.elbo(torch.as_tensor(x), 500, generator=seeded(i)) for i in range(40)])
    kl = 2 * 0.5 * (1.7**2 - 1 - math.log(1.7**2))
    gap = torch.as_tensor(ppca.log_prob(x)) - values
    assert ((gap.mean(0) - kl).abs() < SIGMAS * se(gap)).all()


@pytest.mark.parametrize("scale", [0.6, 1.5])
def test_bounds_are_ordered_up_to_the_exact_evidence(scale):
    ppca, x = ProbabilisticPCA(2).fit(rows()), rows(30, seed=5)
    torch.manual_seed(0)
    check.bounds_are_ordered(
        linear_vae(ppca, posterior_scale=scale), torch.as_tensor(x), log_prob=ppca.log_prob(x)
    )


@pytest.mark.parametrize("latents", [1, 2])
def test_quadrature_is_the_closed_form(latents):
    ppca, x = ProbabilisticPCA(latents).fit(rows() / 3), rows(20, seed=6) / 3
    found = log_evidence(linear_vae(ppca), torch.as_tensor(x), nodes=400, reach=8.0)
    check.matches(found, ppca.log_prob(x), name="evidence", rtol=1e-8)


def test_evidence_of_bits_sums_to_one():
    model = made(dim=4)
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 4)
    assert float(log_evidence(model, states).exp().sum()) == pytest.approx(1, abs=1e-7)


def test_bounds_of_a_network_stay_below_its_evidence():
    model, x = made(), bits()
    torch.manual_seed(1)
    check.bounds_are_ordered(model, x, log_prob=log_evidence(model, x), ks=(1, 5, 50, 500))


def test_training_reaches_the_closed_form_optimum():
    """The linear VAE, trained by stochastic gradients, against pPCA: within 0.03 nats of the best."""
    X = rows(500)
    best = ProbabilisticPCA(2).fit(X).score(X)
    torch.manual_seed(0)
    model = VAE(5, hidden=(), decoder=GaussianDecoder(2, 5, hidden=())).double()
    train(model, torch.as_tensor(X), steps=1200, lr=0.03, schedule="cosine", random_state=0, device="cpu")
    found = float(model.elbo(torch.as_tensor(X), 200, generator=seeded()).mean())
    assert best - 0.03 < found < best + 0.005


# ------------------------------------------------------------------ the bounds


def test_both_ways_to_the_elbo_have_the_same_mean():
    model, x = made(), bits(4)
    one, two = (
        torch.stack([model.elbo(x, 200, analytic_kl=way, generator=seeded(i)) for i in range(50)])
        for way in (True, False)
    )
    assert ((one.mean(0) - two.mean(0)).abs() < SIGMAS * torch.hypot(se(one), se(two))).all()


def test_iwae_is_the_loop_over_images():
    """The same noise, image by image and draw by draw, with the definition written out."""
    model, x = made(), bits(5)
    found = model.iwae(x, 9, generator=seeded(3))
    q = model.encoder(x)
    z = q.rsample(9, generator=seeded(3))
    for i in range(5):
        weights = []
        for draw in z[:, i]:
            p = torch.sigmoid(model.decoder.net(draw))
            log_p = (x[i] * p.log() + (1 - x[i]) * (1 - p).log()).sum()
            prior = torch.distributions.Normal(0.0, 1.0).log_prob(draw).sum()
            log_q = torch.distributions.Normal(q.mean[i], q.log_scale[i].exp()).log_prob(draw).sum()
            weights.append(log_p + prior - log_q)
        assert float(found[i]) == pytest.approx(torch.stack(weights).exp().mean().log().item(), rel=1e-9)


def test_iwae_with_one_draw_is_the_elbo():
    model, x = made(), bits(4)
    first, second = (
        f(x, 1, generator=seeded(0))
        for f in (model.iwae, lambda *a, **b: model.elbo(*a, analytic_kl=False, **b))
    )
    torch.testing.assert_close(first, second)


def test_blocks_do_not_change_the_bound(monkeypatch):
    """A large k is cut into blocks of rows; each row keeps its own bound."""
    model, x = made(), bits(6)
    exact = log_evidence(model, x)
    monkeypatch.setattr("coursekit.latent.vae._CELLS", 2000 * 6 * 2)
    found = model.iwae(x, 2000, generator=seeded())
    torch.testing.assert_close(found, exact, atol=0.1, rtol=0)


def test_loss_in_evaluation_mode_is_the_negative_bound():
    x = bits(5)
    for objective, k in (("elbo", 1), ("iwae", 4), ("dreg", 4)):
        model = made(objective=objective, k=k).eval()
        bound = model.elbo(x, 1, generator=seeded(2)) if k == 1 else model.iwae(x, 4, generator=seeded(2))
        torch.testing.assert_close(model.loss(x, generator=seeded(2)).detach(), -bound)
    model = made(objective="reinforce", k=3)
    bound = model.elbo(x, 3, analytic_kl=False, generator=seeded(2))
    torch.testing.assert_close(model.loss(x, generator=seeded(2)).detach(), -bound)


def test_warm_up_raises_the_weight_of_the_kl_and_is_saved():
    model, x = made(warm_up=4, beta=2.0), bits(5)
    posterior = model.encoder(x)
    kl = posterior.kl_to_prior()
    seen = []
    for _ in range(6):
        reconstruction = model.decoder.log_prob(x, posterior.rsample(1, generator=seeded(0)))[0]
        seen.append(float(((model.loss(x, generator=seeded(0)) + reconstruction) / kl).mean()))
    np.testing.assert_allclose(seen, [0.5, 1.0, 1.5, 2.0, 2.0, 2.0])
    again = made(warm_up=4, beta=2.0)
    again.load_state_dict(model.state_dict())
    assert float(again.steps_done) == 6
    before = float(model.steps_done)
    model.eval().loss(x)
    assert float(model.steps_done) == before


# ------------------------------------------------------------------ gradients


def gradients(model, x, part, repeats, seed=0):
    """Gradient of the mean loss with respect to a part's weights, many times: (repeats, weights)."""
    weights = list(getattr(model, part).parameters())
    found = []
    generator = seeded(seed)
    for _ in range(repeats):
        slopes = torch.autograd.grad(model.loss(x, generator=generator).mean(), weights)
        found.append(torch.cat([slope.flatten() for slope in slopes]))
    return torch.stack(found)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
@pytest.mark.parametrize(
    ("one", "two", "k"), [("elbo", "reinforce", 1), ("elbo", "reinforce", 4), ("iwae", "dreg", 5)]
)
def test_gradient_estimators_have_the_same_mean(one, two, k, part):
    """5.5 standard errors for the worst of some sixty weights."""
    x = bits(3)
    first, second = (
        gradients(made(objective=name, k=k), x, part, 1500, seed) for seed, name in enumerate((one, two))
    )
    gap = (first.mean(0) - second.mean(0)).abs()
    assert (gap < 5.5 * torch.hypot(se(first), se(second)) + 1e-12).all()


def test_reparametrized_gradient_is_that_of_quadrature():
    """One latent: E_q[log p(x | z)] by Gauss-Hermite quadrature, differentiated by autograd."""
    model, x = made(latent_dim=1), bits(2)
    found = gradients(model, x, "encoder", 4000)
    node, weight = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(60))
    q = model.encoder(x)
    z = q.mean + q.log_scale.exp() * node[:, None, None]
    expected = (weight[:, None] * model.decoder.log_prob(x, z)).sum(0) / weight.sum() - q.kl_to_prior()
    slopes = torch.autograd.grad(-expected.mean(), list(model.encoder.parameters()))
    exact = torch.cat([slope.flatten() for slope in slopes])
    assert ((found.mean(0) - exact).abs() < 5.5 * se(found) + 1e-12).all()


def test_score_function_is_much_noisier_and_a_baseline_helps():
    x = bits(6)
    variance = {}
    for name, k in (("elbo", 8), ("reinforce", 8), ("reinforce", 1)):
        draws = gradients(made(objective=name, k=k), x, "encoder", 300)
        variance[name, k] = float(draws.var(0).sum()) * k
    assert variance["reinforce", 8] > 5 * variance["elbo", 8]
    assert variance["reinforce", 1] > 2 * variance["reinforce", 8]


def test_signal_to_noise_falls_for_the_iwae_encoder_and_rises_for_dreg():
    """Rainforth et al.: k^-1/2 for the encoder, k^1/2 for the decoder; slopes over k = 4 to 128."""

    def slope(objective, part):
        x, ks, ratio = bits(1, seed=3), (4, 128), []
        for k in ks:
            draws = gradients(made(seed=3, objective=objective, k=k), x, part, 800)
            alive = draws.std(0) > 1e-9  # a weight that meets a pixel of 0 has no gradient
            ratio.append(float((draws.mean(0).abs() / draws.std(0))[alive].median()))
        return math.log(ratio[1] / ratio[0]) / math.log(ks[1] / ks[0])

    assert slope("iwae", "decoder") == pytest.approx(0.5, abs=0.15)
    assert slope("iwae", "encoder") < 0  # down to the floor of 800 draws
    assert slope("dreg", "encoder") == pytest.approx(0.5, abs=0.2)


# ------------------------------------------------------------------ diagnostics


def test_inference_per_row_finds_the_exact_posterior():
    """The linear model from a bad start: means and scales of the exact posterior, ELBO = evidence."""
    ppca, x = ProbabilisticPCA(2).fit(rows()), rows(10, seed=7)
    model = linear_vae(ppca, posterior_scale=2.0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    q = infer_per_row(model, torch.as_tensor(x), steps=400, k=32, generator=seeded())
    mean, covariance = ppca.posterior(x)
    np.testing.assert_allclose(q.mean, mean, atol=0.02)
    np.testing.assert_allclose(q.log_scale.exp(), np.sqrt(np.diag(covariance))[None].repeat(10, 0), rtol=0.05)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(("variance", "alive"), [(0.5, 3), (2.0, 2), (6.0, 1), (20.0, 0)])
def test_a_latent_of_the_linear_vae_lives_iff_its_eigenvalue_exceeds_the_noise(variance, alive):
    """The collapse criterion at a fixed noise variance, for data with eigenvalues 9, 4 and 1."""
    rng = np.random.default_rng(0)
    X = (
        np.linalg.qr(rng.standard_normal((300, 5)) - 0.0)[0]
        * math.sqrt(300)
        * np.sqrt([9.0, 4.0, 1.0, 0.1, 0.1])
    )
    X -= X.mean(0)
    torch.manual_seed(0)
    decoder = GaussianDecoder(3, 5, hidden=(), scale=math.sqrt(variance), learn_scale=False)
    model = VAE(5, latent_dim=3, hidden=(), decoder=decoder).double()
    train(model, torch.as_tensor(X), steps=700, lr=0.05, schedule="cosine", random_state=0, device="cpu")
    assert int((active_units(model, torch.as_tensor(X)) > 0.03).sum()) == alive


def test_interpolation_keeps_its_ends_and_its_length():
    a, b = torch.randn(2, 40, generator=seeded(), dtype=torch.float64)
    for kind in ("linear", "spherical"):
        path = interpolate(a, b, 5, kind=kind)
        torch.testing.assert_close(path[[0, -1]], torch.stack([a, b]))
    lengths = interpolate(a, b, 11, kind="spherical").norm(dim=1)
    torch.testing.assert_close(lengths, torch.linspace(float(a.norm()), float(b.norm()), 11).double())
    assert float(interpolate(a, b, 11).norm(dim=1).min()) < 0.85 * float(lengths.min())
    same = interpolate(a, a * (1 + 1e-13), 4, kind="spherical")
    torch.testing.assert_close(same, a.expand(4, 40))


# ------------------------------------------------------------------ sampling, networks, other posteriors


def test_samples_of_a_vae_follow_its_evidence():
    model = made(dim=4)

    class Exact:
        dim = 4

        def log_prob(self, x):
            return log_evidence(model, torch.as_tensor(x))

        def sample(self, n, random_state):
            return model.sample(n, generator=seeded(random_state)).numpy()

    states = np.array(np.meshgrid(*[[0.0, 1.0]] * 4)).reshape(4, -1).T
    check.samples_follow_density(Exact(), states=states)


@pytest.mark.parametrize("side", [8, 28])
def test_convolutional_version(side):
    encoder, decoder = conv_nets(side, 3, channels=4)
    dim = side**2
    model = VAE(
        dim,
        latent_dim=3,
        encoder=GaussianEncoder(dim, 3, net=encoder),
        decoder=BernoulliDecoder(3, dim, net=decoder),
        objective="dreg",
        k=2,
    )
    x = (torch.rand(4, dim, generator=seeded()) < 0.3).float()
    assert model.loss(x).shape == (4,)
    assert model.iwae(x, 5).shape == (4,)
    assert model.sample(2).shape == (2, dim)
    model.loss(x).mean().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_another_posterior_fits_into_the_same_model():
    """Anything with rsample_and_log_prob and log_prob will do: here a shifted Student's t."""

    class StudentPosterior:
        def __init__(self, location):
            self.law = torch.distributions.StudentT(torch.tensor(10.0).double(), location, 0.8)

        def rsample_and_log_prob(self, k, *, generator):
            z = self.law.rsample((k,))
            return z, self.log_prob(z)

        def log_prob(self, z):
            return self.law.log_prob(z).sum(-1)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(6, 2)

        def forward(self, x):
            return StudentPosterior(self.net(x))

    torch.manual_seed(0)
    model, x = VAE(6, encoder=Encoder(), hidden=(8,)).double(), bits()
    check.bounds_are_ordered(model, x, log_prob=log_evidence(model, x), ks=(1, 10, 100))
    assert model.loss(x).shape == (20,)


def test_training_resumes_bit_for_bit_with_warm_up(tmp_path):
    x = bits(40).float()

    def trained(steps, **options):
        torch.manual_seed(0)
        model = VAE(6, hidden=(8,), warm_up=20)
        train(model, x, epochs=steps, batch_size=10, random_state=0, device="cpu", **options)
        return torch.cat([weight.flatten() for weight in model.state_dict().values()])

    whole = trained(6)
    trained(3, checkpoint=tmp_path / "a.pt")
    assert torch.equal(trained(6, checkpoint=tmp_path / "a.pt"), whole)


# ------------------------------------------------------------------ GLO


def test_glo_reconstructs_and_keeps_codes_in_the_ball():
    X = rows(60, 5)
    model = GLO(2, epochs=150, hidden=(32,), random_state=0).fit(X)
    error = np.square(X - model.decode(model.codes_)).sum(1).mean()
    noise = ProbabilisticPCA(2).fit(X)
    assert error < 3 * noise.noise_variance_ * 3 + 0.3 * X.var(0).sum()
    assert np.linalg.norm(model.codes_, axis=1).max() <= math.sqrt(2) * (1 + 1e-6)
    assert model.sample(7, random_state=0).shape == (7, 5)


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "call", [lambda m, x: m.elbo(x), lambda m, x: m.iwae(x, 3), lambda m, x: log_evidence(m, x)]
)
@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.full((3, 6), 1.5).double(), ValueError, r"\[0, 1\]"),
        (torch.full((3, 6), -0.1).double(), ValueError, r"\[0, 1\]"),
        (torch.zeros(3, 5).double(), ValueError, r"\(n, 6\)"),
        (torch.zeros(6).double(), ValueError, r"\(n, 6\)"),
        (torch.zeros(3, 6), TypeError, "float64"),
        (torch.full((3, 6), float("nan")).double(), ValueError, "NaN"),
        (np.zeros((3, 6)), TypeError, "tensor"),
    ],
)
def test_bad_data_are_refused(call, x, error, words):
    with pytest.raises(error, match=words):
        call(made(), x)


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_bad_numbers_of_draws_are_refused(k):
    model, x = made(), bits(2)
    for call in (model.elbo, model.iwae, model.log_weights):
        with pytest.raises(ValueError, match="k: got"):
            call(x, k)
    with pytest.raises(ValueError, match="k: got"):
        VAE(6, k=k)


def test_training_refuses_values_outside_the_unit_interval():
    with pytest.raises(ValueError, match=r"batch: .*\[0, 1\]"):
        train(VAE(2, hidden=(4,)), torch.full((8, 2), 3.0), steps=1, device="cpu")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: VAE(0), "dim"),
        (lambda: VAE(3, latent_dim=0), "latent_dim"),
        (lambda: VAE(3, objective="elba"), "objective"),
        (lambda: VAE(3, decoder="poisson"), "decoder"),
        (lambda: VAE(3, beta=-1.0), "beta"),
        (lambda: VAE(3, beta=2.0, objective="iwae"), "beta"),
        (lambda: VAE(3, warm_up=-1), "warm_up"),
        (lambda: GaussianDecoder(1, 2, scale=0.0), "scale"),
        (lambda: conv_nets(9, 2), "multiple of 4"),
        (lambda: log_evidence(VAE(3, latent_dim=3), torch.zeros(1, 3)), "one or two"),
        (lambda: active_units(VAE(3), torch.zeros(1, 3)), "at least 2"),
        (lambda: interpolate(torch.ones(2), torch.ones(2), kind="cubic"), "kind"),
        (lambda: interpolate(torch.ones(2), torch.ones(2), 1), "steps"),
        (lambda: interpolate(torch.zeros(2), torch.ones(2), kind="spherical"), "zero"),
        (lambda: interpolate(torch.ones(2), -torch.ones(2), kind="spherical"), "opposite"),
        (lambda: ProbabilisticPCA(3).fit(rows(10, 3)), "n_components"),
        (lambda: ProbabilisticPCA(1).fit(np.outer(np.arange(5.0), [1, 1])), "no variance"),
        (lambda: GLO(latent_dim=0).fit(rows(10, 3)), "latent_dim"),
    ],
)
def test_bad_settings_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_log_prob_says_what_to_use():
    with pytest.raises(NotImplementedError, match=r"elbo.*iwae.*log_evidence"):
        VAE(2).log_prob(torch.zeros(1, 2))
    with pytest.raises(NotImplementedError, match="use VAE"):
        GLO().log_prob(np.zeros((1, 2)))
