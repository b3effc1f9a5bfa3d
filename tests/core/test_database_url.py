"""Which URLs ask abreast for a server, and what the parts of a URL are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.core.database_url import is_supported, managed_database
from abreast.database.postgres.connection_url import connection_parts


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql:///shop", "shop"), ("postgresql+asyncpg:///shop", "shop"), ("postgres:///my-shop", "my-shop"),
        ("postgresql:///shop?application_name=a", "shop"), ("postgresql:///shop?host=/run/postgresql", ""),
        ("postgresql:///shop?a=b&hostaddr=::1", ""), ("postgresql:///shop?service=s", ""), ("postgresql:///", ""),
        ("postgresql://localhost/shop", ""), ("postgresql://shop@/shop", ""), ("sqlite:///shop", ""),
        ("postgresql:///" + "x" * 41, ""), ("postgresql:///a/b", ""), ("postgresql:///a%20b", ""),
    ],
)  # fmt: skip
def test_a_url_without_a_server_is_one_of_the_server_that_abreast_runs(url: str, name: str) -> None:
    assert managed_database(url) == name


def test_urls_with_drivers_are_supported() -> None:
    assert [is_supported(url) for url in ("postgresql+asyncpg://h/d", "postgres://h/d", "sqlite:///a.db", "mysql://h/d")] == [
        True, True, True, False,
    ]  # fmt: skip


TEXTS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9)


@given(TEXTS, TEXTS, TEXTS, st.integers(1, 65535), TEXTS)
def test_the_parts_of_a_url_put_together_are_the_url(user: str, password: str, host: str, port: int, name: str) -> None:
    parts = connection_parts(f"postgresql://{user}:{password}@{host}:{port}/{name}")
    assert parts == {"user": user, "password": password, "host": host, "port": str(port), "database": name}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+asyncpg://u:p%40w@h/d?x=1", ["h", "5432", "u", "p@w", "d"]),
        ("postgresql:///shop?host=/run/pg&user=me", ["/run/pg", "5432", "me", "", "shop"]),
        ("postgres://u@[::1]:6/d", ["::1", "6", "u", "", "d"]), ("postgresql://h/d", ["h", "5432", "", "", "d"]),
    ],
)  # fmt: skip
def test_parts_of_urls_as_they_are_spelled(url: str, expected: list[str]) -> None:
    assert [connection_parts(url)[part] for part in ("host", "port", "user", "password", "database")] == expected
