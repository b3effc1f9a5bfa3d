"""What a server says about replication: whether it is possible for a role, and the state of a slot."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from abreast.core.errors import DatabaseError
from abreast.database.postgres.client import connect, encode_sql, fetch_value
from abreast.database.postgres.connection_url import join_url, split_url

CONNECT_TIMEOUT = 10.0
UNLIMITED = -1

_TABLESPACES_SQL = "SELECT coalesce(string_agg(spcname, ', '), '') FROM pg_tablespace WHERE spcname !~ '^pg_'"
_SERVER_SQL = f"""
    SELECT current_setting('server_version_num')::int / 10000,
        current_user,
        (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user),
        current_setting('wal_level') = 'minimal',
        (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
        (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
        current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication)::int,
        current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)::int,
        ({_TABLESPACES_SQL})
"""
_SLOT_SQL = """
    SELECT active, restart_lsn IS NULL OR wal_status = 'lost', coalesce(restart_lsn - '0/0', 0)::bigint
    FROM pg_replication_slots WHERE slot_name = %s AND slot_type = 'physical'
"""
_POSITION_SQL = """
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a role asks. ``system`` and ``timeline`` identify its history; sizes are in bytes."""

    version: int
    role: str
    may_replicate: bool
    logs_too_little: bool
    segment_size: int
    slot_limit: int
    free_senders: int
    free_slots: int
    tablespaces: str
    system: str = ""
    timeline: int = 0


class Slot(NamedTuple):
    """A replication slot. ``first``: the oldest position of the log that it retains."""

    is_active: bool
    is_lost: bool
    first: int


def examine(url: str) -> Server:
    """Return what a server says. Raises DatabaseError if the changes cannot be streamed with this role."""
    with connect(url, CONNECT_TIMEOUT) as db:
        server = Server(*(db.execute(encode_sql(_SERVER_SQL)).fetchone() or ()))
    _check(server)
    return _identify(url, server)


def _check(server: Server) -> None:
    if not server.may_replicate:
        raise DatabaseError(
            f"the role {server.role} may not replicate",
            need="a role with REPLICATION, as `admin: ${ADMIN_DATABASE_URL}` of the database; a managed server that"
            " grants it to nobody has a point-in-time recovery of its own: use that",
            next=f'ALTER ROLE "{server.role}" REPLICATION, as a superuser',
        )
    if server.logs_too_little:
        raise DatabaseError(
            "the server's wal_level is minimal: its log is not enough to recover from",
            need="wal_level = replica or logical",
            next="ALTER SYSTEM SET wal_level = 'replica', as a superuser, then restart the server",
        )
    if server.slot_limit == UNLIMITED:
        raise DatabaseError(
            "the server's max_slot_wal_keep_size is unlimited: if abreast is gone for long, its replication slot fills"
            " the server's disk",
            need="a limit that leaves free space on that disk",
            next="ALTER SYSTEM SET max_slot_wal_keep_size = '4GB', as a superuser, then SELECT pg_reload_conf()",
        )
    if server.free_senders < 1:
        raise DatabaseError(
            "all of the server's max_wal_senders are taken",
            need="two free ones: for the log, and for base backups",
            next="ALTER SYSTEM SET max_wal_senders, as a superuser, then restart the server",
        )
    _refuse_tablespaces(server.tablespaces)


def _refuse_tablespaces(names: str) -> None:
    """Raise DatabaseError if there are any: a recovery would write to the folders of the original."""
    if names:
        raise DatabaseError(
            f"the server has tablespaces of its own: {names}",
            need="a server without, for continuous backups; `abreast db backup` works with them",
            next="DROP TABLESPACE, after its tables were moved",
        )


def check_streaming(url: str, slot: str) -> None:
    """Raise DatabaseError if nobody receives the log by the slot, or there are tablespaces by now."""
    with connect(url, CONNECT_TIMEOUT) as db:
        _refuse_tablespaces(fetch_value(db, _TABLESPACES_SQL))
    found = find_slot(url, slot)
    if not (found and found.is_active):
        raise DatabaseError(
            f"the server does not stream to the replication slot {slot} any more", need="to start the stream again"
        )


def _identify(url: str, server: Server) -> Server:
    """Return the server with its identity, asked by a connection for replication, which has rules of its own."""
    netloc, name, query = split_url(url)
    replication_url = join_url(url, netloc, name, [*query, ("replication", "true")])
    try:
        with connect(replication_url, CONNECT_TIMEOUT) as db:
            system, timeline, *_ = db.execute("IDENTIFY_SYSTEM").fetchone() or (b"", 0)
    except DatabaseError as error:
        raise DatabaseError(
            f"the server refuses a connection for replication: {error.what}",
            need="the server itself, not a pooler; a free one of max_wal_senders; and a line in its pg_hba.conf",
            next=f"add to pg_hba.conf: host replication {server.role} samenet scram-sha-256",
        ) from error
    return replace(server, system=bytes(system).decode(), timeline=int(timeline))  # it tells no encoding


def find_slot(url: str, name: str) -> Slot | None:
    """Return a replication slot, None if there is none of this name."""
    with connect(url, CONNECT_TIMEOUT) as db:
        row = db.execute(encode_sql(_SLOT_SQL), (name,)).fetchone()
    return Slot(*row) if row else None


def create_slot(url: str, name: str, server: Server) -> None:
    """Create a replication slot that retains the log from now on."""
    if server.free_slots < 1:
        raise DatabaseError(
            "all of the server's max_replication_slots are taken",
            need="a free one; SELECT * FROM pg_replication_slots shows who has them",
            next="ALTER SYSTEM SET max_replication_slots, as a superuser, then restart the server",
        )
    with connect(url, CONNECT_TIMEOUT) as db:
        db.execute("SELECT pg_create_physical_replication_slot(%s, true)", (name,))


def drop_slot(url: str, name: str) -> None:
    """Drop a replication slot, which must be the caller's own."""
    with connect(url, CONNECT_TIMEOUT) as db:
        db.execute("SELECT pg_drop_replication_slot(%s)", (name,))


def log_position(url: str) -> int:
    """Return the position until which the server's log is written."""
    with connect(url, CONNECT_TIMEOUT) as db:
        return int(fetch_value(db, _POSITION_SQL))


def server_time(url: str) -> datetime:
    """Return the time by the server's clock, which its transactions are recorded with."""
    with connect(url, CONNECT_TIMEOUT) as db:
        now: datetime = fetch_value(db, "SELECT clock_timestamp()")
        return now
