"""Addresses of MLflow stores: checks one, finds the file of an SQLite store, and hides passwords for display."""

import os
import re
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from orchestrator.storage import layout
from orchestrator.tracking.spool import TrackingError

ENVIRONMENT_VARIABLE = "MLFLOW_TRACKING_URI"
ANOTHER = f"with --tracking-uri, or in {ENVIRONMENT_VARIABLE}, which other users do not see"  # to give an address
BUSY_S = 20.0  # how long to wait for another writer of an SQLite file, as MLflow does

MASK = "***"
LOGIN = re.compile(r"(?<=://)(?P<user>[^:@/?]*)(?P<password>:.*)?@", re.DOTALL)  # to the last @: passwords may hold one
SETTING = re.compile(r"(?<=[?&;])(?P<key>[^=&;]+)=(?P<value>[^&;]*)")
PART = re.compile(r"(?:pwd|password)=([^;]*)", re.I)  # of a setting that is itself many settings
SECRET = re.compile(r"pass(?!file)|pwd|secret|token|credential|signature|(api|access|account)_?key|odbc_connect", re.I)


def sqlite_address(file: Path) -> str:
    """The address of the SQLite store in `file`, wherever that is and whatever its folders are called."""
    path = str(file.resolve())
    return for_mlflow("sqlite:///" + path.replace("%", "%25").replace("?", "%3F"))


def for_mlflow(uri: str) -> str:
    """The address of the same store, in the form by which MLflow makes no folder beside it with the quoted name."""
    scheme, mark, file = uri.partition(":///")
    quoted = scheme.lower() == "sqlite" and "%" in file.partition("?")[0]
    return f"sqlite+pysqlite:///{file}" if quoted else uri


def default_store(out: Path) -> str:
    """The address of the store of all sweeps in `out` that were given no other."""
    return sqlite_address(out / layout.STORE)


def store_for_new(out: Path) -> str:
    """The address of the store for a sweep in `out` that is given none."""
    given = os.environ.get(ENVIRONMENT_VARIABLE)
    return for_mlflow(given) if given else default_store(out)


def is_sqlite(uri: str) -> bool:
    return _database(uri) == "sqlite"


def is_server(uri: str) -> bool:
    return _database(uri) in ("http", "https")


def sqlite_file(uri: str) -> Path:
    """The file of an SQLite store."""
    return Path(unquote(uri.partition(":///")[2].partition("?")[0]))


def same_store(uri: str, other: str) -> bool:
    """Whether both addresses name one store: an SQLite file has many addresses."""
    if is_sqlite(uri) and is_sqlite(other):
        return sqlite_file(uri).resolve() == sqlite_file(other).resolve()
    return uri == other


def without_password(uri: str) -> str:
    """The address as it may be shown and recorded: without passwords, also in its settings, and a server's tokens."""
    return SETTING.sub(_shown_setting, LOGIN.sub(lambda login: _shown_login(login, uri), uri))


def page_of(uri: str) -> str:
    """The address of a server's web page: the server's, without a login."""
    return LOGIN.sub("", uri).partition("?")[0]


def without_secrets(text: str, uri: str) -> str:
    """A text, such as a library's error, with the secrets of the address `uri` masked."""
    login = LOGIN.search(uri)
    values = [setting["value"] for setting in SETTING.finditer(uri) if _secret(setting["key"])]
    hidden = values + [one for value in values for one in PART.findall(unquote_plus(value))]
    if login and login["password"]:
        hidden.append(login["password"][1:])
    elif login and _is_token(uri):
        hidden.append(login["user"])
    forms = {form for one in hidden for form in (one, unquote(one), unquote_plus(one), quote(unquote(one), safe=""))}
    for secret in sorted(forms - {""}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


def follow(file: Path, out: Path | None = None) -> None:
    """Update the artifact paths in an SQLite store that was moved with its artifacts: MLflow stores absolute paths.

    The artifacts are beside the store, or in `out` where a sweep was given a store elsewhere.
    """
    with closing(sqlite3.connect(file, timeout=BUSY_S)) as database, database:
        for number, old in database.execute("SELECT experiment_id, artifact_location FROM experiments"):
            place = _place(old or "")
            # A sweep that is renamed keeps its artifacts where they are: the name of their folder stays.
            places = [artifacts(beside, place.name) for beside in (file.parent, out) if beside]
            new = next((one for one in places if _place(one).is_dir()), places[-1])
            known = place.parent.name == layout.ARTIFACTS and place != _place(new)
            if known and (_place(new).is_dir() or not place.parent.parent.exists()):
                moved = "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE experiment_id = ?"
                database.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (new, number))
                database.execute(f"{moved} AND artifact_uri LIKE ? || '%'", (new, len(old) + 1, number, old))


def artifacts(out: Path, experiment: str) -> str:
    """The address of the folder with the artifacts of an experiment, for a database without a server."""
    return (out.resolve() / layout.ARTIFACTS / experiment).as_uri()


def _place(location: str) -> Path:
    """The folder of an artifact location: a file:// address, or a path, as earlier versions wrote it."""
    return Path(unquote(location.removeprefix("file://")) if location.startswith("file://") else location)


def check_store(uri: str) -> None:
    """Check an address without using the network. It is quick: MLflow is not imported.

    Raises TrackingError for an unknown scheme, a missing database driver, an SQLite file that cannot be written.
    """
    check = CHECKS.get(_database(uri))
    if check is None:
        raise TrackingError(
            f"tracking address '{without_password(uri)}'{_from_environment(uri)}: begin it with http://, https://,"
            " sqlite:/// or postgresql:// (MLflow no longer takes a folder)"
        )
    check(uri)


def check_early(uri: str) -> None:
    """Like `check_store`, but leave no file or folder behind: other mistakes are reported before a folder is made."""
    file = sqlite_file(uri) if is_sqlite(uri) else None
    if file is None or file.exists():
        check_store(uri)
        return
    absent = [parent for parent in file.parents if not parent.exists()]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise TrackingError(f"tracking store {file} cannot be written: {error}") from None
    for parent in absent:
        with suppress(OSError):
            parent.rmdir()


def first_line(error: Exception, uri: str) -> str:
    """The message of an error about the store at `uri`, in one line without secrets."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    said = next((line for line in lines if not line.startswith("(raised as a result of")), lines[0])  # of SQLAlchemy
    return without_secrets(said, uri)[:300]


def _database(uri: str) -> str:
    return uri.partition(":")[0].partition("+")[0].lower()


def _secret(key: str) -> bool:
    return bool(SECRET.search(unquote(key)))


def _shown_setting(setting: re.Match) -> str:
    return f"{setting['key']}={MASK if _secret(setting['key']) else setting['value']}"


def _shown_login(login: re.Match, uri: str) -> str:
    if login["password"]:
        return f"{login['user']}:{MASK}@"
    return f"{MASK}@" if _is_token(uri) else login[0]


def _is_token(uri: str) -> bool:
    """Whether a login without a password may be a secret: a server's may be a token, a database's is a user name."""
    return _database(uri) not in ("postgresql", "mysql", "mssql")


def _from_environment(uri: str) -> str:
    return f" (of {ENVIRONMENT_VARIABLE})" if os.environ.get(ENVIRONMENT_VARIABLE) == uri else ""


def _check_sqlite(uri: str) -> None:
    file = sqlite_file(uri)
    if ":///" not in uri or file.name in ("", ":memory:"):
        raise TrackingError(f"tracking address '{uri}' names no file: write sqlite:////absolute/path/mlflow.db")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(file, timeout=BUSY_S)) as database:
            database.execute("BEGIN IMMEDIATE")  # fails where a write would
    except (OSError, ValueError, sqlite3.Error) as error:
        raise TrackingError(f"tracking store {file} cannot be written: {error}") from None


def _check_http(uri: str) -> None:
    try:
        named = bool(urlsplit(uri).hostname) and urlsplit(uri).port != 0
    except ValueError:  # a port that is no number
        named = False
    if not named:
        raise TrackingError(f"tracking address '{without_password(uri)}' names no server: write http://host:port")


def _check_database(uri: str) -> None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        make_url(uri).get_dialect().import_dbapi()
    except ValueError:  # a port that is no number
        raise TrackingError(f"tracking address '{without_password(uri)}': its port is no number") from None
    except (ImportError, SQLAlchemyError) as error:
        raise TrackingError(f"tracking address '{without_password(uri)}': {first_line(error, uri)}") from None


CHECKS = {
    "http": _check_http,
    "https": _check_http,
    "sqlite": _check_sqlite,
    "postgresql": _check_database,
    "mysql": _check_database,
    "mssql": _check_database,
}
