"""Every written page of the book in a real browser, from disk, without a network."""

import pytest
from book_pages import KINDS, chapters

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", chapters())
def test_page(name, kind, faults_of):
    faults = faults_of(name)[kind]
    assert not faults, f"{name}: {len(faults)} fault(s)\n  " + "\n  ".join(faults[:10])
