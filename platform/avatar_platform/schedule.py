"""What beat sends, how often. Shown and adjustable in the admin under periodic tasks.

`expire_seconds` lets a tick that waited behind an outage die instead of being run late in a row.
"""

from typing import Any, Final

REAP_INTERVAL_S: Final = 1.0
RECONCILE_INTERVAL_S: Final = 30.0

BEAT_SCHEDULE: Final[dict[str, dict[str, Any]]] = {
    "reap sessions": {
        "task": "avatar_platform.sessions.tasks.reap",
        "schedule": REAP_INTERVAL_S,
        "options": {"queue": "control", "expire_seconds": 2},
    },
    "reconcile rooms": {
        "task": "avatar_platform.sessions.tasks.reconcile",
        "schedule": RECONCILE_INTERVAL_S,
        "options": {"queue": "control", "expire_seconds": 30},
    },
}
