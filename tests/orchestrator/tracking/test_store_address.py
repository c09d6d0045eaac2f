"""Addresses of stores: files of any name, and secrets that nobody is shown."""

from pathlib import Path

import pytest

from orchestrator.tracking.spool import TrackingError
from orchestrator.tracking.store_address import (
    check_early,
    check_store,
    default_store,
    first_line,
    for_mlflow,
    page_of,
    same_store,
    sqlite_address,
    sqlite_file,
    store_for_new,
    without_password,
    without_secrets,
)

NAMES = ["plain", "with space", "100% done", "50%20off", "a?b", "a#b", 'it\'s "so"', "ünï 漢字", "a&b=c;d+e", "a@b:c"]


@pytest.mark.parametrize("name", NAMES)
def test_a_store_lies_in_the_folder_that_is_named_for_us_and_for_sqlalchemy(tmp_path, name):
    from sqlalchemy import create_engine, text

    file = tmp_path / name / "mlflow.db"
    check_store(sqlite_address(file))
    with create_engine(sqlite_address(file)).begin() as database:
        database.execute(text("CREATE TABLE here (x)"))
    assert file.stat().st_size > 0 and sqlite_file(sqlite_address(file)) == file
    assert [path.name for path in tmp_path.iterdir()] == [name]


SECRET = "p:w/0%rd"
ADDRESSES = [
    ("postgresql+psycopg2://me:p%3Aw%2F0%25rd@host/db", "postgresql+psycopg2://me:***@host/db"),
    (
        "postgresql://me@host/db?password=p%3Aw%2F0%25rd&sslmode=require",
        "postgresql://me@host/db?password=***&sslmode=require",
    ),
    (
        "postgresql://host/db?sslmode=require&sslpassword=p:w/0%25rd",
        "postgresql://host/db?sslmode=require&sslpassword=***",
    ),
    ("postgresql://host/db?p%61ssword=p%3Aw%2F0%25rd", "postgresql://host/db?p%61ssword=***"),
    ("mysql+pymysql://host/db?ssl_key=k&PASSWD=p:w/0%25rd", "mysql+pymysql://host/db?ssl_key=k&PASSWD=***"),
    ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dp:w/0%25rd", "mssql+pyodbc:///?odbc_connect=***"),
    ("https://me:p:w/0%rd@host:5000/under", "https://me:***@host:5000/under"),
    ("https://p%3Aw%2F0%25rd@host/under", "https://***@host/under"),
    ("https://host/?access_token=p%3Aw%2F0%25rd", "https://host/?access_token=***"),
]
PLAIN = ["postgresql://me@host/db?passfile=/home/me/.pgpass", "http://host:5000", "sqlite:////tmp/a:b@c/mlflow.db"]


@pytest.mark.parametrize(("uri", "shown"), ADDRESSES)
def test_a_secret_is_shown_neither_in_an_address_nor_in_what_libraries_say_of_it(uri, shown):
    assert without_password(uri) == shown
    told = f"cannot connect to {uri} with p:w/0%rd or p%3Aw%2F0%25rd"
    assert "0%rd" not in without_secrets(told, uri) and "0%25rd" not in without_secrets(told, uri)
    assert "0%" not in first_line(ValueError(told), uri) and "0%" not in page_of(uri)


@pytest.mark.parametrize("uri", PLAIN)
def test_an_address_without_secrets_is_shown_as_it_is(uri):
    assert without_password(uri) == uri and without_secrets(f"at {uri}", uri) == f"at {uri}"


@pytest.mark.parametrize("uri", [uri for uri, _ in ADDRESSES])
def test_a_bad_address_is_told_without_its_secret(uri):
    with pytest.raises(TrackingError) as error:
        check_store("ftp" + uri.partition(":")[2].join([":", ""]))
    assert "0%" not in str(error.value)


def test_an_address_is_checked_early_without_a_trace(tmp_path):
    check_early(f"sqlite:///{tmp_path}/runs/deep/mlflow.db")
    assert not list(tmp_path.iterdir())
    for bad, told in (
        ("ftp://x", "begin it with"),
        ("sqlite:////proc/none/mlflow.db", "/proc/none/mlflow.db cannot be"),
    ):
        with pytest.raises(TrackingError, match=told):
            check_early(bad)


def test_a_new_sweep_goes_to_the_store_of_the_environment_else_to_that_beside_it(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store_for_new(tmp_path) == default_store(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/mlruns")
    assert store_for_new(tmp_path) == "file:///tmp/mlruns"
    with pytest.raises(TrackingError, match=r"\(of MLFLOW_TRACKING_URI\): begin it with http://"):
        check_store(store_for_new(tmp_path))


def test_an_address_with_a_quoted_character_names_its_driver_so_that_mlflow_makes_no_such_folder(tmp_path, monkeypatch):
    given, taken = "sqlite:////a%20b/mlflow.db?timeout=3", "sqlite+pysqlite:////a%20b/mlflow.db?timeout=3"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert for_mlflow(given) == for_mlflow(taken) == store_for_new(tmp_path) == taken and same_store(given, taken)
    for other in ("sqlite:////a b/mlflow.db?x=%20", "http://host/a%20b", "postgresql://me:p%3A@host/db"):
        assert for_mlflow(other) == other


def test_one_file_is_one_store_however_its_address_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert same_store(f"sqlite:///{tmp_path}/link/mlflow.db", f"sqlite+pysqlite:///{tmp_path}/mlflow.db")
    assert not same_store("http://a", "http://b")
    assert sqlite_file("sqlite:////a/b%20c.db?timeout=3") == Path("/a/b c.db")
