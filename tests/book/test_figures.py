"""The interactive figures: they work from disk, by keyboard, and their arithmetic is the package's."""

import math
from pathlib import Path

import figure_data
import numpy as np
import pytest
from book_pages import PHONE, ROOT, open_page

pytestmark = pytest.mark.browser

PAGES = {
    "what_is": "foundations/what_is",
    "inverse_cdf": "density/inverse_cdf",
    "histogram": "density/histogram",
    "kde": "density/kde",
    "knn": "density/knn",
    "neural_cdf": "density/neural_cdf",
    "mixture": "density/mixture",
    "denoising": "autoencoders/denoising",
    "autoregressive": "flows/autoregressive",
    "autoencoder": "autoencoders/autoencoder",
    "vae": "latent/vae",
    "projections": "gaussianization/projections",
    "evaluation": "practice/evaluation",
    "iterative": "gaussianization/iterative",
    "beta_vae": "disentangling/beta_vae",
    "gan": "adversarial/gan",
    "wgan": "adversarial/wgan",
    "rate_invariant": "disentangling/rate_invariant",
    "transform_autoencoder": "disentangling/transform_autoencoder",
}
# The slider of each figure, and every value of its list of choices.
SLIDER = {
    "what_is": "alpha",
    "inverse_cdf": "level",
    "histogram": "bins",
    "kde": "bandwidth",
    "knn": "neighbors",
    "vae": "z1",
    "gan": "frame",
    "neural_cdf": "weight",
    "mixture": "rounds",
    "denoising": "step",
    "autoregressive": "pixels",
    "autoencoder": "first",
    "projections": "views",
    "evaluation": "kept",
    "iterative": "layers",
    "wgan": "shift",
    "rate_invariant": "when",
    "beta_vae": "price",
    "transform_autoencoder": "turn",
}
CHOICES = {
    "kde": ["gaussian", "epanechnikov", "box"],
    "inverse_cdf": ["continuous", "atoms", "flat"],
    "mixture": ["2", "3", "5"],
    "denoising": ["plain-0.02", "walkback-0.02", "plain-0.25", "walkback-0.25"],
    "autoregressive": ["0", "1", "5"],
    "projections": ["filtered", "plain"],
    "iterative": ["forward", "backward"],
    "gan": ["1:1, non-saturating", "1:10, non-saturating"],
    "wgan": ["0", "0.5", "1"],
    "rate_invariant": ["0", "1"],
    "transform_autoencoder": ["0", "4", "7"],
}
# Five steps up reach the level 0.35, where the law with atoms jumps; twenty the level of the flat stretch.
KEYS = {
    "start": [],
    "lowest": ["Home"],
    "highest": ["End"],
    "lower": ["ArrowLeft"] * 4,
    "higher": ["ArrowRight"] * 5,
    "much-higher": ["ArrowRight"] * 20,
}


@pytest.fixture(scope="module")
def open_figure(book, browser):
    """``open_figure(name)``: the page of a figure, opened once, and the figure on it."""
    opened = {}

    def open_once(name):
        if name not in opened:
            opened[name] = open_page(browser, (book / f"{PAGES[name]}.html").as_uri())
            # A figure needs no formulas, and setting those of a chapter takes seconds at every reload.
            opened[name][0].route("**/*mathjax*/**", lambda route: route.abort())
        page, _ = opened[name]
        return page, page.locator(f'figure.ck-interactive[data-figure="{name}"]')

    yield open_once
    for page, _ in opened.values():
        page.context.close()


def shown(figure) -> dict:
    """What the figure drew; infinities do not survive JSON, so they come as text."""
    return figure.evaluate(
        "node => JSON.parse(JSON.stringify(node.shown, (key, value) => "
        "typeof value === 'number' && !Number.isFinite(value) ? String(value) : value))"
    )


def test_every_figure_of_the_chapters_is_tested():
    used = {}
    for path in sorted((ROOT / "book").glob("*/*.md")):
        for name in PAGES | {"other": ""}:
            if f'data-figure="{name}"' in path.read_text(encoding="utf-8"):
                used[name] = str(path.relative_to(ROOT / "book").with_suffix(""))
    assert used == PAGES


@pytest.mark.parametrize(("name", "choice"), [(n, c) for n in PAGES for c in CHOICES.get(n, [None])])
def test_figure_equals_the_package(name, choice, open_figure):
    page, figure = open_figure(name)
    page.reload(wait_until="load")
    if choice:
        figure.locator("select").select_option(choice)
    slider = figure.locator("input[type=range]").first
    start = slider.input_value()
    for way, keys in KEYS.items():
        slider.evaluate(
            "(node, start) => { node.value = start; node.dispatchEvent(new Event('input')) }", start
        )
        slider.focus()
        for key in keys:
            page.keyboard.press(key)
        drawn = shown(figure)
        settings = dict(drawn["settings"])
        if name in {"kde", "histogram", "knn", "mixture", "neural_cdf"}:
            settings["x"] = drawn["x"]
        for quantity, value in figure_data.reference(name, **settings).items():
            np.testing.assert_allclose(
                np.array(drawn[quantity], dtype=float),
                value,
                rtol=1e-6,
                atol=1e-9,
                err_msg=f"{name}, {way}: {quantity}",
            )


@pytest.mark.parametrize("name", PAGES)
def test_figure_moves_by_keyboard(name, open_figure):
    page, figure = open_figure(name)
    page.reload(wait_until="load")
    slider, output = figure.locator("input[type=range]").first, figure.locator("output").first
    before = (
        figure.locator("svg").inner_html(),
        output.inner_text(),
        figure.locator(".ck-summary").inner_text(),
    )
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    after = (
        figure.locator("svg").inner_html(),
        output.inner_text(),
        figure.locator(".ck-summary").inner_text(),
    )
    assert all(old != new for old, new in zip(before, after, strict=True)), (before[1:], after[1:])
    assert slider.get_attribute("aria-valuetext") == output.inner_text()
    assert figure.locator(".ck-summary").get_attribute("aria-live") == "polite"
    label = figure.locator(f'label[for="{slider.get_attribute("id")}"]')
    assert label.inner_text().strip()
    assert figure.locator("svg").get_attribute("aria-label")


def test_a_click_chooses_a_code(open_figure):
    """In the plane of codes a click moves both sliders, to within a step of where it fell."""
    page, figure = open_figure("autoencoder")
    page.reload(wait_until="load")
    before = shown(figure)["settings"]
    box = figure.locator("svg").bounding_box()
    figure.locator("svg").click(position={"x": 40 + 0.75 * (min(0.62 * box["width"], 330) - 40), "y": 82.5})
    after = shown(figure)["settings"]
    assert after["first"] == pytest.approx(1.35, abs=0.11)
    assert after["second"] == pytest.approx(1.35, abs=0.11)
    assert before != after


def test_the_film_plays_to_its_end_and_stops(open_figure):
    page, figure = open_figure("gan")
    page.reload(wait_until="load")
    slider, button = figure.locator("input[type=range]").first, figure.locator("button.ck-play")
    slider.focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    button.click()
    assert button.inner_text() == "Stop"
    page.wait_for_function("node => node.textContent === 'Play'", arg=button.element_handle(), timeout=30_000)
    assert shown(figure)["settings"]["frame"] == 17


@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desk", "phone"])
def test_the_latent_point_is_dragged_and_the_decoder_follows(viewport, book, browser):
    """A drag moves both sliders, stays inside, and the digit drawn is the package's at that point."""
    options = {"viewport": viewport} if viewport else {}
    page, visit = open_page(browser, (book / "latent/vae.html").as_uri(), **options)
    figure = page.locator('figure.ck-interactive[data-figure="vae"]')
    figure.scroll_into_view_if_needed()
    box = figure.locator("svg").bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 120)
    page.mouse.down()
    for dx, dy in ((5, 3), (40, 60), (90, 70)):
        page.mouse.move(box["x"] + 120 + dx, box["y"] + 120 + dy)
        drawn = shown(figure)
        expected = figure_data.reference("vae", **drawn["settings"])
        np.testing.assert_allclose(drawn["y"], expected["y"], rtol=1e-6, atol=1e-9)
    held = drawn["settings"]
    page.mouse.move(box["x"] - 500, box["y"] + 120)
    assert shown(figure)["settings"]["z1"] == -3
    page.mouse.up()
    page.mouse.move(box["x"] + 150, box["y"] + 150)
    assert shown(figure)["settings"]["z1"] == -3
    assert held["z1"] != held["z2"]
    cells = figure.locator("rect.ck-ink").evaluate_all(
        "nodes => nodes.map(n => Number(n.getAttribute('fill-opacity')))"
    )
    np.testing.assert_allclose(cells, shown(figure)["y"], atol=6e-4)
    assert not visit.errors
    page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_figure_fits_a_phone(name, book, browser):
    page, visit = open_page(browser, (book / f"{PAGES[name]}.html").as_uri(), mode="dark", viewport=PHONE)
    figure = page.locator(f'figure.ck-interactive[data-figure="{name}"]')
    box = figure.locator("svg").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    assert not visit.errors
    page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_figure_says_something_without_scripts(name, book, browser):
    page, _ = open_page(browser, (book / f"{PAGES[name]}.html").as_uri(), scripts=False)
    figure = page.locator(f'figure.ck-interactive[data-figure="{name}"]')
    assert len(figure.locator(".ck-fallback").inner_text()) > 20
    assert len(figure.locator("figcaption").inner_text()) > 20
    page.context.close()


def test_scripts_are_loaded_only_where_a_figure_is(book):
    for path in sorted(Path(book).rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        wanted = 1 if 'class="ck-interactive"' in text else 0
        assert text.count("figures.js") == text.count("figure_data.js") == wanted, path


def test_log_loss_of_the_unseen_is_infinite():
    """The reference itself: without smoothing an integer never seen costs infinitely much."""
    assert math.isinf(figure_data.reference("what_is", alpha=0.0)["logLoss"])
