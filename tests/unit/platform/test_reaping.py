"""What the reaper notices, on a clock that is told to go on."""

import pytest

from avatar_contracts.beat import LEASE_S, EventKind
from avatar_platform.fleet import leases
from avatar_platform.fleet.models import AvatarWorker
from avatar_platform.sessions import reaping, reconciling
from avatar_platform.sessions.models import Session
from tests import factories
from tests.unit.platform.conftest import Worker, World, bring_up, tell

pytestmark = [pytest.mark.component, pytest.mark.django_db]


class Time:
    """Lets seconds pass as they do in production: signs, beats and ticks, each second."""

    def __init__(self, world: World) -> None:
        self._world = world

    def passes(self, seconds: int, *workers: Worker, web: bool = True) -> None:
        for _ in range(seconds):
            self._world.clock.advance(1)
            if web:
                leases.give_sign(leases.WEB)
                for worker in workers:
                    worker.beat()
            reaping.reap()
            self._world.tasks.run()


@pytest.fixture
def time(world: World, db: None) -> Time:
    leases.give_sign(leases.WEB)
    made = Time(world)
    made.passes(10)
    return made


@pytest.fixture
def committing(django_capture_on_commit_callbacks):
    """What waits for a commit runs when the block ends."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


def fresh(session: Session) -> Session:
    session.refresh_from_db()
    return session


def queued(person: factories.Person) -> Session:
    return Session.objects.get(pk=person.post("/sessions", {"character": "test-card"}).json()["id"])


def test_a_silent_workers_session_is_handed_out_again_as_the_next_epoch(
    time: Time, world: World, worker: Worker, ada: factories.Person, committing
) -> None:
    session = bring_up(world, worker, ada)
    with committing():
        time.passes(1)
        assert fresh(session).status == "ready"
        time.passes(2)
    assert (fresh(session).status, session.epoch, session.worker) == ("queued", 2, None)
    time.passes(1)
    assert world.tasks.offers[-1] == (str(session.pk), 2, "default")
    assert worker.beat().dead


def test_a_beating_worker_keeps_its_sessions(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada)
    time.passes(30, worker)
    assert (fresh(session).status, session.epoch) == ("ready", 1)


def test_a_worker_whose_render_loop_stands_still_loses_its_sessions(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada)
    for _ in range(4):
        worker.beat(rendering=False)
        time.passes(1)
    assert fresh(session).epoch == 2
    assert worker.beat().dead


def test_a_worker_that_shows_nobody_yet_need_not_render(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = queued(ada)
    worker.beat()
    worker.claim(session.pk)  # loading the character takes its time
    for _ in range(8):
        worker.beat(rendering=False)
        time.passes(1)
    assert (fresh(session).status, session.epoch) == ("provisioning", 1)


def test_while_the_platform_could_not_hear_nobody_is_blamed(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada)
    time.passes(20, web=False)  # the web process is away: no beat can arrive
    assert fresh(session).epoch == 1
    time.passes(int(3 * LEASE_S) - 1)  # it is back, but has not listened for long enough
    assert fresh(session).epoch == 1
    time.passes(3)
    assert fresh(session).epoch == 2


def test_most_workers_silent_at_once_are_given_ten_seconds(
    time: Time, world: World, client, ada: factories.Person
) -> None:
    workers = [Worker(client, f"worker-{i}") for i in range(3)]
    sessions = [bring_up(world, worker, ada) for worker in workers]
    time.passes(1, *workers)
    time.passes(9, workers[0])  # two of three fall silent
    assert [fresh(session).epoch for session in sessions] == [1, 1, 1]
    time.passes(4, workers[0])
    assert [fresh(session).epoch for session in sessions] == [1, 2, 2]


def test_one_of_three_silent_workers_is_declared_dead_at_once(
    time: Time, world: World, client, ada: factories.Person
) -> None:
    workers = [Worker(client, f"worker-{i}") for i in range(3)]
    sessions = [bring_up(world, worker, ada) for worker in workers]
    time.passes(3, *workers[:2])
    assert [fresh(session).epoch for session in sessions] == [1, 1, 2]


def test_a_session_given_up_by_its_worker_without_a_word_is_handed_out_again(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada)
    worker.held.clear()
    time.passes(9, worker)
    assert fresh(session).epoch == 1
    time.passes(3, worker)
    assert fresh(session).epoch == 2


def test_a_worker_is_told_to_leave_what_is_no_longer_its_own(
    world: World, worker: Worker, ada: factories.Person
) -> None:
    from avatar_contracts.states import EndReason
    from avatar_platform.sessions.services import end_session

    session = bring_up(world, worker, ada)
    assert worker.beat().stop == ()
    end_session(session_id=session.pk, reason=EndReason.API_CLOSED)
    (order,) = worker.beat().stop
    assert (order.session, order.epoch) == (str(session.pk), 1)


def test_a_queued_session_whose_task_was_lost_is_offered(
    time: Time, world: World, ada: factories.Person
) -> None:
    session = queued(ada)  # nothing runs after the commit here, as if the broker had been away
    time.passes(2)
    assert world.tasks.offers == [(str(session.pk), 1, "default")]
    time.passes(20)
    assert len(world.tasks.offers) == 1, "without a free slot there is no point in repeating"


def test_a_queued_session_is_offered_again_while_slots_are_free(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    queued(ada)
    time.passes(8, worker)
    # Offered in second 1, and again once 5 s have passed.
    assert len(world.tasks.offers) == 2


def test_an_agent_that_does_not_join_within_5_s_is_dispatched_again_and_finally_given_up(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = queued(ada)
    worker.beat()
    worker.claim(session.pk)
    tell(session, EventKind.FIRST_FRAME)
    time.passes(2, worker)
    assert len(world.rooms.dispatches[session.room]) == 1
    time.passes(5, worker)
    assert len(world.rooms.dispatches[session.room]) == 2
    time.passes(40, worker)
    assert (fresh(session).status, session.end_reason) == ("failed", "AGENT_LOST")
    assert len(world.rooms.dispatches[session.room]) == 6


def test_an_agent_asked_for_while_livekit_was_away_is_asked_for_again(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = queued(ada)
    worker.beat()
    worker.claim(session.pk)
    world.rooms.is_away = True
    time.passes(3, worker)
    world.rooms.is_away = False
    time.passes(6, worker)
    assert len(world.rooms.dispatches[session.room]) == 1


@pytest.mark.parametrize(
    ("wish", "seconds", "reason"),
    [
        ({"max_duration_s": 20, "idle_timeout_s": 3600}, 20, "MAX_DURATION_REACHED"),
        ({"idle_timeout_s": 15}, 15, "IDLE_TIMEOUT"),
    ],
)
def test_a_deadline_ends_an_active_session(
    time: Time,
    world: World,
    worker: Worker,
    ada: factories.Person,
    wish: dict[str, int],
    seconds: int,
    reason: str,
) -> None:
    session = bring_up(world, worker, ada, **wish)
    tell(session, EventKind.USER_JOINED)
    time.passes(seconds - 2, worker)
    assert fresh(session).status == "active"
    time.passes(3, worker)
    assert fresh(session).end_reason == reason


def test_activity_and_keep_alive_start_the_idle_time_anew(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada, idle_timeout_s=15)
    tell(session, EventKind.USER_JOINED)
    time.passes(12, worker)
    tell(session, EventKind.USER_SPEAK_STARTED)
    time.passes(12, worker)
    assert ada.post(f"/sessions/{session.pk}/keep-alive").status_code == 204
    time.passes(12, worker)
    assert fresh(session).status == "active"


def test_a_visitor_who_never_comes_ends_the_session(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada)
    time.passes(62, worker)
    assert fresh(session).end_reason == "PARTICIPANT_ABSENT"


def test_waiting_too_long_fails_the_session(
    time: Time, world: World, ada: factories.Person
) -> None:
    session = queued(ada)
    time.passes(302)
    assert (fresh(session).status, session.end_reason) == ("failed", "QUEUE_TIMEOUT")


def test_an_ending_that_livekit_hinders_is_tried_again_and_ends_at_last(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada)
    world.rooms.is_away = True
    ada.post(f"/sessions/{session.pk}/end")
    time.passes(10, worker)
    assert fresh(session).status == "ending"
    time.passes(25, worker)
    assert (fresh(session).status, session.end_reason) == ("ended", "API_CLOSED")
    assert session.room in world.rooms.rooms
    world.rooms.is_away = False
    world.clock.advance(60)
    reconciling.reconcile()
    assert world.rooms.rooms == {}, "the orphan room is removed as soon as LiveKit is back"


def test_reconciling_restores_a_missing_room_and_leaves_foreign_ones_alone(
    world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada)
    world.rooms.delete_room(session.room)
    world.rooms.ensure_room("somebody-elses", metadata="", empty_timeout_s=1)
    world.clock.advance(60)
    reconciling.reconcile()
    assert set(world.rooms.rooms) == {session.room, "somebody-elses"}
    assert fresh(session).agent_joined_at is None, "the agent went with the room"


def test_reconciling_forgets_workers_that_died_yesterday(world: World, worker: Worker) -> None:
    worker.beat()
    AvatarWorker.objects.update(dead_at=world.clock.now())
    world.clock.advance(25 * 3600)
    reconciling.reconcile()
    assert not AvatarWorker.objects.exists()


def test_two_reapers_at_once_change_nothing_twice(
    time: Time, world: World, worker: Worker, ada: factories.Person
) -> None:
    session = bring_up(world, worker, ada)
    time.passes(3)
    reaping.reap()
    reaping.reap()
    assert fresh(session).epoch == 2
