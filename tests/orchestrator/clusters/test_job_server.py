"""What is said of a job server that cannot be asked, and how it is asked."""

import json
import socketserver
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.clusters.job_server import NoAnswer, ServerFault
from orchestrator.clusters.jobs import Jobs
from orchestrator.clusters.local import free_port
from orchestrator.errors import UserError


@contextmanager
def server(answer: bytes, received: list[bytes]):
    """A server that gives everybody the same answer. Yields its address."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            received.append(self.request.recv(65536))
            self.request.sendall(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def http(status: str, text: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.0 {status}", *headers, "", text]).encode()


@pytest.fixture
def token(tmp_path) -> Path:
    file = tmp_path / "token"
    file.write_text("f00\n")
    return file


def test_a_dead_server_is_told_in_one_line(token):
    address = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(NoAnswer, match=f"^{address}: Ray's dashboard does not answer: Connection refused"):
        Jobs(address, token).check()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        http("200 OK", "<html>hello</html>"),
        http("200 OK", json.dumps({"version": "1"})),
        http("200 OK", "[]"),
        http("404 Not Found", "nothing here"),
        http("302 Found", "", "Location: http://127.0.0.1:1/"),
    ],
)
def test_a_foreign_server_is_told_after_one_request(answer, token):
    received = []
    with (
        server(answer, received) as address,
        pytest.raises(UserError, match=f"^{address}: another program than Ray's dashboard answers here") as refused,
    ):
        Jobs(address, token).check()
    assert not isinstance(refused.value, NoAnswer)
    assert len(received) == 1


def test_the_token_goes_to_the_server_and_to_no_proxy(token, monkeypatch):
    received, seen = [], []
    with server(http("200 OK", '{"ray_version": "2.60.0"}'), received) as address, server(b"", seen) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        assert Jobs(address, token).check() == "2.60.0"
    assert b"\r\nAuthorization: Bearer f00\r\n" in received[0]
    assert seen == []


def test_a_server_with_a_fault_of_its_own_may_be_asked_again(token):
    answer = http("500 Internal Server Error", "Traceback\n  ...\nOSError: disk full\n")
    with server(answer, []) as address, pytest.raises(ServerFault, match=r"failed \(500\): OSError: disk full$"):
        Jobs(address, token).status("a")


def test_an_answer_that_breaks_off_is_none(token):
    with server(http("200 OK", "{", "Content-Length: 99"), []) as address, pytest.raises(NoAnswer):
        Jobs(address, token).check()


@pytest.mark.parametrize("content", ["", "\n", "two words", "a\nb", "é"])
def test_a_file_without_a_token_is_told_and_its_content_is_not(content, tmp_path):
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=f"^{file}: holds no token: one word is wanted. Copy it"):
        Jobs("http://127.0.0.1:1", file)


def test_a_token_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="token: the cluster's token cannot be read: No such file"):
        Jobs("http://127.0.0.1:1", tmp_path / "token")
