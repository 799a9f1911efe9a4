"""Addresses of the pages for visitors."""

from django.urls import path

from avatar_platform.web import views

app_name = "web"
urlpatterns = [
    path("", views.conversation_page, name="page"),
    path("start", views.start, name="start"),
    path("s/<uuid:session_id>/token", views.rejoin, name="token"),
    path("s/<uuid:session_id>/interrupt", views.interrupt, name="interrupt"),
    path("s/<uuid:session_id>/end", views.end, name="end"),
    path("preview/<slug:slug>", views.preview, name="preview"),
]
