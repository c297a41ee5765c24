"""Flow posteriors against autograd, quadrature, closed forms, torch.distributions and each other.

Statistical comparisons use standard errors with z = 5 and fixed seeds.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import distributions

from coursekit import check
from coursekit.data import digits
from coursekit.flows import flow_posterior as fp
from coursekit.flows.coupling import ActNorm, RealNVP
from coursekit.flows.planar import PlanarFlow, planar
from coursekit.latent.vae import VAE, log_evidence, log_standard_normal
from coursekit.nn import Flow
from coursekit.train import train

LIKELIHOOD = {"FlowVAE": "bound"}
NAMES = ["planar", "realnvp", "iaf"]


def normal(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


def wild(module, seed=0, scale=0.8):
    """Double precision, large random weights: no flow is near the identity by accident."""
    module = module.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            fan = max(weight[0].numel() if weight.ndim > 1 else 1, 1) ** 0.5
            weight.copy_(scale * torch.randn(weight.shape, generator=generator, dtype=weight.dtype) / fan)
    return module.eval()


def flow_of(name, latent_dim=3, context_dim=4, layers=3, seed=0):
    kinds = {"planar": fp.AmortizedPlanar, "realnvp": fp.ConditionalRealNVP, "iaf": fp.IAFPosterior}
    return wild(kinds[name](latent_dim, context_dim, layers), seed)


def bits(n, dim, seed=0):
    return torch.tensor((np.random.default_rng(seed).random((n, dim)) < 0.4).astype(float))


def model_of(name, *, dim=6, seed=0, scale=0.8, **options):
    sizes = {"latent_dim": 2, "layers": 2, "hidden": (8,), "flow_hidden": (8,)}
    return wild(fp.FlowVAE(dim, flow=name, **(sizes | options)), seed, scale)


CASES = [
    (name, d)
    for name, d in itertools.product(NAMES, (1, 2, 3, 5))
    if not (name == "realnvp" and d == 1)  # a coupling needs two columns
]


# ------------------------------------------------------------------ the flows


@pytest.mark.parametrize(("name", "latent_dim"), CASES)
def test_the_log_determinant_is_that_of_the_jacobian_for_every_row(name, latent_dim):
    flow, z, context = flow_of(name, latent_dim), normal(2, 3, latent_dim), normal(3, 4, seed=1)
    _, log_det = flow.transport(z, context)
    assert log_det.shape == (2, 3)
    for draw, row in itertools.product(range(2), range(3)):

        def one(point, row=row):
            return flow.transport(point[None, None], context[row : row + 1])[0][0, 0]

        jacobian = torch.autograd.functional.jacobian(one, z[draw, row])
        sign, expected = torch.linalg.slogdet(jacobian)
        assert sign > 0
        torch.testing.assert_close(log_det[draw, row], expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("name", "latent_dim"), CASES)
def test_pulling_back_undoes_transport_and_knows_the_same_determinant(name, latent_dim):
    flow, z, context = flow_of(name, latent_dim), normal(4, 3, latent_dim), normal(3, 4, seed=1)
    image, log_det = flow.transport(z, context)
    back, again = flow.pull_back(image, context)
    torch.testing.assert_close(back, z, atol=1e-8, rtol=0)
    torch.testing.assert_close(again, log_det, atol=1e-7, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_its_own_flow_and_sees_no_other(name):
    flow, z, context = flow_of(name), normal(2, 5, 3), normal(5, 4, seed=1)
    image, log_det = flow.transport(z, context)
    for row in range(5):  # alone it is what it was among others
        alone, det = flow.transport(z[:, row : row + 1], context[row : row + 1])
        torch.testing.assert_close(alone[:, 0], image[:, row], atol=1e-12, rtol=0)
        torch.testing.assert_close(det[:, 0], log_det[:, row], atol=1e-12, rtol=0)
    other, _ = flow.transport(z, context + 1.0)
    assert (other - image).abs().amin(dim=(0, 2)).min() > 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_flows_start_gently_and_every_weight_learns(name):
    """Couplings and IAF as the identity, planar maps with a bend; no weight is dead after a few steps."""
    torch.manual_seed(0)
    model = fp.FlowVAE(6, flow=name, layers=2, hidden=(8,), flow_hidden=(8,)).double()
    context = normal(5, 8, seed=1)
    z = normal(2, 5, 2)
    image, log_det = model.encoder.flow.transport(z, context)
    if name == "planar":
        assert 0 < (image - z).norm(dim=-1).max() < 5
    else:
        torch.testing.assert_close(image, z, atol=1e-12, rtol=0)
        torch.testing.assert_close(log_det, torch.zeros(2, 5).double(), atol=1e-12, rtol=0)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model.loss(bits(16, 6), generator=torch.Generator().manual_seed(0)).mean().backward()
        optimizer.step()
    for weight_name, weight in model.named_parameters():
        if "iaf" in name and weight.grad.ndim > 1:
            continue  # masked entries stay where they are
        assert (weight.grad != 0).any(), weight_name


def test_amortized_planar_is_the_planar_map_row_by_row():
    """The other implementation takes one map at a time and other shapes."""
    flow, z, context = flow_of("planar"), normal(1, 6, 3), normal(6, 4, seed=1)
    free = flow.head(context).unflatten(-1, (3, 7))
    expected, total = z[0], 0
    for layer in range(3):
        w, u, b = free[:, layer].split([3, 3, 1], dim=-1)
        expected, log_det = planar(expected, w, u, b[:, 0])
        total = total + log_det
    found, log_det = flow.transport(z, context)
    torch.testing.assert_close(found[0], expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(log_det[0], total, atol=1e-12, rtol=0)


def test_a_planar_map_with_weights_of_a_thousand_stays_invertible():
    flow = fp.AmortizedPlanar(2, 4, 6).double()
    with torch.no_grad():
        for weight in flow.parameters():
            weight.copy_(1e3 * normal(*weight.shape, seed=weight.ndim))
    w, u, _ = flow.parameters_of(normal(50, 4))
    assert ((w * u).sum(-1) >= -1 - 1e-6).all()
    _, log_det = flow.transport(normal(2, 50, 2), normal(50, 4))
    assert not log_det.isnan().any()


def test_iaf_is_causal_in_the_order_that_alternates():
    """One map: column i of the image depends on columns up to i; and the context reaches all of them."""
    flow, context = flow_of("iaf", latent_dim=4, layers=1), normal(1, 4, seed=1)
    z = normal(1, 1, 4)
    jacobian = torch.autograd.functional.jacobian(
        lambda point: flow.transport(point[None, None], context)[0][0, 0], z[0, 0]
    )
    above = jacobian.triu(1)
    assert above.abs().max() == 0 or jacobian.tril(-1).abs().max() == 0
    strictly = jacobian - torch.diag(jacobian.diagonal())
    assert (strictly != 0).sum() == 6  # all that the order allows
    slopes = torch.autograd.functional.jacobian(lambda c: flow.transport(z, c)[0][0, 0], context)
    assert (slopes[:, 0].abs() > 0).all()


def test_no_column_of_a_realnvp_transformation_stays():
    flow, z, context = flow_of("realnvp", latent_dim=5, layers=1), normal(1, 7, 5), normal(7, 4, seed=1)
    assert len(flow.couplings) == 2
    assert ((flow.transport(z, context)[0] - z).abs() > 1e-9).all()


# ------------------------------------------------------------------ the posterior


@pytest.mark.parametrize("name", NAMES)
def test_the_posterior_integrates_to_one_and_samples_follow_it(name):
    """Quadrature over the plane, with the density by the inverse: base density at z_0, not at z_K."""
    encoder = model_of(name, seed=3, scale=0.6).encoder
    q = encoder(bits(1, 6))
    side = torch.linspace(-9, 9, 361, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)  # (m, 2)
    with torch.no_grad():
        density = q.log_prob(grid[:, None]).exp()[:, 0]
        cell = (18 / 360) ** 2
        assert abs(float(density.sum() * cell) - 1) < 0.01
        z, log_q = q.rsample_and_log_prob(4000, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(q.log_prob(z), log_q, atol=1e-6, rtol=0)
    mean = (density[:, None] * grid).sum(0) * cell
    se = z[:, 0].std(dim=0) / 4000**0.5
    assert ((z[:, 0].mean(dim=0) - mean).abs() < 5 * se + 0.02).all()


def test_the_base_density_at_the_end_of_the_path_is_no_density():
    """Correction C1: evaluated at z_K it integrates to something else."""
    q = model_of("planar", layers=4, seed=3).encoder(bits(1, 6))
    side = torch.linspace(-9, 9, 361, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)[:, None]
    with torch.no_grad():
        z0, log_det = q.flow.pull_back(grid, q.context)
        right = (q.base.log_prob(z0) - log_det).exp().sum() * (18 / 360) ** 2
        wrong = (q.base.log_prob(grid) - log_det).exp().sum() * (18 / 360) ** 2
    assert abs(float(right) - 1) < 0.01
    assert abs(float(wrong) - 1) > 0.05


def test_against_torch_distributions():
    """An affine coupling as a transform of a normal law, by another library."""
    torch.manual_seed(0)
    q = model_of("realnvp", layers=1, seed=2).encoder(bits(3, 6))
    base = distributions.Independent(distributions.Normal(q.base.mean, q.base.log_scale.exp()), 1)

    class Whole(distributions.Transform):
        domain = codomain = distributions.constraints.real_vector
        bijective = True

        def _call(self, z):
            return q.flow.transport(z, q.context)[0]

        def _inverse(self, z):
            return q.flow.pull_back(z, q.context)[0]

        def log_abs_det_jacobian(self, z, image):
            jacobian = torch.autograd.functional.jacobian(lambda t: self._call(t).sum(dim=(0, 1)), z)
            return torch.linalg.slogdet(jacobian.permute(1, 2, 0, 3)).logabsdet

    law = distributions.TransformedDistribution(base, [Whole()], validate_args=False)
    z, log_q = q.rsample_and_log_prob(5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(law.log_prob(z), log_q, atol=1e-8, rtol=0)


# ------------------------------------------------------------------ the free energy


@pytest.mark.parametrize("name", NAMES)
def test_the_terms_of_the_free_energy_add_up_to_minus_the_elbo(name):
    model, x = model_of(name), bits(7, 6)
    terms = fp.free_energy(model, x, 50, generator=torch.Generator().manual_seed(5))
    elbo = model.elbo(x, 50, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(-terms.total, elbo, atol=1e-10, rtol=0)
    torch.testing.assert_close(terms.kl - terms.log_likelihood, terms.total)
    entropy = 0.5 * (1 + math.log(2 * math.pi)) * 2 + model.encoder(x).base.log_scale.sum(-1)
    many = fp.free_energy(model, x, 5000, generator=torch.Generator().manual_seed(5)).log_base
    torch.testing.assert_close(-many, entropy, atol=0.1, rtol=0)  # sd of one draw is one


def test_the_realnvp_log_determinant_sums_both_couplings_over_the_columns_that_move():
    """Correction C4, written out with masks: s is a vector, and each transformation has two of them."""
    model, x = model_of("realnvp", latent_dim=3, layers=2), bits(4, 6)
    generator = torch.Generator().manual_seed(0)
    q = model.encoder(x)
    z = q.base.rsample(1, generator=generator)[0]
    total = torch.zeros(4).double()
    mask = torch.tensor([1.0, 0.0, 0.0]).double()  # the first part is given first
    for coupling in q.flow.couplings:
        given = z[:, mask.bool()]
        shift, scale = coupling.net(torch.cat([given, q.context], dim=1)).chunk(2, dim=1)
        s = coupling.largest * torch.tanh(scale / coupling.largest)
        moved = z[:, ~mask.bool()] * s.exp() + shift
        z = z.clone()
        z[:, ~mask.bool()] = moved
        total, mask = total + s.sum(dim=1), 1 - mask
    terms = fp.free_energy(model, x, 1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(terms.log_det, total, atol=1e-10, rtol=0)
    torch.testing.assert_close(terms.log_prior, log_standard_normal(z), atol=1e-10, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_the_elbo_lies_below_the_evidence_by_the_divergence(name):
    """log p(x) - ELBO = KL(q || p(z | x)), all three by quadrature over two latents."""
    model, x = model_of(name, seed=1, scale=0.5), bits(2, 6)
    evidence = log_evidence(model, x, nodes=400, reach=8.0)
    side = torch.linspace(-9, 9, 451, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)[:, None].expand(-1, 2, 2)
    with torch.no_grad():
        log_q = model.encoder(x).log_prob(grid)
        log_joint = model.decoder.log_prob(x, grid) + log_standard_normal(grid)
        gap = (log_q.exp() * (log_q - log_joint + evidence)).sum(0) * (18 / 450) ** 2
    elbo = model.elbo(x, 20_000, generator=torch.Generator().manual_seed(0))
    assert (gap > 0).all()
    torch.testing.assert_close(evidence - elbo, gap, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_bounds_are_ordered_and_no_bound_is_called_a_likelihood(name):
    model, x = model_of(name), bits(6, 6)
    torch.manual_seed(0)
    check.bounds_are_ordered(model, x, log_prob=log_evidence(model, x).numpy())
    with pytest.raises(NotImplementedError, match=r"elbo.*iwae"):
        model.log_prob(x)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_the_gradient_is_that_of_finite_differences(name, objective):
    model, x = model_of(name, objective=objective, k=3).train(), bits(4, 6)

    def loss():
        return model.loss(x, generator=torch.Generator().manual_seed(0)).mean()

    loss().backward()
    for weight in model.parameters():
        flat = weight.detach().view(-1)
        place = int(weight.grad.abs().view(-1).argmax())
        kept = flat[place].item()
        values = []
        for step in (1e-5, -1e-5):
            flat[place] = kept + step
            values.append(loss().item())
        flat[place] = kept
        slope = (values[0] - values[1]) / 2e-5
        assert slope == pytest.approx(weight.grad.view(-1)[place].item(), rel=1e-4, abs=1e-7)


# ------------------------------------------------------------------ one flow for all rows is a prior


@pytest.mark.parametrize("name", NAMES)
def test_an_unconditional_posterior_flow_is_a_flow_prior_draw_by_draw(name):
    """Correction C5: the two readings of the model give the same number for every draw."""
    model, x = model_of(name, conditional=False, layers=3), bits(5, 6)
    here = model.log_weights(x, 40, generator=torch.Generator().manual_seed(1))
    there = fp.flow_prior_log_weights(model, x, 40, generator=torch.Generator().manual_seed(1))
    assert (here - there).abs().max() < 1e-10


def test_the_flow_prior_by_another_way():
    """The same prior as a normalized density on the plane, and the evidence under it by quadrature."""
    model, x = model_of("realnvp", conditional=False, seed=4), bits(3, 6)
    side = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)[None].transpose(0, 1)  # (m, 1, 2)
    with torch.no_grad():
        image, log_det = model.encoder.flow.transport(grid, torch.ones(1, 1).double())
        log_prior = log_standard_normal(image) + log_det  # (m, 1)
        cell = (24 / 600) ** 2
        assert abs(float(log_prior.exp().sum()) * cell - 1) < 0.01
        joint = model.decoder.log_prob(x, image.expand(-1, 3, -1)) + log_prior
        evidence = torch.logsumexp(joint, 0) + math.log(cell)
    torch.testing.assert_close(evidence, log_evidence(model, x, nodes=400, reach=8.0), atol=0.01, rtol=0)


def test_a_flow_that_sees_x_has_no_prior_in_its_place():
    with pytest.raises(ValueError, match="conditional=False"):
        fp.flow_prior_log_weights(model_of("planar"), bits(2, 6))


def test_an_unconditional_flow_gives_all_rows_one_shape():
    q = model_of("planar", conditional=False).encoder(bits(4, 6))
    z = normal(3, 1, 2).expand(-1, 4, -1)
    image, _ = q.flow.transport(z, q.context)
    torch.testing.assert_close(image, image[:, :1].expand_as(image), atol=1e-12, rtol=0)


# ------------------------------------------------------------------ paths


def test_a_base_path_ends_where_the_means_go_and_is_smooth():
    model, x = model_of("planar"), bits(2, 6, seed=3)
    path = fp.base_path(model, x[0], x[1], 101)
    q = model.encoder(x)
    with torch.no_grad():
        ends, _ = q.flow.transport(q.base.mean[None], q.context)
    torch.testing.assert_close(path[[0, -1]], ends[0], atol=1e-10, rtol=0)
    steps = (path[1:] - path[:-1]).norm(dim=1)
    assert steps.max() < 0.3 * (path[-1] - path[0]).norm() + 0.1


# ------------------------------------------------------------------ energies


def affine(mean, scale):
    """The flow from noise to a Gaussian with independent coordinates."""
    flow = Flow(2, [ActNorm(2)]).double()
    mean, scale = torch.tensor(mean).double(), torch.tensor(scale).double()
    with torch.no_grad():
        flow.layers[0].center.copy_(-mean / scale)
        flow.layers[0].log_scale.copy_(scale.log())
    return flow.eval()


def gauss_hermite(mean, scale, energy, log_z):
    """KL of a Gaussian from exp(-U)/Z, by 60 x 60 nodes of Gauss and Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    z = torch.cartesian_prod(*2 * [torch.tensor(nodes)])
    w = torch.tensor(np.outer(weights, weights).ravel() / weights.sum() ** 2)
    mean, scale = torch.as_tensor(mean).double(), torch.as_tensor(scale).double()
    return float((w * energy(mean + scale * z)).sum() - scale.log().sum()) - 1 - math.log(2 * math.pi) + log_z


def test_log_partition_of_normal_laws_and_its_convergence():
    for s in (0.3, 1.0, 1.7):
        found = fp.log_partition(lambda z, s=s: 0.5 * z.square().sum(1) / s**2)
        assert found == pytest.approx(math.log(2 * math.pi * s**2), abs=1e-9)
    for energy in (fp.ring_energy, fp.wave_energy):
        coarse, fine = (fp.log_partition(energy, nodes=n) for n in (600, 1200))
        assert coarse == pytest.approx(fine, abs=1e-4)
    assert fp.log_partition(fp.wave_energy) == pytest.approx(math.log(2 * math.pi * 0.4 * 2), abs=1e-6)


def test_energies_are_symmetric_as_their_pictures_are():
    z = normal(100, 2, seed=5) * 3
    for flips in ([-1, 1], [1, -1]):
        torch.testing.assert_close(fp.ring_energy(z), fp.ring_energy(z * torch.tensor(flips)))
    torch.testing.assert_close(fp.wave_energy(z), fp.wave_energy(-z))
    z = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, 0.0], [4.0, 0.0]])
    energy = fp.ring_energy(z.double())
    assert energy[0] == energy[1]
    assert (energy[2:] > energy[0] + 3).all()


@pytest.mark.parametrize("energy", [fp.ring_energy, fp.wave_energy])
@pytest.mark.parametrize(("mean", "scale"), [([1.8, 0.1], [0.4, 0.9]), ([0.2, -0.3], [1.3, 0.5])])
def test_the_reverse_divergence_of_a_gaussian_is_that_of_quadrature(energy, mean, scale):
    log_z = fp.log_partition(energy)
    kl, se = fp.reverse_kl(affine(mean, scale), energy, log_z=log_z, n=50_000)
    assert abs(kl - gauss_hermite(mean, scale, energy, log_z)) < 5 * se + 1e-6
    assert se < 0.1


def test_the_reverse_divergence_of_a_flow_is_that_of_a_grid():
    """Another way for the same number: density by the inverse on a grid, no draws."""
    flow = wild(RealNVP(2, layers=2, hidden=(8,), normalization=None), seed=2, scale=0.5)
    log_z = fp.log_partition(fp.wave_energy)
    side = torch.linspace(-9, 9, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        start = flow.inverse(grid)
        log_q = log_standard_normal(start) - flow.forward_and_log_det(start)[1]
        expected = (log_q.exp() * (log_q + fp.wave_energy(grid) + log_z)).sum() * (18 / 600) ** 2
    kl, se = fp.reverse_kl(flow, fp.wave_energy, n=50_000)
    assert abs(kl - float(expected)) < 5 * se + 0.01 * abs(float(expected))


def test_a_law_that_the_flow_can_reach_is_reached():
    """A correlated-free normal target: divergence to zero, mean and scale found."""

    def energy(z):
        return 0.5 * ((z - torch.tensor([1.0, -0.5])) / torch.tensor([0.5, 2.0])).square().sum(1)

    flow = Flow(2, [ActNorm(2)])
    with torch.no_grad():
        flow.layers[0].initialized.fill_(True)
    fp.fit_energy(flow, energy, steps=300, lr=5e-2)
    assert fp.reverse_kl(flow, energy)[0] < 0.01


def test_one_mode_of_two_costs_log_two():
    """A narrow Gaussian on one side of two far modes: KL = log 2 + the divergence from that side alone."""

    def one(z):
        return 0.5 * ((z - torch.tensor([3.0, 0.0]).to(z)) / 0.5).square().sum(1)

    def two(z):
        return -torch.logaddexp(-one(z), -one(-z))

    kl, se = fp.reverse_kl(affine([3.0, 0.0], [0.5, 0.5]), two)
    assert abs(kl - math.log(2)) < 5 * se + 1e-6


def test_a_centred_gaussian_is_a_saddle_on_the_ring():
    """Why 3.2 has been reported where 0.9 is possible: by symmetry a start at the centre stays there."""
    log_z = fp.log_partition(fp.ring_energy)
    scale = [1.452, 1.349]
    centred = gauss_hermite([0.0, 0.0], scale, fp.ring_energy, log_z)
    assert centred == pytest.approx(3.17, abs=0.02)
    assert gauss_hermite([0.1, 0.0], scale, fp.ring_energy, log_z) != centred
    assert gauss_hermite([1.861, 0.0], [0.353, 0.987], fp.ring_energy, log_z) == pytest.approx(0.90, abs=0.01)


def test_fitting_an_energy_lowers_the_divergence_and_is_reproducible():
    flows = []
    for _ in range(2):
        torch.manual_seed(0)
        flow = PlanarFlow(2, layers=4)
        before = fp.reverse_kl(flow, fp.wave_energy)[0]
        flows.append(fp.fit_energy(flow, fp.wave_energy, steps=150, lr=2e-2))
    assert fp.reverse_kl(flows[0], fp.wave_energy)[0] < before - 0.5
    for a, b in zip(flows[0].parameters(), flows[1].parameters(), strict=True):
        assert torch.equal(a, b)


# ------------------------------------------------------------------ learning, and bad input


def test_a_few_seconds_on_digits_come_near_the_gaussian_posterior():
    """A sanity check with a wide margin; the table of the chapter has the numbers."""
    x = torch.as_tensor(digits("stochastic").train.X, dtype=torch.float32)
    torch.manual_seed(0)
    model = fp.FlowVAE(64, flow="planar", layers=4, hidden=(64,))
    before = model.elbo(x[:200], 5, generator=torch.Generator().manual_seed(0)).mean()
    train(model, x, steps=300, batch_size=100, lr=5e-3, random_state=0, device="cpu")
    after = model.elbo(x[:200], 5, generator=torch.Generator().manual_seed(0)).mean()
    assert after > before + 10
    assert after > -30


def test_a_gaussian_decoder_and_a_batch_of_one():
    model, x = model_of("iaf", decoder="gaussian"), normal(1, 6)
    assert model.elbo(x).shape == model.iwae(x, 7).shape == (1,)
    assert model.sample(3).shape == (3, 6)
    assert fp.free_energy(model, x, 2).total.shape == (1,)


def test_warm_up_weighs_the_divergence_less_at_first():
    torch.manual_seed(0)
    slow = fp.FlowVAE(6, flow="planar", warm_up=10).double().train()
    x = bits(5, 6)
    first = slow.loss(x, generator=torch.Generator().manual_seed(0))
    terms = fp.free_energy(slow, x, 1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(first, 0.1 * terms.kl - terms.log_likelihood)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers: got 0"),
        ({"layers": 2.0}, "layers: got 2.0"),
        ({"latent_dim": 0}, "latent_dim: got 0"),
        ({"flow": "radial"}, "'planar', 'realnvp' or 'iaf'"),
        ({"flow": "realnvp", "latent_dim": 1}, "dim: got 1"),
        ({"objective": "dreg"}, "no cheap way"),
        ({"hidden": ()}, "what the flow sees"),
        ({"k": 0}, "k: got 0"),
        ({"decoder": "poisson"}, "'bernoulli', 'gaussian'"),
    ],
)
def test_bad_settings_are_refused_with_a_reason(options, message):
    with pytest.raises(ValueError, match=message):
        fp.FlowVAE(6, **options)


@pytest.mark.parametrize("name", NAMES)
def test_bad_latents_contexts_and_data_are_refused(name):
    flow = flow_of(name)
    z, context = normal(2, 5, 3), normal(5, 4)
    with pytest.raises(ValueError, match=r"context: got shape \(5, 3\), expected \(5, 4\)"):
        flow.transport(z, context[:, :3])
    with pytest.raises(ValueError, match=r"context: got shape \(4, 4\), expected \(5, 4\)"):
        flow.pull_back(z, context[:4])
    with pytest.raises(ValueError, match=r"z: got shape \(5, 3\)"):
        flow.transport(z[0], context)
    model, x = model_of(name).float(), bits(3, 6)
    with pytest.raises(TypeError, match="float64"):
        model.elbo(x)
    x = x.float()
    for call in (lambda k: model.elbo(x, k), lambda k: fp.free_energy(model, x, k)):
        with pytest.raises(ValueError, match="k: got 0"):
            call(0)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        fp.free_energy(model, 2 * x + 1)


def test_a_gaussian_vae_is_the_case_without_a_flow():
    """Identity flow: the same encoder and decoder weights give the ELBO of the plain model."""
    torch.manual_seed(0)
    model = fp.FlowVAE(6, flow="realnvp", layers=1, hidden=(8,)).double().eval()
    plain = VAE(6, hidden=(8,)).double().eval()
    plain.decoder = model.decoder
    plain.encoder.net[0] = model.encoder.features[0][0]
    plain.encoder.net[2] = model.encoder.base
    x = bits(5, 6)
    a = model.log_weights(x, 9, generator=torch.Generator().manual_seed(0))
    b = plain.log_weights(x, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(a, b, atol=1e-10, rtol=0)
