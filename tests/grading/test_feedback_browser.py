"""A page full of hostile text, opened in a real browser: nothing runs, nothing is asked of the network."""

from __future__ import annotations

import os
import re
import shutil

import hostile_text
import pytest
import test_feedback
import tiny_lab

pytestmark = pytest.mark.needs("chromium")

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
        chromium = playwright.chromium.launch(executable_path=executable, args=SWITCHES)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory):
    """The page of a student whose every cell and output attacks its reader."""
    course = tiny_lab.make_course(tmp_path_factory.mktemp("course"))
    answers = {**tiny_lab.ANSWERS, "explain": "\n\n".join(hostile_text.EVERYTHING.values())}
    reason = {"notebook": tiny_lab.LAB, "cell": "double-test", "reason": hostile_text.RUNS["script"]}
    scores = {**test_feedback.FULL, "double-test": 0.0}
    extra = hostile_text.cells()
    test_feedback.graded(course, "mallory", scores, answers=answers, conclusions=[reason], extra=extra)
    with test_feedback.gradebook(course) as db:
        db.find_comment("explain", tiny_lab.LAB, tiny_lab.LAB, "mallory").manual_comment = hostile_text.RUNS[
            "onerror"
        ]
        db.find_student("mallory").first_name = hostile_text.RUNS["svg onload"]
        db.db.commit()
    return test_feedback.page(course, "mallory")


def visit(browser, markup: str, folder) -> tuple[int, list[str]]:
    """Open a page, touch everything in it; how often its scripts ran, and what it asked for."""
    file = folder / "page.html"
    file.write_text(markup)
    context = browser.new_context()
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: dialog.dismiss())
    page.goto(file.as_uri(), wait_until="load")
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.mouse.wheel(0, 20_000)
    page.wait_for_timeout(400)
    ran = 0 if page.is_closed() else page.evaluate("window.pwned || 0")
    context.close()
    return ran, [url for url in asked if not url.startswith("data:") and url != file.as_uri()]


def without_policy(markup: str) -> str:
    changed = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", markup)
    assert changed != markup
    return changed


def with_raw_text(markup: str, raw: str) -> str:
    """The page as it would be if nothing were sanitized."""
    assert "</main>" in markup
    return markup.replace("</main>", f"{raw}</main>")


def test_nothing_runs_and_nothing_is_fetched(browser, hostile_page, tmp_path):
    assert visit(browser, hostile_page, tmp_path) == (0, [])


def test_the_sanitizer_is_enough_without_the_policy(browser, hostile_page, tmp_path):
    assert visit(browser, without_policy(hostile_page), tmp_path) == (0, [])


@pytest.mark.parametrize("name", [*hostile_text.RUNS, *hostile_text.TRICKS])
def test_the_policy_is_enough_without_the_sanitizer(browser, hostile_page, tmp_path, name):
    ran, asked = visit(browser, with_raw_text(hostile_page, hostile_text.EVERYTHING[name]), tmp_path)
    assert ran == 0
    assert not [url for url in asked if not url.startswith("file:")]


@pytest.mark.parametrize("name", hostile_text.RUNS)
def test_each_attack_works_on_a_page_that_trusts_it(browser, tmp_path, name):
    """Otherwise the tests above would prove nothing."""
    ran, _ = visit(browser, f"<!doctype html><main>{hostile_text.RUNS[name]}</main>", tmp_path)
    assert ran > 0


@pytest.mark.parametrize("name", sorted(set(hostile_text.LOADS) - {"form", "refresh"}))
def test_each_load_works_on_a_page_that_trusts_it(browser, tmp_path, name):
    _, asked = visit(browser, f"<!doctype html><main>{hostile_text.LOADS[name]}</main>", tmp_path)
    assert [url for url in asked if "example.org" in url]


def test_a_page_is_accessible_and_fits_a_phone(browser, tmp_path):
    from axe_playwright_python.sync_playwright import Axe

    course = tiny_lab.make_course(tmp_path / "course")
    conclusion = dict(test_feedback.REASONS[1][0], notebook=tiny_lab.LAB)
    scores = {**test_feedback.FULL, "double-test": 0.0}
    test_feedback.graded(course, "ada", scores, conclusions=[conclusion])
    file = tmp_path / "page.html"
    file.write_text(without_policy(test_feedback.page(course, "ada")))  # the checker is a script
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
        page = context.new_page()
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        faults = Axe().run(page).response["violations"]
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        context.close()
