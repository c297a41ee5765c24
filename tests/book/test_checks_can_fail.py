"""The checks complain about broken pages, and only about them: a check that cannot fail proves nothing."""

import importlib
from pathlib import Path

import page_checks
import pytest
from book_pages import PHONE, open_page

pytestmark = pytest.mark.browser
MATHJAX = (
    Path(importlib.import_module("sphinx-mathjax-offline").__file__).parent / "static/mathjax/tex-chtml.js"
)

GOOD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ color: #222; background: #fff; }}</style>
<script defer src="{mathjax}"></script>{head}</head>
<body><main><h1 id="top">A page</h1>
<p>Text with <span class="math notranslate">\\(x^2\\)</span>.</p>{body}</main></body></html>
"""


@pytest.fixture
def visit(tmp_path, browser):
    """``visit(body, head)``: all faults of a page that is right but for what is given."""
    opened = []

    def open_it(body="", head="", viewport=PHONE):
        html = tmp_path / "page.html"
        html.write_text(GOOD.format(mathjax=MATHJAX.as_uri(), head=head, body=body), encoding="utf-8")
        page, seen = open_page(browser, html.as_uri(), viewport=viewport)
        opened.append(page)
        page.wait_for_timeout(100)
        return {
            "mathematics": page_checks.mathematics(page),
            "overflow": page_checks.overflow(page),
            "accessibility": page_checks.accessibility(page),
            "requests": page_checks.external_requests(seen.requests),
            "console": [error for error in seen.errors if "ERR_" not in error],
            "alt": page_checks.image_text(html),
            "links": [fault for fault in page_checks.dead_links(html, tmp_path) if "mathjax" not in fault],
        }

    yield open_it
    page_checks.tags.cache_clear()
    page_checks.anchors.cache_clear()
    for page in opened:
        page.context.close()


def test_a_right_page_has_no_fault(visit):
    pixel = "data:image/gif;base64,R0lGODlhAQABAAAAACw="
    image = f'<p><img alt="A curve that rises from left to right" src="{pixel}"></p>'
    assert not any(visit(f'{image}<p><a href="#top">up</a></p>').values())


BROKEN = [
    ("mathematics", '<p><span class="math">\\(x^2^3\\)</span></p>', "Double exponent"),
    ("mathematics", '<p><span class="math">\\(\\nosuchmacro x\\)</span></p>', "nosuchmacro"),
    ("mathematics", "<p>The bandwidth $h$ is left raw.</p>", "raw TeX"),
    ("mathematics", '<p class="mathjax_ignore">Left raw: \\(h\\).</p>', "raw TeX"),
    ("mathematics", '<p class="mathjax_ignore"><span class="math">h</span></p>', "not rendered"),
    ("overflow", '<div style="width: 900px">wide</div>', "wide in a window"),
    ("overflow", "<table><tr>" + "<td>averylongcell</td>" * 20 + "</tr></table>", "wide in a window"),
    ("accessibility", '<p style="color: #bbb">faint</p>', "color-contrast"),
    ("accessibility", "<button></button>", "button-name"),
    ("accessibility", '<input type="range">', "label"),
    ("accessibility", '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
    ("requests", '<img alt="An image that is elsewhere" src="https://example.org/a.png">', "example.org"),
    ("requests", "<script>fetch('https://example.org/data.json').catch(() => 0)</script>", "example.org"),
    ("console", "<script>console.error('something broke')</script>", "something broke"),
    ("console", "<script>nosuchfunction()</script>", "nosuchfunction"),
    ("alt", '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "no alt text"),
    ("alt", '<img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "no alt text"),
    ("alt", '<img alt="short" src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "fewer than"),
    ("alt", '<img alt="_images/0123456789abcdef.png" src="data:,">', "file name"),
    ("links", '<a href="nowhere.html">a page</a>', "no such file"),
    ("links", '<a href="#nowhere">a place</a>', "no such anchor"),
    ("links", '<a href="../../etc/passwd">outside</a>', "out of the book"),
]


@pytest.mark.parametrize(("check", "body", "complaint"), BROKEN, ids=[f"{c}-{w}" for c, _, w in BROKEN])
def test_a_broken_page_is_found_out(check, body, complaint, visit):
    faults = visit(body)[check]
    assert any(complaint in fault for fault in faults), faults


def test_a_style_sheet_from_elsewhere_is_found_out(visit):
    assert visit(head='<link rel="stylesheet" href="https://example.org/a.css">')["requests"]


def test_a_box_that_scrolls_is_no_overflow(visit):
    box = '<div style="overflow-x: auto" tabindex="0"><div style="width: 900px">wide</div></div>'
    assert not visit(box)["overflow"]
