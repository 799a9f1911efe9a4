from django.apps import AppConfig


class SessionsConfig(AppConfig):
    name = "avatar_platform.sessions"
    label = "avatar_sessions"
    verbose_name = "Sessions"
