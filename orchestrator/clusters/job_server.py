"""Asks the job server of a Ray head over HTTP, with the cluster's token. `jobs.py` says what to ask.

No proxy and no redirect is followed: either would be shown the token. Ray itself is not imported, as that takes a
second.
"""

import json
from http.client import BadStatusLine, HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.errors import UserError

ANSWER_S = 30.0  # seconds without a byte, after which a server is taken for dead


class NoAnswer(UserError):
    """The server could not be asked. It may have been a moment's fault."""


class ServerFault(NoAnswer):
    """The server answered that it had failed itself."""


class NoJob(UserError):
    """The server knows no such job."""


class JobServer:
    """The server at `address` (`http://127.0.0.1:PORT`), and the token in the file `token_file`, if it needs one.

    Raises UserError if the file has no token.
    """

    def __init__(self, address: str, token_file: Path | None):
        self.address, self.token_file = address, token_file
        self.headers = {"Authorization": f"Bearer {read_token(token_file)}"} if token_file else {}

    def ask(self, method: str, path: str) -> Any:
        """The server's answer, parsed as JSON. Raises UserError, NoJob, NoAnswer and ServerFault."""
        where = urlsplit(self.address)
        connection = HTTPConnection(where.hostname or "", where.port, timeout=ANSWER_S)
        try:
            connection.request(method, path, headers=self.headers)
            answer = connection.getresponse()
            status, text = answer.status, answer.read().decode(errors="replace")
        except OSError as error:
            raise self.no_answer(error) from None
        except BadStatusLine:
            raise self.foreign() from None
        except HTTPException as error:
            raise self.no_answer(error) from None
        finally:
            connection.close()
        self.judge(status, text)
        try:
            return json.loads(text)
        except ValueError:
            raise self.foreign() from None

    def judge(self, status: int, text: str) -> None:
        """Raises UserError, NoJob or ServerFault for an answer with a status other than 200."""
        if status == 200:
            return
        reason = text.strip().rpartition("\n")[2][:200] or "no reason"
        if status == 401:
            raise UserError(f"{self.address}: Ray asks for the cluster's token, and was given none. Name its file.")
        if status == 403:
            cure = "Use the token with which the cluster was started."
            raise UserError(f"{self.token_file}: is not the token of the Ray at {self.address}. {cure}")
        if status == 404 and reason.startswith("Job "):
            raise NoJob(f"{self.address}: {reason}.")
        if status >= 500:
            raise ServerFault(f"{self.address}: Ray's dashboard failed ({status}): {reason}")
        if 300 <= status < 400 or status == 404:
            raise self.foreign()
        raise UserError(f"{self.address}: Ray refused this ({status}): {reason}")

    def no_answer(self, error: Exception) -> NoAnswer:
        """The error to raise for one of the connection."""
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return NoAnswer(f"{self.address}: Ray's dashboard does not answer: {reason}. Is the cluster up?")

    def foreign(self) -> UserError:
        """The error to raise where no Ray answers."""
        return UserError(f"{self.address}: another program than Ray's dashboard answers here. Name its own port.")


def read_token(file: Path) -> str:
    """The token in a file. Raises UserError."""
    try:
        token = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise UserError(f"{file}: the cluster's token cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        token = ""
    if not token or not token.isprintable() or " " in token:
        raise UserError(f"{file}: holds no token: one word is wanted. Copy it from the cluster's head again.")
    return token
