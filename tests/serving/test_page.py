"""The page in a real browser."""

import re
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Dialog, Page, Route, expect, sync_playwright

from live import LiveServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 20_000  # ms; the machine may be busy


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine; .ci/services.sh installs Debian's")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, live: LiveServer) -> Iterator[Page]:
    """A new visitor; anything that the page fetches from elsewhere, or complains of, fails the test."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    faults: list[str] = []
    page.on("request", lambda request: None if request.url.startswith(live.url) else faults.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(live.url)
    yield page
    assert faults == []
    context.close()


def titles(page: Page) -> list[str]:
    """The list in the model's order."""
    page.get_by_label("Fused").check(force=True)
    expect(page.locator("#list[data-order=fused][aria-busy=false]")).to_be_attached()
    return page.locator("#list .title").all_inner_texts()


def pick(page: Page, words: str) -> str:
    """Pick the first title found, by keyboard alone."""
    page.get_by_label("Find a title").focus()
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    chip = page.locator("#likes li span").first
    expect(chip).to_contain_text(words, ignore_case=True)
    return chip.inner_text()


def test_pick_three_get_ten_like_one_and_see_the_list_change(page: Page) -> None:
    expect(page.locator("#list > li")).to_have_count(10)  # what most like, before anything is known
    picked = [pick(page, words) for words in ("(1971)", "(1974)", "(1975)")]
    expect(page.locator("#likes li")).to_have_count(3)
    before = titles(page)
    assert len(before) == 10
    assert not set(before) & set(picked)
    assert "language model" in page.locator("#status").inner_text()
    page.get_by_role("button", name=f"Like {before[0]}", exact=True).click()
    expect(page.locator("#likes li")).to_have_count(4)
    expect(page.locator("#list .title").first).not_to_have_text(before[0])
    after = titles(page)
    assert after != before
    assert before[0] not in after
    page.reload()
    expect(page.locator("#likes li")).to_have_count(4)  # kept on the server
    assert titles(page) == after


def test_it_opens_with_what_people_choose_next(page: Page) -> None:
    expect(page.get_by_label("What people like you chose next")).to_be_checked()  # the model has learned to rate
    expect(page.locator("#list[data-order=next][aria-busy=false]")).to_be_attached()
    ready = {"status": "ready", "task": "ranking", "language_model": False}
    page.route("**/readyz", lambda route: route.fulfill(json=ready))
    page.reload()
    expect(page.get_by_label("Fused")).to_be_checked()
    expect(page.locator("#status")).to_contain_text("the language model added nothing")


def test_orders_categories_and_reasons(page: Page) -> None:
    pick(page, "(1972)")
    fused = titles(page)
    page.get_by_label("Text only").check(force=True)
    expect(page.locator("#list[data-order=text]")).to_be_attached()
    by_text = page.locator("#list .title").all_inner_texts()
    page.get_by_label("Likes only").check(force=True)
    expect(page.locator("#list[data-order=cf]")).to_be_attached()
    assert by_text != page.locator("#list .title").all_inner_texts()
    page.get_by_label("What people like you chose next").check(force=True)
    expect(page.locator("#list[data-order=next]")).to_be_attached()
    expect(page.locator("#status")).to_contain_text("What people like you chose next")
    expect(page.locator("#list .facts").first).to_contain_text("score")
    page.get_by_label("Fused").check(force=True)
    assert titles(page) == fused
    page.get_by_label("Category").select_option("drama")
    expect(page.locator("#list .facts").first).to_contain_text("drama")
    expect(page.locator("#list[data-order=fused][aria-busy=false]")).to_be_attached()
    assert re.fullmatch(r"\d+ % text, \d+ % likes", page.locator(".share").first.get_attribute("aria-label") or "")


def test_because_of_names_what_raised_the_score_or_says_that_nothing_did(page: Page, live: LiveServer) -> None:
    pick(page, "(1972)")
    page.reload()  # what stood there before the pick is gone
    titles(page)
    user = page.evaluate("localStorage.getItem('ccf-llm-user')")
    buttons = page.get_by_role("button", name="Why?")
    shown = [str(button.get_attribute("data-focus")).split()[-1] for button in buttons.all()]
    ask = {"user_id": user, "item_ids": shown, "deadline_ms": 20_000}
    found = page.request.post(f"{live.url}/v1/explain", data=ask).json()["items"]
    raised = [bool(item["reasons"]) for item in found]
    assert set(raised) == {True, False}
    for place in (raised.index(True), raised.index(False)):
        why = buttons.nth(place)
        why.click()
        box = page.locator("#list > li").nth(place).locator(".why")
        if raised[place]:
            expect(box).to_contain_text("Because of")
            expect(box.locator("li")).to_have_count(1)
            assert "(1972)" in box.locator("li").inner_text()
        else:
            expect(box).to_contain_text("None of your newest likes raises its score")
            expect(box.locator("li")).to_have_count(0)
        expect(why).to_have_attribute("aria-expanded", "true")


def test_why_before_anything_is_picked(page: Page) -> None:
    titles(page)
    page.get_by_role("button", name="Why?").first.click()
    expect(page.locator(".why")).to_contain_text("You have not picked anything yet")


def test_a_person_can_be_forgotten(page: Page, live: LiveServer) -> None:
    stranger = titles(page)
    pick(page, "(1973)")
    user = page.evaluate("localStorage.getItem('ccf-llm-user')")
    page.get_by_role("button", name="Forget me").click()
    expect(page.locator("#likes li")).to_have_count(0)
    assert page.evaluate("localStorage.getItem('ccf-llm-user')") != user
    assert page.request.get(f"{live.url}/v1/users/{user}").json() == {"likes": [], "dislikes": []}
    assert titles(page) == stranger


def test_it_works_on_a_phone_and_in_the_dark(browser: Browser, live: LiveServer) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 640}, color_scheme="dark", has_touch=True)
    page = context.new_page()
    page.goto(live.url)
    expect(page.locator("#list > li")).to_have_count(10)
    assert page.evaluate("document.documentElement.scrollWidth") == 320  # nothing sticks out
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    channels = [int(part) / 255 for part in background.removeprefix("rgb(").removesuffix(")").split(",")]
    assert max(channels) < 0.2
    # In one go: the list is drawn anew when the model's ranking arrives.
    small = page.locator("button").evaluate_all(
        "all => all.filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 40).map(e => e.innerText)"
    )
    assert small == []  # a thumb can hit each
    context.close()


HOSTILE = [
    "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>",
    "&lt;i&gt; ${alert(3)} {{ 1 + 1 }} \\u003cb\\u003e",
    "long " * 2000,
    "x" * 10_000,
    "\u202e)99.9+( eltit a fo dne eht\u2067",
]


def test_titles_are_words_and_nothing_else(page: Page) -> None:
    """Whatever they say, and even where they came here as they are."""

    def hostile(route: Route) -> None:
        answer = route.fetch().json()
        for i, item in enumerate(answer["items"]):
            item |= {"title": HOSTILE[i % len(HOSTILE)], "details": HOSTILE[-1 - i % len(HOSTILE)][:300]}
            item |= {"reasons": [{"item_id": "i1", "title": HOSTILE[-1], "effect": 0.25}]}
        route.fulfill(json=answer)

    def opens(dialog: Dialog) -> None:
        opened.append(dialog.message)
        dialog.dismiss()

    opened: list[str] = []
    page.on("dialog", opens)
    pick(page, "(1976)")
    page.route(re.compile("/v1/(recommend|items|explain)"), hostile)
    page.get_by_label("Text only").check(force=True)
    expect(page.locator("#list .title").first).to_have_text(HOSTILE[0])
    assert page.locator("#list .title").all_text_contents() == HOSTILE * 2
    page.get_by_role("button", name="Why?").first.click()
    expect(page.locator(".why bdi")).to_have_text(HOSTILE[-1])  # its signs of direction end with it
    page.get_by_label("Find a title").fill("19")
    expect(page.locator("#found li").first).to_contain_text(HOSTILE[0])
    assert page.locator("main :is(img, script, b, i)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("#list .title, #found li").evaluate_all("all => all.every(e => e.clientHeight < 150)")
    assert opened == []


def test_every_control_has_a_name(page: Page) -> None:
    titles(page)
    names = page.locator("button, input, select").evaluate_all(
        "all => all.filter(e => e.checkVisibility()).map(e => e.getAttribute('aria-label') || e.innerText"
        " || [...(e.labels || [])].map(l => l.innerText).join())"
    )
    assert names
    assert all(name.strip() for name in names)
