"""Gives the admin pages of other packages (schedule, login protection) the look of ours."""

from django.contrib import admin
from unfold.admin import ModelAdmin

for model, registered in list(admin.site._registry.items()):  # noqa: SLF001  no public way
    if not isinstance(registered, ModelAdmin):
        stock = type(registered)
        admin.site.unregister(model)
        admin.site.register(model, type(stock.__name__, (stock, ModelAdmin), {}))
