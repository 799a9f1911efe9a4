"""The admin: every page renders, in as many queries for many rows as for few; its deeds."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from avatar_platform.access.models import Account, ApiKey
from avatar_platform.access.services import KEYS_AT_ONCE
from avatar_platform.characters.models import Character, CharacterVersion, Consent
from avatar_platform.fleet.models import AvatarWorker
from avatar_platform.sessions.models import Session
from avatar_platform.sessions.timeline import duration_words, percentile, summarise
from tests.unit.web import seeds

pytestmark = [pytest.mark.component, pytest.mark.django_db]

LISTS = (
    "/admin/",
    "/admin/avatar_sessions/session/",
    "/admin/fleet/avatarworker/",
    "/admin/characters/character/",
    "/admin/characters/characterversion/",
    "/admin/characters/consent/",
    "/admin/access/account/",
    "/admin/access/apikey/",
    "/admin/auth/user/",
    "/admin/django_celery_beat/periodictask/",
)


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("op", "op@example.org", "secret"))
    return client


@pytest.fixture
def talking(operator) -> Session:
    return seeds.seed()


def change_url(row: object) -> str:
    meta = row._meta  # type: ignore[attr-defined]
    return f"/admin/{meta.app_label}/{meta.model_name}/{row.pk}/change/"  # type: ignore[attr-defined]


def run_action(client: Client, path: str, action: str, *rows: object):
    chosen = [str(row.pk) for row in rows]  # type: ignore[attr-defined]
    return client.post(path, {"action": action, "_selected_action": chosen, "index": 0})


def test_times_are_written_alike_everywhere(operator, talking):
    html = operator.get("/admin/characters/characterversion/").content.decode()
    assert re.search(r"\b\d{1,2} [A-Z][a-z]{2} 20\d\d, \d\d:\d\d\b", html)
    assert "a.m." not in html
    assert "p.m." not in html


@pytest.mark.parametrize("path", LISTS)
def test_every_list_renders_with_data(operator, talking, path):
    assert operator.get(path).status_code == 200


@pytest.mark.parametrize("path", LISTS)
def test_every_list_renders_without_data(operator, path):
    assert operator.get(path).status_code == 200


@pytest.mark.parametrize("path", LISTS[:8])
def test_more_rows_take_no_more_queries(operator, talking, path):
    operator.get(path)  # once before counting: content types and the like are kept

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            operator.get(path)
        return len(queries)

    before = count()
    for number in range(6):
        account = Account.objects.create(name=f"More {number}", slug=f"more-{number}")
        ApiKey.objects.create(account=account, name="k", prefix=f"p{number}", secret_sha256="x")
        character = Character.objects.create(slug=f"more-{number}", name="More", account=account)
        version = CharacterVersion.objects.create(character=character, number=1, engine="synctalk")
        Character.objects.filter(pk=character.pk).update(published_version=version)
        Consent.objects.create(character=character, kind="synthetic", subject="nobody")
        worker = AvatarWorker.objects.create(
            id=f"more-{number}",
            lease_until=talking.created_at,
            last_beat_at=talking.ready_at,
        )
        for status in ("queued", "active", "failed"):
            Session.objects.create(
                account=account,
                character=character,
                version=version,
                worker=worker,
                status=status,
                ended_at=talking.ready_at,
            )
    assert count() == before


def test_every_row_has_a_page(operator, talking):
    rows = [
        *Session.objects.all(),
        *AvatarWorker.objects.all(),
        *Character.objects.all(),
        *CharacterVersion.objects.all(),
        *Consent.objects.all(),
        *ApiKey.objects.all(),
        *Account.objects.all(),
    ]
    for row in rows:
        assert operator.get(change_url(row)).status_code == 200, change_url(row)


def test_the_dashboard_says_what_runs_what_failed_and_how_fast_it_is(operator, talking):
    context = operator.get("/admin/").context
    # The seed: 3 queued, 1 provisioning, 1 ready, 1 active; 8 + 2 slots alive, 3 of them taken.
    assert {s["name"]: s["count"] for s in context["states"]} == {
        "queued": 3, "provisioning": 1, "ready": 1, "active": 1, "ending": 0,
    }  # fmt: skip
    assert (context["used"], context["slots"]) == (3, 10)
    assert (context["ended"], context["failed"]) == (9, 3)
    names = {latency.name: latency for latency in context["latencies"]}
    # 14 values 640, 663, …: the 7th of them is 640 + 6 * 23.
    assert names["user_stopped_to_first_sound"].p50_ms == 778
    assert "failed repeatedly" in context["failures"][0]["words"]
    assert [w["health"] for w in context["workers"]] == ["serving", "serving", "gone"]


def test_a_sessions_page_tells_its_story_in_words(operator, talking):
    html = operator.get(change_url(talking)).content.decode()
    assert "First picture published" in html
    assert "who made the little brass clock" in html
    assert f'data-socket="/ws/sessions/{talking.pk}"' in html
    assert "25.0" in html  # its figure from the worker's last beat
    failed = Session.objects.filter(status="failed").first()
    assert (
        "The machine that drew the face failed repeatedly."
        in operator.get(change_url(failed)).content.decode()
    )


def test_a_sessions_page_says_how_its_face_is_held(operator, talking):
    assert "the character's own" in operator.get(change_url(talking)).content.decode()
    talking.expression = {"blink_rate": 12.0, "preset": "attentive"}
    talking.picture = {"blend_width": -4}
    talking.save()
    html = operator.get(change_url(talking)).content.decode()
    assert "blink rate 12 · preset attentive" in html
    assert "blend width -4" in html


def test_a_page_of_nothing_is_not_found(operator, talking):
    for path in ("no-id", "00000000-0000-4000-8000-000000000000"):
        answer = operator.get(f"/admin/avatar_sessions/session/{path}/change/")
        assert answer.status_code == 404
    # Django's own way for an unknown row: back to the start, with a message.
    assert operator.get("/admin/fleet/avatarworker/nobody/change/").status_code == 302


def test_ending_from_the_sessions_page_needs_a_post_and_the_right(operator, talking):
    path = f"/admin/avatar_sessions/session/{talking.pk}/end/"
    assert operator.get(path).status_code == 405
    onlooker = Client()
    person = User.objects.create_user("eve", "eve@example.org", "secret", is_staff=True)
    person.user_permissions.add(
        Permission.objects.get(codename="view_session", content_type__app_label="avatar_sessions")
    )
    onlooker.force_login(person)
    assert onlooker.get(change_url(talking)).status_code == 200
    assert onlooker.post(path).status_code == 403
    assert operator.post(path).status_code == 302
    talking.refresh_from_db()
    assert (talking.status, talking.end_reason) == ("ending", "ADMIN_STOPPED")


def test_ending_selected_sessions_leaves_those_that_are_over(operator, talking):
    over = Session.objects.filter(status="ended")[0]
    answer = run_action(operator, "/admin/avatar_sessions/session/", "end_selected", talking, over)
    assert answer.status_code == 302
    over.refresh_from_db()
    talking.refresh_from_db()
    assert (talking.status, over.status) == ("ending", "ended")


def test_erasing_a_session_leaves_nothing_that_was_said(operator, talking):
    operator.post(f"/admin/avatar_sessions/session/{talking.pk}/erase/")
    html = operator.get(change_url(talking)).content.decode()
    assert "brass clock" not in html
    assert talking.lines.count() == 0


def test_a_key_is_shown_once_and_kept_as_a_hash(operator, talking):
    account = Account.objects.get(slug="cleo")
    answer = operator.post(
        "/admin/access/apikey/add/",
        {"account": account.pk, "name": "shop", "scopes": ["sessions:read", "sessions:write"]},
    )
    (secret,) = re.findall(r"ak[0-9a-f]{10}\.[\w-]{43}", answer.content.decode())
    assert "no-store" in answer.headers["Cache-Control"]
    key = ApiKey.objects.get(name="shop")
    assert key.scopes == ["sessions:read", "sessions:write"]
    assert secret.split(".")[1] not in operator.get(change_url(key)).content.decode()
    assert secret.split(".")[1] not in operator.get("/admin/access/apikey/").content.decode()


def test_a_key_is_rotated_by_a_second_one_and_then_revoked(operator, talking):
    old = ApiKey.objects.get(name="website")
    answer = run_action(operator, "/admin/access/apikey/", "rotate", old)
    assert "shown this once" in answer.content.decode()
    assert ApiKey.objects.filter(name="website", revoked_at=None).count() == KEYS_AT_ONCE
    run_action(operator, "/admin/access/apikey/", "rotate", old)  # a third is refused, in words
    assert ApiKey.objects.filter(name="website").count() == KEYS_AT_ONCE
    assert "two keys named" in operator.get("/admin/access/apikey/").content.decode()
    run_action(operator, "/admin/access/apikey/", "revoke", old)
    old.refresh_from_db()
    assert old.revoked_at is not None


def test_a_third_key_of_one_name_is_refused_with_the_reason(operator, talking):
    account = Account.objects.get(slug="cleo")
    form = {"account": account.pk, "name": "shop", "scopes": ["sessions:read"]}
    for _ in range(2):
        operator.post("/admin/access/apikey/add/", form)
    answer = operator.post("/admin/access/apikey/add/", form)
    assert "two keys named" in answer.content.decode()
    assert ApiKey.objects.filter(name="shop").count() == 2


def test_retiring_and_showing_a_character(operator, talking):
    mira = Character.objects.get(slug="mira")
    run_action(operator, "/admin/characters/character/", "retire", mira)
    mira.refresh_from_db()
    assert mira.published_version is None
    run_action(operator, "/admin/characters/character/", "publish_newest", mira)
    mira.refresh_from_db()
    assert mira.published_version is not None


def test_a_character_without_consent_is_not_shown(operator, talking):
    mira = Character.objects.get(slug="mira")
    mira.consents.all().delete()
    run_action(operator, "/admin/characters/character/", "retire", mira)
    run_action(operator, "/admin/characters/character/", "publish_newest", mira)
    mira.refresh_from_db()
    assert mira.published_version is None
    html = operator.get("/admin/characters/character/").content.decode()
    assert "with a valid consent record only" in html


def test_revoking_the_only_consent_ends_the_sessions_it_allowed(operator, talking):
    consent = Consent.objects.get(character__slug="mira")
    run_action(operator, "/admin/characters/consent/", "revoke", consent)
    talking.refresh_from_db()
    assert (talking.status, talking.end_reason) == ("ending", "AVATAR_DELETED")


def test_a_new_persona_is_saved_and_a_broken_bundle_refused(operator, talking):
    from django.core.files.uploadedfile import SimpleUploadedFile

    mira = Character.objects.get(slug="mira")
    form = {
        "name": "Mira", "slug": "mira", "language": "en-US", "knowledge": "[]",
        "greeting": "Welcome!", "published_version": str(mira.published_version_id),
        "versions-TOTAL_FORMS": 0, "versions-INITIAL_FORMS": 0,
        "consents-TOTAL_FORMS": 0, "consents-INITIAL_FORMS": 0,
    }  # fmt: skip
    assert operator.post(change_url(mira), form).status_code == 302
    mira.refresh_from_db()
    assert mira.greeting == "Welcome!"
    broken = SimpleUploadedFile("bundle.zip", b"no zip at all")
    answer = operator.post(change_url(mira), {**form, "bundle": broken})
    assert answer.status_code == 200
    assert "not a readable zip archive" in answer.content.decode()
    assert mira.versions.count() == 1


def test_the_preview_picture_is_for_staff_only(operator, talking):
    version = CharacterVersion.objects.get(character__slug="mira")
    path = f"/admin/characters/characterversion/{version.pk}/preview/"
    assert operator.get(path).headers["Content-Type"] == "image/png"
    assert Client().get(path).status_code == 302


def test_percentiles_are_values_that_occurred():
    # Nearest rank: of 1…20, p50 is the 10th, p95 the 19th value.
    values = list(range(1, 21))
    assert (percentile(values, 50), percentile(values, 95)) == (10, 19)
    assert (percentile([7], 50), percentile([7], 95)) == (7, 7)
    with pytest.raises(ValueError, match="of nothing"):
        percentile([], 50)


def test_reports_that_are_no_latencies_are_left_out():
    (figures,) = summarise([{"name": "a", "ms": 3}, {"name": "a"}, {"ms": 1}, {"name": 2, "ms": 1}])
    assert (figures.count, figures.newest_ms) == (1, 3)


def test_durations_are_told_in_the_units_people_use(talking):
    start = talking.created_at
    from datetime import timedelta

    told = [duration_words(start, start + timedelta(seconds=s)) for s in (42, 185, 7800)]
    assert told == ["42 s", "3 min 05 s", "2 h 10 min"]
