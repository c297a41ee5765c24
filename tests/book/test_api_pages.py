"""Every API page in a real browser, and the links between the API pages and the chapters."""

import checks
import pytest
from conftest import KINDS, api_pages

import coursekit.base


@pytest.mark.browser
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", api_pages())
def test_page(name, kind, faults_of):
    faults = faults_of(name)[kind]
    assert not faults, f"{name}: {len(faults)} fault(s)\n  " + "\n  ".join(faults[:10])


@pytest.mark.parametrize("entry", coursekit.base.catalogue().values(), ids=lambda entry: entry.cls.__name__)
def test_model_and_chapter_link_to_each_other(entry, book):
    """A model's API page leads to a chapter, and some chapter leads to the model."""
    module = entry.cls.__module__
    api = checks.parsed(book / "api" / f"{module}.html")
    assert module in api.get_text(), f"{module} has no API page"
    taught = {link["href"] for link in api.select("main a.internal") if not link["href"].startswith(("#", "coursekit"))}
    assert any("density/" in href or "foundations/" in href for href in taught), f"{module} names no chapter"
    wanted = f"api/{module}.html#{module}.{entry.cls.__name__}"
    chapters = [path for path in book.glob("*/*.html") if path.parent.name not in {"api", "_modules"}]
    linked = [path.stem for path in chapters if wanted in path.read_text(encoding="utf-8")]
    assert linked, f"no chapter links to {entry.cls.__name__} ({{py:class}}`{module}.{entry.cls.__name__}`)"
