"""A headless Chromium without a network, and the built book."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path

import book_pages
import pytest

sys.path.insert(0, str(book_pages.ROOT / "book" / "_ext"))


@pytest.fixture(scope="session")
def book() -> Path:
    """Folder of the built book."""
    if not (book_pages.BOOK / "index.html").exists():
        pytest.fail(f"there is no built book in {book_pages.BOOK}: run `make book` first")
    return book_pages.BOOK


@pytest.fixture(scope="session")
def browser():
    """One browser for all tests."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("no Chromium: install it (sudo apt-get install chromium) or name it in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=book_pages.SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def faults_of(book, browser):
    """``faults_of(name)``: every fault of a page by kind; the page is opened twice and remembered."""

    @cache
    def remembered(name: str) -> dict[str, list[str]]:
        return book_pages.all_faults(browser, book, name)

    return remembered
