from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "avatar_platform.web"
    label = "web"
    verbose_name = "Pages"

    def ready(self) -> None:
        from django.contrib import admin

        # By name, since unfold's own `admin/index.html` is found before any of ours.
        admin.site.index_template = "web/admin/dashboard.html"
