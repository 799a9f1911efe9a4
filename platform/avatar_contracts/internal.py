"""The platform's internal HTTP API: what workers call, with `Authorization: Bearer WORKER_TOKEN`.

| call | by | body → answer |
|---|---|---|
| `POST /internal/v1/beat` | avatar worker, each second | `WorkerBeat` → `BeatAnswer` |
| `POST /internal/v1/claim` | avatar worker | `ClaimRequest` → `Claim`; 409: taken, or over |
| `GET /internal/v1/bundles/{version}` | avatar worker | the bundle, a zip; `ETag`: its sha256 |
| `GET /internal/v1/sessions/{session}/conversation` | agent worker | `Conversation`; 404: over |
| `POST /internal/v1/reports` | agent worker | `ReportBatch` → 204 |
"""

from typing import Final

BEAT_PATH: Final = "/internal/v1/beat"
CLAIM_PATH: Final = "/internal/v1/claim"
REPORTS_PATH: Final = "/internal/v1/reports"


def bundle_path(character_version: str) -> str:
    return f"/internal/v1/bundles/{character_version}"


def conversation_path(session: str) -> str:
    return f"/internal/v1/sessions/{session}/conversation"
