"""The three tasks (estimate, evaluate, sample) and what each model can do.

Taught in :ref:`what_is`.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data


class Likelihood(enum.Enum):
    """What a model's ``log_prob`` is.

    ``EXACT`` is the logarithm of a density that integrates to one. ``BOUND`` is a
    lower bound on it. ``UNNORMALIZED`` does not integrate to one. ``NONE`` means
    that the model has no density to evaluate, only samples.
    """

    EXACT = "exact"
    BOUND = "bound"
    UNNORMALIZED = "unnormalized"
    NONE = "none"


class DensityEstimator(DensityMixin, BaseEstimator):
    """Common face of the classical estimators: scikit-learn's conventions, float64 arrays.

    A subclass writes ``fit`` and ``log_prob``, and ``sample`` where it can sample.
    ``score_samples`` then gives the same numbers as ``log_prob`` and ``score`` is
    their mean.
    """

    likelihood: Likelihood = Likelihood.EXACT

    def log_prob(self, x: ArrayLike) -> NDArray[np.float64]:
        """Log-density of each row of `x`.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Points at which to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            Log-density in nats.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob")

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-density of each row of `X`: the same numbers as ``log_prob``.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Points at which to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            Log-density in nats.
        """
        return self.log_prob(X)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean log-density of the rows of `X`, in nats per row.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Held-out points.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        float
            Mean log-density in nats.
        """
        return float(np.mean(self.log_prob(X)))

    def _training_data(self, X: ArrayLike, *, at_least: int = 1) -> NDArray[np.float64]:
        """Validate `X` for ``fit``: two-dimensional, finite, at least `at_least` rows."""
        return validate_data(self, X, dtype=np.float64, ensure_min_samples=at_least)

    def _query(self, x: ArrayLike) -> NDArray[np.float64]:
        """Validate `x` for ``log_prob``: fitted model, as many columns as it was fitted on."""
        check_is_fitted(self)
        return validate_data(self, x, dtype=np.float64, reset=False)


@dataclass(frozen=True)
class Entry:
    """One model in the catalogue: how to make examples of it, and what it costs.

    Attributes
    ----------
    cls : type
        The model class.
    examples : callable
        ``examples(d)`` returns unfitted models for data with `d` columns.
    dims : tuple of int
        Data dimensions in which the laws are checked.
    support : {"real", "binary", "integer"}
        What a value of the data is.
    cost : dict
        Cost of ``fit``, ``log_prob`` (one query) and ``sample`` (one draw), as text.
    """

    cls: type
    examples: Callable[[int], Sequence[Any]]
    dims: tuple[int, ...] = (1, 2)
    support: str = "real"
    cost: dict[str, str] = field(default_factory=dict)

    @property
    def likelihood(self) -> Likelihood:
        """What the model's ``log_prob`` is."""
        return self.cls.likelihood  # type: ignore[attr-defined]

    @property
    def topic(self) -> str:
        """Name of the topic, which is the name of the module."""
        return self.cls.__module__.rsplit(".", 1)[-1]

    @property
    def part(self) -> str:
        """Name of the part, which is the name of the package."""
        return self.cls.__module__.rsplit(".", 2)[-2]

    @property
    def can_sample(self) -> bool:
        """Whether the model can draw samples."""
        return hasattr(self.cls, "sample")


_CATALOGUE: dict[str, Entry] = {}


def catalogued(
    *,
    examples: Callable[[int], Sequence[Any]],
    dims: tuple[int, ...] = (1, 2),
    support: str = "real",
    cost: dict[str, str] | None = None,
) -> Callable[[type], type]:
    """Put a model class into the catalogue, so that every law is checked on it.

    Parameters
    ----------
    examples : callable
        ``examples(d)`` returns unfitted models for data with `d` columns.
    dims : tuple of int
        Data dimensions in which the laws are checked.
    support : {"real", "binary", "integer"}
        What a value of the data is.
    cost : dict, optional
        Cost of ``fit``, ``log_prob`` (one query) and ``sample`` (one draw), as text.

    Returns
    -------
    callable
        The class decorator.

    Raises
    ------
    TypeError
        If the class does not say what its likelihood is.
    """

    def register(cls: type) -> type:
        if not isinstance(getattr(cls, "likelihood", None), Likelihood):
            raise TypeError(f"{cls.__name__} needs a class attribute `likelihood`, one of {list(Likelihood)}")
        _CATALOGUE[cls.__name__] = Entry(cls, examples, dims, support, dict(cost or {}))
        return cls

    return register


def topic_modules() -> dict[str, str]:
    """Every topic of the package and its module, found by looking at the folders.

    Returns
    -------
    dict
        Topic name to dotted module name; helper modules that teach no topic are included.
    """
    package = importlib.import_module("coursekit")
    modules = {}
    for part in pkgutil.iter_modules(package.__path__):
        if part.ispkg and part.name not in {"data", "grading"}:
            folder = [f"{path}/{part.name}" for path in package.__path__]
            for topic in pkgutil.iter_modules(folder):
                modules[topic.name] = f"coursekit.{part.name}.{topic.name}"
    return modules


def catalogue() -> dict[str, Entry]:
    """Every model of the course, by class name.

    Returns
    -------
    dict of str to Entry
        The catalogue, complete: every topic's module is imported first.
    """
    for module in topic_modules().values():
        importlib.import_module(module)
    return dict(sorted(_CATALOGUE.items(), key=lambda item: (item[1].part, item[1].topic, item[0])))


class Table(list):
    """Rows that print as a Markdown table; the first row is the header."""

    def __init__(self, header: Sequence[object], rows: Iterable[Sequence[object]]):
        super().__init__([list(header), *map(list, rows)])

    def _repr_markdown_(self) -> str:
        lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in self]
        lines.insert(1, "|" + " --- |" * len(self[0]))
        return "\n".join(lines)

    __str__ = _repr_markdown_


_EVALUATES = {
    Likelihood.EXACT: "yes, exactly",
    Likelihood.BOUND: "a lower bound",
    Likelihood.UNNORMALIZED: "up to its mass, which is infinite or unknown",
    Likelihood.NONE: "no",
}


def capability_table(*classes: type) -> Table:
    """Tabulate what each model can do, from the classes themselves.

    Parameters
    ----------
    *classes : type
        The models to list; the whole catalogue when none is named.

    Returns
    -------
    Table
        One row per model: the three tasks and what they cost.
    """
    header = ["model", "estimate", "evaluate", "sample", "cost to fit", "cost per query", "cost per sample"]
    rows = []
    for entry in catalogue().values():
        if classes and entry.cls not in classes:
            continue
        cost = entry.cost
        sample = "yes" if entry.can_sample else "no"
        row = [entry.cls.__name__, "yes", _EVALUATES[entry.likelihood], sample]
        rows.append([*row, cost.get("fit", ""), cost.get("log_prob", ""), cost.get("sample", "")])
    return Table(header, rows)


# ----------------------------------------------------------------------------------------------
# The bridge from torch modules to scikit-learn.


def _module_has(method: str) -> Callable[[Any], bool]:
    return lambda self: hasattr(self.module, method)


class Fitted(DensityEstimator):
    """A torch module as a scikit-learn estimator: numpy in, numpy out.

    ``Fitted(RealNVP, layers=8, epochs=50, random_state=0).fit(X)`` builds ``RealNVP(d, layers=8)`` for data
    with `d` columns and trains it by :py:func:`coursekit.train.train`, or by the module's own ``fit`` where
    it has one. It works in ``Pipeline`` and ``GridSearchCV``.

    Parameters
    ----------
    module : type
        A ``torch.nn.Module`` class with ``loss(batch)`` and ``log_prob(x)`` or ``sample(n, *,
        generator=None)``; its first argument is the number of columns.
    random_state : int, RandomState or None
        Decides the first weights and everything random in training.
    dtype : {"float64", "float32"}
        Precision in which the module computes.
    **options
        Options of ``train`` (`epochs`, `batch_size`, `lr`, ...) go there, all others to `module`.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained module.
    history_ : coursekit.train.History
        Losses and learning rates (of a module with its own ``fit``: its ``history``).
    n_features_in_ : int
        Number of columns of the training data.

    Raises
    ------
    TypeError
        If an option's name is both one of ``train`` and one of the module.

    Notes
    -----
    Taught in :ref:`use`.
    """

    def __init__(
        self, module: type, *, random_state: Any = None, dtype: str = "float64", **options: Any
    ) -> None:
        self.module, self.random_state, self.dtype, self._options = module, random_state, dtype, options

    @property
    def likelihood(self) -> Likelihood:  # type: ignore[override]
        """What the module's ``log_prob`` is."""
        return getattr(self.module, "likelihood", Likelihood.EXACT)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name, the options among them."""
        named = {"module": self.module, "random_state": self.random_state, "dtype": self.dtype}
        return {**named, **self._options}

    def set_params(self, **params: Any) -> Fitted:
        """Set parameters by name; a name that is not known yet becomes an option."""
        for name, value in params.items():
            if name in ("module", "random_state", "dtype"):
                setattr(self, name, value)
            else:
                self._options[name] = value
        return self

    def fit(self, X: ArrayLike, y: object = None) -> Fitted:
        """Build the module for the columns of `X` and train it.

        Parameters
        ----------
        X : array_like of shape (n, d)
            Training data.
        y : None
            Ignored; there for scikit-learn.

        Returns
        -------
        Fitted
            Itself.
        """
        import torch

        from coursekit.train import train

        data = self._training_data(X, at_least=2)
        own = getattr(self.module, "fit", None)  # fitted layer by layer, without `train`
        known = set(inspect.signature(own or train).parameters)
        if twice := known & set(inspect.signature(self.module).parameters) & set(self._options):
            raise TypeError(
                f"{sorted(twice)}: options of train and of {self.module.__name__} alike; rename one"
            )
        training = {name: value for name, value in self._options.items() if name in known}
        building = {name: value for name, value in self._options.items() if name not in known}
        dtype, seed = getattr(torch, self.dtype), int(check_random_state(self.random_state).randint(2**31))
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            self.module_ = self.module(data.shape[1], **building).to(dtype)
        tensor = torch.tensor(data, dtype=dtype)
        if own is not None:
            self.module_.fit(tensor, random_state=seed, **training)
            self.history_ = getattr(self.module_, "history", None)
        else:
            self.history_ = train(self.module_, tensor, random_state=seed, **training)
        return self

    @available_if(_module_has("log_prob"))
    def log_prob(self, x: ArrayLike) -> NDArray[np.float64]:
        """Log-density of each row of `x`, in nats.

        Parameters
        ----------
        x : array_like of shape (n, d)
            Points at which to evaluate.

        Returns
        -------
        ndarray of shape (n,)
            Log-density in nats.
        """
        import torch

        points = torch.tensor(self._query(x)).to(next(self.module_.parameters()))
        return self.module_.log_prob(points).detach().double().cpu().numpy()

    @available_if(_module_has("sample"))
    def sample(self, n_samples: int = 1, random_state: Any = None) -> NDArray[np.float64]:
        """Draw from the trained module.

        Parameters
        ----------
        n_samples : int
            How many rows.
        random_state : int, RandomState or None
            Decides the draw.

        Returns
        -------
        ndarray of shape (n_samples, d)
            The samples.
        """
        import torch

        check_is_fitted(self)
        seed = int(check_random_state(random_state).randint(2**31))
        generator = torch.Generator(next(self.module_.parameters()).device).manual_seed(seed)
        return self.module_.sample(n_samples, generator=generator).detach().double().cpu().numpy()
