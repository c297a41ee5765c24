"""Renew the copies of other projects' lists of names, so that links to them work without a network.

The book is built offline: links such as {py:class}`numpy.ndarray` are looked up in the
``*.inv`` files of this folder. Run ``python book/_inventories/update.py`` on a machine
with a network to renew them; ``--from FOLDER`` takes ``FOLDER/<project>.inv`` files that
are already there. Only Python names are kept, which makes the files small. Projects whose
list could not be had when this folder was made have the short list `BY_HAND`; a renewal
replaces it by the project's own list.
"""

from __future__ import annotations

import argparse
import urllib.request
import zlib
from pathlib import Path

HERE = Path(__file__).parent
SITES = {
    "python": "https://docs.python.org/3",
    "numpy": "https://numpy.org/doc/stable",
    "scipy": "https://docs.scipy.org/doc/scipy",
    "sklearn": "https://scikit-learn.org/stable",
    "matplotlib": "https://matplotlib.org/stable",
    "torch": "https://docs.pytorch.org/docs/stable",
}
BY_HAND = {
    "numpy": {
        "reference/generated/{name}.html": {
            "class": ["numpy.ndarray", "numpy.dtype", "numpy.float64", "numpy.random.RandomState"],
            "function": [
                "numpy.array",
                "numpy.bincount",
                "numpy.histogram",
                "numpy.histogramdd",
                "numpy.interp",
                "numpy.linspace",
                "numpy.logaddexp",
                "numpy.quantile",
                "numpy.searchsorted",
                "numpy.random.default_rng",
            ],
        },
        "reference/random/generator.html": {"class": ["numpy.random.Generator"]},
        "reference/typing.html": {"data": ["numpy.typing.ArrayLike", "numpy.typing.NDArray"]},
    },
    "matplotlib": {
        "api/figure_api.html": {"class": ["matplotlib.figure.Figure"]},
        "api/_as_gen/{name}.html": {
            "class": ["matplotlib.axes.Axes"],
            "function": ["matplotlib.pyplot.subplots", "matplotlib.pyplot.figure"],
        },
    },
    "torch": {
        "tensors.html": {"class": ["torch.Tensor"]},
        "generated/{name}.html": {
            "class": ["torch.Generator", "torch.nn.Module"],
            "function": ["torch.logsumexp"],
        },
        "distributions.html": {
            "class": [
                "torch.distributions.normal.Normal",
                "torch.distributions.mixture_same_family.MixtureSameFamily",
            ],
        },
    },
}


def python_names(inventory: bytes) -> tuple[bytes, list[str]]:
    """Header and Python entries of an inventory (format version 2)."""
    header, body = b"\n".join(inventory.split(b"\n", 4)[:4]), inventory.split(b"\n", 4)[4]
    lines = zlib.decompress(body).decode().splitlines()
    return header, [line for line in lines if " py:" in line]


def write(project: str, header: bytes, lines: list[str]) -> None:
    """Write one inventory; sorted, so that a renewal shows up as a small change."""
    body = "\n".join(sorted(lines)) + "\n"
    (HERE / f"{project}.inv").write_bytes(header + b"\n" + zlib.compress(body.encode(), 9))


def by_hand(project: str) -> tuple[bytes, list[str]]:
    """A small inventory from the list above."""
    header = "\n".join(
        [
            "# Sphinx inventory version 2",
            f"# Project: {project}",
            "# Version: ",
            "# The remainder of this file is compressed using zlib.",
        ]
    )
    lines = []
    for page, kinds in BY_HAND[project].items():
        for kind, names in kinds.items():
            for name in names:
                anchor = "" if page.startswith("reference/typing") else f"#{name}"
                lines.append(f"{name} py:{kind} 1 {page.format(name=name)}{anchor} -")
    return header.encode(), lines


def main() -> None:
    """Renew every inventory that can be had, and say which could not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--from", dest="folder", type=Path, help="folder with <project>.inv files to take")
    parser.add_argument("--by-hand", action="store_true", help="write the short lists of this script")
    options = parser.parse_args()
    for project, site in SITES.items():
        try:
            if options.folder:
                data = (options.folder / f"{project}.inv").read_bytes()
            else:
                with urllib.request.urlopen(f"{site}/objects.inv", timeout=30) as answer:
                    data = answer.read()
            write(project, *python_names(data))
            print(f"{project}: renewed")
        except OSError as error:
            if options.by_hand and project in BY_HAND:
                write(project, *by_hand(project))
                print(f"{project}: short list")
            else:
                print(f"{project}: kept as it was ({error})")


if __name__ == "__main__":
    main()
