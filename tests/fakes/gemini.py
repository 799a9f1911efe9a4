"""Gemini Live as the real google plugin sees it: TLS, WebSocket, and the service's messages.

It understands what a client sends and answers as the service does: `setupComplete` before all
else, transcripts as deltas, sound faster than real time, `generationComplete` before
`turnComplete`, neither `generationComplete` nor more sound for a turn that was interrupted. What a
test wants to happen, it does by calling the methods of the newest connection.
"""

import asyncio
import base64
import datetime
import ipaddress
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

OUTPUT_RATE_HZ = 24_000
CHUNK_BYTES = 2 * OUTPUT_RATE_HZ // 25


@dataclass
class GeminiConnection:
    """One WebSocket of one client.

    Attributes:
        setup: the first message's body.
        heard: microphone PCM, s16le at 16 kHz.
        turns: bodies of the `client_content` messages.
        refused: what broke the protocol; empty is right.
    """

    socket: ServerConnection
    path: str
    headers: dict[str, str]
    setup: dict[str, Any] = field(default_factory=dict)
    heard: bytearray = field(default_factory=bytearray)
    turns: list[dict[str, Any]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def send(self, message: dict[str, Any]) -> None:
        # the service sends binary frames; the client takes both
        await self.socket.send(json.dumps(message).encode())

    async def user_said(self, text: str) -> None:
        """The service's transcript of the visitor, in deltas."""
        for word in text.split():
            await self.send({"serverContent": {"inputTranscription": {"text": f" {word}"}}})

    async def speak(self, pcm: bytes, text: str, *, complete: bool = True) -> None:
        """A turn of the model; without `complete` it is still going on."""
        for i in range(0, len(pcm), CHUNK_BYTES):
            data = base64.b64encode(pcm[i : i + CHUNK_BYTES]).decode()
            part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}
            turn = {"role": "model", "parts": [part]}
            await self.send({"serverContent": {"modelTurn": turn}})
        for word in text.split():
            await self.send({"serverContent": {"outputTranscription": {"text": f"{word} "}}})
        if complete:
            await self.send({"serverContent": {"generationComplete": True}})
            usage = {"promptTokenCount": 10, "responseTokenCount": 20, "totalTokenCount": 30}
            await self.send({"serverContent": {"turnComplete": True}, "usageMetadata": usage})

    async def interrupt(self) -> None:
        """The visitor spoke into the model's turn."""
        await self.send({"serverContent": {"interrupted": True}})
        await self.send({"serverContent": {"turnComplete": True}})

    async def offer_resumption(self, handle: str) -> None:
        update = {"newHandle": handle, "resumable": True}
        await self.send({"sessionResumptionUpdate": update})

    async def go_away(self) -> None:
        await self.send({"goAway": {"timeLeft": "1s"}})


class FakeGemini:
    """The server. Use `SSL_CERT_FILE=certificate` and `GOOGLE_GEMINI_BASE_URL=url`.

    Attributes:
        refuse_with: close a new connection with this code and reason instead of serving it, as the
            service does for a wrong key or an unknown model (1007, 1008).
        answer: what is said at once to every turn that the client completes (`generate_reply`).
    """

    def __init__(self, folder: Path) -> None:
        self.connections: list[GeminiConnection] = []
        self.refuse_with: tuple[int, str] | None = None
        self.answer: tuple[bytes, str] | None = None
        self.certificate = folder / "gemini-ca.pem"
        self._folder = folder
        self._server: Server | None = None
        self._new = asyncio.Event()

    @property
    def url(self) -> str:
        assert self._server is not None
        port = next(iter(self._server.sockets)).getsockname()[1]
        return f"https://127.0.0.1:{port}"

    @property
    def newest(self) -> GeminiConnection:
        return self.connections[-1]

    async def start(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, _make_certificate(self.certificate))
        self._server = await serve(self._serve, "127.0.0.1", 0, ssl=context)

    async def aclose(self) -> None:
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()

    async def connected(self, count: int, within_s: float = 10.0) -> GeminiConnection:
        """The `count`-th connection, once its setup is complete."""
        async with asyncio.timeout(within_s):
            while len(self.connections) < count:
                self._new.clear()
                await self._new.wait()
        return self.connections[count - 1]

    async def _serve(self, socket: ServerConnection) -> None:
        request = socket.request
        assert request is not None
        connection = GeminiConnection(socket, request.path, dict(request.headers.raw_items()))
        if self.refuse_with is not None:
            await socket.recv()
            await socket.close(*self.refuse_with)
            return
        try:
            first = json.loads(await socket.recv())
            if list(first) != ["setup"]:
                connection.refused.append(f"first message is {list(first)}")
                await socket.close(1007, "setup expected")
                return
            connection.setup = first["setup"]
            await connection.send({"setupComplete": {"sessionId": f"s{len(self.connections)}"}})
            self.connections.append(connection)
            self._new.set()
            async for message in socket:
                await self._take(connection, json.loads(message))
        except ConnectionClosed:
            pass  # the client closes with 1011 when it reconnects or ends; that is normal

    async def _take(self, connection: GeminiConnection, message: dict[str, Any]) -> None:
        for kind, body in message.items():
            match kind:
                case "realtime_input":
                    audio = body.get("audio")
                    if audio is not None:
                        connection.heard += base64.urlsafe_b64decode(audio["data"])
                case "client_content":
                    connection.turns.append(body)
                    complete = body.get("turnComplete", body.get("turn_complete"))
                    if complete and self.answer is not None:
                        await connection.speak(*self.answer)
                case "tool_response":
                    pass
                case _:
                    connection.refused.append(f"unexpected message {kind}")


def _make_certificate(path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 at `path`; returns the key's path."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake gemini")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path = path.with_suffix(".key")
    key_path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return key_path
