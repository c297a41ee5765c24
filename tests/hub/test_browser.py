"""The same walk by clicks, in a headless Chromium: log in, press the book's button, run all, submit, fetch.

Screenshots of every step stay in ``_build/hub-tests``.
"""

import os
import re
import shutil

import hub_box
import launch
import pytest
from hub_box import ARTIFACTS, LAB, Hub
from walk import COURSE, NOTEBOOK, answers

pytestmark = [pytest.mark.needs("npm"), pytest.mark.needs("chromium")]
MILLISECONDS = 1000 * hub_box.PATIENCE
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
# No name but this machine's own can be looked up: the hub's pages and JupyterLab need no other.
SWITCHES += ["--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]


@pytest.fixture(scope="module")
def hub():
    box = Hub(["ada"])
    try:
        yield box.prepare().start()
    finally:
        box.keep("browser")
        box.remove()


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=executable, args=SWITCHES)
        yield browser
        browser.close()


def person(chromium):
    page = chromium.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.set_default_timeout(MILLISECONDS)
    page.set_default_navigation_timeout(MILLISECONDS)
    return page


def shot(page, name):
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png")


def log_in(hub, page, name):
    page.fill("#username_input", name)
    page.fill("#password_input", hub.password(name))
    shot(page, f"login-{name.split('-')[0]}")
    page.click("#login_submit")


def the_book_s_button(hub):
    """The page of a chapter as the book has it, reduced to its buttons."""
    settings = launch.Launch(hub_url=hub.url, repository=f"file://{hub.dir}/notebooks.git")
    return launch.bar(settings, f"density/{LAB}", file="x.ipynb", has_lab=True)


def menu(page, *names):
    """Choose from JupyterLab's menu bar."""
    page.click(f'.lm-MenuBar-itemLabel:text-is("{names[0]}")')
    for name in names[1:]:
        page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{re.escape(name)}$")).last.click()


def test_a_student_walks_from_the_button_to_the_hand_in(hub, chromium):
    (ada,) = hub.students
    page = person(chromium)
    page.set_content(the_book_s_button(hub))
    page.click('a[aria-label="Its lab: on the hub"]')
    log_in(hub, page, ada)
    page.wait_for_url(f"**/user/{ada}/lab/tree/{NOTEBOOK}*")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    shot(page, "lab-opened")

    # The answers, written into the file as another editor would, and taken up by JupyterLab.
    hub.spawn(ada)
    model = hub.user(ada, f"/api/contents/{NOTEBOOK}")
    notebook = hub_box.fill(model["content"], answers("right"))
    hub.user(ada, f"/api/contents/{NOTEBOOK}", "PUT", json={"type": "notebook", "content": notebook})
    page.reload()
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_selector('.jp-NotebookPanel-toolbar .jp-Notebook-ExecutionIndicator[data-status="idle"]')

    menu(page, "Run", "Run All Cells")

    def all_ran():
        menu(page, "File", "Save Notebook")
        page.wait_for_timeout(4000)  # one save at a time
        answer = hub.user(ada, f"/api/contents/{NOTEBOOK}", ok=False)
        if answer.status_code != 200:  # JupyterLab is writing it
            return False
        cells = answer.json()["content"]["cells"]
        return all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code") and cells

    cells = hub_box.wait_for("every cell to run", all_ran)
    shot(page, "all-cells-ran")
    wrong = [o for cell in cells for o in cell.get("outputs", []) if o["output_type"] == "error"]
    assert not wrong, wrong

    menu(page, "Nbgrader", "Assignment List")
    page.wait_for_selector("text=Downloaded assignments")
    row = page.locator("#fetched_assignments_list", has_text=LAB)
    row.wait_for()
    shot(page, "assignment-list")
    row.get_by_text("Submit", exact=True).click()
    page.locator("#submitted_assignments_list", has_text=LAB).wait_for()
    shot(page, "submitted")
    assert list((hub.dir / "exchange" / COURSE / "inbound").glob(f"{ada}+{LAB}+*"))
    page.context.close()


def test_the_instructor_sees_the_hand_in_in_the_formgrader(hub, chromium):
    page = person(chromium)
    page.goto(f"{hub.url}/hub/login")
    log_in(hub, page, hub.instructor)
    page.wait_for_url(f"**/user/{hub.instructor}/lab*")
    page.goto(f"{hub.url}/user/{hub.instructor}/formgrader")
    page.wait_for_selector(f"text={LAB}")
    page.locator("td.collect a").first.click()
    hub_box.wait_for(
        "the hand-in in the instructor's course",
        lambda: list((hub.home(hub.instructor) / "course" / "submitted").glob(f"*/{LAB}/{LAB}.ipynb")),
    )
    page.wait_for_selector("text=Successfully collected")
    shot(page, "formgrader")
    page.context.close()
