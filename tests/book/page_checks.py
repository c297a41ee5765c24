"""What every page of the book must be, as functions that complain.

Each takes a page of the browser (or an HTML file) and returns a list of sentences, one per
fault; an empty list means that the page is right. ``test_checks_can_fail.py`` feeds them
broken pages and demands complaints.
"""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup

MIN_ALT = 15
FILE_NAME = re.compile(r"^\S+\.(png|jpe?g|svg|gif|webp)$", re.IGNORECASE)

_WAIT_FOR_MATHEMATICS = """async () => {
  for (let i = 0; i < 100 && document.querySelector('.math') && !window.MathJax?.startup?.promise; i++)
    await new Promise(resolve => setTimeout(resolve, 100));
  if (window.MathJax?.startup?.promise) await MathJax.startup.promise;
}"""

_MATHEMATICS = r"""() => {
  const faults = [];
  for (const node of document.querySelectorAll('mjx-merror'))
    faults.push('MathJax error: ' + (node.getAttribute('data-mjx-error') || node.textContent));
  const undefinedMacro = ':is([mathcolor="red"], [style*="color: red"])';
  for (const node of document.querySelectorAll(`mjx-container ${undefinedMacro}`))
    faults.push('undefined macro: ' + node.textContent);
  for (const node of document.querySelectorAll('.math'))
    if (!node.querySelector('mjx-container'))
      faults.push('not rendered: ' + node.textContent.trim().slice(0, 80));
  const main = document.querySelector('main') || document.body;
  const words = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  const aside = 'pre, code, script, style, mjx-container, .math';
  const raw = /\\\(|\\\)|\\\[|\\begin\{|\$\$|\$[^\s$][^$]*\$/;
  while (words.nextNode()) {
    const node = words.currentNode;
    if (raw.test(node.textContent) && !node.parentElement.closest(aside))
      faults.push('raw TeX: ' + node.textContent.trim().slice(0, 80));
  }
  return faults;
}"""

_OVERFLOW = """() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth + 1) return [];
  // Of what sticks out, name what no box inside the page holds back.
  const held = (node) => {
    for (let box = node.parentElement; box && box !== document.body; box = box.parentElement)
      if (getComputedStyle(box).overflowX !== 'visible') return true;
    return false;
  };
  const wide = [...document.body.querySelectorAll('*')]
    .filter(node => !node.closest('.bd-sidebar-primary, .bd-sidebar-secondary'))
    .filter(node => node.getBoundingClientRect().right > root.clientWidth + 1 && !held(node))
    .slice(0, 5)
    .map(node => `${node.tagName}.${node.className} "${node.textContent.trim().slice(0, 40)}"`);
  const widths = `${root.scrollWidth} px wide in a window of ${root.clientWidth} px`;
  return [`the page is ${widths}: ${wide.join('; ')}`];
}"""

# Most nodes of a chapter are glyphs of formulas and words of code. axe looks at the colours of each of them,
# which takes it ten seconds a page; one word of each kind in each kind of box tells it as much.
_THIN_OUT = """() => {
  document.querySelectorAll('mjx-container').forEach(formula => formula.replaceChildren());
  const seen = new Set();
  for (const word of document.querySelectorAll('pre span[class]')) {
    const box = word.closest('div');
    const kind = [word.className, word.parentElement.className, box && box.className].join('|');
    if (seen.has(kind)) word.replaceWith(...word.childNodes);
    seen.add(kind);
  }
}"""


def mathematics(page) -> list[str]:
    """Formulas that did not render, or rendered as an error."""
    page.evaluate(_WAIT_FOR_MATHEMATICS)
    return page.evaluate(_MATHEMATICS)


def overflow(page) -> list[str]:
    """A page that scrolls sideways."""
    return page.evaluate(_OVERFLOW)


def accessibility(page) -> list[str]:
    """Serious and critical violations that axe-core finds. The page is no use afterwards."""
    page.evaluate(_THIN_OUT)
    # preload=False: axe would fetch the style sheets, which no page opened from disk may.
    options = {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{fault['impact']}: {fault['id']} ({fault['help']}): "
        + "; ".join(f"{node['html'][:160]} {_contrast(node)}" for node in fault["nodes"][:4])
        for fault in found
        if fault["impact"] in {"serious", "critical"}
    ]


def _contrast(node: dict) -> str:
    """Colours and ratio, where the violation is one of contrast."""
    data = next((check["data"] for check in node.get("any", []) if isinstance(check.get("data"), dict)), {})
    if "contrastRatio" not in data:
        return ""
    return f"[{data.get('fgColor')} on {data.get('bgColor')}: {data['contrastRatio']}]"


def external_requests(urls: list[str]) -> list[str]:
    """Requests that leave the book; `urls` is every address that the page asked for."""
    inside = ("file:", "data:", "blob:", "about:", "http://127.0.0.1:")
    return [f"external request: {url}" for url in urls if not url.startswith(inside)]


def image_text(html: Path) -> list[str]:
    """Images of a page without a real description."""
    faults = []
    for _, image in (node for node in tags(html) if node[0] == "img"):
        if image.get("role") in {"presentation", "none"}:
            continue
        alt, source = image.get("alt"), image.get("src", "")[:80]
        if alt is None or not alt.strip():
            faults.append(f"no alt text: {source}")
        elif FILE_NAME.match(alt.strip()) or Path(source).stem in alt:
            faults.append(f"alt text is a file name: {alt}")
        elif len(alt.strip()) < MIN_ALT:
            faults.append(f"alt text of fewer than {MIN_ALT} characters: {alt!r} of {source}")
    return faults


def dead_links(html: Path, book: Path) -> list[str]:
    """Links and sources of a page that lead to no file or no anchor of the book."""
    faults = []
    for kind, node in tags(html):
        address = node.get("src") or (node.get("href") if kind in {"a", "link"} else None)
        if not address:
            continue
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (html.parent / unquote(parts.path)).resolve() if parts.path else html.resolve()
        if not target.is_relative_to(book.resolve()):
            faults.append(f"leads out of the book: {address}")
        elif not target.is_file():
            faults.append(f"no such file: {address}")
        elif kind == "a" and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target):
            faults.append(f"no such anchor: {address}")
    return sorted(set(faults))


@cache
def anchors(html: Path) -> frozenset[str]:
    """Every place of a page that a link can lead to; the empty one is its top."""
    return frozenset(
        {value for _, node in tags(html) for value in (node.get("id"), node.get("name"))} | {"", "top"}
    )


@cache
def tags(html: Path) -> list[tuple[str, dict[str, str]]]:
    """Every opening tag of a page with its attributes."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda name, attributes: found.append((name, dict(attributes)))
    parser.feed(html.read_text(encoding="utf-8"))
    return found


@cache
def parsed(html: Path) -> BeautifulSoup:
    """The page as a tree."""
    return BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser")
