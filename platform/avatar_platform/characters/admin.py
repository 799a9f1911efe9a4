"""Characters in the admin: who they are, which version is shown, and why they may be shown."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin, TabularInline
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from avatar_contracts.states import EndReason
from avatar_platform import clock
from avatar_platform.admin_tools import display
from avatar_platform.characters import services
from avatar_platform.characters.bundles import opened
from avatar_platform.characters.models import Character, CharacterVersion, Consent
from avatar_platform.characters.voices import VOICES
from avatar_platform.errors import PlatformError
from avatar_platform.sessions.models import OPEN, Session
from avatar_platform.sessions.services import end_sessions_of

PICTURE_TYPES: Final = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
CONSENT_TONES: Final = {"valid": "success", "revoked": "danger", "expired": "warning"}

TEXT_ROWS: Final = {"description": 2, "greeting": 2, "instructions": 8, "knowledge": 8}


def voice_choices() -> list[tuple[str, Any]]:
    """The voices we know, by provider; any other name goes to the provider as it is."""
    by_provider: dict[str, list[tuple[str, str]]] = {}
    for voice in VOICES:
        words = f"{voice.id}: {voice.description}, {voice.language}"
        by_provider.setdefault(voice.provider, []).append((voice.id, words))
    return [("", "the provider's own choice"), *by_provider.items()]


def preview_of(version: CharacterVersion | None) -> str | None:
    """Address of the version's picture within the admin."""
    if version is None or not version.preview:
        return None
    return reverse("admin:characters_characterversion_preview", args=[version.pk])


def thumbnail(version: CharacterVersion | None, size_px: int) -> str:
    address = preview_of(version)
    if address is None:
        return "—"
    return format_html(
        '<img class="ap-face" src="{}" alt="" width="{}" height="{}" loading="lazy">',
        address,
        size_px,
        size_px,
    )


class CharacterForm(forms.ModelForm):  # type: ignore[type-arg]  # generic at type-checking time only
    """A new bundle becomes a new version; choosing a version shows it, choosing none retires."""

    bundle = forms.FileField(
        required=False,
        label="New version",
        widget=UnfoldAdminFileFieldWidget,
        help_text="A character bundle (zip). It is checked, kept as the next version, and shown "
        "if there is a valid consent.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, n_rows in TEXT_ROWS.items():
            if name in self.fields:
                self.fields[name].widget.attrs["rows"] = n_rows
        shown = self.fields.get("published_version")
        if isinstance(shown, forms.ModelChoiceField):
            shown.queryset = CharacterVersion.objects.filter(character=self.instance.pk)
            shown.label = "Shown version"
            shown.empty_label = "none: retired"
            shown.help_text = "New sessions show this version; running ones keep theirs."

        if voice := self.fields.get("voice"):
            choices = voice_choices()
            if (own := self.instance.voice) and own not in {known.id for known in VOICES}:
                choices.append((own, own))
            voice.widget = UnfoldAdminSelectWidget(choices=choices)

    def clean_bundle(self) -> UploadedFile | None:
        upload: UploadedFile | None = self.cleaned_data.get("bundle")
        if upload is not None:
            try:
                with _on_disk(upload) as kept, opened(kept):
                    pass
            except PlatformError as error:
                raise forms.ValidationError(error.message) from error
        return upload

    def clean_published_version(self) -> CharacterVersion | None:
        version: CharacterVersion | None = self.cleaned_data["published_version"]
        if version is not None and not services.has_consent(self.instance):
            raise forms.ValidationError("Record a valid consent before showing this character.")
        return version


class VersionInline(TabularInline):  # type: ignore[misc]  # unfold is untyped
    model = CharacterVersion
    fields = ("picture", "number", "engine", "size", "licence", "created_at")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True
    tab = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="")
    def picture(self, version: CharacterVersion) -> str:
        return thumbnail(version, 48)

    @display(description="Size")
    def size(self, version: CharacterVersion) -> str:
        return f"{version.width} × {version.height}"


class ConsentInline(TabularInline):  # type: ignore[misc]  # unfold is untyped
    model = Consent
    fields = ("kind", "subject", "reference", "valid_until", "recorded_by", "revoked_at")
    readonly_fields = ("recorded_by", "revoked_at")
    extra = 0
    can_delete = False
    tab = True

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A record of consent is never rewritten: it is revoked, and another is made."""
        return False


@admin.register(Character)
class CharacterAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    form = CharacterForm
    list_display = ("face", "state", "who", "version", "consent", "voice", "sessions_open")
    list_display_links = ("face", "who")
    list_filter = ("account", "published_version__engine", "language")
    list_select_related = ("account", "published_version")
    search_fields = ("name", "slug", "description")
    prepopulated_fields = {"slug": ("name",)}
    actions = ("publish_newest", "retire")
    inlines = (VersionInline, ConsentInline)
    fieldsets = (
        (None, {"fields": ("name", "slug", "account", "description")}),
        ("What is shown", {"fields": ("picture", "published_version", "bundle")}),
        (
            "Who she is",
            {"fields": ("greeting", "instructions", "voice", "language", "knowledge")},
        ),
    )
    readonly_fields = ("picture",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Character]:
        valid = Consent.objects.filter(Consent.is_valid_at(clock.now()), character=OuterRef("pk"))
        running = (
            Session.objects.filter(character=OuterRef("pk"), status__in=OPEN)
            .order_by()
            .values("character")
            .annotate(n=Count("pk"))
            .values("n")
        )
        found: QuerySet[Character] = super().get_queryset(request)
        return found.annotate(consented=Exists(valid), running=running)

    @display(description="")
    def face(self, character: Character) -> str:
        return thumbnail(character.published_version, 44)

    @display(description="Picture")
    def picture(self, character: Character) -> str:
        return thumbnail(character.published_version, 192)

    @display(description="State", label={"shown": "success", "no consent": "danger"})
    def state(self, character: Character) -> str:
        if character.published_version_id is None:
            return "retired"
        return "shown" if character.consented else "no consent"  # type: ignore[attr-defined]

    @display(description="Character", ordering="name", header=True)
    def who(self, character: Character) -> tuple[str, str]:
        belongs = character.account.name if character.account else "everybody's"
        return character.name, f"{character.slug} · {belongs}"

    @display(description="Version")
    def version(self, character: Character) -> str:
        version = character.published_version
        return f"{version.number} ({version.engine})" if version else "—"

    @display(description="Consent", boolean=True)
    def consent(self, character: Character) -> bool:
        return bool(character.consented)  # type: ignore[attr-defined]  # annotated

    @display(description="Open sessions")
    def sessions_open(self, character: Character) -> int:
        return character.running or 0  # type: ignore[attr-defined]  # annotated

    def save_model(self, request: HttpRequest, obj: Character, form: Any, change: bool) -> None:
        """Persona by the form; what is shown through the services, which demand a consent."""
        wanted = obj.published_version
        if change:
            obj.published_version = Character.objects.get(pk=obj.pk).published_version
        super().save_model(request, obj, form, change)
        if "published_version" in form.changed_data:
            if wanted is None:
                services.retire(character=obj)
            else:
                services.publish(version=wanted)
        upload = form.cleaned_data.get("bundle")
        if upload is not None:
            with _on_disk(upload) as kept:
                version = services.import_bundle(
                    path=kept, account=obj.account, slug=obj.slug, by=request.user.get_username()
                )
            shown = Character.objects.get(pk=obj.pk).published_version_id == version.pk
            how = "and is shown now" if shown else "and waits for a consent"
            messages.success(request, f"The bundle is version {version.number} {how}.")

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for consent in formset.save(commit=False):
            if isinstance(consent, Consent):
                consent.recorded_by = request.user.get_username()
            consent.save()
        formset.save_m2m()

    @admin.action(description="Show the newest version", permissions=("change",))
    def publish_newest(self, request: HttpRequest, chosen: QuerySet[Character]) -> None:
        for character in chosen:
            newest = character.versions.order_by("-number").first()
            if newest is None:
                messages.warning(request, f"{character.name} has no version yet.")
                continue
            _try_publish(request, newest)

    @admin.action(description="Retire: no new session shows them", permissions=("change",))
    def retire(self, request: HttpRequest, chosen: QuerySet[Character]) -> None:
        for character in chosen:
            services.retire(character=character)
        messages.success(request, "Retired. Running sessions go on.")


@admin.register(CharacterVersion)
class CharacterVersionAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Versions never change; one of them is shown."""

    list_display = ("face", "state", "what", "engine", "pixels", "megabytes", "created_at")
    list_display_links = ("face", "what")
    list_filter = ("engine", "character")
    list_select_related = ("character",)
    search_fields = ("character__name", "character__slug", "sha256")
    actions = ("publish",)
    fields = ("face_large", "character", "number", "engine", "pixels", "megabytes", "licence",
              "sha256", "created_at")  # fmt: skip
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<uuid:version_id>/preview/",
            self.admin_site.admin_view(self.preview_view),
            name="characters_characterversion_preview",
        )
        return [own, *super().get_urls()]

    def preview_view(self, request: HttpRequest, version_id: UUID) -> HttpResponse:
        version = CharacterVersion.objects.filter(pk=version_id).first()
        kind = PICTURE_TYPES.get(version.preview.name.rsplit(".", 1)[-1]) if version else None
        if version is None or kind is None:
            raise Http404("no preview picture")
        with version.preview.open("rb") as picture:
            response = HttpResponse(picture.read(), content_type=kind)
        response.headers["Cache-Control"] = "private, max-age=86400, immutable"
        return response

    @display(description="")
    def face(self, version: CharacterVersion) -> str:
        return thumbnail(version, 44)

    @display(description="Picture")
    def face_large(self, version: CharacterVersion) -> str:
        return thumbnail(version, 192)

    @display(description="State", label={"shown": "success"})
    def state(self, version: CharacterVersion) -> str:
        return "shown" if version.character.published_version_id == version.pk else "kept"

    @display(description="Version", ordering="character__name", header=True)
    def what(self, version: CharacterVersion) -> tuple[str, str]:
        return version.character.name, f"version {version.number}"

    @display(description="Pixels")
    def pixels(self, version: CharacterVersion) -> str:
        return f"{version.width} × {version.height}"

    @display(description="Bundle", ordering="size_bytes")
    def megabytes(self, version: CharacterVersion) -> str:
        return "built in" if version.is_built_in else f"{version.size_bytes / 1e6:.1f} MB"

    @admin.action(description="Show this version", permissions=("change",))
    def publish(self, request: HttpRequest, chosen: QuerySet[CharacterVersion]) -> None:
        for version in chosen.select_related("character"):
            _try_publish(request, version)


@admin.register(Consent)
class ConsentAdmin(ModelAdmin):  # type: ignore[misc]  # unfold is untyped
    """Recorded once, never rewritten; revoking one ends what it allowed."""

    list_display = ("state", "character", "kind", "subject", "recorded_by", "recorded_at")
    list_filter = ("kind", ("revoked_at", admin.EmptyFieldListFilter))
    list_select_related = ("character",)
    search_fields = ("subject", "reference", "character__name")
    fields = ("character", "kind", "subject", "scope", "reference", "proof_sha256", "valid_until",
              "recorded_by", "recorded_at", "revoked_at")  # fmt: skip
    readonly_fields = ("recorded_by", "recorded_at", "revoked_at")
    actions = ("revoke",)

    def has_change_permission(self, request: HttpRequest, obj: Consent | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Consent | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("characters.change_consent")

    def save_model(self, request: HttpRequest, obj: Consent, form: Any, change: bool) -> None:
        obj.recorded_by = request.user.get_username()
        super().save_model(request, obj, form, change)

    @display(description="State", label=CONSENT_TONES)
    def state(self, consent: Consent) -> str:
        if consent.revoked_at is not None:
            return "revoked"
        over = consent.valid_until is not None and consent.valid_until <= timezone.now()
        return "expired" if over else "valid"

    @admin.action(description="Revoke, and end the sessions that need it", permissions=("revoke",))
    def revoke(self, request: HttpRequest, chosen: QuerySet[Consent]) -> None:
        ended = 0
        for consent in chosen.select_related("character"):
            services.revoke_consent(consent=consent)
            if not services.has_consent(consent.character):
                ended += end_sessions_of(consent.character, EndReason.AVATAR_DELETED)
        messages.success(request, f"Revoked; {ended} running sessions are ending.")


@contextmanager
def _on_disk(upload: UploadedFile) -> Iterator[Path]:
    """The uploaded archive as a file, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="upload-") as folder:
        path = Path(folder) / "bundle.zip"
        with path.open("wb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        yield path


def _try_publish(request: HttpRequest, version: CharacterVersion) -> None:
    try:
        services.publish(version=version)
    except PlatformError as error:
        messages.error(request, f"{version}: {error.message}.")
    else:
        messages.success(request, f"{version} is shown from the next session on.")
