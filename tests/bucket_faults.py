"""A bucket that misbehaves: a real proxy on loopback, before a real S3 server, that spoils some answers."""

import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOR_EVER = 10**9
REFUSED = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>unknown key</Message></Error>"
BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "date", "server")


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of `method` whose path has `where` in it.

    `kind`: "reset" (of the connection, in the middle of the body), "short" (a body that ends early, under its full
    length), "flip" (of a byte of the body), "slow" (a body that comes in drops), "503" and "403".
    """

    kind: str
    where: str
    times: int = 1
    method: str = "GET"


@dataclass
class Bucket:
    """The proxy: its address, the faults still to be done, and what was asked of it: (method, path)."""

    url: str
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, where: str, method: str = "GET") -> int:
        """How many requests of this method there were whose path has `where` in it."""
        return sum(asked == method and where in path for asked, path in self.asked)

    def note(self, method: str, path: str) -> str:
        """Note a request; the kind of the fault that it meets, or ""."""
        with self.lock:
            self.asked.append((method, path))
            for fault in self.faults:
                if fault.times and fault.method == method and fault.where in path:
                    fault.times -= 1
                    return fault.kind
        return ""


class Handler(BaseHTTPRequestHandler):
    """One connection of a client; each request goes on to the server behind."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *words) -> None:
        """Say nothing."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.server.bucket.note(self.command, self.path)
        if kind in ("503", "403"):
            return self.send(int(kind), [], BUSY if kind == "503" else REFUSED)
        behind = HTTPConnection("127.0.0.1", self.server.behind)
        behind.request(self.command, self.path, body, dict(self.headers))
        got = behind.getresponse()
        content, length = got.read(), got.getheader("Content-Length")
        behind.close()
        headers = [(name, value) for name, value in got.getheaders() if name.lower() not in HOP_BY_HOP]
        return self.send(got.status, headers, content, length, kind)

    def send(self, status: int, headers: list, content: bytes, length: str | None = None, kind: str = "") -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        half = len(content) // 2
        if kind == "flip":
            content = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        if kind == "slow":
            self.drip(content)
        self.wfile.write(content[:half] if kind in ("reset", "short") else content)
        self.wfile.flush()
        if kind == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        if kind in ("reset", "short"):
            self.close_connection = True

    def drip(self, content: bytes) -> None:
        """Some of the body, and then nothing for longer than a test lasts; or until the client is gone."""
        self.wfile.write(content[:1000])
        self.wfile.flush()
        self.server.stopped.wait(60)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer


class Proxy(ThreadingHTTPServer):
    """Listens on a free port of loopback; `with` starts and ends it."""

    daemon_threads, block_on_close = True, False

    def __init__(self, behind: int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind, self.stopped = behind, threading.Event()
        self.bucket = Bucket(f"http://127.0.0.1:{self.server_port}")
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def handle_error(self, request, client_address) -> None:
        """A client that is gone is no error here."""

    def __enter__(self) -> Bucket:
        self.thread.start()
        return self.bucket

    def __exit__(self, *_) -> None:
        self.stopped.set()
        self.shutdown()
        self.server_close()


def until(true, seconds: float = 30.0) -> None:
    """Wait until `true()` is."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
