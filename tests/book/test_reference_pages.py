"""The home page, the notation page and the glossary hold what the rest of the book relies on."""

import re
from pathlib import Path

import pytest
import yaml

from coursekit.base import catalogue

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
MACROS = CONFIG["sphinx"]["config"]["mathjax3_config"]["tex"]["macros"]


@pytest.mark.parametrize("name", catalogue())
def test_every_model_says_which_chapter_is_its_door(name):
    """The home page links each model to the chapter that its docstring names."""
    found = re.search(r"Taught in :ref:`(\w+)`", catalogue()[name].cls.__doc__)
    assert found, f"{name}: the class docstring lacks 'Taught in :ref:`topic`.'"
    assert len(list(BOOK.glob(f"*/{found.group(1)}.md"))) == 1


@pytest.mark.parametrize("macro", MACROS)
def test_every_macro_is_on_the_notation_page(macro):
    table = [line for line in (BOOK / "notation.md").read_text().splitlines() if line.startswith("|")]
    assert any(f"`\\{macro}`" in line for line in table)
    assert any(re.search(rf"\$[^$]*\\{macro}(?![a-zA-Z])", line) for line in table)  # and it is shown


def test_the_notation_page_names_no_macro_that_is_not_there():
    named = re.findall(r"`\\(\w+)`", (BOOK / "notation.md").read_text())
    assert set(named) == set(MACROS)


def test_the_glossary_has_no_term_twice_and_no_term_without_a_definition():
    body = (BOOK / "glossary.md").read_text().split("```{glossary}")[1].split("\n```")[0]
    lines = [line for line in body.splitlines() if line and not line.startswith(":")]
    terms = [line.lower() for line in lines if not line.startswith(" ")]
    assert len(terms) == len(set(terms))
    assert len(terms) > 100
    assert lines[-1].startswith("  ")
