"""How the admin looks and what its side bar leads to (django-unfold's `UNFOLD` setting)."""

from typing import Any, Final

from django.templatetags.static import static
from django.urls import reverse_lazy

# The page's accent, from its lightest wash to its darkest ink.
_TEAL: Final = {
    "50": "oklch(97.5% .015 187)",
    "100": "oklch(94% .035 187)",
    "200": "oklch(88% .065 187)",
    "300": "oklch(80% .09 187)",
    "400": "oklch(71% .105 187)",
    "500": "oklch(61% .105 187)",
    "600": "oklch(49% .085 187)",
    "700": "oklch(43% .075 187)",
    "800": "oklch(37% .062 187)",
    "900": "oklch(32% .05 187)",
    "950": "oklch(23% .04 187)",
}


def _item(title: str, icon: str, view: str, **more: Any) -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{view}"), **more}


UNFOLD: Final[dict[str, Any]] = {
    "SITE_TITLE": "Avatar platform",
    "SITE_HEADER": "Avatar platform",
    "SITE_SYMBOL": "face",
    "SITE_URL": "/",
    "SHOW_VIEW_ON_SITE": True,
    "SHOW_BACK_BUTTON": True,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("web/face.svg")}
    ],
    "STYLES": [lambda request: static("web/admin.css")],
    "SCRIPTS": [lambda request: static("web/admin.js")],
    "COLORS": {"primary": _TEAL},
    "DASHBOARD_CALLBACK": "avatar_platform.web.dashboard.fill",
    "SIDEBAR": {
        "show_search": False,
        "navigation": [
            {
                "items": [
                    _item("Dashboard", "monitoring", "index"),
                    _item("Sessions", "forum", "avatar_sessions_session_changelist"),
                    _item("Workers", "memory", "fleet_avatarworker_changelist"),
                ]
            },
            {
                "title": "Who is shown",
                "separator": True,
                "items": [
                    _item("Characters", "face", "characters_character_changelist"),
                    _item("Versions", "deployed_code", "characters_characterversion_changelist"),
                    _item("Consents", "verified_user", "characters_consent_changelist"),
                ],
            },
            {
                "title": "Who may call",
                "separator": True,
                "items": [
                    _item("Accounts", "apartment", "access_account_changelist"),
                    _item("API keys", "key", "access_apikey_changelist"),
                    _item("Operators", "person", "auth_user_changelist"),
                ],
            },
            {
                "title": "Who is told",
                "separator": True,
                "items": [
                    _item("Webhooks", "webhook", "webhooks_endpoint_changelist"),
                    _item("Messages", "outgoing_mail", "webhooks_delivery_changelist"),
                ],
            },
        ],
    },
}
