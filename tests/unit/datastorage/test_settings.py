"""The settings of DataStorage: what wins, what is refused in which words, and what never shows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from datastorage.configuration import load
from datastorage.settings import Settings, parse_settings
from models.errors import Misconfigured

if TYPE_CHECKING:
    from sqlalchemy import URL


def database_url(settings: Settings) -> URL:
    from datastorage.engine import database_url as url_of  # brings SQLAlchemy, which no other unit test needs

    return url_of(settings)


def refused(document: object = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(Misconfigured) as caught:
        parse_settings(document, environ or {}, {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults() -> None:
    settings = parse_settings(None, {}, {})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert str(database_url(settings)) == "sqlite:///datastorage.db"


def test_environment_over_file() -> None:
    document = {"server": {"port": 1}, "database": {"lock_timeout": "2s"}}
    settings = parse_settings(document, {"DATASTORAGE_SERVER_PORT": "0", "DATASTORAGE_DATABASE_POOL_SIZE": "3"}, {})
    assert (settings.server.port, settings.database.pool_size) == (0, 3)
    assert settings.database.lock_timeout == timedelta(seconds=2)


@pytest.mark.parametrize(
    ("document", "line"),
    [
        ({"server": {"port": 70000}}, "server.port=70000: allowed is a whole number from 0 to 65535"),
        ({"database": {"pool_size": 0}}, "database.pool_size=0: allowed is a whole number from 1 to 200"),
        ({"database": {"driver": "mysql"}}, "database.driver=mysql: allowed is one of sqlite, postgresql"),
        ({"database": {"lock_timeout": 5}}, "database.lock_timeout=5: allowed is a duration"),
        ({"database": {"url": "mysql://h/d"}}, "database.url=mysql://h/d: allowed is sqlite:///FILE or postgresql://"),
        ({"database": {"url": "sqlite:///:memory:"}}, "database.url=sqlite:///:memory:: allowed is"),
        ({"server": {"prot": 1}}, "server.prot=1: unknown key, did you mean server.port?"),
        ({"servers": {}}, "servers: unknown group, did you mean server?"),
        ({"x": {}}, "x: unknown group; allowed are server, database"),
        ({"server": {"xyzzy": 1}}, "server.xyzzy=1: unknown key"),
        ({"server": [1]}, "server='[1]': allowed is a group of keys"),
        ("text", "configuration file='text': allowed is a group of keys"),
        ({"kubernetes": {"token_review": "maybe"}}, "kubernetes.token_review=maybe: allowed is true or false"),
        ({"kubernetes": {"api_server": "http://k"}}, "kubernetes.api_server=http://k: allowed is a URL https://host"),
        ({"kubernetes": {"cache_time": "1h"}}, "kubernetes.cache_time=1h: allowed is a duration such as"),
        ({"kubernetes": {"audience": ""}}, "kubernetes.audience=: allowed is a name without blanks"),
        ({"database": {"url": "sqlite:///x", "name": "y"}}, "database.name=y: allowed only without database.url"),
        (
            {"server": {"tls_certificate_file": "c"}},
            "server.tls_certificate_file=c: allowed only with server.tls_key_file",
        ),
        ({"server": {"tls_key_file": "k"}}, "server.tls_key_file=k: allowed only with server.tls_certificate_file"),
        (
            {"server": {"tls_certificate_file": "c", "tls_key_file": "k", "unix_socket": "s"}},
            "server.tls_certificate_file=c: allowed only without server.unix_socket",
        ),
    ],
)
def test_one_line_names_key_value_and_what_is_allowed(document: Any, line: str) -> None:
    assert refused(document).startswith(line)


def test_unknown_variables() -> None:
    unknown = refused(environ={"DATASTORAGE_SERVER_PROT": "1"})
    assert unknown == "DATASTORAGE_SERVER_PROT=1: unknown key, did you mean DATASTORAGE_SERVER_PORT?"
    # What Kubernetes sets for a Service called `datastorage` or `datastorage-service`.
    ours = {"DATASTORAGE_PORT_8080_TCP": "tcp://10.0.0.1:8080", "DATASTORAGE_SERVICE_HOST": "10.0.0.1"}
    assert parse_settings(None, ours, {}).server.port == 8080


def test_a_url_in_the_environment_replaces_the_parts_in_the_file() -> None:
    document = {"database": {"driver": "postgresql", "host": "db", "pool_size": 3}}
    settings = parse_settings(document, {"DATASTORAGE_DATABASE_URL": "sqlite:////tmp/x.db"}, {})
    assert database_url(settings).database == "/tmp/x.db"
    assert settings.database.pool_size == 3


def test_parts_and_secret_make_a_url() -> None:
    document = {"database": {"driver": "postgresql", "host": "db", "port": 5433, "name": "audit", "user": "u"}}
    settings = parse_settings(document, {}, {"username": "writer", "password": "p@ss/word"})
    url = database_url(settings)
    assert url.render_as_string(hide_password=False) == "postgresql+psycopg://writer:p%40ss%2Fword@db:5433/audit"
    assert "p@ss" not in repr(settings)


def test_passwords_do_not_show() -> None:
    assert "pw" not in refused({"database": {"url": "mysql://user:pw@h/d"}})
    assert "pw" not in refused({"database": {"password": "pw"}})
    assert "pw" not in refused({"database": {"url": "postgresql://user:pw@h/d e"}})
    assert "pw" not in repr(parse_settings({"database": {"url": "postgresql://user:pw@h/d"}}, {}, {}))


@pytest.mark.parametrize("form", ["file", "directory"])
def test_files(tmp_path: Path, form: str) -> None:
    secret = tmp_path / "secret"
    if form == "file":
        secret.write_text("username: u\npassword: p\n")
    else:
        secret.mkdir()
        (secret / "username").write_text("u\n")
        (secret / "password").write_text("p\n")
    config = tmp_path / "config.yaml"
    config.write_text(f"database: {{driver: postgresql, secret_file: {secret}}}\nserver: {{port: 1}}\n")
    settings = load(None, {"CONFIG_PATH": str(config)}, {"DATASTORAGE_SERVER_PORT": "2"})
    assert (settings.username, settings.password, settings.server.port) == ("u", "p", 2)


@pytest.mark.parametrize(
    ("content", "line"),
    [(None, "allowed is a readable YAML file"), ("a: [", "allowed is YAML"), ("\x00", "allowed is YAML")],
)
def test_broken_files(tmp_path: Path, content: str | None, line: str) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(Misconfigured, match=line) as caught:
        load(str(path), {}, {})
    assert str(caught.value).startswith(f"--config={path}: ")


def test_a_secret_file_with_other_keys(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("pasword: topsecret\n")
    with pytest.raises(Misconfigured, match="unknown key pasword; allowed are username and password") as caught:
        load(None, {"DATASTORAGE_DATABASE_SECRET_FILE": str(secret)}, {})
    assert "topsecret" not in str(caught.value)


def test_a_mounted_secret_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(b"topsecret \xe4")
    with pytest.raises(Misconfigured, match=r"^database\.secret_file=.*: allowed is a readable directory$"):
        load(None, {"DATASTORAGE_DATABASE_SECRET_FILE": str(tmp_path)}, {})


@pytest.mark.parametrize(
    "text",
    ["server: {host: 2024-13-45}", "server: {port: " + "9" * 5000 + "}", "server: {host: !!bool x}", "[" * 1000],
    ids=["date", "digits", "bool", "brackets"],
)
def test_what_yaml_cannot_make_a_value_of_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(Misconfigured, match=r"^--config=.*: allowed is YAML; a value in it cannot be read \(\w+\)$"):
        load(str(path), {}, {})


def test_a_key_given_twice_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text("server:\n  port: 1\n  port: 2\n")
    with pytest.raises(Misconfigured, match=r"twice\.yaml: key 'port' is given twice, again at line 3$"):
        load(str(path), {}, {})


def test_a_value_without_end_is_one_line() -> None:
    assert "lock_timeout=999" in refused({"database": {"lock_timeout": "9" * 400 + "h"}})
    assert refused({"server": {"port": 16**5000}}).startswith("server.port=a number of thousands of digits: allowed is")
    assert refused({"server": 16**5000}).startswith("server='a number of thousands of digits': allowed is a group")
    assert refused({"server": {"host": "a\nb"}}).startswith("server.host=a")
