"""What a visitor's page holds instead of an API key: a signature for one session.

It joins, interrupts and ends that session, from the page that started it, also after a reload.
"""

from typing import Final

from django.core.signing import BadSignature, TimestampSigner

from avatar_platform.errors import UnauthenticatedError

MAX_AGE_S: Final = 6 * 3600
_SIGNER: Final = TimestampSigner(salt="avatar_platform.web.page")


def page_token(session_id: object) -> str:
    return _SIGNER.sign(str(session_id))


def demand_page_token(authorization: str, session_id: object) -> None:
    """Check the `Authorization` header of a request about a session.

    Raises:
        UnauthenticatedError: no token, forged, too old, or another session's.
    """
    scheme, _, token = authorization.partition(" ")
    try:
        signed = _SIGNER.unsign(token, max_age=MAX_AGE_S)
    except BadSignature:
        signed = ""
    if scheme != "Bearer" or signed != str(session_id):
        raise UnauthenticatedError("this page may not control that session; please start again")
