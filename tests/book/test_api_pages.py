"""Every API page in a real browser, and the links between the API pages and the chapters."""

import page_checks
import pytest
from book_pages import KINDS, api_pages

import coursekit.base


@pytest.mark.browser
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", api_pages())
def test_page(name, kind, faults_of):
    faults = faults_of(name)[kind]
    assert not faults, f"{name}: {len(faults)} fault(s)\n  " + "\n  ".join(faults[:10])


MODULES = sorted({entry.cls.__module__ for entry in coursekit.base.catalogue().values()})


@pytest.mark.parametrize("module", MODULES)
def test_module_and_chapter_link_to_each_other(module, book):
    """The API page of every module with a model leads to a chapter, and a chapter leads back to it."""
    html = book / "api" / f"{module}.html"
    chapters = {path for path in book.glob("*/*.html") if path.parent.name not in {"api", "_modules"}}
    taught = {(html.parent / address).resolve() for address in addresses(html)} & chapters
    assert taught, f"{module} names no chapter: its docstrings lack 'Taught in :ref:`...`.'"
    back = [path.stem for path in chapters if html in {(path.parent / a).resolve() for a in addresses(path)}]
    assert back, f"no chapter links to {module}: write {{py:class}}`...` or {{py:mod}}`{module}` in it"


def addresses(html):
    """Where the links of a page's text lead, without anchors."""
    links = page_checks.parsed(html).select("main article a.internal[href]")
    return {link["href"].split("#")[0] for link in links}
