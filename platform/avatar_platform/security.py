"""The content security policy, wider for staff pages only."""

from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

ADMIN_DIRECTIVES = {"script-src": ["'unsafe-inline'", "'unsafe-eval'"]}
"""The admin's look evaluates small expressions in the page (Alpine.js)."""


class PolicyMiddleware(CSPMiddleware):
    """Adds what the admin needs to the policy of the admin's pages."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path.startswith(reverse("admin:index")):
            parts.update = {**(parts.update or {}), **ADMIN_DIRECTIVES}
        return parts
