"""The book's pages, and how a test opens one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import page_checks
import yaml

ROOT = Path(__file__).parents[2]
BOOK = Path(os.environ.get("COURSEKIT_BOOK_HTML", ROOT / "_build" / "html"))
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    # No name but this machine's own can be looked up, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
KINDS = [
    "mathematics",
    "no console error",
    "no external request",
    "accessible in light mode",
    "accessible in dark mode",
    "fits a wide window",
    "fits a phone",
    "dark mode",
    "alt text",
    "links",
]


@cache
def pages() -> list[str]:
    """Every page of the table of contents, and those that Sphinx adds."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    found = [toc["root"]]

    def walk(entries: list[dict]) -> None:
        for entry in entries:
            if "file" in entry:
                found.append(entry["file"])
            else:
                matches = sorted((ROOT / "book").glob(f"{entry['glob']}.rst"))
                found.extend(str(path.relative_to(ROOT / "book").with_suffix("")) for path in matches)
            walk(entry.get("sections", []))

    for part in toc["parts"]:
        walk(part["chapters"])
    return found


def api_pages() -> list[str]:
    """The pages made from docstrings, and the index."""
    return [page for page in pages() if page.startswith("api/coursekit")] + ["genindex"]


def chapters() -> list[str]:
    """The pages that somebody wrote."""
    return [page for page in pages() if not page.startswith("api/coursekit")]


@dataclass
class Visit:
    """What a page did while it was open."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def open_page(browser, address: str, *, mode: str = "light", viewport: dict = WIDE, scripts: bool = True):
    """Open an address in a context of its own, without a network; returns the page and its visit."""
    context = browser.new_context(viewport=viewport, java_script_enabled=scripts)
    context.set_default_timeout(10_000)
    if scripts:
        context.add_init_script(
            f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}');"
        )
    page, visit = context.new_page(), Visit()
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("pageerror", lambda error: visit.errors.append(f"exception: {error}"))
    page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)
    page.goto(address, wait_until="load")
    return page, visit


def all_faults(browser, book: Path, name: str) -> dict[str, list[str]]:
    """Every fault of a page by kind, in light and dark, wide and narrow."""
    html = book / f"{name}.html"
    if not html.exists():
        return {kind: [f"{name} is in the table of contents, but was not built"] for kind in KINDS}
    faults: dict[str, list[str]] = {}
    page, visit = open_page(browser, html.as_uri(), mode="light")
    faults["mathematics"] = page_checks.mathematics(page)
    faults["fits a wide window"] = page_checks.overflow(page)
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(150)  # figures draw themselves again
    faults["fits a phone"] = page_checks.overflow(page)
    faults["accessible in light mode"] = page_checks.accessibility(page)
    page.context.close()
    page, dark = open_page(browser, html.as_uri(), mode="dark", viewport=PHONE)
    faults["dark mode"] = [] if page.locator("html[data-theme=dark]").count() else ["it stays light"]
    page_checks.mathematics(page)  # waits for it
    faults["dark mode"] += page_checks.overflow(page)
    page.set_viewport_size(WIDE)
    page.wait_for_timeout(150)
    faults["accessible in dark mode"] = page_checks.accessibility(page)
    page.context.close()
    faults["no console error"] = visit.errors + dark.errors
    faults["no external request"] = page_checks.external_requests(visit.requests + dark.requests)
    faults["alt text"] = page_checks.image_text(html)
    faults["links"] = page_checks.dead_links(html, book)
    return faults
