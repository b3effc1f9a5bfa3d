"""Who has an environment: an operator, maintenance, a running command. Imports next to nothing, as status does."""

import os
import sqlite3


def read_operator_lock(database: sqlite3.Connection, environment: str) -> dict[str, object] | None:
    """Return the lock that an operator, or a deployment that failed, has on the environment; None if there is none."""
    row = database.execute(
        "SELECT json_extract(lock, '$.by'), json_extract(lock, '$.reason'), json_extract(lock, '$.since')"
        " FROM operator_locks WHERE environment = ?"
        " AND coalesce(julianday(json_extract(lock, '$.until')) > julianday('now'), 1)",
        (environment,),
    ).fetchone()
    return dict(zip(("holder", "reason", "since"), row, strict=True)) if row else None


def read_maintenance(database: sqlite3.Connection, environment: str) -> "dict[str, dict[str, object]]":
    """Return the services in maintenance: since when, by whom and why."""
    rows = database.execute(
        "SELECT key, json_extract(value, '$.since'), json_extract(value, '$.by'), json_extract(value, '$.reason'),"
        " json_extract(value, '$.phase') FROM json_each((SELECT json_extract(entry, '$.data.services') FROM entries"
        " WHERE kind = 'maintenance' AND subject = ? ORDER BY id DESC LIMIT 1))",
        (environment,),
    ).fetchall()
    names = ("since", "by", "reason", "state")
    return {service: dict(zip(names, values, strict=True)) for service, *values in rows}


def read_holder(folder: str, environment: str) -> dict[str, object] | None:
    """Return the command that holds the environment's lock, None if none does."""
    holder = _read_json(f"{folder}/locks/{environment}.json")
    if not holder or not _is_process_alive(holder):
        return None
    return {
        "holder": holder.get("run_url") or "a running command",
        "reason": "",
        "since": holder.get("since"),
        "pid": holder["pid"],
    }


def read_lease(database: sqlite3.Connection, environment: str) -> dict[str, object] | None:
    """Return the command that holds the environment's lease, None if none does or it is known to be dead."""
    query = "SELECT holder FROM leases WHERE environment = ? AND holder IS NOT NULL"
    row = database.execute(query, (environment,)).fetchone()
    if row is None:
        return None
    import json  # noqa: PLC0415 (slow to import, and seldom needed)

    from abreast.ledger.lease import may_be_alive  # noqa: PLC0415 (as above)

    holder = json.loads(row[0])
    where = holder.get("run_url") or f"a command on {holder['host']}"
    who = {"holder": where, "reason": "", "since": holder["since"], "pid": holder["pid"]}
    return who if may_be_alive(holder) else None


def _is_process_alive(holder: "dict[str, object]") -> bool:
    from abreast.machine.kernel import PROCESSES  # noqa: PLC0415 (slow, and most often nobody holds the lock)

    try:
        started = PROCESSES.state(int(str(holder.get("pid")))).start_ticks
    except (ProcessLookupError, ValueError):
        return False
    return (started, PROCESSES.boot_id()) == (holder.get("start_ticks"), holder.get("boot"))


def _read_json(file: str) -> dict[str, object] | None:
    if not os.path.exists(file):  # noqa: PTH110
        return None
    import json  # noqa: PLC0415 (slow to import, and most often there is no file)

    try:
        with open(file) as opened:  # noqa: PTH123
            value = json.load(opened)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
