"""Every law passes on a right model and complains about a wrong one.

The wrong models are defects that were found in published code: a normalizer missing or
taken once for all dimensions, a variance used as a standard deviation, a log-det counted
per dimension, batch statistics that leak between rows.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from coursekit import check
from coursekit.check import LawBroken


class Normal:
    """N(mean, sd^2 I) with defects on demand."""

    def __init__(self, dim=1, sd=2.0, *, log_prob_sd=None, offset=0.0, sample_sd=None, fixed=False):
        self.dim, self.sd, self.offset, self.fixed = dim, sd, offset, fixed
        self.log_prob_sd = sd if log_prob_sd is None else log_prob_sd
        self.sample_sd = sd if sample_sd is None else sample_sd

    def log_prob(self, x):
        return stats.norm.logpdf(np.asarray(x, dtype=float), 1.0, self.log_prob_sd).sum(axis=1) + self.offset

    def sample(self, n, random_state=None):
        rng = np.random.default_rng(0 if self.fixed else random_state)
        return 1.0 + self.sample_sd * rng.standard_normal((n, self.dim))


class Affine:
    """z = A x, with a log-det that may be wrong."""

    def __init__(self, matrix, *, times=1.0, inverse_error=0.0):
        self.matrix, self.times, self.inverse_error = matrix, times, inverse_error

    def forward_and_log_det(self, x):
        log_det = self.times * np.linalg.slogdet(self.matrix)[1]
        return x @ self.matrix.T, np.full(len(x), log_det)

    def inverse(self, z):
        return np.linalg.solve(self.matrix, z.T).T + self.inverse_error


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_mass_of_a_right_density_is_one(dim):
    law = check.integrates_to_one(Normal(dim))
    assert law.value == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_missing_normalizer_is_caught(dim):
    with pytest.raises(LawBroken, match=r"integral of the density = 0\.4\d+"):
        check.integrates_to_one(Normal(dim, offset=np.log(0.497)))


def test_window_and_cauchy_tails():
    class Cauchy:
        dim = 1

        def log_prob(self, x):
            return stats.cauchy.logpdf(x[:, 0])

        def sample(self, n, random_state=None):
            return stats.cauchy.rvs(size=(n, 1), random_state=random_state)

    assert check.integrates_to_one(Cauchy()).value == pytest.approx(1, abs=1e-3)
    with pytest.raises(LawBroken):
        check.integrates_to_one(Cauchy(), bounds=[(-10, 10)])  # 6 % of the mass lies outside
    with pytest.raises(ValueError, match="one or two dimensions"):
        check.integrates_to_one(Normal(3), bounds=[(-10, 10)] * 3)


def test_log_prob_per_dimension_is_caught():
    model = Normal(2)
    model.log_prob = lambda x: stats.norm.logpdf(x, 1.0, 2.0)
    with pytest.raises(LawBroken, match="one number per row"):
        check.integrates_to_one(model)


def test_nan_never_passes():
    with pytest.raises(LawBroken):
        check.integrates_to_one(Normal(1, offset=np.nan))


def test_sums_to_one():
    class Coin:
        def __init__(self, p):
            self.p = p

        def log_prob(self, x):
            return np.log(np.where(x[:, 0] == 1, self.p, 0.4))

        def sample(self, n, random_state=None):
            return np.random.default_rng(random_state).binomial(1, 0.6, (n, 1)).astype(float)

    states = np.array([[0.0], [1.0]])
    assert check.sums_to_one(Coin(0.6), states).value == pytest.approx(1)
    check.samples_follow_density(Coin(0.6), states=states)
    with pytest.raises(LawBroken):
        check.sums_to_one(Coin(0.7), states)
    with pytest.raises(LawBroken, match="not among the states"):
        check.samples_follow_density(Coin(0.6), states=states[:1])


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_sampler_with_another_width_is_caught(dim):
    check.samples_follow_density(Normal(dim))
    with pytest.raises(LawBroken, match="p-value"):
        check.samples_follow_density(Normal(dim, sd=1.3, sample_sd=1.3**2))


def test_two_sample_p_values_are_uniform_under_the_null():
    p_values = [check.samples_follow_density(Normal(1), random_state=s).value for s in range(60)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-6
    assert np.ptp(p_values) > 0.5


def test_sample_of_wrong_shape_is_caught():
    model = Normal(2)
    model.sample = lambda n, random_state=None: np.zeros((n, 3))
    with pytest.raises((LawBroken, ValueError)):
        check.samples_follow_density(model)


def test_round_trip_and_log_det(rng):
    matrix = rng.standard_normal((3, 3))
    x = rng.standard_normal((5, 3))
    check.inverse_undoes_forward(Affine(matrix), x)
    check.log_det_matches_jacobian(Affine(matrix), x, tolerance=1e-8)
    check.one_log_det_per_sample(Affine(matrix), x)
    with pytest.raises(LawBroken):
        check.inverse_undoes_forward(Affine(matrix, inverse_error=1e-3), x)
    for times in (-1.0, 3.0, 0.0):  # sign flipped, counted per dimension, forgotten
        with pytest.raises(LawBroken):
            check.log_det_matches_jacobian(Affine(matrix, times=times), x)


def test_log_det_of_a_tensor_map_by_autograd():
    class Scale:
        def __init__(self, wrong=0.0):
            self.wrong = wrong

        def forward_and_log_det(self, x):
            return torch.sinh(x), torch.log(torch.cosh(x)).sum(1) + self.wrong * x[:, 0]

    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3)
    check.log_det_matches_jacobian(Scale(), x, tolerance=1e-12)
    with pytest.raises(LawBroken):
        check.log_det_matches_jacobian(Scale(wrong=0.1), x)


def test_log_det_that_sees_its_neighbours(rng):
    class Whiten:
        def forward_and_log_det(self, x):
            scale = x.std(axis=0) + 1
            return x / scale, np.full(len(x), -np.log(scale).sum())

    class PerDimension(Affine):
        def forward_and_log_det(self, x):
            return x, np.zeros_like(x)

    x = rng.standard_normal((6, 2))
    with pytest.raises(LawBroken, match="neighbours"):
        check.one_log_det_per_sample(Whiten(), x)
    for law in (check.one_log_det_per_sample, check.log_det_matches_jacobian):
        with pytest.raises(LawBroken, match="shape"):
            law(PerDimension(np.eye(2)), x)


def test_equivariance(rng):
    class Fit:
        def __init__(self, sd=None):
            self.sd = sd

        def fit(self, X):
            self.mean_, self.sd_ = X.mean(axis=0), self.sd or X.std(axis=0)
            return self

        def log_prob(self, x):
            return stats.norm.logpdf(x, self.mean_, self.sd_).sum(axis=1)

    X, x = rng.standard_normal((50, 2)), rng.standard_normal((5, 2))
    check.is_equivariant(Fit, X, x, shift=3.0, scale=10.0)
    with pytest.raises(LawBroken, match="scale of the data"):
        check.is_equivariant(lambda: Fit(sd=0.3), X, x, shift=3.0, scale=10.0)


def test_matches():
    check.matches([1.0, -np.inf], [1.0 + 1e-9, -np.inf], name="demo")
    with pytest.raises(LawBroken):
        check.matches([1.0], [1.1], name="demo")
    with pytest.raises(LawBroken):
        check.matches([1.0], [-np.inf], name="demo")
    with pytest.raises(LawBroken):
        check.matches([np.nan], [1.0], name="demo")
    with pytest.raises(LawBroken, match="shape"):
        check.matches([1.0, 1.0], 1.0, name="demo")


def test_never_decreases():
    assert check.never_decreases([-3.0, -2.0, -2.0, -1.0]).value == 0
    assert check.never_decreases([-1e6, -1e6 - 1e-5]).value == pytest.approx(1e-11)  # rounding
    with pytest.raises(check.LawBroken, match=r"largest fall in one step = 0\.5.*step is number 2"):
        check.never_decreases([-4.0, -2.0, -3.0, -1.0])
    for bad in (np.nan, -np.inf):
        with pytest.raises(check.LawBroken, match="at step 1"):
            check.never_decreases([-4.0, bad, -3.0])
    for shape in ([1.0], [[1.0, 2.0]], 3.0):
        with pytest.raises(ValueError, match="history"):
            check.never_decreases(shape)


def test_batch_of_one(rng):
    x = rng.standard_normal((5, 2))
    check.batch_of_one(Normal(2), x)
    leaky = Normal(2)
    leaky.log_prob = lambda x: x.sum(axis=1) - x.mean()
    with pytest.raises(LawBroken):
        check.batch_of_one(leaky, x)


def test_same_seed_same_bytes():
    check.same_seed_same_bytes(Normal(2))
    with pytest.raises(LawBroken, match="is the seed used"):
        check.same_seed_same_bytes(Normal(2, fixed=True))
    drifting = Normal(1)
    generator = np.random.default_rng(0)
    drifting.sample = lambda n, random_state=None: generator.standard_normal((n, 1))
    with pytest.raises(LawBroken):
        check.same_seed_same_bytes(drifting)


class Forgetful(Normal):
    def __getstate__(self):
        return {**self.__dict__, "log_prob_sd": 1.0}


def test_round_trip_of_state(rng):
    x = rng.standard_normal((5, 1))
    check.survives_a_round_trip(Normal(1), x)
    with pytest.raises(LawBroken):
        check.survives_a_round_trip(Forgetful(1), x)


class Module(torch.nn.Module):
    def __init__(self, *, hidden=False):
        super().__init__()
        self.loc = torch.nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        scale = torch.tensor(1.5, dtype=torch.float64)
        self.register_buffer("scale", scale, persistent=not hidden)

    def log_prob(self, x):
        return torch.distributions.Normal(self.loc, self.scale, validate_args=False).log_prob(x).sum(1)

    def sample(self, n, *, generator=None):
        noise = torch.randn(n, 1, generator=generator, dtype=torch.float64)
        return (self.loc + self.scale * noise).detach()


def test_modules_are_models_too(rng):
    x = rng.standard_normal((5, 1))
    check.integrates_to_one(Module(), dim=1)
    check.samples_follow_density(Module(), dim=1)
    check.same_seed_same_bytes(Module())
    check.survives_a_round_trip(Module(), x)
    with pytest.raises(LawBroken):
        check.survives_a_round_trip(Module(hidden=True), x)  # a buffer that is not saved


def test_extremes():
    check.survives_extremes(Normal(2))
    overflowing = Normal(1)
    overflowing.log_prob = lambda x: np.log1p(np.exp(x[:, 0])) - np.exp(x[:, 0])
    with np.errstate(all="ignore"), pytest.raises(LawBroken, match="First bad input"):
        check.survives_extremes(overflowing)


def test_precisions():
    far = np.array([[3.0], [1e4]])
    check.precisions_agree(Normal(1), far)
    lossy = Normal(1)
    lossy.log_prob = lambda x: np.float64((x + x.dtype.type(1e8)) - x.dtype.type(1e8))[:, 0]
    with pytest.raises(LawBroken):
        check.precisions_agree(lossy, far)


def test_kl(rng):
    x = rng.standard_normal(4000)
    log_q, log_p = stats.norm.logpdf(x), stats.norm.logpdf(x, 1, 2)
    kl = np.log(2) + (1 + 1) / 8 - 0.5
    check.kl_matches_monte_carlo(kl, log_q, log_p)
    with pytest.raises(LawBroken):
        check.kl_matches_monte_carlo(2 * kl, log_q, log_p)


class LinearGaussian:
    """x = z + noise, with a posterior guess that is too narrow; log p(x) in closed form."""

    def __init__(self, *, order="log of mean"):
        self.rng, self.order = np.random.default_rng(1), order

    def _log_weights(self, x, k):
        sd = 0.5
        z = x[:, None] / 2 + sd * self.rng.standard_normal((len(x), k))
        log_joint = stats.norm.logpdf(z) + stats.norm.logpdf(x[:, None], z)
        return log_joint - stats.norm.logpdf(z, x[:, None] / 2, sd)

    def elbo(self, x):
        return self._log_weights(x, 1)[:, 0]

    def iwae(self, x, k):
        log_w = self._log_weights(x, k)
        if self.order == "sum":
            return np.log(np.exp(log_w).sum(axis=1))
        return np.log(np.exp(log_w).mean(axis=1))


def test_bounds(rng):
    x = rng.standard_normal(200) * np.sqrt(2)
    exact = stats.norm.logpdf(x, 0, np.sqrt(2))
    check.bounds_are_ordered(LinearGaussian(), x, log_prob=exact)
    with pytest.raises(LawBroken):
        check.bounds_are_ordered(LinearGaussian(order="sum"), x, log_prob=exact)


def test_a_law_prints_as_one_line():
    text = str(check.matches(1.0, 1.0, name="demo"))
    assert text.startswith("holds: demo")
    assert "\n" not in text


def _birth_and_death(n=6, seed=0):
    """A reversible chain with its law, from positive weights on the links of a line."""
    rng = np.random.default_rng(seed)
    flow = np.diag(rng.random(n)) + np.diag(w := rng.random(n - 1), 1) + np.diag(w, -1)
    return flow.sum(axis=1) / flow.sum(), flow / flow.sum(axis=1, keepdims=True)


def test_a_reversible_chain_passes_both_laws_of_chains():
    pi, T = _birth_and_death()
    assert check.is_stationary(pi, T).value < 1e-15
    assert check.detailed_balance(pi, T).value < 1e-15


def test_a_rotation_keeps_the_uniform_law_and_is_not_reversible():
    T = np.roll(np.eye(5), 1, axis=1)
    check.is_stationary(np.full(5, 0.2), T)
    with pytest.raises(check.LawBroken, match="return"):
        check.detailed_balance(np.full(5, 0.2), T)


def test_the_laws_of_chains_can_fail():
    pi, T = _birth_and_death()
    with pytest.raises(check.LawBroken, match="another variable"):
        check.is_stationary(np.full(6, 1 / 6), T)
    with pytest.raises(check.LawBroken, match="no transition matrix"):
        check.is_stationary(pi, T.T)
    with pytest.raises(check.LawBroken, match="no law"):
        check.detailed_balance(2 * pi, T)
    with pytest.raises(ValueError, match="shapes"):
        check.detailed_balance(pi[:-1], T)


def test_causality_is_judged_by_gradients():
    """Running sums of the earlier columns are causal in their order, and in no other."""
    matrix = torch.ones(4, 4, dtype=torch.float64).tril(-1)
    x = torch.tensor(np.random.default_rng(0).standard_normal((3, 4)))
    assert check.is_causal(lambda rows: torch.tanh(rows @ matrix.T), x).value == 0
    shuffled = [2, 0, 3, 1]
    place = torch.tensor(shuffled).argsort()
    mixed = matrix[place][:, place]
    check.is_causal(lambda rows: torch.stack([rows @ mixed.T, rows**0 @ mixed.T], dim=2), x, shuffled)
    with pytest.raises(LawBroken, match="later"):
        check.is_causal(lambda rows: rows @ mixed.T, x)
    with pytest.raises(LawBroken, match="itself"):
        check.is_causal(lambda rows: torch.tanh(rows), x)
    with pytest.raises(LawBroken, match=r"\(n, d\) or \(n, d, k\)"):
        check.is_causal(lambda rows: rows[:, :2], x)
