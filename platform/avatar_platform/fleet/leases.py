"""Who is alive, by the database's clock.

A lease belongs to a worker, not to a session: one update a second keeps all its sessions. It is
renewed by beats, and only while pictures are made; a lease that ran out is noticed by the reaper.
"""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Final

from avatar_contracts.beat import LEASE_S, WorkerBeat
from avatar_platform import clock
from avatar_platform.fleet.models import AvatarWorker, PlatformProcess
from avatar_platform.observability import log

WEB: Final = "web"
REAPER: Final = "reaper"
SIGN_INTERVAL_S: Final = 0.5
SIGN_GAP_S: Final = 1.5
"""Silence of a process of ours after which it counts as restarted; shorter than a lease."""
GRACE_S: Final = 3 * LEASE_S
"""How long the platform must have been able to hear before it blames a worker for silence."""
MASS_EXPIRY_HOLD_S: Final = 10.0
"""How long it waits when most workers fall silent together: that smells of our own network."""


def give_sign(process: str) -> None:
    """Note that this process of the platform works; after a gap it counts as newly started."""
    now = clock.now()
    gap = now - timedelta(seconds=SIGN_GAP_S)
    known = PlatformProcess.objects.filter(name=process)
    if known.filter(seen_at__gt=gap).update(seen_at=now):
        return
    if not known.update(seen_at=now, up_since=now):
        PlatformProcess.objects.get_or_create(
            name=process, defaults={"seen_at": now, "up_since": now}
        )


def heard_until(now: datetime) -> datetime | None:
    """Until when the web process, to which beats go, has surely listened.

    None while it has not been up, without a gap, for long enough.
    """
    return (
        PlatformProcess.objects.filter(name=WEB, up_since__lte=now - timedelta(seconds=GRACE_S))
        .values_list("seen_at", flat=True)
        .first()
    )


def renew(beat: WorkerBeat, *, shows_faces: bool) -> bool:
    """Take a worker's beat; a worker never heard of is registered.

    Args:
        shows_faces: it has a session whose face is on screen. Then its render loop must have
            advanced since the last beat, or the lease is left to run out.

    Returns:
        False when this incarnation has been declared dead.
    """
    now = clock.now()
    until = now + timedelta(seconds=LEASE_S)
    report = {
        "host": beat.host[:200],
        "device": beat.device[:200],
        "worker_class": beat.worker_class,
        "slots": beat.slots,
        "draining": beat.draining,
        "render_progress": beat.render_progress,
        "characters": list(beat.characters),
        "figures": [asdict(figures) for figures in beat.sessions],
        "last_beat_at": now,
    }
    living = AvatarWorker.objects.filter(pk=beat.worker, dead_at=None)
    advanced = living.exclude(render_progress=beat.render_progress) if shows_faces else living
    if advanced.update(**report, lease_until=until) or living.update(**report):
        return True
    worker, is_new = AvatarWorker.objects.get_or_create(
        pk=beat.worker, defaults={**report, "lease_until": until, "started_at": now}
    )
    if is_new:
        log().info("worker registered", worker_id=beat.worker, slots=beat.slots)
    return worker.dead_at is None


def admit(worker_id: str) -> bool:
    """Whether this worker may claim. One that claims before its first beat is registered."""
    now = clock.now()
    worker, _ = AvatarWorker.objects.get_or_create(
        pk=worker_id,
        defaults={"lease_until": now + timedelta(seconds=LEASE_S), "last_beat_at": now},
    )
    return worker.dead_at is None


def expire_workers() -> list[str]:
    """Declare dead whose lease ran out; returns their ids. They never come back.

    Only a lease that ran out while we listened counts. And when more than half of several workers
    fall silent at once, they are given a moment.
    """
    now = clock.now()
    heard = heard_until(now)
    if heard is None:
        return []
    living = list(AvatarWorker.objects.filter(dead_at=None))
    silent = [worker for worker in living if worker.lease_until <= heard]
    if not silent:
        return []
    oldest = min(worker.lease_until for worker in silent)
    together = len(living) >= 2 and len(silent) * 2 > len(living)
    if together and oldest > now - timedelta(seconds=MASS_EXPIRY_HOLD_S):
        log().warning("most workers silent at once", silent=len(silent), of=len(living))
        return []
    dead = []
    for worker in silent:
        if AvatarWorker.objects.filter(pk=worker.pk, dead_at=None, lease_until__lte=now).update(
            dead_at=now
        ):
            log().warning("worker declared dead", worker_id=worker.pk, host=worker.host)
            dead.append(worker.pk)
    return dead
