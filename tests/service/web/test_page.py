"""The page in a real browser, with a real service and the default engine."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from impasto.images import encode_picture, read_picture, resize_picture
from impasto.service.web.page_texts import translations
from service.servers import free_port, missing, running_server, wait_for

pytestmark = pytest.mark.slow

SCREENS = Path(__file__).parent / "screens"
FIRST_LOAD = 150_000
"""Bytes, without pictures."""
WAVE = "#gallery button[data-name=great-wave]"
DROP = """([bytes, name, where]) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/jpeg" }));
    const drop = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
    document.querySelector(where).dispatchEvent(drop);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running_server(tmp_path_factory.mktemp("service")) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        missing("chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream"]
        yield playwright.chromium.launch(executable_path=chromium, args=arguments)


@pytest.fixture
def visit(browser, server):
    """Opens the page in a new browser; whatever goes wrong on it, fails the test."""
    contexts, wrong = [], []

    def heard(said):
        # A job that has just ended, or was given up, and its preview may be gone.
        if said.type == "error" and not ("404" in said.text and "/v1/jobs/" in said.location["url"]):
            wrong.append(said.text)

    def opened(path="/", *, url=server, ready=True, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options})
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", heard)
        page.wrong = wrong
        page.goto(url + path)
        if ready:
            page.wait_for_selector("#gallery button")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def shrunk(photo, folder, width, height):
    path = folder / "harbour.jpg"
    path.write_bytes(encode_picture(resize_picture(read_picture(photo), width, height), "jpeg"))
    return path


@pytest.fixture(scope="module")
def small_photo(tmp_path_factory, photo):
    return shrunk(photo, tmp_path_factory.mktemp("photos"), 96, 64)


@pytest.fixture(scope="module")
def photo_on_screens(tmp_path_factory, photo):
    """That of the pictures in ``SCREENS``."""
    return shrunk(photo, tmp_path_factory.mktemp("screens"), 192, 128)


def chosen(page, photo):
    page.set_input_files("#choose", photo)
    page.wait_for_selector("#painting:not([hidden]) #after[src]")
    return page


def optimized(page, style, **fields):
    """Choose the engine gatys, fill its fields, and add one's own style."""
    page.click("#expert summary")
    page.select_option("#engine", "gatys")
    for name, value in fields.items():
        page.fill(f"#expert-fields [name={name}]", value)
    page.set_input_files("#own-style", style)
    page.wait_for_selector("#mix li")
    return page


def painted(page, photo, style=WAVE):
    chosen(page, photo).click(style)
    page.wait_for_selector("#film li[data-state=succeeded]")
    return page


def shown(page, width):
    """Wait until a picture of this width in pixels is on the easel."""
    expect(page.locator("#after")).to_have_js_property("naturalWidth", width)


def sent(page, before=""):
    """Wait until the first frame was sent, as another job than ``before``; return its job."""
    frame = page.locator("#film li").first
    expect(frame).not_to_have_attribute("data-id", re.compile(f"^({before})?$"), timeout=60_000)
    return frame.get_attribute("data-id")


def result_of(page, server):
    frame = page.locator("#film li").first
    expect(frame).to_have_attribute("data-state", "succeeded", timeout=60_000)
    return httpx.get(f"{server}/v1/jobs/{frame.get_attribute('data-id')}/result").content


def test_from_drop_to_downloaded_picture(visit, small_photo, server):
    page = visit()
    data = small_photo.read_bytes()
    page.evaluate(DROP, [list(data), "dropped.jpg", "#easel"])
    expect(page.locator("#easel-title")).to_have_text("dropped.jpg")
    page.fill("#search", "hokusai 1831")
    assert page.locator("#gallery li:visible").count() == 1
    page.click(WAVE)
    expect(page.locator(WAVE)).to_have_attribute("aria-pressed", "true")
    result = result_of(page, server)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    download = downloading.value
    assert re.fullmatch(r"impasto-[0-9a-f]{8}\.jpg", download.suggested_filename)
    assert Path(download.path()).read_bytes() == result
    assert Image.open(io.BytesIO(result)).size == (96, 64)


def test_what_is_dropped_on_the_styles_is_a_style(visit, painting):
    page = visit()
    page.evaluate(DROP, [list(painting.read_bytes()), "mine.jpg", "#gallery"])
    expect(page.locator("#mix li")).to_contain_text("mine.jpg")
    expect(page.locator("#film li")).to_have_count(0)


def test_a_draft_comes_first_and_is_not_kept(visit, small_photo, server):
    page, asked = visit(), []
    page.on("request", lambda request: asked.append((request.method, request.url.removeprefix(server))))
    painted(page, small_photo)
    sent = [path for method, path in asked if method == "POST"]
    assert sent == ["/v1/jobs", "/v1/jobs"], "a draft and the painting"
    deleted = next(path for method, path in asked if method == "DELETE")
    assert httpx.get(server + deleted).status_code == 404
    expect(page.locator("#film li")).to_have_count(1)
    assert page.locator("#film li").get_attribute("data-id") not in deleted


def test_a_style_is_tried_on_ones_own_photo(visit, small_photo, server):
    page = painted(visit(), small_photo)
    other = page.locator("#gallery button[data-name=irises]")
    before = other.locator("img").get_attribute("src")
    other.hover()
    expect(other.locator("img")).to_have_attribute("src", re.compile("^blob:"))
    page.mouse.move(0, 0)
    page.set_input_files("#more", small_photo)
    expect(other.locator("img")).to_have_js_property("src", server + before)


def test_another_wish_paints_again_and_keeps_what_is_finished(visit, small_photo, server):
    page = painted(visit(), small_photo)
    full = result_of(page, server)
    page.fill("#strength", "0.2")
    page.locator("#strength").dispatch_event("change")
    expect(page.locator("#film li")).to_have_count(2)
    weak = result_of(page, server)
    content, *both = (
        np.asarray(Image.open(file), np.float32) for file in (small_photo, *map(io.BytesIO, (full, weak)))
    )
    assert np.abs(both[1] - content).mean() < 0.5 * np.abs(both[0] - content).mean()
    finished = [frame.get_attribute("data-id") for frame in page.locator("#film li").all()]
    for at in (1, 0, 1):  # what was painted hangs again, whatever hung before
        page.locator("#film button").nth(at).click()
        expect(page.locator("#film button").nth(at)).to_have_attribute("aria-current", "true")
        expect(page.locator("#after")).to_have_attribute("src", re.compile(f"/v1/jobs/{finished[at]}/result"))
        expect(page.locator("#strength-out")).to_have_text(("20 %", "100 %")[at])
    expect(page.locator("#film li")).to_have_count(2)


def test_what_is_not_wanted_any_more_is_given_up(visit, small_photo, tmp_path):
    with running_server(tmp_path / "data", "--workers", "0") as client:
        page = chosen(visit(url=str(client.base_url).rstrip("/")), small_photo)
        for style in ("great-wave", "irises", "the-scream"):
            page.click(f"#gallery button[data-name={style}]")
            expect(page.locator("#film li")).to_have_attribute("data-state", "queued")

        def engines():
            return sorted(job["engine"] for job in client.get("/v1/jobs").json()["jobs"])

        wait_for(lambda: engines() == ["fast", "nnst"], what="one draft and one painting")
        page.close()
    page.wrong.clear()


def test_pasted_on_a_desk(visit, small_photo):
    page = visit()
    page.evaluate(
        """(bytes) => {
            const clipboardData = new DataTransfer();
            clipboardData.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/jpeg" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true, bubbles: true }));
        }""",
        list(small_photo.read_bytes()),
    )
    expect(page.locator("#easel-title")).to_have_text("image.png")
    # text that is pasted into a field stays text
    page.focus("#search")
    page.keyboard.insert_text("hokusai")
    expect(page.locator("#search")).to_have_value("hokusai")
    expect(page.locator("#film li")).to_have_count(1)


def test_leaving_the_page_loses_nothing(visit, small_photo):
    page = painted(visit(), small_photo)
    page.reload()
    expect(page.locator("#film li")).to_have_attribute("data-state", "succeeded")
    shown(page, 96)
    assert page.locator("#before").evaluate("image => image.src").startswith("blob:"), "the photograph was kept"
    page.wait_for_selector("#gallery button")
    expect(page.locator("#mix li")).to_contain_text("The Great Wave")
    page.click("#gallery button[data-name=irises]")
    expect(page.locator("#film li")).to_have_count(2)


def test_before_and_after_by_keyboard_and_pointer(visit, small_photo):
    page = painted(visit(), small_photo)
    shown(page, 96)
    cut = page.locator("#cut")
    cut.focus()
    page.keyboard.press("End")
    assert page.locator("#before").evaluate("image => getComputedStyle(image).clipPath") == "inset(0px 0% 0px 0px)"
    page.keyboard.press("Home")
    assert page.locator("#before").evaluate("image => getComputedStyle(image).clipPath") == "inset(0px 100% 0px 0px)"
    box = page.locator("#sides").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    assert abs(float(cut.input_value()) - 25) <= 1
    page.get_by_role("button", name="Actual size").click()
    assert page.locator("#after").bounding_box()["width"] == 96, "a pixel is a pixel"
    page.get_by_role("button", name="Actual size").click()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy a link").click()
    expect(page.locator("#easel-said")).to_contain_text("The link is copied")
    assert httpx.get(page.evaluate("navigator.clipboard.readText()")).headers["content-type"] == "image/jpeg"


def test_a_phone_with_fingers_alone(visit, small_photo):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=2)
    touches = page.context.new_cdp_session(page)

    def drag(selector, start, end):
        """Move a finger over an element, between two places in shares of its width and height."""
        page.locator(selector).scroll_into_view_if_needed()
        box = page.locator(selector).bounding_box()
        for name, (x, y) in (("touchStart", start), *(("touchMove", _between(start, end, n / 8)) for n in range(1, 9))):
            points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}]
            touches.send("Input.dispatchTouchEvent", {"type": name, "touchPoints": points})
        touches.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    assert page.locator("label[for=photograph]").is_visible() and not page.locator("#webcam").is_visible()
    page.set_input_files("#photograph", small_photo)  # the camera is not ours
    page.wait_for_selector("#film li")
    page.tap(WAVE)
    where = page.get_by_role("button", name="Where The Great Wave off Kanagawa applies")
    where.tap()
    drag("#canvas", (0.15, 0.05), (0.15, 0.95))
    page.get_by_role("button", name="Done").tap()
    expect(where).to_have_text("Where it applies (in part)")
    expect(page.locator("#film li").first).to_have_attribute("data-state", "succeeded", timeout=60_000)
    shown(page, 96)
    drag("#sides", (0.5, 0.5), (0.2, 0.5))
    assert abs(float(page.locator("#cut").input_value()) - 20) <= 2


def test_a_photo_is_taken_on_a_desk(visit):
    page = visit()
    take = page.get_by_role("button", name="Take a photo")
    take.click()
    expect(page.locator("#said")).to_contain_text("There is no camera, or this browser may not use it.")
    page.context.grant_permissions(["camera"])
    for leave in ("Cancel", "Take it"):
        take.click()
        expect(page.get_by_role("button", name="Take it")).to_be_enabled()
        assert Axe().run(page).violations_count == 0
        page.locator("#camera").get_by_role("button", name=leave).click()
        expect(page.locator("#camera")).to_be_hidden()
        # The dialog tells of its end a little after it is hidden.
        wait_for(lambda: page.evaluate("document.getElementById('finder').srcObject === null"), what="the camera's end")
    expect(page.locator("#easel-title")).to_have_text("Your photo.jpg")
    width, height = page.locator("#film img").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert max(width, height) == 240


def _between(start, end, share):
    return [one + share * (other - one) for one, other in zip(start, end, strict=True)]


def test_styles_of_ones_own_and_mixed(visit, small_photo, painting, server):
    page = visit()
    page.set_input_files("#own-style", painting)
    page.wait_for_selector("#mix li")
    assert page.locator("#mix input[type=range]").count() == 0 or not page.locator("#mix input").first.is_visible()
    page.click(WAVE)
    weight = page.get_by_label("How much of The Great Wave off Kanagawa")
    weight.fill("0.2")
    weight.dispatch_event("change")
    chosen(page, small_photo)
    result_of(page, server)
    expect(page.locator("#easel-title")).to_have_text(f"{painting.name} + The Great Wave off Kanagawa")
    expect(page.locator("#mix .share").first).to_have_text("83 %")
    for name in ("almond-blossom", "the-scream", "irises"):
        page.click(f"#gallery button[data-name={name}]")
    expect(page.locator("#said")).to_contain_text("At most 4 styles")
    assert page.locator("#mix li").count() == 4


def test_a_brush_says_where_a_style_applies(visit, small_photo, server):
    page = chosen(visit(), small_photo)
    page.click(WAVE)
    before = sent(page)
    page.get_by_role("button", name="Where The Great Wave off Kanagawa applies").click()
    page.locator("#brush-soft").fill("0")
    page.locator("#brush-size").fill("40")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + box["height"] - 2, steps=20)
    page.mouse.up()
    page.locator("#canvas").focus()
    for key in ["ArrowRight", "ArrowLeft", "Space"]:
        page.keyboard.press(key)
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("button", name="Where The Great Wave off Kanagawa applies")).to_have_text(
        "Where it applies (in part)"
    )
    sent(page, before)
    result = result_of(page, server)
    found, given = (np.asarray(Image.open(each), np.int16) for each in (io.BytesIO(result), small_photo))
    assert np.abs(found - given)[:, 72:].mean() < 3, "JPEG twice, and nothing else"
    assert np.abs(found - given)[:, 4:16].mean() > 10


def test_a_part_stays_as_in_the_photograph_in_all_styles(visit, small_photo, server):
    page = chosen(visit(), small_photo)
    page.click(WAVE)
    page.click("#gallery button[data-name=irises]")
    before = sent(page)
    stays = page.get_by_role("button", name="Keep a part as in the photo")
    stays.click()
    page.locator("#brush-soft").fill("0")
    page.locator("#brush-size").fill("40")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + box["height"] - 2, steps=20)
    page.mouse.up()
    page.get_by_role("button", name="Done").click()
    expect(stays).to_have_text("Keep a part as in the photo (painted)")
    expect(stays).to_be_focused()
    sent(page, before)
    found, given = (
        np.asarray(Image.open(each), np.int16) for each in (io.BytesIO(result_of(page, server)), small_photo)
    )
    assert np.abs(found - given)[:, 4:16].mean() < 3, "JPEG twice, and nothing else"
    assert np.abs(found - given)[:, 72:].mean() > 10
    page.get_by_label("How much of Irises").fill("0.5")
    page.get_by_label("How much of Irises").dispatch_event("change")
    expect(page.locator("#film li")).to_have_count(2)
    before = sent(page)
    stays.click()
    page.get_by_role("button", name="Everywhere").click()
    expect(stays).to_have_text("Keep a part as in the photo")
    sent(page, before)
    page.locator("#film button").last.click()
    expect(stays).to_have_text("Keep a part as in the photo (painted)")
    page.locator("#film button").first.click()
    expect(stays).to_have_text("Keep a part as in the photo")


def test_a_style_applies_where_the_picture_is_not_transparent(visit, tmp_path, server):
    content = np.full((48, 64, 4), (90, 140, 200, 255), np.uint8)
    content[:, 32:, 3] = 0
    Image.fromarray(content).save(tmp_path / "half.png")
    page = painted(visit(), tmp_path / "half.png")
    page.get_by_role("button", name="Where The Great Wave off Kanagawa applies").click()
    page.get_by_role("button", name="Where the picture is not transparent").click()
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#film li")).to_have_count(2)
    found = np.asarray(Image.open(io.BytesIO(result_of(page, server))), np.int16)
    assert np.abs(found - content)[:, 33:].max() <= 1 and np.abs(found - content)[:, :31, :3].mean() > 5


def test_several_photographs_at_once(visit, small_photo, photo):
    page = visit()
    page.fill("#size", "96")
    page.set_input_files("#choose", [small_photo, photo])
    expect(page.locator("#paint")).to_have_text("Paint all 2")
    page.click(WAVE)
    page.click("#paint")
    expect(page.locator("#film li[data-state=succeeded]")).to_have_count(2, timeout=60_000)
    expect(page.locator("#said")).to_contain_text("2 accepted")
    page.click("#paint")
    expect(page.locator("#said")).to_contain_text("It is painted like this already.")
    expect(page.locator("#film li")).to_have_count(2)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#film li")).to_have_count(1)
    page.reload()
    expect(page.locator("#film li")).to_have_count(1)


def test_cancel_and_try_again(visit, small_photo, painting):
    page = chosen(visit(), small_photo)
    optimized(page, painting, steps="2000", descriptor="compact", scales="1")
    page.click("#paint")
    frame = page.locator("#film li")
    expect(frame).to_have_attribute("data-state", "running", timeout=60_000)
    expect(page.locator("#easel-state")).to_contain_text("left", timeout=60_000)
    before = page.locator("#after").get_attribute("src")
    expect(page.locator("#after")).not_to_have_attribute("src", before, timeout=60_000)  # a preview
    page.get_by_role("button", name="Cancel").click()
    expect(frame).to_have_attribute("data-state", "canceled", timeout=60_000)
    page.get_by_role("button", name="Try again").click()
    expect(frame).to_have_attribute("data-state", re.compile("queued|running"))
    page.get_by_role("button", name="Cancel").click()
    expect(frame).to_have_attribute("data-state", "canceled", timeout=60_000)


def test_many_jobs_at_once_leave_the_page_free(visit, small_photo, tmp_path):
    with running_server(tmp_path / "data", "--workers", "0") as client:
        page = visit(url=str(client.base_url).rstrip("/"))
        page.click("#expert summary")
        page.fill("#expert-fields [name=steps]", "20")  # so that nothing is painted before it is asked for
        page.set_input_files("#choose", [small_photo] * 8)
        expect(page.locator("#film li")).to_have_count(8)
        page.click(WAVE)
        page.click("#paint")
        expect(page.locator("#film li[data-state=queued]")).to_have_count(8)
        page.locator("#film button").last.click()
        expect(page.locator("#easel-state")).to_contain_text("7 before it in the queue")
        page.reload()
        page.wait_for_selector("#gallery button")
        page.locator("#film button").first.click()
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#film li").first).to_have_attribute("data-state", "canceled")
        page.locator("#film button").last.click()
        expect(page.locator("#easel-state")).to_contain_text("6 before it in the queue")
        page.close()  # it goes on asking about the jobs, and its server ends here


def test_what_is_refused_stays_and_the_others_go(visit, small_photo, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "tiny.png")
    page = visit()
    page.set_input_files("#choose", [tmp_path / "tiny.png", small_photo])
    expect(page.locator("#film li")).to_have_count(2)
    page.click(WAVE)
    page.click("#paint")
    expect(page.locator("#film li[data-state=succeeded]")).to_have_count(1, timeout=60_000)
    expect(page.locator("#said")).to_contain_text("tiny.png was not accepted: The picture is too small.")
    expect(page.locator("#easel-title")).to_have_text("tiny.png")
    page.wrong.clear()  # the browser says that an answer was 422


def test_a_failed_job_says_why(visit, small_photo, painting):
    page = chosen(visit(), small_photo)
    optimized(page, painting, descriptor="nobody").click("#paint")
    expect(page.locator("#film li")).to_have_attribute("data-state", "failed", timeout=60_000)
    expect(page.locator("#easel-state")).to_contain_text(
        "not painted: The server does not know this name. (unknown descriptor"
    )
    expect(page.locator("#said")).to_contain_text("harbour.jpg: not painted")
    assert Axe().run(page).violations_count == 0
    assert page.get_by_role("button", name="Try again").is_visible()


def test_the_brush_can_be_left_and_belongs_to_one_photograph(visit, small_photo, photo):
    page = chosen(visit(), small_photo)
    page.click(WAVE)
    where = page.get_by_role("button", name="Where The Great Wave off Kanagawa applies")
    for leave in ("Done", "Cancel"):
        where.click()
        if leave == "Cancel":
            page.get_by_role("button", name="Swap painted and unpainted").click()
        page.locator("#brush").get_by_role("button", name=leave, exact=True).click()
        expect(where).to_have_text("Where it applies")
    before = sent(page)
    where.click()
    page.get_by_role("button", name="Swap painted and unpainted").click()
    page.get_by_role("button", name="Done").click()
    expect(where).to_have_text("Where it applies (in part)")
    expect(where).to_be_focused()
    sent(page, before)
    page.set_input_files("#more", photo)
    expect(where).to_have_text("Where it applies")
    page.locator("#film button").last.click()
    expect(where).to_have_text("Where it applies (in part)")


def test_large_pictures_are_reduced_and_turned_in_the_browser(visit, tmp_path):
    wide = Image.new("RGB", (12_500, 400), (200, 90, 30))
    wide.save(tmp_path / "wide.png")
    page = chosen(visit(), tmp_path / "wide.png")
    expect(page.locator("#said")).to_contain_text("was reduced from 12,500 to 4,096 pixels")
    turned = Image.new("RGB", (64, 32), (200, 90, 30))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    page.set_input_files("#more", tmp_path / "turned.jpg")
    expect(page.locator("#easel-title")).to_have_text("turned.jpg")
    small = page.locator("#film img").first
    assert small.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [32, 64]


def test_what_is_refused_says_why(visit, tmp_path, small_photo):
    page = visit()
    page.click("#paint")
    assert page.evaluate("document.activeElement.id") == "choose", "the browser asks for a photograph"
    (tmp_path / "no.jpg").write_text("no picture")
    page.set_input_files("#choose", tmp_path / "no.jpg")
    expect(page.locator("#said")).to_contain_text("no.jpg is not a picture that this browser can read")
    chosen(page, small_photo).click("#paint")
    expect(page.locator("#said")).to_contain_text("Choose a style first")
    page.click("#expert summary")
    page.select_option("#engine", "transformer")
    page.click(WAVE)
    page.click("#paint")
    expect(page.locator("#said")).to_contain_text("The engine transformer paints in its own style; remove the styles")


def test_the_server_restarts_in_the_middle(visit, small_photo, painting, tmp_path):
    port = free_port()
    with running_server(tmp_path / "data", port=port) as client:
        page = chosen(visit(url=str(client.base_url).rstrip("/")), small_photo)
        optimized(page, painting, steps="150", descriptor="compact", scales="1").click("#paint")
        expect(page.locator("#film li")).to_have_attribute("data-state", "running", timeout=60_000)
    expect(page.locator("#said")).to_contain_text("The server cannot be reached")
    page.wrong.clear()  # the browser says that connections were refused
    with running_server(tmp_path / "data", port=port):
        expect(page.locator("#film li")).to_have_attribute("data-state", "succeeded", timeout=90_000)
        page.close()
        page.wrong.clear()


def test_a_proxy_may_hold_back_the_stream(visit, photo_on_screens):
    page, held = visit(), []
    page.route("**/events", lambda route: held.append(route))  # which is never answered
    painted(page, photo_on_screens)
    assert held


def test_offline(visit):
    page = visit()
    page.evaluate("navigator.serviceWorker.ready")
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("#said")).to_contain_text("The server cannot be reached")
    assert page.locator("h1").inner_text().strip() == "impasto"
    page.wrong.clear()


def test_with_keys(visit, small_photo, tmp_path):
    data = tmp_path / "data"
    command = [sys.executable, "-m", "impasto", "keys", "create", "somebody", "--data-dir", str(data)]
    key = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    with running_server(data, "--auth") as client:
        page = visit(url=str(client.base_url).rstrip("/"), ready=False)
        expect(page.locator("#said")).to_contain_text("an API key is needed")
        page.wrong.clear()
        page.fill("#key", key)
        page.locator("#key").blur()
        page.wait_for_selector("#gallery button")
        painted(page, small_photo)
        shown(page, 96)
        page.evaluate("localStorage.setItem('impasto.key', 'wrong')")
        page.reload()
        expect(page.locator("#said")).to_contain_text("This service asks for a key")
        page.wrong.clear()
        page.fill("#key", key)
        page.locator("#key").blur()
        expect(page.locator("#film li")).to_have_attribute("data-state", "succeeded")
        page.close()
        page.wrong.clear()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_fits_every_screen(visit, small_photo, width, language):
    page = visit(f"/?lang={language}", viewport={"width": width, "height": 800})
    page.click("#expert summary")
    page.click(WAVE)
    chosen(page, small_photo)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width >= 1000:
        assert page.evaluate("document.documentElement.scrollHeight") <= 800, "one screen"


def test_languages(visit, server):
    page = visit(locale="zh-CN")
    expect(page.locator("#paint")).to_have_text("开始绘画")
    page.fill("#search", "梵高")
    assert page.locator("#gallery li:visible").count() >= 8
    page.click("#expert summary")
    page.select_option("#engine", "gatys")
    said = page.locator("#engine-note, #expert-fields label").all_inner_texts()
    assert len(said) > 20
    assert [text for text in said if not re.search("[\u4e00-\u9fff]", text)] == []
    page.get_by_role("link", name="English").click()
    expect(page.locator("#paint")).to_have_text("Paint")
    page.goto(server)
    expect(page.locator("#paint")).to_have_text("Paint")
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_text_without_a_translation_is_shown_in_english(visit):
    page = visit(locale="zh-CN", service_workers="block")
    reworded = "A sentence that nobody has translated."

    def reword(route):
        found = route.fetch().json()
        found["engines"][0]["summary"] = reworded
        route.fulfill(json=found)

    page.route("**/v1/engines", reword)
    page.reload()
    expect(page.locator("#engine-note")).to_have_text(reworded)
    expect(page.locator("#paint")).to_have_text("开始绘画")


def test_what_an_engine_has_not_is_not_offered(visit, server):
    page = visit()
    page.click("#expert summary")
    for engine in httpx.get(f"{server}/v1/engines").json()["engines"]:
        if not engine["available"]:
            continue
        page.select_option("#engine", engine["name"])
        for name in ("strength", "keep_colors", "stroke_size", "size"):
            expect(page.locator(f"#{name}")).to_be_visible(visible=name in engine["options"]["properties"])
    page.select_option("#engine", "transformer")
    expect(page.locator("#stroke_size")).to_be_hidden()


def test_by_keyboard_alone(visit, small_photo):
    page = visit()

    def tab_to(selector):
        for _ in range(120):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} cannot be reached")

    tab_to("#choose")
    page.set_input_files("#choose", small_photo)  # the dialog of the system is not ours
    page.wait_for_selector("#film li")
    tab_to("#search")
    page.keyboard.type("great wave")
    tab_to(WAVE)
    page.keyboard.press("Enter")
    tab_to("#strength")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#strength-out").inner_text() == "95 %"
    tab_to("#paint")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text(re.compile("1 accepted|painted like this already"))
    page.wait_for_selector("#film li[data-state=succeeded]")
    tab_to("#film button")
    page.keyboard.press("Enter")
    tab_to("#cut")
    page.keyboard.press("ArrowRight")
    assert page.locator("#cut").input_value() == "1"


def test_without_javascript(visit, small_photo):
    page = visit(java_script_enabled=False, ready=False)
    page.set_input_files("#choose", small_photo)
    page.select_option("select[name=style]", "great-wave")
    page.click("#paint")
    image = page.locator("img.result")
    while not image.count():
        page.wait_for_timeout(200)  # so that the worker gets the processor
        page.get_by_role("link", name="Look again").click()
    assert Image.open(io.BytesIO(httpx.get(page.url.split("/jobs")[0] + image.get_attribute("src")).content)).size == (
        96,
        64,
    )
    page.goto(page.url + "x")
    expect(page.locator("main")).to_contain_text("deleted by the server")
    page.get_by_role("link", name="Paint another one").click()
    page.set_input_files("#choose", {"name": "no.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    page.fill("#size", "96")
    page.select_option("select[name=style]", "the-scream")
    page.click("#paint")
    expect(page.get_by_role("alert")).to_contain_text("is not a JPEG")
    assert page.input_value("#size") == "96" and page.input_value("select[name=style]") == "the-scream"
    page.wrong.clear()  # the browser says that answers were 404 and 422


def clean(page):
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize(
    ("scheme", "width", "locale"), [("light", 1280, "en-GB"), ("dark", 1280, "zh-CN"), ("light", 390, "zh-CN")]
)
def test_everybody_can_use_it(visit, small_photo, scheme, width, locale):
    said = translations(locale[:2]).gettext
    page = visit(color_scheme=scheme, viewport={"width": width, "height": 844}, locale=locale)
    clean(page)
    page.click("#expert summary")
    page.click(WAVE)
    page.click("#gallery button[data-name=the-scream]")
    chosen(page, small_photo)
    page.wait_for_selector("#film li[data-state=running], #film li[data-state=succeeded]")
    clean(page)
    page.click("#search")
    page.fill("#search", "nobody")
    clean(page)
    page.fill("#search", "")
    page.locator("#mix li button:not(.remove)").first.click()
    clean(page)
    page.get_by_role("button", name=said("Everywhere")).click()
    page.wait_for_selector("#film li[data-state=succeeded]")
    clean(page)
    page.get_by_role("button", name=said("Actual size")).click()
    clean(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it_when_something_is_wrong(visit, small_photo, painting, scheme, tmp_path):
    page = visit(color_scheme=scheme)
    optimized(chosen(page, small_photo), painting, descriptor="nobody").click("#paint")
    page.wait_for_selector("#film li[data-state=failed]")
    clean(page)
    page.evaluate("navigator.serviceWorker.ready")
    page.context.set_offline(True)
    page.reload()
    expect(page.locator("#said")).to_contain_text("The server cannot be reached")
    clean(page)
    page.context.set_offline(False)
    page.goto(page.url + "jobs/nobody")
    clean(page)
    with running_server(tmp_path / "data", "--auth") as client:
        page.goto(str(client.base_url))
        expect(page.locator("#said")).to_contain_text("an API key is needed")
        clean(page)
    page.wrong.clear()


def test_the_first_load_is_small_and_nothing_comes_from_elsewhere(visit, server):
    sizes, hosts = {}, set()
    page = visit(ready=False)

    def note(response):
        hosts.add(response.url.split("/")[2])
        if "/thumbnail" not in response.url and not response.url.endswith(".svg"):
            sizes[response.url] = len(response.body())

    page.on("response", note)
    page.reload()
    page.wait_for_selector("#gallery button")
    page.wait_for_load_state("networkidle")
    assert sum(sizes.values()) < FIRST_LOAD, sizes
    assert hosts == {server.split("/")[2]}
    policy = httpx.get(server).headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    manifest = httpx.get(f"{server}/manifest.webmanifest").json()
    for icon in manifest["icons"]:
        assert httpx.get(server + icon["src"]).headers["content-type"] == icon["type"]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_nothing_jumps_and_pictures_out_of_sight_are_not_loaded(visit, small_photo, server, width, height):
    page = visit(viewport={"width": width, "height": height}, ready=False)
    page.add_init_script(
        """window.shifts = [];
        const told = ({ value, hadRecentInput }) => [value, hadRecentInput];
        const note = (list) => shifts.push(...list.getEntries().map(told));
        new PerformanceObserver(note).observe({ type: "layout-shift", buffered: true });"""
    )
    asked = set()
    page.on("request", lambda request: asked.add(request.url))
    page.reload()
    page.wait_for_selector("#gallery button")
    page.wait_for_load_state("networkidle")
    names = [style["name"] for style in httpx.get(f"{server}/v1/styles").json()["styles"]]
    assert f"{server}/v1/styles/{names[0]}/thumbnail" in asked
    assert f"{server}/v1/styles/{names[-1]}/thumbnail" not in asked
    painted(page, small_photo)
    shown(page, 96)
    assert sum(value for value, caused_by_the_user in page.evaluate("shifts") if not caused_by_the_user) < 0.05


def looks_as_it_did(page, name):
    """Compare what is seen with the picture of this name; IMPASTO_WRITE_SCREENS=1 keeps what is seen instead."""
    page.evaluate("document.activeElement.blur()")
    unseen = """[...document.images].some((image) => {
        const { top, left, right } = image.getBoundingClientRect();
        return !image.complete && top < innerHeight && left < innerWidth && right > 0;
    })"""
    wait_for(lambda: not page.evaluate(unseen), what="every picture that is seen")
    seen = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    seen = seen.resize((seen.width // 2, seen.height // 2))
    file = SCREENS / f"{name}.png"
    if os.environ.get("IMPASTO_WRITE_SCREENS"):
        seen.quantize(64).save(file, optimize=True)
    known = Image.open(file).convert("RGB")
    # Fonts differ between machines: what is compared is the arrangement, seen from afar; the worst of 8x8 parts counts.
    far = [np.asarray(each.resize((64, 64)), np.float32).reshape(8, 8, 8, 8, 3) / 255 for each in (seen, known)]
    assert np.abs(far[0] - far[1]).mean((1, 3, 4)).max() < 0.12, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("device", "width", "language"), [("phone", 390, "en"), ("desk", 1280, "en"), ("phone", 390, "zh")]
)
def test_it_looks_as_it_did(visit, photo_on_screens, device, width, language, scheme):
    screen = {"viewport": {"width": width, "height": 900}, "color_scheme": scheme, "reduced_motion": "reduce"}
    page = visit(f"/?lang={language}", **screen)
    name = f"{device}-{language}-{scheme}"
    looks_as_it_did(page, f"{name}-empty")
    painted(page, photo_on_screens)
    shown(page, 192)
    page.wait_for_selector("#said .ended")
    page.evaluate("scrollTo(0, 0)")
    looks_as_it_did(page, f"{name}-painted")
    page.locator("#mix li button:not(.remove)").first.click()
    page.locator("#invert").click()
    looks_as_it_did(page, f"{name}-brush")


def test_requests_of_other_sites_are_refused(server, small_photo):
    form = {"files": {"content": small_photo.read_bytes()}, "data": {"style": "great-wave"}}
    for path, site in product(("/paint", "/v1/jobs"), ("cross-site", "same-site")):
        answer = httpx.post(server + path, headers={"Sec-Fetch-Site": site}, **form)
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert httpx.get(server, headers={"Host": "elsewhere.example"}).status_code == 400
