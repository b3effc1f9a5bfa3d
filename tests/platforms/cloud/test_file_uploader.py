"""Files over the wire: real servers, with and without TLS, and a proxy between."""

import asyncio
import hashlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from abreast.provider_api import file_uploader
from abreast.provider_api.file_uploader import FileUploader
from abreast.testing.platforms.threaded_server import ThreadedServer
from sample_project import free_ports, require_programs


async def _take(request: Request) -> Response:
    assert request.client
    content = await request.body()
    told = {
        "sha": hashlib.sha1(content).hexdigest(), "port": request.client.port, "token": request.headers["authorization"],
        "size": int(request.headers["content-length"]), "query": request.url.query,
    }  # fmt: skip
    headers = {"connection": "close"} if "close" in request.url.query else {}
    return JSONResponse(told, headers=headers)


async def _in_pieces(request: Request) -> Response:
    await request.body()

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one, ", b"two, ", b"three"):
            yield piece

    return StreamingResponse(pieces())


APP = Starlette(routes=[
    Route("/take", _take, methods=["PUT", "POST"]),
    Route("/pieces", _in_pieces, methods=["PUT"]),
])  # fmt: skip


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadedServer(APP) as served:
        yield served.url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "file"
    made.write_bytes(b"hello" * 1000)
    return made


def put(work: Callable[[FileUploader], Awaitable[httpx2.Response]]) -> httpx2.Response:
    async def story() -> httpx2.Response:
        wired = FileUploader()
        try:
            return await work(wired)
        finally:
            await wired.close()

    return asyncio.run(story())


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _serving(handler: Handler, host: str, port: int, ssl: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Serve each connection by the handler, and end all of them."""
    handling = []

    async def handled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handling.append((asyncio.current_task(), writer))
        with suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)

    async with await asyncio.start_server(handled, host, port, ssl=ssl):
        try:
            yield
        finally:
            for task, writer in handling:
                assert task
                task.cancel()
                await asyncio.wait([task])
                writer.transport.abort()
            await asyncio.sleep(0.05)


TOKEN = {"Authorization": "Bearer x"}


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 18) + 1, 5_000_000])
def test_the_content_arrives(url: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(content := b"x" * size)
    answer = put(lambda wired: wired.upload("PUT", f"{url}/take?a=1", TOKEN, tmp_path / "file"))
    told = answer.json()
    assert (answer.status_code, told["size"], told["query"], told["token"]) == (200, size, "a=1", "Bearer x")
    assert told["sha"] == hashlib.sha1(content).hexdigest()


@pytest.mark.parametrize("query", ["", "?close"])
def test_a_connection_is_kept_unless_the_server_ends_it(url: str, file: Path, query: str) -> None:
    async def work(wired: FileUploader) -> httpx2.Response:
        first = await wired.upload("PUT", f"{url}/take{query}", TOKEN, file)
        second = await wired.upload("PUT", f"{url}/take{query}", TOKEN, file)
        assert (first.json()["port"] == second.json()["port"]) is (query == "")
        return second

    assert put(work).status_code == 200


def test_an_answer_in_pieces(url: str, file: Path) -> None:
    assert put(lambda wired: wired.upload("PUT", f"{url}/pieces", TOKEN, file)).text == "one, two, three"


def test_nobody_there_is_told_apart_from_somebody_who_broke_off(file: Path) -> None:
    port = free_ports(1)[0]
    with pytest.raises(httpx2.ConnectError):
        put(lambda wired: wired.upload("PUT", f"http://127.0.0.1:{port}/take", TOKEN, file))

    async def work(wired: FileUploader) -> httpx2.Response:
        async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        async with _serving(broken, "127.0.0.1", port):
            return await wired.upload("PUT", f"http://127.0.0.1:{port}/take", TOKEN, file)

    with pytest.raises(httpx2.ReadError):
        put(work)


def test_who_is_refused_early_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 50_000_000)
    port = free_ports(1)[0]

    async def work(wired: FileUploader) -> httpx2.Response:
        async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            await writer.drain()
            while await reader.read(1 << 20):  # else a reset could overtake the answer
                pass
            writer.close()

        async with _serving(refusing, "127.0.0.1", port):
            return await wired.upload("PUT", f"http://127.0.0.1:{port}/take", TOKEN, tmp_path / "file")

    answer = put(work)
    assert (answer.status_code, answer.text) == (413, "big")


# ── TLS and proxies ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate for localhost that this process trusts."""
    require_programs("openssl")
    key, made = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"]
    subprocess.run([*kind, "-keyout", str(key), "-out", str(made), *subject], check=True, capture_output=True)
    trusting = ssl.create_default_context(cafile=str(made))
    monkeypatch.setattr(file_uploader, "ssl_context", lambda: trusting)
    return key, made


def _told_securely(port: int, certificate: tuple[Path, Path]) -> AbstractAsyncContextManager[None]:
    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(5000)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure")
                await writer.drain()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate[1], certificate[0])
    return _serving(answering, "127.0.0.1", port, ssl=context)


def test_https(file: Path, certificate: tuple[Path, Path]) -> None:
    port = free_ports(1)[0]

    async def work(wired: FileUploader) -> httpx2.Response:
        async with _told_securely(port, certificate):
            await wired.upload("PUT", f"https://localhost:{port}/take", TOKEN, file)
            return await wired.upload("PUT", f"https://localhost:{port}/take", TOKEN, file)

    assert put(work).text == "secure"


def test_somebody_else_is_not_told_the_token(file: Path, certificate: tuple[Path, Path]) -> None:
    port = free_ports(1)[0]

    async def work(wired: FileUploader) -> httpx2.Response:
        async with _told_securely(port, certificate):
            return await wired.upload("PUT", f"https://127.0.0.1:{port}/take", TOKEN, file)

    with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
        put(work)


@pytest.mark.parametrize("open_to_all", [True, False])
def test_https_through_a_proxy(
    file: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, open_to_all: bool
) -> None:
    port, between = free_ports(2)
    asked = []
    monkeypatch.setenv("https_proxy", f"http://me:pass@127.0.0.1:{between}")

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.extend((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n"))
        if not open_to_all:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        other, further = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_passed(reader, further), _passed(other, writer))

    async def work(wired: FileUploader) -> httpx2.Response:
        async with _told_securely(port, certificate), _serving(proxy, "127.0.0.1", between):
            return await wired.upload("PUT", f"https://localhost:{port}/take", TOKEN, file)

    if open_to_all:
        assert put(work).text == "secure"
    else:
        with pytest.raises(httpx2.ConnectError, match=f"refused a connection to localhost:{port}"):
            put(work)
    assert asked[0] == f"CONNECT localhost:{port} HTTP/1.1".encode()
    assert b"Proxy-Authorization: Basic bWU6cGFzcw==" in asked


async def _passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(65536):
            writer.write(content)
            await writer.drain()
    finally:
        writer.transport.abort()


def test_http_through_a_proxy(url: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    between = free_ports(1)[0]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{between}")

    async def work(wired: FileUploader) -> httpx2.Response:
        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(asked), asked))

        async with _serving(proxy, "127.0.0.1", between):
            return await wired.upload("PUT", "http://nowhere.example.org/take?a=1", TOKEN, file)

    assert put(work).text == "PUT http://nowhere.example.org/take?a=1 HTTP/1.1"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert put(lambda wired: wired.upload("PUT", f"{url}/take", TOKEN, file)).status_code == 200
