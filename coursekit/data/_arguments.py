"""How this package checks its arguments: one place, one wording."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

RandomState = None | int | np.random.RandomState | np.random.Generator


def generator(random_state: RandomState) -> Any:
    """Turn `random_state` into a source of random numbers.

    An integer gives scikit-learn's generator of that seed (so that a draw can be
    compared with scikit-learn's), None fresh entropy; a generator is used as it is.
    """
    if isinstance(random_state, np.random.RandomState | np.random.Generator):
        return random_state
    if random_state is None:
        return np.random.default_rng()
    try:
        return np.random.RandomState(operator.index(random_state))
    except (TypeError, ValueError) as error:
        raise ValueError(
            "random_state must be None, an integer in [0, 2**32), a numpy RandomState or a numpy Generator; "
            f"got {random_state!r}"
        ) from error


def positive_count(value: object, name: str) -> int:
    """Check that `value` is a whole number of at least one."""
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ValueError(f"{name} must be an integer of at least 1; got {value!r}")
    return count


def positive(value: Any, name: str) -> float:
    """Check that `value` is a finite number above zero."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} must be a finite number above 0; got {value!r}")
    return number


def finite(value: Any, name: str) -> float:
    """Check that `value` is a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number; got {value!r}")
    return number


def weights(values: Sequence[float], count: int, name: str) -> NDArray[np.float64]:
    """Check that `values` are `count` positive weights, and make them sum to one."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (count,) or not np.all(np.isfinite(array)) or np.any(array <= 0):
        raise ValueError(f"{name} must be {count} finite numbers above 0; got {values!r}")
    return array / array.sum()


def points(x: ArrayLike, dim: int, name: str = "x") -> NDArray[np.float64]:
    """Check that `x` has shape (n, dim) and holds finite numbers."""
    array = np.asarray(x)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers; got an array of {array.dtype}")
    if array.ndim != 2 or array.shape[1] != dim:
        hint = f": reshape it to (-1, {dim})" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, {dim}); got {array.shape}{hint}")
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} must be finite; it holds NaN or infinity")
    return array
