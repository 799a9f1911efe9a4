from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "avatar_platform.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"
