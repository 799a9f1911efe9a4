from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "avatar_platform.access"
    label = "access"
    verbose_name = "Accounts and keys"
