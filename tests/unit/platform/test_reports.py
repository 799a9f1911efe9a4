"""What workers report, and what becomes of the session."""

import pytest

from avatar_contracts.beat import EventKind
from avatar_platform.gateways.queue import ControlTask
from avatar_platform.sessions.models import Session, SessionEvent, TranscriptLine
from avatar_platform.sessions.services import claim_session
from tests import factories
from tests.unit.platform.conftest import Worker, World, bring_up, tell

pytestmark = [pytest.mark.component, pytest.mark.django_db]


@pytest.fixture
def session(ada: factories.Person, worker: Worker) -> Session:
    """Claimed, nobody in the room yet."""
    found = Session.objects.get(pk=ada.post("/sessions", {"character": "test-card"}).json()["id"])
    worker.beat()
    assert worker.claim(found.pk)
    return found


def status(session: Session) -> str:
    session.refresh_from_db()
    return session.status


@pytest.mark.parametrize("agent_first", [True, False])
def test_ready_needs_the_first_picture_and_the_agent_in_any_order(
    session: Session, agent_first: bool
) -> None:
    kinds = [EventKind.AGENT_JOINED, EventKind.FIRST_FRAME]
    for kind in kinds if agent_first else kinds[::-1]:
        assert status(session) == "provisioning"
        tell(session, kind)
    assert status(session) == "ready"


def test_active_needs_the_visitor_who_may_have_come_before(session: Session) -> None:
    tell(session, EventKind.USER_JOINED)
    tell(session, EventKind.AGENT_JOINED)
    assert status(session) == "provisioning"
    tell(session, EventKind.FIRST_FRAME)
    assert status(session) == "active"


def test_a_report_applied_twice_is_one_event(session: Session) -> None:
    assert tell(session, EventKind.SPEAK_STARTED, key="k")
    assert not tell(session, EventKind.SPEAK_STARTED, key="k")
    assert SessionEvent.objects.filter(kind="avatar.speak_started").count() == 1


def test_a_transcript_line_is_kept_once_and_only_when_final(session: Session) -> None:
    tell(session, EventKind.USER_TRANSCRIPTION, key="p", text="Hel", final=False)
    for _ in range(2):
        tell(session, EventKind.USER_TRANSCRIPTION, key="l", text="Hello", final=True)
    assert [(line.role, line.text) for line in TranscriptLine.objects.all()] == [("user", "Hello")]
    assert not SessionEvent.objects.filter(kind__contains="transcription").exists()


def test_the_avatar_of_an_older_epoch_is_not_heard(session: Session) -> None:
    tell(session, EventKind.AGENT_JOINED)
    tell(session, EventKind.AVATAR_LEFT, key="left")
    assert (status(session), session.epoch) == ("queued", 2)
    claim_session(session_id=str(session.pk), epoch=2, worker_id="worker-1")
    assert not tell(session, EventKind.FIRST_FRAME, epoch=1, key="late")
    assert not tell(session, EventKind.AVATAR_FAILED, epoch=1, key="later")
    assert (status(session), session.epoch) == ("provisioning", 2)
    tell(session, EventKind.FIRST_FRAME, epoch=2)
    assert status(session) == "ready"


def test_an_avatar_that_fails_again_and_again_fails_the_session(session: Session) -> None:
    for epoch in range(1, 7):
        assert status(session) == "provisioning"
        tell(session, EventKind.FIRST_FRAME, epoch=epoch)
        tell(session, EventKind.AVATAR_FAILED, epoch=epoch, message="out of memory")
        claim_session(session_id=str(session.pk), epoch=epoch + 1, worker_id="worker-1")
    assert (status(session), session.end_reason) == ("failed", "WORKER_LOST")


def test_a_character_that_three_workers_could_not_show_is_broken(session: Session) -> None:
    for epoch in range(1, 4):
        assert status(session) == "provisioning"
        tell(session, EventKind.AVATAR_FAILED, epoch=epoch, reason="tensors cannot be read")
        claim_session(session_id=str(session.pk), epoch=epoch + 1, worker_id="worker-1")
    assert (status(session), session.end_reason) == ("failed", "CHARACTER_BROKEN")
    assert session.end_detail == "tensors cannot be read"


def test_agents_that_join_and_fail_are_replaced_twice_and_then_given_up(session: Session) -> None:
    # An agent without credentials joins, fails, leaves: each new one joins, so joining proves
    # nothing.
    for attempt in range(3):
        assert status(session) == "provisioning"
        tell(session, EventKind.AGENT_JOINED, key=f"j{attempt}")
        tell(session, EventKind.AGENT_FAILED, key=f"f{attempt}", reason="credentials")
    assert (status(session), session.end_reason) == ("failed", "AGENT_LOST")
    assert session.end_detail == "credentials"


def test_a_broken_character_fails_the_session_at_once(session: Session) -> None:
    tell(session, EventKind.AVATAR_FAILED, reason="CHARACTER_BROKEN", message="no tensor sigma_net")
    assert (status(session), session.end_reason) == ("failed", "CHARACTER_BROKEN")
    assert session.end_detail == "no tensor sigma_net"


def test_refused_options_fail_the_session_at_once_with_the_workers_words(session: Session) -> None:
    told = {"reason": "OPTIONS_REFUSED", "message": "there is no option 'colour'"}
    tell(session, EventKind.AVATAR_FAILED, **told)
    assert (status(session), session.end_reason) == ("failed", "OPTIONS_REFUSED")
    assert session.end_detail == "there is no option 'colour'"


def test_a_lost_model_fails_the_session(session: Session) -> None:
    tell(session, EventKind.AGENT_FAILED, reason="LLM_LOST", message="1011")
    assert (status(session), session.end_reason) == ("failed", "LLM_LOST")


def test_an_agent_that_hangs_up_ends_the_session(session: Session) -> None:
    tell(session, EventKind.AGENT_LEFT, reason="AGENT_HANG_UP")
    assert (status(session), session.end_reason) == ("ending", "AGENT_HANG_UP")


def test_an_agent_that_left_is_replaced(
    ada: factories.Person, worker: Worker, world: World, django_capture_on_commit_callbacks
) -> None:
    session = bring_up(world, worker, ada)
    world.rooms.leave(session.room, f"agent-{session.pk}")
    with django_capture_on_commit_callbacks(execute=True):
        tell(session, EventKind.AGENT_LEFT)
    with django_capture_on_commit_callbacks(execute=True):
        world.tasks.run()
    world.tasks.run()
    assert len(world.rooms.dispatches[session.room]) == 1
    session.refresh_from_db()
    assert session.agent_joined_at is None


def test_the_leaving_of_an_evicted_agent_changes_nothing(
    ada: factories.Person, worker: Worker, world: World, django_capture_on_commit_callbacks
) -> None:
    # An agent of the same name has taken the old one's place; only the old one says goodbye.
    session = bring_up(world, worker, ada)
    with django_capture_on_commit_callbacks(execute=True):
        tell(session, EventKind.AGENT_LEFT)
    world.tasks.run()
    session.refresh_from_db()
    assert session.agent_joined_at is not None
    assert world.rooms.dispatches[session.room] == []


def test_a_visitor_who_left_is_noted_after_a_look_into_the_room(
    ada: factories.Person, worker: Worker, world: World, django_capture_on_commit_callbacks
) -> None:
    session = bring_up(world, worker, ada)
    world.rooms.join(session.room, f"visitor-{session.pk}")
    tell(session, EventKind.USER_JOINED)
    with django_capture_on_commit_callbacks(execute=True):
        tell(session, EventKind.USER_LEFT)
    world.tasks.run()
    session.refresh_from_db()
    assert session.visitor_left_at is None, "the visitor is still there"
    world.rooms.leave(session.room, f"visitor-{session.pk}")
    with django_capture_on_commit_callbacks(execute=True):
        tell(session, EventKind.USER_LEFT, key="second")
    world.tasks.run()
    session.refresh_from_db()
    assert session.visitor_left_at == world.clock.now()


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("no.such.kind", {}),
        ("latency", {"name": "x"}),
        ("latency", {"name": "Bad Name!", "ms": 3}),
        ("latency", {"name": "ok", "ms": "3"}),
    ],
)
def test_a_report_that_makes_no_sense_changes_nothing(
    session: Session, worker: Worker, kind: str, data: dict[str, object]
) -> None:
    from avatar_contracts.messages import SessionReport

    before = SessionEvent.objects.count()
    worker.beat(SessionReport(str(session.pk), 1, "k", kind, 1, data))
    assert SessionEvent.objects.count() == before


@pytest.mark.parametrize("name", ["", "x", "00000000-0000-0000-0000-000000000000"])
def test_a_report_about_nobodys_session_changes_nothing(worker: Worker, name: str) -> None:
    assert not tell(name, EventKind.AGENT_JOINED)


def test_a_time_out_of_any_calendar_does_not_stop_the_rest(
    session: Session, worker: Worker
) -> None:
    from avatar_contracts.messages import SessionReport

    broken = SessionReport(str(session.pk), 1, "k1", "agent.joined", 10**30, {})
    good = SessionReport(str(session.pk), 1, "k2", "avatar.first_frame", 1, {})
    worker.beat(broken, good)
    session.refresh_from_db()
    assert session.first_frame_epoch == 1


def test_agent_reports_come_in_by_their_own_door(session: Session, worker: Worker) -> None:
    from avatar_contracts.messages import ReportBatch, SessionReport

    joined = SessionReport(str(session.pk), 1, "k", "agent.joined", 1, {})
    assert worker.post("reports", ReportBatch((joined,))).status_code == 204
    session.refresh_from_db()
    assert session.agent_joined_at is not None


def test_the_agent_is_dispatched_once_even_when_asked_twice(session: Session, world: World) -> None:
    for _ in range(2):
        world.tasks.control(ControlTask.DISPATCH_AGENT, str(session.pk))
    world.tasks.run()
    assert world.rooms.dispatches[session.room] == [f'{{"session":"{session.pk}"}}']
