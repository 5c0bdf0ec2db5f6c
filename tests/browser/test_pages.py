"""The web pages in a real browser: search, reading, keyboard, hostile texts, accessibility, sizes, times."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Visitor, served
from worker.config.load import load_settings
from worker.runs.pages import WebRun
from worker.web.passwords import hash_password

PAGES = (
    "/", "/search", "/search?q=nuoc", "/search?q=khongco", "/articles", "/articles/1", "/articles/999", "/clusters",
    "/review", "/sources", "/rejected", "/api",
)  # fmt: skip
MAX_BYTES = 150_000
SCHEMES: Final = ("light", "dark")
DESK_WIDTH, PHONE_WIDTH, HEIGHT = 1200, 360, 800
# Focus is seen if the element with it has an outline, and lies in the window.
FOCUS = """() => {
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  return {
    name: (element.innerText || element.getAttribute("aria-label") || element.name || "").trim(),
    seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
      && box.width > 0 && box.left >= 0 && box.top >= 0 && box.right <= innerWidth,
  };
}"""

# Of the page and of what it loads.
BYTES = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, each) => sum + each.decodedBodySize, 0)"""


def test_a_reader_searches_and_reads(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.get_by_role("searchbox").fill("mua nuoc noi")
    page.keyboard.press("Enter")
    expect(page.locator("mark", has_text="mùa nước nổi").first).to_be_visible()
    page.get_by_role("link", name="Cá linh về trái mùa").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Cá linh về trái mùa, dân vùng đầu nguồn nửa mừng nửa ngại"
    )
    expect(page.get_by_text("Thông thường cá linh theo nước lũ đổ về từ tháng Tám.")).to_be_visible()


def test_a_word_with_diacritics_finds_its_own_spelling_alone(visitor: Visitor) -> None:
    bare = visitor.open("/search?q=duong").locator("mark").all_inner_texts()
    marked = visitor.open("/search?q=đường").locator("mark").all_inner_texts()

    assert len({each.casefold() for each in bare}) > 1
    assert {each.casefold() for each in marked} == {"đường"}


def test_everything_can_be_reached_by_keyboard(visitor: Visitor) -> None:
    page = visitor.open("/search?q=nuoc")

    stops = list(_tabs(page))
    page.reload()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert [stop["name"] for stop in stops[:4]] == ["Skip to the content", "Corpus Worker", "Overview", "Search"]
    assert [stop["name"] for stop in stops if not stop["seen"]] == []
    assert len(stops) > 15
    assert page.evaluate("document.activeElement.id") == "q"
    page.keyboard.type("ca linh\n")
    expect(page.get_by_role("link", name="Cá linh về trái mùa")).to_be_visible()


def _tabs(page: Page) -> list[dict[str, object]]:
    """Return where the focus goes until it leaves the page."""
    stops: list[dict[str, object]] = []
    while True:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            return stops
        stops.append(page.evaluate(FOCUS))


def test_a_hostile_article_does_nothing(visitor: Visitor) -> None:
    page = visitor.open("/")
    visitor.open("/search?q=%22%3E%3Cscript%3Edocument.title='script ran'%3C/script%3E")
    page.get_by_role("main").get_by_role("link", name="script ran").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>document.title='script ran'</script>")
    assert page.title() != "script ran"
    assert page.locator("iframe, img, article style, article script").count() == 0
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert "\u202e" not in page.locator("body").inner_text()


def test_every_page_is_accessible_small_and_fits_a_phone(visitor: Visitor) -> None:
    page, axe = visitor.page, Axe()
    faults: list[str] = []
    for path in PAGES:
        page.set_viewport_size({"width": DESK_WIDTH, "height": HEIGHT})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            visitor.open(path)
            found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
            faults += [
                f"{path}, {scheme}: {each['id']}: {each['nodes'][0]['html']}"
                for each in found
                if each["impact"] in {"serious", "critical"}
            ]
        page.set_viewport_size({"width": PHONE_WIDTH, "height": HEIGHT})
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE_WIDTH:
            faults.append(f"{path}: {width} pixels wide on a phone")
        if (size := page.evaluate(BYTES)) > MAX_BYTES:
            faults.append(f"{path}: {size} bytes")

    assert not faults, "\n".join(faults)


def test_colours_follow_the_reader(visitor: Visitor) -> None:
    def brightness(scheme: Literal["light", "dark"]) -> int:
        visitor.page.emulate_media(color_scheme=scheme)
        colours = visitor.page.evaluate("getComputedStyle(document.body).backgroundColor").strip("rgb()")
        return sum(map(int, colours.split(",")))

    visitor.open("/")

    assert brightness("light") > 3 * 200
    assert brightness("dark") < 3 * 60


def test_times_are_in_the_zone_of_the_reader(visitor: Visitor, browser: Browser) -> None:
    with browser.new_context(timezone_id="America/New_York", locale="en-GB") as context:
        abroad = context.new_page()
        abroad.goto(f"{visitor.site}/articles/1")
        there = abroad.locator("article time").inner_text()
    here = visitor.open("/articles/1").locator("article time").inner_text()

    assert (here, there) == ("2 Mar 2026, 09:00", "1 Mar 2026, 21:00")


def test_the_pages_work_without_scripts(visitor: Visitor, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{visitor.site}/search")
        page.get_by_label("Words that a text has to have").fill("ca linh")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name="Cá linh về trái mùa").click()

        expect(page.get_by_text("2026-03-03 11:20:00 UTC").first).to_be_visible()


def test_a_source_is_paused_and_resumed(visitor: Visitor, config: Path) -> None:
    page = visitor.open("/sources")
    page.get_by_role("button", name="Pause thoimoi").click()
    resume = page.get_by_role("button", name="Resume thoimoi")
    expect(resume).to_be_visible()
    paused = [each.name for each in load_settings(config, {}).sources if not each.enabled]
    resume.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Pause thoimoi")).to_be_visible()

    assert paused == ["thoimoi"]
    assert all(each.enabled for each in load_settings(config, {}).sources)


def test_two_pairs_are_reviewed_by_keyboard_and_undone(visitor: Visitor) -> None:
    page = visitor.open("/review")
    visitor.type("s")
    expect(page.get_by_text("1 pair decided: 1 the same, 0 different.")).to_be_visible()
    visitor.type("d")
    expect(page.get_by_text("2 pairs decided: 1 the same, 1 different.")).to_be_visible()
    for left in ("1 pair decided", "Nobody has decided a pair yet"):
        page.get_by_role("button", name="Undo").first.click()
        expect(page.get_by_text(left)).to_be_visible()


def test_where_a_password_is_set_a_reader_logs_in(visitor: Visitor, config: Path) -> None:
    settings = load_settings(config, {})
    web = settings.web.model_copy(update={"password_hash": hash_password("mật khẩu")})
    with served(WebRun(settings.model_copy(update={"web": web}), listen="127.0.0.1:0", config=config)) as visitor.site:
        page = visitor.open("/articles/1")
        visitor.type("sai\n")
        expect(page.get_by_role("alert")).to_have_text("This password is wrong.")
        visitor.type("mật khẩu\n")

        expect(page.get_by_role("heading", level=1)).to_have_text(
            "Hội đua ghe ngo trở lại khúc sông cũ sau mười hai năm"
        )
        expect(page).to_have_url(f"{visitor.site}/articles/1")
