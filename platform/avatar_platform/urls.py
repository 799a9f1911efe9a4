"""Every address the platform answers."""

from django.contrib import admin
from django.urls import include, path

from avatar_platform import health
from avatar_platform.api import api
from avatar_platform.fleet import api as internal
from avatar_platform.sessions.webhooks import livekit_webhook

urlpatterns = [
    path("api/v1/", api.urls),
    path("internal/v1/beat", internal.beat),
    path("internal/v1/claim", internal.claim),
    path("internal/v1/reports", internal.reports),
    path("internal/v1/bundles/<str:version_id>", internal.bundle),
    path("internal/v1/sessions/<str:session_id>/conversation", internal.conversation),
    path("livekit/webhook", livekit_webhook),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.metrics),
    path("admin/", admin.site.urls),
    path("", include("avatar_platform.web.urls")),
]
