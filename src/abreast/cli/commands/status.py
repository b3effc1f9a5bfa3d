"""``abreast status`` runs often, so it imports next to nothing.

It reads the ledger with SQL of its own, probes each service once, and never starts the engine.
"""

import os
import select
import socket
import sqlite3
import sys
import time

from abreast.ledger import file_errors

PROBE_TIMEOUT = 2.0
"""Seconds for all probes together."""

_STOPPED = "stopped"
"""Nothing listens on the port of a local service: the environment does not run, such as after a reboot."""

FINISHED_STATES = frozenset({"succeeded", "turned-back", "cancelled"})
_LIVE_QUERY = """
    SELECT json_extract(live, '$.service'), json_extract(live, '$.platform'), json_extract(live, '$.release'),
        json_extract(live, '$.commit'), json_extract(live, '$.version.url'), json_extract(live, '$.since'),
        json_extract(live, '$.artifact'), json_extract(live, '$.definition.health.path')
    FROM live WHERE environment = ? ORDER BY service
"""
"""SQLite reads the JSON: the ``json`` module would take longer to import than the query runs."""

USAGE = "usage: abreast status [--env E] [--json] [--watch]"


class _ExitMessage(Exception):  # noqa: N818 (ends the command with a text)
    """What is wrong, what is needed, the next command, and the exit code."""


class _LiveService:
    """The live version of a service, as a row of the ledger."""

    def __init__(self, *row: str) -> None:
        (
            self.service,
            self.platform,
            self.release,
            self.commit,
            self.url,
            self.since,
            self.artifact,
            self.health_path,
        ) = row


def main(arguments: list[str]) -> int:
    """Run ``abreast status`` without click, and return the exit code."""
    try:
        environment, as_json = _parse_arguments(arguments)
    except _ExitMessage as message:
        return _report(message)
    return _show_status(environment, as_json=as_json)


def status(environment: "str | None", *, as_json: bool, watch: bool) -> int:
    """Show what is live: once, or with ``watch`` every second until Ctrl-C."""
    while True:
        if watch and sys.stdout.isatty():
            print("\x1b[2J\x1b[H", end="")
        code = _show_status(environment, as_json=as_json)
        if not watch:
            return code
        sys.stdout.flush()
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            return code


def _show_status(environment: "str | None", *, as_json: bool) -> int:
    try:
        document = _read_status(_state_folder(), environment)
    except _ExitMessage as message:
        return _report(message)
    _add_published(document)
    if as_json:
        import json  # noqa: PLC0415 (slow to import)

        print(json.dumps(document, indent=2))
    else:
        _print_status(document)
    return 0


def _report(message: _ExitMessage) -> int:
    what, need, next_command, code = message.args
    print(
        f"abreast: {what}",
        *([f"  needed: {need}"] if need else []),
        *([f"  next:   {next_command}"] if next_command else []),
        sep="\n",
        file=sys.stderr,
    )
    return int(code)


def _parse_arguments(arguments: list[str]) -> tuple[str | None, bool]:
    environment, as_json, remaining = None, False, list(arguments)
    while remaining:
        word = remaining.pop(0)
        if word == "--json":
            as_json = True
        elif word == "--env" and remaining:
            environment = remaining.pop(0)
        elif word.startswith("--env="):
            environment = word.removeprefix("--env=")
        else:
            raise _ExitMessage(f"status has no option {word!r}", USAGE, "abreast status --help", 2)
    return environment, as_json


def _state_folder() -> str:
    configured = os.environ.get("ABREAST_STATE", "")
    if configured:
        file = configured.removeprefix("sqlite:///")
        return os.path.dirname(file) if file != configured else configured  # noqa: PTH120 (pathlib is slow to import)
    folder = os.getcwd()  # noqa: PTH109 (pathlib is slow to import)
    while not os.path.isfile(os.path.join(folder, "abreast.yml")):  # noqa: PTH113, PTH118
        parent = os.path.dirname(folder)  # noqa: PTH120
        if parent == folder:
            raise _ExitMessage("no abreast.yml here or in any folder above", "a project", "abreast init", 2)
        folder = parent
    return os.path.join(folder, ".abreast")  # noqa: PTH118


def _read_status(folder: str, only: str | None) -> dict[str, object]:
    file = f"{folder}/ledger.db"
    if file_errors.is_ledger_lost(folder):
        raise _ExitMessage(*file_errors.lost_ledger_error(file), 1)
    if not os.path.exists(file):  # noqa: PTH110
        raise _ExitMessage("nothing has been deployed yet", "", "abreast deploy", 0)
    try:
        database = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
        try:
            return _query_ledger(database, file, only)
        finally:
            database.close()
    except sqlite3.Error as error:
        raise _ExitMessage(*file_errors.damaged_file_error(file, str(error)), 1) from error


def _query_ledger(database: sqlite3.Connection, file: str, only: str | None) -> dict[str, object]:
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if owner != file_errors.APPLICATION_ID:
        raise _ExitMessage(*file_errors.foreign_file_error(file), 1)
    if version > file_errors.SCHEMA_VERSION:
        raise _ExitMessage(*file_errors.newer_schema_error(file, version), 1)
    latest = database.execute(
        "SELECT environment, id, project, state, chapter, started, finished, release FROM deployments"
        " WHERE rowid IN (SELECT max(rowid) FROM deployments WHERE kind NOT IN ('rehearse', 'drill')"
        " GROUP BY environment) ORDER BY environment"
    ).fetchall()
    deployed = [row[0] for row in latest]
    if only is not None and only not in deployed:
        raise _ExitMessage(
            f"nothing has been deployed to {only!r} yet",
            f"one of: {', '.join(deployed)}" if deployed else "a deployment",
            f"abreast deploy --env {only}",
            2,
        )
    environments = {}
    for row in latest:
        if only in {None, row[0]}:
            environments[row[0]] = _environment_status(database, os.path.dirname(file), row)  # noqa: PTH120
    return {"project": latest[0][2] if latest else None, "environments": environments}


def _environment_status(database: sqlite3.Connection, folder: str, row: tuple[str, ...]) -> dict[str, object]:
    name, id_, _, state, chapter, started, finished, _ = row
    rows = database.execute(_LIVE_QUERY, (name,)).fetchall()
    live_services = [_LiveService(*row) for row in rows]
    last_success = database.execute(
        "SELECT release FROM deployments WHERE environment = ? AND state = 'succeeded' ORDER BY rowid DESC LIMIT 1",
        (name,),
    ).fetchone()
    holder = _read_holder(folder, name)
    deployment: dict[str, object] = {
        "id": id_,
        "state": state,
        "chapter": chapter,
        "started": started,
        "finished": finished,
    }
    if state != "succeeded":
        deployment["why"] = _failure_message(database, id_)
    if state not in FINISHED_STATES and state != "stuck" and not holder:
        deployment["interrupted"] = True
    health = _probe_health(live_services)
    stopped = [live.service for live in live_services if health[live.service] == _STOPPED]
    services = {
        live.service: {
            "platform": live.platform,
            "release": live.release,
            "commit": live.commit,
            "url": live.url,
            "health": "unhealthy" if health[live.service] == _STOPPED else health[live.service],
            "since": live.since,
            "artifact": live.artifact,
        }
        for live in live_services
    }
    return {
        "release": last_success[0] if last_success and live_services else None,
        "deployment": deployment,
        "lock": _read_operator_lock(folder, name) or holder,
        "stopped": stopped,
        "services": services,
    }


def _failure_message(database: sqlite3.Connection, deployment: str) -> str:
    """Return the first line of a deployment's first failure, "" if it has none. Those after it follow from it."""
    row = database.execute(
        "SELECT json_extract(event, '$.service'), json_extract(event, '$.chapter'), json_extract(event, '$.message')"
        " FROM events WHERE deployment = ? AND json_extract(event, '$.kind') IN ('failed', 'stopped')"
        " ORDER BY json_extract(event, '$.kind'), seq LIMIT 1",
        (deployment,),
    ).fetchone()
    return ": ".join(filter(None, row)).partition("\n")[0] if row else ""


def _add_published(document: dict[str, object]) -> None:
    """Add what platforms report of services that do not run here."""
    environments = document["environments"]
    assert isinstance(environments, dict)
    for name, environment in environments.items():
        if any(live["platform"] != "local" for live in environment["services"].values()):
            from abreast.cli.published_state import PUBLISHED  # noqa: PLC0415 (slow, and local services do not need it)

            PUBLISHED.add_to(name, environment["services"])


def _read_operator_lock(folder: str, environment: str) -> dict[str, object] | None:
    operator = _read_json(f"{folder}/locks/{environment}.operator.json")
    return operator and {"holder": operator.get("by"), "reason": operator.get("reason"), "since": operator.get("since")}


def _read_holder(folder: str, environment: str) -> dict[str, object] | None:
    """Return the command that holds the environment's lock, None if none does."""
    holder = _read_json(f"{folder}/locks/{environment}.json")
    if not holder or not _is_process_alive(holder.get("pid"), holder.get("start_ticks")):
        return None
    return {"holder": "a running command", "reason": "", "since": holder.get("since"), "pid": holder["pid"]}


def _is_process_alive(pid: object, ticks: object) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return int(file.read().rpartition(")")[2].split()[19]) == ticks
    except (OSError, ValueError, IndexError):
        return False


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


def _probe_health(services: "list[_LiveService]") -> dict[str, str]:
    """Probe the health path of every service, all at once. A remote service that cannot be reached is unknown.

    So is one without an address, such as a background worker.
    """
    health = {live.service: _health_without_answer(live) for live in services}
    pending: dict[int, tuple[socket.socket, str]] = {}
    poll = select.poll()
    for live in services:
        if not live.url:
            continue
        try:
            connection = _send_probe(live)
        except OSError as error:
            if live.platform == "local" and isinstance(error, ConnectionRefusedError):
                health[live.service] = _STOPPED
            continue
        pending[connection.fileno()] = (connection, live.service)
        poll.register(connection, select.POLLIN)
    deadline = time.monotonic() + PROBE_TIMEOUT
    while pending and (remaining := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(remaining * 1000):
            connection, service = pending.pop(descriptor)
            poll.unregister(descriptor)
            health[service] = _read_probe_result(connection)
    for connection, _ in pending.values():
        connection.close()
    return health


def _health_without_answer(live: "_LiveService") -> str:
    return "unhealthy" if live.platform == "local" else "unknown"


def _send_probe(live: "_LiveService") -> socket.socket:
    """Send a health request and return the connection. Raises OSError if there is none."""
    scheme, _, rest = live.url.partition("://")
    authority, _, base = rest.partition("/")
    host, _, port = authority.partition(":")
    path = f"/{base}".rstrip("/") + live.health_path
    # HTTP/1.0: no chunked responses, and the server closes the connection.
    request = f"GET {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: abreast-probe\r\n\r\n"
    address = ("127.0.0.1" if live.platform == "local" else host, int(port or (443 if scheme == "https" else 80)))
    connection = socket.create_connection(address, timeout=PROBE_TIMEOUT)
    if scheme == "https":
        import ssl  # noqa: PLC0415 (slow to import, and local services do not need it)

        connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    connection.sendall(request.encode())
    return connection


def _read_probe_result(connection: socket.socket) -> str:
    try:
        line = connection.recv(64).split(b" ")
        return "healthy" if len(line) > 1 and line[1][:1] in {b"2", b"3"} else "unhealthy"
    except OSError:
        return "unhealthy"
    finally:
        connection.close()


def _print_status(document: dict[str, object]) -> None:
    environments = document["environments"]
    assert isinstance(environments, dict)
    for name, environment in environments.items():
        deployment, lock = environment["deployment"], environment["lock"]
        print(f"{document['project']} · {name} · {environment['release'] or 'nothing is live'}")
        state = f"{deployment['state']} ({deployment['chapter']})"
        print(f"  deployment {deployment['id']}  {state}  started {_format_age(deployment['started'])}")
        if deployment.get("why"):
            print(f"  why: {_printable(deployment['why'])}")
        if deployment.get("interrupted"):
            print(f"  interrupted. next: abreast resume {deployment['id']}")
        elif (stopped := environment["stopped"]) and deployment["finished"]:
            release = f" --release {environment['release']}" if environment["release"] else ""
            print(f"  not running: {', '.join(stopped)}. next: abreast deploy --env {name}{release}")
        if deployment["state"] == "stuck":
            resume = f"abreast resume {deployment['id']}"
            print(f"  stuck while turning back. next: {resume}, or: {resume} --accept-as-it-is --reason …")
        if lock and "pid" not in lock:
            print(f"  locked by {lock['holder']}: {_printable(lock['reason'])}. next: abreast unlock --env {name}")
        for service, live in environment["services"].items():
            print(
                f"  {service:<14} {live['health']:<10} {live['release'] or '?':<6} {(live['commit'] or '?')[:7]:<7}  "
                f"{live['platform']:<8} {live['url']:<28} {_format_age(live['since'])}"
            )
            if problem := _published_problem(live):
                print(f"    {live['platform']}: {problem}")
                if not live["release"]:
                    release = f" --release {environment['release']}" if environment["release"] else " --force"
                    print(f"    next: abreast deploy --env {name} --service {service}{release}")


def _published_problem(live: dict[str, dict[str, str]]) -> str:
    published = live.get("published") or {"state": "recorded"}
    if published["state"] == "other":
        why = f" ({_printable(published['why'])})" if published["why"] else ""
        return f"users reach {published['version'] or 'another version'}, which abreast did not deploy{why}"
    if published["state"] == "nothing":
        return "nothing is published"
    return f"what is published is unknown: {_printable(published['why'])}" if published["state"] == "unknown" else ""


def _printable(text: object) -> str:
    """Return a text without what a terminal would obey. ``terminal_text`` would import ``re``, which is slow."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def _format_age(moment: str) -> str:
    seconds = int(time.time() - _to_epoch(moment))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{max(seconds, 0)} s ago"


def _to_epoch(moment: str) -> float:
    """Return an ISO 8601 time in UTC as seconds since the epoch."""
    database = sqlite3.connect(":memory:")
    try:
        return float(database.execute("SELECT unixepoch(?)", (moment,)).fetchone()[0])
    finally:
        database.close()
