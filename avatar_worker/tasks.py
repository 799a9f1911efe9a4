"""The Celery app of the avatar worker: one task, which holds a slot for as long as a session lives.

The queue is only a hint; the claim decides. So the task is acknowledged at once, and never
retried: what is lost, the platform offers again.
"""

from typing import Final

import structlog
from celery import Celery

from avatar_contracts.streams import BROKER_KEY_PREFIX, TASK_RUN_SESSION, avatar_queue
from avatar_worker.config import WorkerSettings
from avatar_worker.host import SessionHost

log = structlog.get_logger()


def make_app(settings: WorkerSettings, host: SessionHost) -> Celery:
    """The app with its task bound to this process's sessions."""
    app = Celery("avatar_worker", broker=settings.redis_url.get_secret_value())
    app.conf.update(_CONFIG)
    queue = avatar_queue(settings.avatar_class)

    @app.task(name=TASK_RUN_SESSION, ignore_result=True, acks_late=False)
    def run_session(session: str, epoch: int) -> None:
        if host.is_draining:  # popped in the moment of the signal: another worker shall have it
            app.send_task(TASK_RUN_SESSION, args=(session, epoch), queue=queue)
            return
        host.serve(session, int(epoch))

    return app


_CONFIG: Final = {
    # pulls only when a slot is free, so that nothing waits hidden behind a full worker
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    "task_acks_late": False,
    "task_ignore_result": True,
    "task_serializer": "json",
    "accept_content": ["json"],
    # a session survives the broker
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,
    "task_publish_retry_policy": {"max_retries": 3, "interval_max": 1},
    "broker_transport_options": {
        "visibility_timeout": 120,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "socket_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "global_keyprefix": BROKER_KEY_PREFIX,
    },
}
