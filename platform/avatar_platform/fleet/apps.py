from django.apps import AppConfig


class FleetConfig(AppConfig):
    name = "avatar_platform.fleet"
    label = "fleet"
    verbose_name = "Avatar workers"
