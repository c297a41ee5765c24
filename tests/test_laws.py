"""Every law over every model in the catalogue. A new model needs no new line here.

False-fail rate: the sampling law fails a right model with probability 1e-6 each; all
seeds are fixed, so a pass stays a pass.

A neural model joins as ``Fitted(Model, ..., epochs=..., device="cpu", random_state=0)``: most
laws see it through that bridge; bijections, bounds and saved weights are checked on the module.
"""

import itertools

import numpy as np
import pytest
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks

from coursekit import check
from coursekit.base import DensityEstimator, Fitted, Likelihood, catalogue

CATALOGUE = catalogue()
INTEGERS = np.arange(-500, 500)  # beyond these the models have no mass that counts


def data(support, dim, n=150):
    """Two clumps of real data, correlated bits, or small counts: what the entry's support asks for."""
    rng = np.random.default_rng(dim)
    if support == "binary":
        return (rng.random((n, dim)) < 0.3 + 0.4 * rng.random((n, 1))).astype(float)
    if support == "integer":
        return rng.poisson(4.0, (n, dim)).astype(float)
    x = rng.standard_normal((n, dim)) * 0.5 + np.where(rng.random((n, 1)) < 0.4, -1.0, 1.5)
    return x * np.geomspace(1, 3, dim)


def all_states(model, entry, dim):
    """Every value that discrete data can take."""
    values = [0.0, 1.0] if entry.support == "binary" else getattr(model, "states_", INTEGERS)
    return np.array(list(itertools.product(values, repeat=dim)), dtype=float)


def cases(*kinds, real=None, sampling=False, bijection=False):
    """One pytest case for every example of every model that a law applies to."""
    found = []
    for entry in CATALOGUE.values():
        if entry.likelihood not in kinds or (real is not None and (entry.support == "real") != real):
            continue
        if (sampling and not entry.can_sample) or (bijection and not hasattr(entry.cls, "inverse")):
            continue
        for dim in entry.dims:
            for i, model in enumerate(entry.examples(dim)):
                found.append(pytest.param(entry, dim, model, id=f"{entry.cls.__name__}-{dim}d-{i}"))
    return found


FITTED = {}  # a neural example is trained once per process, not once per law


def fitted(entry, dim, model):
    key = (entry.cls, dim, id(model))
    if key not in FITTED:
        FITTED[key] = model.fit(data(entry.support, dim))
    return FITTED[key]


def module_and(x, model):
    """The torch module behind the bridge with `x` as its tensor; an estimator with `x` as it is."""
    if not isinstance(model, Fitted):
        return model, x
    weights = next(model.module_.parameters())
    return model.module_, torch.tensor(x, dtype=weights.dtype, device=weights.device)


EVALUATES = [Likelihood.EXACT, Likelihood.UNNORMALIZED]


def test_the_catalogue_is_not_empty():
    assert len(CATALOGUE) >= 4


@pytest.mark.parametrize(("entry", "dim", "model"), cases(Likelihood.EXACT, real=True))
def test_density_integrates_to_one(entry, dim, model):
    check.integrates_to_one(fitted(entry, dim, model), dim=dim)


@pytest.mark.parametrize(("entry", "dim", "model"), cases(Likelihood.EXACT, real=False))
def test_probabilities_sum_to_one(entry, dim, model):
    model = fitted(entry, dim, model)
    check.sums_to_one(model, all_states(model, entry, dim))


@pytest.mark.parametrize(("entry", "dim", "model"), cases(Likelihood.UNNORMALIZED, real=True))
def test_unnormalized_models_say_the_truth(entry, dim, model):
    """A model that calls itself unnormalized must not secretly be a density."""
    model = fitted(entry, dim, model)
    with pytest.raises(check.LawBroken, match="integral"):
        check.integrates_to_one(model, bounds=[(-1e3, 1e3)] * dim if dim <= 2 else None, dim=dim)


@pytest.mark.parametrize(("entry", "dim", "model"), cases(Likelihood.EXACT, sampling=True))
def test_samples_follow_the_density(entry, dim, model):
    model = fitted(entry, dim, model)
    states = None if entry.support == "real" else all_states(model, entry, dim)
    check.samples_follow_density(model, dim=dim, states=states)


@pytest.mark.parametrize(("entry", "dim", "model"), cases(*Likelihood, sampling=True))
def test_same_seed_same_bytes(entry, dim, model):
    check.same_seed_same_bytes(fitted(entry, dim, model))


@pytest.mark.parametrize(("entry", "dim", "model"), cases(*EVALUATES))
def test_a_row_does_not_see_its_batch(entry, dim, model):
    check.batch_of_one(fitted(entry, dim, model), data(entry.support, dim, n=6))


@pytest.mark.parametrize(("entry", "dim", "model"), cases(*EVALUATES))
def test_state_survives_a_round_trip(entry, dim, model):
    model, x = fitted(entry, dim, model), data(entry.support, dim, n=6)
    check.survives_a_round_trip(model, x)
    check.survives_a_round_trip(*module_and(x, model))  # the state_dict alone says it all


@pytest.mark.parametrize(("entry", "dim", "model"), cases(*EVALUATES, real=True))
def test_extreme_inputs(entry, dim, model):
    check.survives_extremes(fitted(entry, dim, model), dim=dim)


@pytest.mark.parametrize(("entry", "dim", "model"), cases(*EVALUATES))
def test_float32_and_float64_agree(entry, dim, model):
    check.precisions_agree(fitted(entry, dim, model), data(entry.support, dim, n=20) + 0.0)


@pytest.mark.parametrize(
    ("entry", "dim"),
    [
        pytest.param(entry, dim, id=f"{entry.cls.__name__}-{dim}d")
        for entry in CATALOGUE.values()
        if entry.likelihood in EVALUATES
        and entry.support == "real"
        and issubclass(entry.cls, DensityEstimator)
        for dim in entry.dims
    ],
)
def test_default_model_does_not_depend_on_units(entry, dim):
    """The defaults of a classical estimator are scaled by the data: feet or metres, one shape."""
    X = data("real", dim)
    check.is_equivariant(entry.cls, X, X[:7] + 0.013, shift=-5.0, scale=40.0, tolerance=1e-6)


@pytest.mark.parametrize(("entry", "dim", "model"), cases(*Likelihood, bijection=True))
def test_bijections(entry, dim, model):
    model, x = module_and(data("real", dim, n=6), fitted(entry, dim, model))
    check.inverse_undoes_forward(model, x, tolerance=1e-6)
    check.log_det_matches_jacobian(model, x, tolerance=1e-4)
    check.one_log_det_per_sample(model, x)


@pytest.mark.parametrize(("entry", "dim", "model"), cases(Likelihood.NONE))
def test_models_without_a_density_say_what_to_use_instead(entry, dim, model):
    with pytest.raises(NotImplementedError, match=r"instead|use "):
        fitted(entry, dim, model).log_prob(data(entry.support, dim, n=3))


@pytest.mark.parametrize(("entry", "dim", "model"), cases(*Likelihood))
def test_fit_leaves_the_data_alone(entry, dim, model):
    X = data(entry.support, dim)
    before = X.copy()
    assert model.fit(X) is model
    np.testing.assert_array_equal(X, before)


BAD_DATA = {
    "empty": np.empty((0, 2)),
    "one-dimensional": np.arange(5.0),
    "NaN": np.array([[0.0, np.nan], [1.0, 1.0], [0.0, 1.0]]),
    "infinite": np.array([[0.0, np.inf], [1.0, 1.0], [0.0, 1.0]]),
    "text": np.array([["a", "b"], ["c", "d"]]),
}


@pytest.mark.parametrize("bad", BAD_DATA)
@pytest.mark.parametrize("name", CATALOGUE)
def test_bad_training_data_is_refused(name, bad):
    entry = CATALOGUE[name]
    model = entry.examples(max(entry.dims))[0]
    with pytest.raises((ValueError, TypeError), match=r"\w{3}"):
        model.fit(BAD_DATA[bad])


@pytest.mark.parametrize("name", CATALOGUE)
def test_bad_queries_are_refused(name):
    entry = CATALOGUE[name]
    dim = max(entry.dims)
    model = fitted(entry, dim, entry.examples(dim)[0])
    if entry.likelihood is Likelihood.NONE:
        return
    query = "elbo" if entry.likelihood is Likelihood.BOUND else "log_prob"
    for bad in (np.zeros((2, dim + 1)), np.zeros(dim), np.full((2, dim), np.nan)):
        if hasattr(model, query):
            with pytest.raises(ValueError, match=r"\w{3}"):
                getattr(model, query)(bad)
        if isinstance(model, Fitted):
            module, x = module_and(bad, model)
            with pytest.raises(ValueError, match=r"\w{3}"):
                getattr(module, query)(x)
            with pytest.raises(TypeError, match="tensor"):  # an array never slips into a module
                getattr(module, query)(np.zeros((2, dim)))


@pytest.mark.parametrize(("entry", "dim", "model"), cases(Likelihood.BOUND))
def test_bounds_are_bounds(entry, dim, model):
    """ELBO <= IWAE, rising with the number of samples; and no bound calls itself a likelihood."""
    module, x = module_and(data(entry.support, dim, n=6), fitted(entry, dim, model))
    check.bounds_are_ordered(module, x)
    with pytest.raises(NotImplementedError, match=r"elbo|iwae"):
        module.log_prob(x)


def coerced(model, support):
    """Bring the real numbers that scikit-learn feeds, which discrete models refuse, to the support."""
    if support == "real":
        return model

    def _values(self, x, name):
        rounded = np.fmod(np.rint(4 * x), 50) if support == "integer" else (x > 0.5).astype(float)
        return super(cls, self)._values(rounded, name)

    name = f"Coerced{type(model).__name__}"
    cls = globals().setdefault(name, type(name, (type(model),), {"_values": _values, "__module__": __name__}))
    return cls(**model.get_params())


def planar(model):
    """Show a model of the plane the first and the last of the columns, whose number scikit-learn varies."""

    def _columns(self, x):
        return super(cls, self)._columns(x[:, [0, -1]])

    name = f"Planar{type(model).__name__}"
    cls = globals().setdefault(
        name, type(name, (type(model),), {"_columns": _columns, "__module__": __name__})
    )
    return cls(**model.get_params())


def estimators():
    """Every example that is a scikit-learn estimator, in two dimensions where it can be.

    The bridge to the neural models is one estimator: test_fitted.py runs these checks over it.
    """
    for entry in CATALOGUE.values():
        for model in entry.examples(2 if 2 in entry.dims else max(entry.dims)):
            if isinstance(model, DensityEstimator) and not isinstance(model, Fitted):
                yield planar(model) if entry.dims == (2,) else coerced(model, entry.support)


@parametrize_with_checks(list(estimators()))
def test_scikit_learn_conventions(estimator, check):
    check(estimator)
