"""Characters: import, publish, retire; nothing is shown without a consent record."""

from pathlib import Path
from typing import Any, Final

from django.core.files.base import ContentFile, File
from django.db import transaction
from django.db.models import Max

from avatar_platform import clock
from avatar_platform.access.models import Account
from avatar_platform.characters import bundles
from avatar_platform.characters.models import (
    TEST_CARD,
    Character,
    CharacterVersion,
    Consent,
    ConsentKind,
)
from avatar_platform.errors import CharacterUnavailableError, InvalidRequestError
from avatar_platform.observability import log
from avatar_platform.slugs import require_slug

_PERSONA_FIELDS: Final = ("instructions", "voice", "language", "greeting", "knowledge")


def ensure_test_card() -> Character:
    """The built-in measuring character; there from the first migration on."""
    character, is_new = Character.objects.get_or_create(
        account=None,
        slug=TEST_CARD,
        defaults={
            "name": "Test card",
            "description": "Numbers every picture and shows the sound's level: for measuring.",
            "greeting": "This is the test card.",
            "instructions": "You help to measure. Answer in one short sentence.",
        },
    )
    if is_new:
        version = CharacterVersion.objects.create(
            character=character, number=1, engine=TEST_CARD, licence="Apache-2.0"
        )
        record_consent(
            character=character,
            kind=ConsentKind.SYNTHETIC,
            subject="a drawing",
            recorded_by="the platform",
        )
        publish(version=version)
    return character


def import_bundle(
    *,
    path: Path,
    account: Account | None = None,
    slug: str = "",
    name: str = "",
    consent: ConsentKind | None = None,
    by: str = "",
    source_sha256: str = "",
) -> CharacterVersion:
    """Check a bundle, keep it as a new version of its character, and publish it if it may be.

    The same bundle imported twice is one version. A new character takes its persona from the
    bundle; an existing one keeps what an operator made of it.

    Args:
        account: whose character it is; None for everybody's.
        slug: instead of the bundle's name.
        consent: the kind of consent to record; with None the character's own records decide.
        by: who imports, for the consent record.
        source_sha256: of what the bundle was converted from, to know it again.

    Raises:
        BundleError: the bundle is refused.
        InvalidRequestError: the slug cannot be one.
    """
    if slug:
        require_slug(Character.slug.field, slug)
    with bundles.opened(path) as bundle, transaction.atomic():
        slug = slug or bundle.name
        character, is_new = Character.objects.get_or_create(
            account=account, slug=slug, defaults={"name": name or slug.replace("-", " ").title()}
        )
        _fill_persona(character, bundle.persona)
        version = character.versions.filter(sha256=bundle.sha256).first()
        if version is None:
            version = _keep(character, bundle)
        if source_sha256:
            version.source_sha256 = source_sha256
            version.save(update_fields=["source_sha256"])
        publish_if_agreed(version=version, consent=consent, reference=bundle.consent, by=by)
    log().info("bundle imported", character=slug, version=version.number, is_new=is_new)
    return version


def publish_if_agreed(
    *,
    version: CharacterVersion,
    consent: ConsentKind | None = None,
    reference: str = "",
    by: str = "",
) -> None:
    """Record a consent where one is given and none is valid; publish if there is one then."""
    character = version.character
    if consent is not None and not has_consent(character):
        record_consent(
            character=character,
            kind=consent,
            subject=character.name,
            reference=reference,
            recorded_by=by,
        )
    if has_consent(character):
        publish(version=version)


def _fill_persona(character: Character, persona: bundles.Persona) -> None:
    given: dict[str, Any] = {field: getattr(persona, field) for field in _PERSONA_FIELDS}
    untouched = not character.instructions and not character.greeting and not character.knowledge
    if untouched:
        for field, value in given.items():
            if value:
                setattr(character, field, value)
        character.save()


def _keep(character: Character, bundle: bundles.Bundle) -> CharacterVersion:
    last = character.versions.aggregate(last=Max("number"))["last"] or 0
    version = CharacterVersion(
        character=character,
        number=last + 1,
        engine=bundle.engine,
        width=bundle.width,
        height=bundle.height,
        sha256=bundle.sha256,
        size_bytes=bundle.size_bytes,
        licence=bundle.licence[:120],
    )
    with bundle.archive.open("rb") as file:
        version.bundle.save(f"{version.pk}.zip", File(file), save=False)
    if bundle.preview:
        name, content = bundle.preview
        suffix = Path(name).suffix
        version.preview.save(f"{version.pk}{suffix}", ContentFile(content), save=False)
    version.save()
    return version


def has_consent(character: Character) -> bool:
    return character.consents.filter(Consent.is_valid_at(clock.now())).exists()


def record_consent(
    *,
    character: Character,
    kind: ConsentKind,
    subject: str,
    scope: str = "",
    reference: str = "",
    recorded_by: str = "",
) -> Consent:
    """Note why this face may be shown."""
    log().info("consent recorded", character=character.slug, kind=kind.value)
    return Consent.objects.create(
        character=character,
        kind=kind,
        subject=subject[:200],
        scope=scope,
        reference=reference[:200],
        recorded_by=recorded_by[:150],
    )


def publish(*, version: CharacterVersion) -> None:
    """Show this version from the next session on; running ones keep theirs.

    Raises:
        CharacterUnavailableError: there is no valid consent.
    """
    character = version.character
    if not has_consent(character):
        raise CharacterUnavailableError("a character is published with a valid consent record only")
    Character.objects.filter(pk=character.pk).update(published_version=version)
    character.published_version = version
    log().info("character published", character=character.slug, version=version.number)


def create_character(*, account: Account, slug: str, name: str, **persona: Any) -> Character:
    """A character of this account, without a look yet.

    Raises:
        InvalidRequestError: the account has one of this slug.
    """
    character, is_new = Character.objects.get_or_create(
        account=account, slug=slug, defaults={"name": name, **persona}
    )
    if not is_new:
        raise InvalidRequestError(f"there is a character {slug!r} already", field="slug")
    log().info("character created", character=slug)
    return character


def edit_character(*, character: Character, **changes: Any) -> Character:
    """Change name, description or persona; sessions from now on have it."""
    for field, value in changes.items():
        setattr(character, field, value)
    character.save(update_fields=list(changes))
    return character


def delete_character(*, character: Character) -> None:
    """Remove it with its bundles; its sessions must have been ended before."""
    for version in character.versions.all():
        version.bundle.delete(save=False)
        version.preview.delete(save=False)
    log().info("character deleted", character=character.slug)
    character.delete()


def retire(*, character: Character) -> None:
    """No new session shows it; running ones go on."""
    Character.objects.filter(pk=character.pk).update(published_version=None)


def revoke_consent(*, consent: Consent) -> None:
    """Withdraw a consent now.

    Without another valid one no session starts any more; end the running ones with
    `sessions.services.end_sessions_of`, as the admin does.
    """
    Consent.objects.filter(pk=consent.pk, revoked_at=None).update(revoked_at=clock.now())
    log().info("consent revoked", character=consent.character.slug)
