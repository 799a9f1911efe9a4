"""Every state of the conversation page, in real Chromium against the real control plane."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from avatar_contracts.beat import EventKind
from avatar_contracts.messages import InterruptCommand
from avatar_platform.local.engines import Found
from avatar_platform.local.processes import wait_until
from tests.e2e.stage import CHARACTERS, WITHIN_MS, Stage, chromium
from tests.integration.platform.stack import PlayedAgent, Stack, report, running_stack
from tests.integration.platform.test_life_of_a_session import commands

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Open = Callable[..., Stage]
REFUSES_MICROPHONE = (
    "navigator.mediaDevices.getUserMedia = async () => "
    "{ throw new DOMException('no', 'NotAllowedError'); };"
)

HOLDS_SOUND_BACK = """
let clicked = false;
addEventListener('click', () => { clicked = true; }, true);
const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  if (clicked || this.tagName !== 'AUDIO') return play.call(this);
  return Promise.reject(new DOMException('no gesture', 'NotAllowedError'));
};
"""
"""As a browser does before the first gesture. Playwright's every look at a page counts as one, so
the browser's own rule cannot be met in a test."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMO_PAGE", "true")
        with running_stack(tmp_path_factory.mktemp("page")) as running:
            running.manage("shell", "-v0", "-c", CHARACTERS)
            yield running


@pytest.fixture(scope="module")
def running_browser(browser_path: Found) -> Iterator[Browser]:
    with chromium(browser_path) as running:
        yield running


@pytest.fixture
def visit(stack: Stack, running_browser: Browser) -> Iterator[Open]:
    """Opens a page of its own for each call."""
    stages: list[Stage] = []

    def opened(*, script: str = "", path: str = "/", **options: Any) -> Stage:
        options.setdefault("viewport", {"width": 1280, "height": 800})
        context = running_browser.new_context(permissions=["microphone"], **options)
        if script:
            context.add_init_script(script)
        stage = Stage(stack, context)
        stages.append(stage)
        stage.open(path)
        return stage

    yield opened
    for stage in stages:
        stage.close()


def is_black(stage: Stage, element: str) -> bool:
    """Whether the middle of the shown picture is (nearly) black."""
    r, g, b, _ = stage.page.evaluate(
        """(id) => { const from = document.getElementById(id);
        const c = document.createElement('canvas'); c.width = c.height = 8;
        const x = c.getContext('2d'); x.drawImage(from, 0, 0, 8, 8);
        return [...x.getImageData(4, 4, 1, 1).data]; }""",
        element,
    )
    return bool(r + g + b < 30)


def test_the_page_offers_the_published_characters_and_says_that_they_are_generated(visit):
    stage = visit()
    stage.shows("idle")
    stage.says("#start", "Talk with Mira")
    stage.page.locator("input[value=noor]").check(force=True)
    stage.says("#start", "Talk with Noor")
    expect(stage.page.locator(".synthetic")).to_be_visible()
    expect(stage.page.locator("#poster")).to_have_js_property("naturalWidth", 256)
    assert stage.complaints == []


def test_everything_is_reached_with_the_keyboard(visit):
    stage = visit()
    expect(stage.page.locator("#start")).to_be_visible()
    stage.page.keyboard.press("Tab")  # the choice of character: one stop, arrows within
    stage.page.keyboard.press("ArrowRight")
    stage.says("#start", "Talk with Noor")
    stage.page.keyboard.press("Tab")
    stage.page.keyboard.press("Enter")
    stage.shows("queued")
    assert stage.read("session.character") == "noor"


def test_who_waits_is_told_the_place_in_line_and_moves_up(visit):
    first, second = visit(), visit()
    first.start()
    first.shows("queued")
    second.start()
    second.says("#headline", "You are number 2 in line")
    first.says("#headline", "You are next")
    first.page.locator("#end").click()
    second.says("#headline", "You are next")
    first.shows("ended")


def test_a_conversation_is_seen_heard_and_read(visit):
    stage = visit()
    cast = stage.converse()
    stage.says("#pill-words", "Live")
    expect(stage.page.locator("#veil")).to_be_hidden()
    stage.wait_for("microphone", "on")
    stage.wait_for("stats.video && avatarPage.stats.video.fps >= 20", True)
    assert not is_black(stage, "video")
    cast.tell("avatar.speak_started")
    cast.avatar_says("a1", "Hello, ", "I am ", "Mira.")
    cast.visitor_is_heard("u1", "Who made", final=False)
    cast.visitor_is_heard("u1", "Who made the clock?", final=True)
    said = [
        {"who": "avatar", "text": "Hello, I am Mira.", "final": True},
        {"who": "user", "text": "Who made the clock?", "final": True},
    ]
    stage.wait_for("captions", said)  # appended for the character, replaced for the visitor
    expect(stage.page.locator("#spoken p")).to_have_text(
        ["Mira: Hello, I am Mira.", "You: Who made the clock?"]
    )
    expect(stage.page.locator("#activity")).to_have_text("Speaking")
    assert cast.visitor_publishes_sound()
    assert stage.complaints == []


def test_picture_and_sound_are_played_together(visit):
    stage = visit()
    stage.converse()
    # The browser needs some sender reports to tell the offset of the tracks, and then moves them
    # towards each other in steps.
    offset = "stats.syncOffsetMs"
    together = f"{offset} !== null && Math.abs(avatarPage.{offset}) < 100"
    stage.wait_for(together, True, within_s=30)
    stats = stage.page.evaluate("avatarPage.readStats()")
    assert stats["audio"]["totalSamples"] > 0


def test_typed_words_reach_the_agent(visit):
    stage = visit()
    cast = stage.converse()
    stage.page.locator("#text").fill("What is it worth?")
    stage.page.locator("#text").press("Enter")
    stage.wait_for("captions.at(-1)?.text", "What is it worth?")
    stage.wait_for("status", "live")
    wait_until(lambda: bool(cast.chats), "the agent has the words", within_s=10)
    assert cast.chats == ["What is it worth?"]
    expect(stage.page.locator("#text")).to_have_value("")


def test_a_muted_microphone_is_said_and_opened_again(visit):
    stage = visit()
    stage.converse()
    stage.wait_for("microphone", "on")
    stage.page.locator("#microphone").click()
    stage.says("#microphone-words", "Your microphone is muted.")
    expect(stage.page.locator("#microphone")).to_have_attribute("aria-pressed", "false")
    stage.page.locator("#microphone").click()
    stage.wait_for("microphone", "on")


def test_without_a_microphone_one_can_still_type(visit):
    stage = visit(script=REFUSES_MICROPHONE)
    cast = stage.converse()
    stage.says("#microphone-words", "The microphone was refused. You can type instead.")
    assert not cast.visitor_publishes_sound()
    expect(stage.page.locator("#text")).to_be_enabled()


def test_escape_interrupts_the_character(visit, stack):
    stage = visit()
    cast = stage.converse()
    PlayedAgent(stack).tell(report(stage.session, 1, EventKind.USER_JOINED))
    cast.agent_state("listening")
    expect(stage.page.locator("#interrupt")).to_be_disabled()
    cast.tell("avatar.speak_started")
    expect(stage.page.locator("#interrupt")).to_be_enabled()
    with stage.page.expect_response("**/interrupt") as answer:
        stage.page.keyboard.press("Escape")
    assert answer.value.status == 204
    assert InterruptCommand() in commands(stack, stage.session)


def test_the_last_picture_stays_while_the_avatar_is_replaced(visit):
    stage = visit()
    cast = stage.converse()
    stage.page.wait_for_timeout(1200)  # one picture kept
    stage.worker.freeze()  # no beat any more: kill -9
    cast.avatar_dies()
    stage.shows("replacing")
    stage.says("#banner", "One moment, Mira will be right back.")
    expect(stage.page.locator("#still")).to_be_visible()
    assert not is_black(stage, "still")
    stage.wait_for("session.status", "queued")
    stage.worker_claims(epoch=2)
    stage.face_appears(epoch=2)
    stage.shows("live")
    expect(stage.page.locator("#still")).to_be_hidden()
    statuses = [entry["status"] for entry in stage.read("history")]
    assert statuses[-3:] == ["live", "replacing", "live"]


def test_a_reload_comes_back_into_the_same_conversation(visit):
    stage = visit()
    cast = stage.converse()
    cast.avatar_says("a1", "Hello.")
    stage.wait_for("captions.length", 1)
    before = stage.session
    stage.page.reload()
    stage.shows("live")
    assert stage.session == before
    assert [line["text"] for line in stage.read("captions")] == ["Hello."]
    assert "queued" not in [entry["status"] for entry in stage.read("history")]


def test_a_reload_after_the_end_begins_anew(visit, stack):
    stage = visit()
    stage.converse()
    admin_ends(stack, stage.session)
    stage.shows("ended")
    stage.page.reload()
    stage.shows("idle")


def in_another_tab(stage: Stage) -> Stage:
    """The same conversation, as after duplicating the tab."""
    saved = stage.page.evaluate("JSON.stringify({...sessionStorage})")
    other = Stage(stage.stack, stage.context)
    other.page.add_init_script(f"Object.assign(sessionStorage, {saved})")
    other.open()
    return other


def test_the_same_conversation_in_another_tab_moves_there(visit):
    stage = visit()
    stage.converse()
    other = in_another_tab(stage)
    other.shows("live")
    stage.shows("moved")
    stage.says("#headline", "Opened in another tab")
    other.page.locator("#end").click()
    other.shows("ended")


def test_ending_says_so_and_offers_another_conversation(visit):
    stage = visit()
    stage.converse()
    stage.page.locator("#end").click()
    stage.shows("ended")
    stage.says("#headline", "The conversation has ended")
    expect(stage.page.locator("#start")).to_be_focused()
    assert not is_black(stage, "still")
    stage.start()
    stage.shows("queued")


def test_an_operator_who_signs_in_to_the_admin_meanwhile_can_still_end_it(visit, stack):
    stage = visit()
    stage.converse()
    code = (
        "from django.contrib.auth.models import User;"
        "User.objects.create_superuser('operator', 'op@example.org', 'secret')"
    )
    stack.manage("shell", "-v0", "-c", code)
    admin = stage.context.new_page()  # of the same browser: cookies are shared
    admin.goto(f"{stack.url}/admin/")
    admin.locator("[name=username]").fill("operator")
    admin.locator("[name=password]").fill("secret")
    admin.locator("[name=password]").press("Enter")
    admin.wait_for_url(f"{stack.url}/admin/")
    with stage.page.expect_response("**/end") as answer:
        stage.page.locator("#end").click()
    assert answer.value.status == 200
    stage.shows("ended")
    assert stage.complaints == []


def admin_ends(stack: Stack, session: str) -> None:
    code = (
        "from avatar_platform.sessions.services import end_session as end;"
        "from avatar_contracts.states import EndReason;"
        f"end(session_id='{session}', reason=EndReason.ADMIN_STOPPED)"
    )
    stack.manage("shell", "-v0", "-c", code)


def test_a_conversation_that_somebody_else_ends_says_why(visit, stack):
    stage = visit()
    stage.converse()
    admin_ends(stack, stage.session)
    stage.shows("ended")
    stage.says("#detail", "It was ended by the operator.")


def test_a_failure_is_said_in_words(visit, stack):
    stage = visit()
    stage.start()
    stage.shows("queued")
    stage.worker_claims()
    agent = PlayedAgent(stack)
    agent.tell(report(stage.session, 1, EventKind.AVATAR_FAILED, reason="CHARACTER_BROKEN"))
    stage.shows("failed")
    stage.says("#headline", "That did not work")
    stage.says("#detail", "This character cannot be shown at the moment.")
    stage.says("#start", "Try again")


def test_too_many_starts_are_refused_with_a_time_to_wait(visit, stack):
    stage = visit()
    client = httpx.Client(base_url=stack.url)
    client.get("/")
    headers = {"X-CSRFToken": client.cookies["csrftoken"], "Referer": stack.url}
    for _ in range(12):
        client.post("/start", json={"character": "nobody"}, headers=headers)
    stage.start()
    stage.shows("refused")
    stage.says("#headline", "All places are taken")
    expect(stage.page.locator("#detail")).to_contain_text("try again in 60 seconds")


def test_a_server_that_is_away_is_said(visit):
    stage = visit()
    stage.page.route("**/start", lambda route: route.abort())
    stage.start()
    stage.shows("refused")
    stage.says("#headline", "The server cannot be reached")


def test_sound_that_the_browser_holds_back_is_freed_by_a_tap(visit):
    stage = visit(script=HOLDS_SOUND_BACK)
    stage.converse()  # begun by a click: sound is allowed
    expect(stage.page.locator("#unlock")).to_be_hidden()
    stage.page.reload()  # nobody has clicked on this page
    stage.shows("live")
    expect(stage.page.locator("#unlock")).to_be_visible(timeout=WITHIN_MS)
    stage.page.locator("#unlock").click()
    expect(stage.page.locator("#unlock")).to_be_hidden()


@pytest.mark.parametrize("size", [(360, 640), (390, 844), (844, 390), (1280, 800), (1920, 1080)])
def test_nothing_is_cut_off_at_any_size(visit, size):
    width, height = size
    stage = visit(viewport={"width": width, "height": height})

    def fits() -> None:
        shown = stage.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        assert shown[0] <= width, stage.read("status")
        assert shown[1] <= height, stage.read("status")
        for part in (".synthetic", "#pill"):
            expect(stage.page.locator(part)).to_be_in_viewport(ratio=1)

    fits()
    expect(stage.page.locator("#start")).to_be_in_viewport(ratio=1)
    stage.start()
    stage.shows("queued")
    fits()
    expect(stage.page.locator("#end")).to_be_in_viewport(ratio=1)
    stage.worker_claims()
    cast = stage.face_appears()
    stage.shows("live")
    for number in range(8):
        cast.avatar_says(f"a{number}", "A sentence that is long enough to need two lines. " * 2)
    stage.wait_for("captions.length", 8)
    fits()
    for part in ("#microphone", "#interrupt", "#end", "#text", "#captions li:last-child"):
        expect(stage.page.locator(part)).to_be_in_viewport()
    stage.page.locator("#end").click()
    stage.shows("ended")
    fits()
    expect(stage.page.locator("#start")).to_be_in_viewport(ratio=1)
