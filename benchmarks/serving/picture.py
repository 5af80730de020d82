"""The README's picture of the page: three films picked, ten recommended, and why the first one.

ccf-llm serve RUN --port 8000
python benchmarks/serving/picture.py http://127.0.0.1:8000 docs/serving.png docs/serving-dark.png
"""

import shutil
import sys

from playwright.sync_api import Browser, expect, sync_playwright

FILMS = ("Toy Story", "Aladdin", "Lion King")
PATIENCE = 120_000  # ms


def photograph(browser: Browser, url: str, path: str, *, dark: bool) -> None:
    """Pick the films, wait for the language model's order, ask for a reason and take the picture."""
    context = browser.new_context(viewport={"width": 1000, "height": 900}, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(url)
    for number, film in enumerate(FILMS, 1):
        page.get_by_label("Find a title").focus()
        page.keyboard.type(film)
        page.keyboard.press("Enter")
        expect(page.locator("#likes li")).to_have_count(number, timeout=PATIENCE)
    page.get_by_label("Fused").check(force=True)
    expect(page.locator("#list[data-order=fused][aria-busy=false]")).to_be_attached(timeout=PATIENCE)
    page.get_by_role("button", name="Why?").first.click()
    expect(page.get_by_text("Because of (")).to_be_visible(timeout=PATIENCE)
    page.screenshot(path=path)
    context.close()


def main(url: str, light: str, dark: str) -> None:
    """Both pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        photograph(browser, url, light, dark=False)
        photograph(browser, url, dark, dark=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
