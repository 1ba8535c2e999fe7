"""The page of one-time links in a real browser: by keyboard, on a phone and a desk, over a real server."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright
from tests.support.served import Server, served
from tests.support.tools.chromium import ARGUMENTS, chromium, library_path

NARROW = {"width": 320, "height": 640}
DESK = {"width": 1280, "height": 800}
_PATIENCE_MS = 60_000
SECRET = re.compile(r"proof_(?:live|test)_\w{13}_\w{43}_\w{6}")
# Pictures to look at are kept where this names a folder.
PICTURES = os.environ.get("PROOF_TEST_PICTURES")

expect.set_options(timeout=_PATIENCE_MS)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(chromium()),
            args=list(ARGUMENTS),
            env={**os.environ, **library_path()},
        )
        yield opened
        opened.close()


@pytest.fixture(params=[NARROW, DESK], ids=["phone", "desk"])
def context(browser: Browser, request: Any) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport=request.param, locale="en-GB")
    opened.set_default_timeout(_PATIENCE_MS)
    yield opened
    opened.close()


def link(server: Server) -> str:
    return str(server.add_partner(link=True)["handover_url"])


def pressed(page: Page, name: str) -> None:
    """Reach a button by Tab, as somebody without a mouse does, and press it."""
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == name:
            outline = page.evaluate(
                "getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            )
            assert outline, "whoever moves by keyboard must see where they are"
            page.keyboard.press("Enter")
            return
    raise AssertionError(f"{name} is not reached by Tab")


def fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def accessible(page: Page) -> None:
    report = Axe().run(page)
    assert report.violations_count == 0, report.generate_report()


def picture(page: Page, name: str) -> None:
    if PICTURES:
        width = page.viewport_size["width"] if page.viewport_size else 0
        page.screenshot(path=Path(PICTURES) / f"handover-{name}-{width}.png", full_page=True)


def test_it_is_opened_copied_saved_and_gone_by_keyboard_alone(
    server: Server, context: BrowserContext, tmp_path: Path
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, url, said = context.new_page(), link(server), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    assert "#" not in page.url, "the secret has left the address bar"
    assert fits(page)
    assert not SECRET.search(page.content())
    picture(page, "before")
    accessible(page)
    pressed(page, "Show them now")
    expect(page.locator("#sheet")).to_contain_text("proof_live_")
    sheet = page.locator("#sheet").inner_text()
    assert len(SECRET.findall(sheet)) == 4
    assert fits(page)
    picture(page, "after")
    accessible(page)
    expect(page.locator("#sheet")).to_be_focused()  # a reader begins at what came
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    pressed(page, "Copy all")
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#sheet").text_content()
    with page.expect_download() as download:
        pressed(page, "Save as a file")
    saved = tmp_path / "sheet.md"
    download.value.save_as(saved)
    assert SECRET.findall(saved.read_text()) == SECRET.findall(sheet)
    assert said == []
    again = context.new_page()
    again.goto(url)
    pressed(again, "Show them now")
    expect(again.get_by_role("status")).to_contain_text("This link was opened already")
    expect(again.get_by_role("button", name="Show them now")).to_be_hidden()
    assert fits(again)
    picture(again, "gone")
    accessible(again)
    assert not SECRET.search(again.content())


def test_leaving_before_it_is_stored_is_asked_about(
    server: Server, context: BrowserContext
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page, asked = context.new_page(), list[str]()

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", answer)
    page.goto(link(server))
    pressed(page, "Show them now")
    expect(page.locator("#sheet")).to_contain_text("proof_live_")
    with page.expect_event("dialog"):
        page.evaluate("setTimeout(() => location.assign('about:blank'))")
    expect(page.locator("#sheet")).to_contain_text("proof_live_")
    assert asked == ["beforeunload"]
    page.get_by_role("button", name="Copy all").press("Enter")
    expect(page.get_by_role("status")).to_have_text("Copied.")
    page.goto("about:blank")
    assert asked == ["beforeunload"]


def test_a_server_that_is_away_uses_nothing_up(server: Server, context: BrowserContext) -> None:
    page, url = context.new_page(), link(server)
    page.goto(url)
    context.set_offline(True)
    pressed(page, "Show them now")
    expect(page.get_by_role("status")).to_contain_text("cannot be reached")
    context.set_offline(False)
    page.get_by_role("button", name="Show them now").press("Enter")
    expect(page.locator("#sheet")).to_contain_text("proof_live_")


def test_the_dark_page_is_read_as_well(server: Server, browser: Browser) -> None:
    with browser.new_context(viewport=DESK, color_scheme="dark") as context:  # type: ignore[arg-type]
        context.set_default_timeout(_PATIENCE_MS)
        page = context.new_page()
        page.goto(link(server))
        pressed(page, "Show them now")
        expect(page.locator("#sheet")).to_contain_text("proof_live_")
        picture(page, "dark")
        accessible(page)
