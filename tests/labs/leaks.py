"""Find text that only a lab's solutions and hidden tests have, wherever it turns up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LENGTH = 10  # words or signs in a row: long enough to be nobody's idiom, short enough for one line

_REGIONS = re.compile(r"### BEGIN (SOLUTION|HIDDEN TESTS|MARK SCHEME)\n(.*?)### END \1", flags=re.DOTALL)
MARKERS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN", "END HIDDEN", "# property:", "BEGIN MARK SCHEME")


def _grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+|[^\w\s]", text)
    return {tuple(words[i : i + LENGTH]) for i in range(len(words) - LENGTH + 1)}


def private_grams(nb: Any) -> set[tuple[str, ...]]:
    """Runs of words that stand in a lab's solutions and hidden tests, and nowhere else in it."""
    private: set[tuple[str, ...]] = set()
    public: set[tuple[str, ...]] = set()
    for cell in nb.cells:
        marks = cell.metadata.get("nbgrader", {})
        whole = marks.get("solution") and not _REGIONS.search(cell.source)
        hidden = [cell.source] if whole else [match[2] for match in _REGIONS.finditer(cell.source)]
        for text in hidden:
            private |= _grams(text)
        public |= _grams("" if whole else _REGIONS.sub("\n", cell.source))
    return private - public


def leaks_in(text: str, private: Iterable[tuple[str, ...]]) -> list[str]:
    """Everything in a text that gives a solution or a hidden test away."""
    found = [marker for marker in MARKERS if marker in text]
    return found + [" ".join(gram) for gram in sorted(_grams(text) & set(private))]


def text_of(file: Path) -> str:
    """All text of a file; of a notebook, sources, outputs and metadata as their reader sees them."""
    raw = file.read_text(encoding="utf-8", errors="replace")
    if file.suffix != ".ipynb":
        return raw
    pieces: list[str] = []

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            for value in node.values():
                collect(value)
        elif isinstance(node, list) and all(isinstance(item, str) for item in node):
            pieces.append("".join(node))
        elif isinstance(node, list):
            for item in node:
                collect(item)
        elif isinstance(node, str):
            pieces.append(node)

    collect(json.loads(raw))
    return "\n".join(pieces)
