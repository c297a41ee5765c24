"""Make the small part of MNIST that ships with the package: ``python -m coursekit.data.mnist_subset [FILE]``.

Reads the verified MNIST files of the data cache (and downloads them if they are not there).
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coursekit.data.images import Part, Splits

# SHA-256 over the arrays (not over the file, whose bytes depend on the version of zlib).
SHA256 = "f72fcf0b5a1de9cee3a852886c7d8e4ece201f0e9dc55fcc8423dc5f6d0a7940"


def evenly_spaced(y: NDArray[np.int64], per_class: int) -> NDArray[np.int64]:
    """Rows of `per_class` evenly spaced images of each class, class by class.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Class of each row.
    per_class : int
        How many rows of each class.

    Returns
    -------
    ndarray of shape (classes, per_class)
        Of the m rows of a class, those numbered ``floor(j m / per_class)``.

    Raises
    ------
    ValueError
        If a class has fewer rows than `per_class`.
    """
    rows = []
    for digit in np.unique(y):
        (own,) = np.nonzero(y == digit)
        if len(own) < per_class:
            raise ValueError(f"class {digit} has {len(own)} rows, fewer than per_class={per_class}")
        rows.append(own[np.arange(per_class) * len(own) // per_class])
    return np.array(rows)


def subset(train: Part, test: Part) -> Splits:
    """Select the embedded part of MNIST from the official training and test files.

    Parameters
    ----------
    train, test : Part
        All 60,000 training and 10,000 test images, in the order of the files.

    Returns
    -------
    Splits
        5,000, 1,000 and 2,000 images; see :func:`coursekit.data.mnist_sample` for the rule.
    """
    assert train.y is not None
    assert test.y is not None
    rows = evenly_spaced(train.y, 600)
    validates = np.arange(600) % 6 == 5
    picks = {
        "train": (train, rows[:, ~validates]),
        "validation": (train, rows[:, validates]),
        "test": (test, evenly_spaced(test.y, 200)),
    }
    parts = {}
    for name, (source, chosen) in picks.items():
        order = np.sort(chosen.ravel())
        assert source.y is not None
        parts[name] = Part(source.X[order], source.y[order])
    return Splits(**parts)


def digest(splits: Splits) -> str:
    """SHA-256 of the arrays of `splits`: train, validation, test; images (uint8) before classes (uint8)."""
    total = hashlib.sha256()
    for part in splits:
        assert part.y is not None
        total.update(np.ascontiguousarray(part.X, dtype=np.uint8).tobytes())
        total.update(part.y.astype(np.uint8).tobytes())
    return total.hexdigest()


def main(argv: list[str]) -> int:
    """Write the file and print its size and digest."""
    from coursekit.data.download import load

    path = Path(argv[0]) if argv else Path(__file__).with_name("mnist_sample.npz")
    train, validation, test = load("mnist")
    assert train.y is not None
    assert validation.y is not None
    official = Part(np.concatenate([train.X, validation.X]), np.concatenate([train.y, validation.y]))
    splits = subset(official, test)
    arrays: dict[str, Any] = {}
    for name, part in splits._asdict().items():
        arrays |= {f"{name}_X": part.X, f"{name}_y": part.y.astype(np.uint8)}
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {path.stat().st_size:,} bytes, arrays SHA-256 {digest(splits)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
