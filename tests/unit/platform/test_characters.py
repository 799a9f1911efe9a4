"""Characters: imported once, published with consent, edited by people, downloaded by workers."""

import hashlib
import subprocess
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from avatar_platform.characters.models import TEST_CARD, Character, CharacterVersion, ConsentKind
from avatar_platform.characters.services import (
    ensure_test_card,
    has_consent,
    import_bundle,
    publish,
    record_consent,
    retire,
    revoke_consent,
)
from avatar_platform.config import get_settings
from avatar_platform.errors import CharacterUnavailableError
from tests import factories
from tests.unit.platform import bundle_files as make
from tests.unit.platform.conftest import Worker, World, bring_up

pytestmark = [pytest.mark.component, pytest.mark.django_db]


def test_the_test_card_is_there_from_the_first_migration_on() -> None:
    card = Character.objects.get(slug=TEST_CARD)
    assert card.published_version is not None
    assert card.published_version.is_built_in
    assert card.consents.get().kind == ConsentKind.SYNTHETIC
    ensure_test_card()
    assert CharacterVersion.objects.count() == 1


def test_without_consent_a_bundle_is_kept_and_not_published(tmp_path: Path) -> None:
    version = import_bundle(path=make.folder(tmp_path / "b"))
    assert version.character.published_version is None
    with pytest.raises(CharacterUnavailableError, match="consent"):
        publish(version=version)
    record_consent(character=version.character, kind=ConsentKind.PERSON, subject="Grace")
    publish(version=version)
    assert Character.objects.get(slug="grace").published_version == version


def test_a_bundle_imported_twice_is_one_version_and_another_the_next(tmp_path: Path) -> None:
    kind = ConsentKind.SYNTHETIC
    first = import_bundle(path=make.folder(tmp_path / "a"), consent=kind)
    assert import_bundle(path=make.folder(tmp_path / "b"), consent=kind) == first
    changed = make.folder(tmp_path / "c", make.files(width="128"))
    second = import_bundle(path=changed, consent=kind)
    assert (second.number, second.width) == (2, 128)
    assert first.character.consents.count() == 1
    assert Character.objects.get(slug="grace").published_version == second


def test_a_new_character_takes_the_bundles_persona_and_an_edited_one_keeps_its_own(
    tmp_path: Path,
) -> None:
    character = import_bundle(path=make.folder(tmp_path / "a")).character
    assert (character.greeting, character.language) == ("Good day.", "en-GB")
    assert character.knowledge[0]["answer"] == "My name is Grace."
    character.greeting = "Hi!"
    character.save()
    import_bundle(path=make.folder(tmp_path / "b", make.files(width="128")))
    character.refresh_from_db()
    assert character.greeting == "Hi!"


def test_a_worker_downloads_exactly_the_bundle_with_its_checksum(
    tmp_path: Path, worker: Worker
) -> None:
    version = import_bundle(path=make.folder(tmp_path / "a"))
    answer = worker.get(f"bundles/{version.pk}")
    body = b"".join(async_to_sync(_all)(answer))
    assert answer["ETag"] == f'"{version.sha256}"'
    assert int(answer["Content-Length"]) == len(body) == version.size_bytes
    assert hashlib.sha256(body).hexdigest() == version.sha256


async def _all(answer) -> list[bytes]:
    return [chunk async for chunk in answer]


@pytest.mark.parametrize("name", ["x", "../../etc/passwd", "00000000-0000-0000-0000-000000000000"])
def test_there_is_no_bundle_of_another_name(worker: Worker, name: str) -> None:
    assert worker.get(f"bundles/{name}").status_code == 404


def test_a_built_in_character_has_no_bundle(worker: Worker) -> None:
    version = Character.objects.get(slug=TEST_CARD).published_version
    assert version is not None
    assert worker.get(f"bundles/{version.pk}").status_code == 404


def test_the_api_shows_characters_with_their_picture(tmp_path: Path, ada: factories.Person) -> None:
    import_bundle(
        path=make.folder(tmp_path / "a"), account=ada.account, consent=ConsentKind.SYNTHETIC
    )
    shown = {item["slug"]: item for item in ada.get("/characters").json()["items"]}
    assert shown["grace"]["startable"]
    assert shown["grace"]["published_version"]["engine"] == "synctalk"
    picture = ada.client.get(shown["grace"]["preview_url"])
    assert (picture["Content-Type"], picture.content) == ("image/png", b"\x89PNG not really")
    assert ada.get("/characters/grace").json()["id"] == shown["grace"]["id"]
    assert ada.get("/characters/test-card/preview").status_code == 404


def test_a_retired_character_is_shown_but_cannot_be_started(ada: factories.Person) -> None:
    retire(character=factories.character(ada.account))
    assert not ada.get("/characters/grace").json()["startable"]
    assert ada.post("/sessions", {"character": "grace"}).status_code == 422


def test_an_accounts_own_character_goes_before_everybodys_of_the_same_name(
    ada: factories.Person, cleo: factories.Person
) -> None:
    everybodys = factories.character(None)
    adas = factories.character(ada.account)
    assert ada.get("/characters/grace").json()["id"] == str(adas.pk)
    assert cleo.get("/characters/grace").json()["id"] == str(everybodys.pk)


def test_an_application_keeps_its_own_characters(
    ada: factories.Person, tmp_path: Path, world: World
) -> None:
    made = ada.post("/characters", {"slug": "grace", "name": "Grace", "greeting": "Hi."})
    assert made.status_code == 201
    assert made["Location"] == f"/api/v1/characters/{made.json()['id']}"
    assert not made.json()["startable"]
    assert ada.post("/characters", {"slug": "grace", "name": "G"}).json()["field"] == "slug"

    with make.archive(tmp_path / "b.zip").open("rb") as file:
        version = ada.client.post("/api/v1/characters/grace/versions", data={"bundle": file})
    assert (version.status_code, version.json()["number"]) == (201, 1)
    character = Character.objects.get(slug="grace")
    assert character.published_version is None, "there is no consent yet"
    record_consent(character=character, kind=ConsentKind.PERSON, subject="Grace")
    publish(version=character.versions.get())

    patched = ada.client.patch(
        "/api/v1/characters/grace",
        data={"voice": "piper:joe", "knowledge": [{"questions": ["Why?"], "answer": "So."}]},
        content_type="application/json",
    )
    assert (patched.json()["voice"], patched.json()["greeting"]) == ("piper:joe", "Hi.")
    session = ada.post("/sessions", {"character": "grace"}).json()["id"]
    bundle = Path(character.versions.get().bundle.path)
    assert bundle.exists()
    assert ada.delete("/characters/grace").status_code == 204
    assert not bundle.exists()
    assert ada.get(f"/sessions/{session}").json()["end_reason"] == "AVATAR_DELETED"


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=ü",
        "application/x-www-form-urlencoded; charset=latin-1",
    ],
)
def test_an_upload_that_is_no_form_is_refused(ada: factories.Person, kind: str) -> None:
    ada.post("/characters", {"slug": "grace", "name": "Grace"})
    answer = ada.client.post("/api/v1/characters/grace/versions", data="abc", content_type=kind)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_an_upload_of_too_many_parts_is_refused(ada: factories.Person) -> None:
    ada.post("/characters", {"slug": "grace", "name": "Grace"})
    files = {f"a{n}": SimpleUploadedFile("f", b"x") for n in range(101)}
    fields = {f"a{n}": "x" for n in range(1001)}
    for parts in (files, fields):
        answer = ada.client.post("/api/v1/characters/grace/versions", data=parts)
        assert answer.status_code == 422
        assert "at most 100 files and 1000 fields" in answer.json()["detail"]


def test_an_accounts_own_characters_can_be_read_as_they_were_written(
    ada: factories.Person, cleo: factories.Person
) -> None:
    wish = {
        "slug": "grace",
        "name": "Grace",
        "description": "A guide.",
        "instructions": "Be kind.",
        "voice": "piper:joe",
        "language": "en-GB",
        "greeting": "Hi.",
        "knowledge": [{"questions": ["Why?"], "answer": "So."}],
    }
    made = ada.post("/characters", wish).json()
    (listed,) = [who for who in ada.get("/characters").json()["items"] if who["slug"] == "grace"]
    for told in (made, listed, ada.get("/characters/grace").json()):
        assert {field: told[field] for field in wish} == wish
    assert cleo.get("/characters/grace").status_code == 404
    everybodys = ada.get("/characters/test-card").json()
    assert (everybodys["instructions"], everybodys["knowledge"]) == (None, None)


@pytest.mark.parametrize("slug", ["6a0f5a3e-4b1c-4d6e-8f00-000000000000", "deadbeef" * 4])
def test_a_slug_that_reads_as_an_id_is_refused(ada: factories.Person, slug: str) -> None:
    answer = ada.post("/characters", {"slug": slug, "name": "Grace"})
    assert (answer.status_code, answer.json()["field"]) == (422, "slug")
    assert "cannot be taken for an id" in answer.json()["detail"]


def test_a_refused_slug_is_told_in_words(ada: factories.Person) -> None:
    told = ada.post("/characters", {"slug": "Grace H", "name": "Grace"}).json()
    assert told["detail"].startswith("slug: expected 1 to 60 lower-case letters, digits, - and _")
    assert told["detail"].endswith("found 'Grace H'")


def test_a_refused_upload_leaves_nothing_behind(
    ada: factories.Person, tmp_path: Path, settings
) -> None:
    ada.post("/characters", {"slug": "grace", "name": "Grace"})
    with make.link(tmp_path / "b.zip").open("rb") as file:
        answer = ada.client.post("/api/v1/characters/grace/versions", data={"bundle": file})
    assert (answer.status_code, answer.json()["code"]) == (422, "bundle_refused")
    assert not CharacterVersion.objects.filter(character__slug="grace").exists()
    assert not list(Path(settings.MEDIA_ROOT).rglob("*.zip"))


def test_everybodys_characters_are_changed_by_operators_only(ada: factories.Person) -> None:
    answer = ada.delete("/characters/test-card")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_usage_counts_sessions_and_the_seconds_a_face_was_there(
    ada: factories.Person, cleo: factories.Person, world: World, worker: Worker
) -> None:
    from avatar_platform.sessions.models import Session

    session = bring_up(world, worker, ada)
    ada.post("/sessions", {"character": "test-card"})
    cleo.post("/sessions", {"character": "test-card"})
    ended = world.clock.now() + timedelta(seconds=90)
    Session.objects.filter(pk=session.pk).update(status="ended", ended_at=ended)
    world.clock.advance(120)
    told = ada.get("/usage").json()
    assert (told["sessions"], told["ready"], told["seconds"]) == (2, 1, 90)
    assert len(told["days"]) == 1
    later = (world.clock.now() - timedelta(seconds=1)).isoformat()
    assert ada.get("/usage", since=later).json()["sessions"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"until": "0001-01-01T00:00:00Z"}, "until"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"until": "9999-12-31T23:59:59-12:00"}, "until"),
        ({"since": "2026-02-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
    ],
)
def test_usage_of_no_span_is_refused(
    ada: factories.Person, query: dict[str, str], field: str
) -> None:
    answer = ada.get("/usage", **query)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_there_are_voices_for_every_provider(ada: factories.Person) -> None:
    voices = ada.get("/voices").json()["items"]
    assert {voice["provider"] for voice in voices} == {"gemini", "offline"}


def test_the_command_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = str(make.folder(tmp_path / "b"))
    call_command("import_character", bundle)
    assert "not published: no consent record" in capsys.readouterr().out
    call_command("import_character", bundle, consent="synthetic", name="ada")
    assert "ada version 1: synctalk, 256×256" in capsys.readouterr().out
    with pytest.raises(CommandError, match=f"{tmp_path}/nothing: there is neither a folder nor a"):
        call_command("import_character", str(tmp_path / "nothing"))
    with pytest.raises(CommandError, match="give a bundle, or"):
        call_command("import_character", bundle, data=tmp_path)
    with pytest.raises(CommandError, match="give a bundle, or"):
        call_command("import_character")


@pytest.mark.parametrize("wrong", ["Foo Bar", "a/../../b", "x" * 300])
@pytest.mark.parametrize("option", ["name", "account"])
def test_what_cannot_be_a_slug_is_refused(option: str, wrong: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="a slug is 1 to 60 letters"):
        call_command("import_character", str(make.folder(tmp_path / "b")), **{option: wrong})
    assert not Character.objects.exclude(slug=TEST_CARD).exists()


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder and a workspace; the avatar worker's converter is played."""
    for name, variable in (("data", "SYNCTALK_DATA_PATH"), ("space", "SYNCTALK_WORKSPACE")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1")
        monkeypatch.setenv(variable, str(tmp_path / name))
    get_settings.cache_clear()
    return tmp_path


@pytest.fixture
def ran(trained: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What was asked of the converter, which makes a bundle of the name it is given."""
    ran: list[list[str]] = []

    def convert(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        given = dict(pairwise(command))
        make.folder(Path(given["--out"]), make.files(name=f'"{given["--name"]}"'))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", convert)
    return ran


def test_a_trained_character_is_converted_in_a_process_of_its_own_and_once(
    trained: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        call_command("import_character", from_settings=True)
    assert len(ran) == 1, "an unchanged folder is not converted again"
    assert ran[0][1:4] == ["-m", "avatar_worker", "import"]
    assert "--portrait" in ran[0]
    assert "default version 1" in capsys.readouterr().out
    assert Character.objects.get(slug="default").published_version is not None
    (trained / "space" / "file").write_bytes(b"22")
    call_command("import_character", from_settings=True)
    assert len(ran) == 2


def test_consent_name_and_account_count_for_folders_that_are_known_already(
    trained: Path, ran: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    # They were dropped when the folders had not changed, and the character stayed unpublished.
    folders = {"data": trained / "data", "workspace": trained / "space"}
    call_command("import_character", **folders)
    assert "not published: no consent record (--consent)" in capsys.readouterr().out
    call_command("import_character", **folders, consent="person")
    assert capsys.readouterr().out.endswith(", published\n")
    assert len(ran) == 1
    call_command("import_character", **folders, name="three")
    call_command("import_character", **folders, account="studio")
    owned = Character.objects.exclude(slug=TEST_CARD).values_list("slug", "account__slug")
    assert set(owned) == {("data", None), ("three", None), ("data", "studio")}


def test_at_a_start_a_withdrawn_consent_stays_withdrawn(ran: list[list[str]]) -> None:
    call_command("import_character", from_settings=True)
    character = Character.objects.get(slug="default")
    revoke_consent(consent=character.consents.get())
    call_command("import_character", from_settings=True)
    assert not has_consent(character)


def test_another_audio_encoder_is_another_character(
    trained: Path, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.pth", "b.pth"):
        (trained / name).write_bytes(b"1")
        monkeypatch.setenv("SYNCTALK_AVE_PATH", str(trained / name))
        get_settings.cache_clear()
        call_command("import_character", from_settings=True)
    assert len(ran) == 2


def test_what_the_converter_refuses_is_said(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = subprocess.CompletedProcess([], 1, "", "checkpoint holds NaN")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: refused)
    with pytest.raises(CommandError, match="checkpoint holds NaN"):
        call_command("import_character", from_settings=True)


def test_without_a_trained_character_nothing_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCTALK_DATA_PATH", "no/such/folder")
    get_settings.cache_clear()
    call_command("import_character", from_settings=True)
    assert "no trained character at no/such/folder" in capsys.readouterr().out
