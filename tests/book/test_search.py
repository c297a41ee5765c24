"""Search works in the browser, from disk and from a server."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import page_checks
import pytest
from book_pages import open_page

pytestmark = pytest.mark.browser


class Quiet(SimpleHTTPRequestHandler):
    """A server that does not print every request."""

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address(request, book):
    """Address of the book: from disk, or from a server on this machine."""
    if request.param == "disk":
        yield book.as_uri()
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(book)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("address", ["disk", "server"], indirect=True)
def test_search_finds_a_term(address, browser):
    page, visit = open_page(browser, f"{address}/search.html?q=bandwidth")
    page.wait_for_selector("#search-results li a", timeout=20_000)
    page.wait_for_function(
        "document.querySelector('.search-summary')?.textContent.includes('finished')", timeout=20_000
    )
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    faults = visit.errors + page_checks.external_requests(visit.requests)
    page.context.close()
    assert any("density/kde.html" in href for href in found), found[:5]
    assert not faults, faults


def test_a_word_that_is_nowhere_is_not_found(book, browser):
    page, _ = open_page(browser, f"{book.as_uri()}/search.html?q=zzyzxquux")
    page.wait_for_function(
        "document.querySelector('.search-summary')?.textContent.includes('not match')", timeout=20_000
    )
    assert page.locator("#search-results li a").count() == 0
    page.context.close()


def test_one_search_bar(book, browser):
    """The theme shows one button that opens the search, not two."""
    page, _ = open_page(browser, (book / "index.html").as_uri())
    visible = page.locator(
        ".bd-sidebar-primary .search-button-field:visible, .bd-header .search-button-field:visible"
    )
    assert visible.count() == 1
    page.context.close()
