"""A bucket that misbehaves: a real proxy on loopback, before a real S3 server, that spoils some answers."""

import hashlib
import random
import socket
import struct
import threading
from dataclasses import dataclass, field
from functools import cache, cached_property
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.loaders import create_loader as new_loader

from trainables.data.prepared.index_file import FORMAT, written

PREFIX = "some/sets"
FOR_EVER = 10**6
DROP_S = {"slow": 0.1, "crawling": 5.0}
DROP = 10_000
REFUSED = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>unknown key</Message></Error>"
BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your rate.</Message></Error>"
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "date", "server")


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of `method` whose path has `where` in it.

    `kind`: "reset" (of the connection, in the middle of the body), "short" (a body that ends early, under its full
    length), "flip" (of a byte of the body), "silent" (some bytes, then nothing), "slow" and "crawling" (a body
    that comes in drops), "503" and "403". Of a PUT it is the request that is spoilt, and not the answer.
    """

    kind: str
    where: str
    times: int = 1
    method: str = "GET"


@dataclass
class Bucket:
    """The proxy as a bucket: its address, the faults still to be done, and what was asked of it: (method, path)."""

    url: str
    behind: int
    name: str = field(default_factory=lambda: f"bucket-{uuid4()}")
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def root(self) -> str:
        return f"s3://{self.name}/{PREFIX}"

    def environment(self) -> dict[str, str]:
        """What leads boto3 and pyarrow here, and nowhere else."""
        nowhere = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), "/nowhere")
        keys = {"AWS_ACCESS_KEY_ID": "anyone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        return nowhere | keys | {"AWS_ENDPOINT_URL": self.url, "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "*"}

    @cached_property
    def direct(self) -> Any:
        """A client that nothing goes wrong with; what it asks is not counted."""
        as_it_is = Config(response_checksum_validation="when_required")
        return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{self.behind}", config=as_it_is)

    def put(self, folder: Path) -> None:
        """Upload a prepared set as it is."""
        for name, content in content_of(folder).items():
            self.direct.put_object(Bucket=self.name, Key=f"{PREFIX}/prepared/{folder.name}/{name}", Body=content)

    def objects(self) -> dict[str, bytes]:
        """All that is in the bucket, by the last part of its name."""
        client = self.direct
        keys = [each["Key"] for each in client.list_objects_v2(Bucket=self.name).get("Contents", ())]
        found = {key: client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in keys}
        return {Path(key).name: content for key, content in found.items()}

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
        if self.command == "PUT" and kind in ("reset", "silent"):
            self.server.stopped.wait(FOR_EVER if kind == "silent" else 0)
            return self.reset()
        if self.command == "PUT" and kind == "flip":
            body, kind = flipped(body), ""
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
        for piece, pause in pieces(flipped(content) if kind == "flip" else content, kind):
            self.wfile.write(piece)
            self.wfile.flush()
            self.server.stopped.wait(pause)
        if kind in ("reset", "short", "silent"):
            self.close_connection = True
        if kind == "reset":
            self.reset()

    def reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer


def flipped(content: bytes) -> bytes:
    """The same with another bit in the middle."""
    half = len(content) // 2
    return content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]


def pieces(content: bytes, kind: str) -> list[tuple[bytes, float]]:
    """What of a body is sent, each piece with the seconds of silence after it."""
    if kind in DROP_S:
        return [(content[start : start + DROP], DROP_S[kind]) for start in range(0, len(content), DROP)]
    if kind in ("reset", "short", "silent"):
        return [(content[: len(content) // 2], FOR_EVER if kind == "silent" else 0)]
    return [(content, 0)]


class Proxy(ThreadingHTTPServer):
    """Listens on a free port of loopback; `with` starts and ends it."""

    daemon_threads, block_on_close = True, False

    def __init__(self, behind: int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind, self.stopped = behind, threading.Event()
        self.bucket = Bucket(f"http://127.0.0.1:{self.server_port}", behind)
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


def a_set(root: Path, sizes: dict[str, int], seed: int = 0) -> Path:
    """A prepared set of random bytes: the folder root/prepared/KEY with shards of these sizes and its index."""
    folder, draw = root / "prepared" / f"random-{seed}", random.Random(seed)
    folder.mkdir(parents=True)
    shards = []
    for name, size in sizes.items():
        content = draw.randbytes(size)
        (folder / name).write_bytes(content)
        shards.append({"file": name, "bytes": size, "sha256": hashlib.sha256(content).hexdigest(), "rows": 1})
    splits = {"train": {"rows": 1, "shards": shards[:-1]}, "val": {"rows": 1, "shards": shards[-1:]}, "test": None}
    (folder / "index.json").write_bytes(written({"format": FORMAT, "splits": splits}))
    return folder


def content_of(folder: Path) -> dict[str, bytes]:
    """All files of a folder, the hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@cache
def create_loader(path: str | None) -> Any:
    """botocore's own, which then reads its files once and not for each client."""
    return new_loader(path)
