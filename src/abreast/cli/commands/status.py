"""``abreast status`` runs often, so it imports next to nothing.

It reads the ledger with SQL of its own, probes each service once, and never starts the engine.
"""

import os
import sqlite3
import sys
import time

from abreast.cli import status_holders
from abreast.cli.error_document import error_document
from abreast.cli.live_health import STOPPED, LiveRow, probe_health
from abreast.cli.views.status import status_lines
from abreast.ledger import file_errors
from abreast.ledger.read_only import connect_read_only
from abreast.wiring.state_location import is_elsewhere, state_location

FINISHED_STATES = frozenset({"succeeded", "turned-back", "cancelled", "superseded"})
_LIVE_QUERY = """
    SELECT json_extract(live, '$.service'), json_extract(live, '$.platform'), json_extract(live, '$.release'),
        json_extract(live, '$.commit'), json_extract(live, '$.version.url'), json_extract(live, '$.since'),
        json_extract(live, '$.artifact'), json_extract(live, '$.definition.health.path'),
        json_extract(live, '$.definition.health.failing_status'),
        json_extract(live, '$.version.id'), json_extract(live, '$.definition.type'),
        json_extract(live, '$.definition.instances'), json_extract(live, '$.definition.schedule')
    FROM live WHERE environment = ? ORDER BY service
"""
_PROPOSALS_QUERY = """
    SELECT substr(key, 1, 12), subject, json_extract(entry, '$.data.summary'), json_extract(entry, '$.data.by'),
        json_extract(entry, '$.data.reason'), json_extract(entry, '$.data.expires')
    FROM entries AS made WHERE kind = 'proposal' AND subject = coalesce(?, subject)
        AND json_extract(entry, '$.data.expires') > strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
        AND NOT EXISTS (SELECT 1 FROM entries AS ends
            WHERE ends.kind = 'proposal' AND ends.subject = made.subject AND ends.key = made.key || '/end')
    ORDER BY id DESC
"""
"""SQLite reads the JSON: the ``json`` module would take longer to import than the query runs."""

USAGE = "usage: abreast status [--env E] [--json] [--watch]"


class _ExitMessage(Exception):  # noqa: N818 (ends the command with a text)
    """What is wrong, what is needed, the next command, and the exit code."""


def main(arguments: list[str]) -> int:
    """Run ``abreast status`` without click, and return the exit code."""
    try:
        environment, as_json = _parse_arguments(arguments)
    except _ExitMessage as message:
        return _report(message, as_json="--json" in arguments)
    return _show_status(environment, as_json=as_json)


def status(environment: "str | None", *, as_json: bool, watch: bool) -> int:
    """Show what is live: once, or with ``watch`` every second until Ctrl-C."""
    if watch and as_json:
        message = "--watch goes on until Ctrl-C, and --json is one document", "one of them", "abreast status --json", 2
        return _report(_ExitMessage(*message), as_json=True)
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
        config_folder, state_folder = _folders()
        file = _ledger_file(config_folder, state_folder)
        document = _read_status(config_folder, state_folder, file, environment)
    except _ExitMessage as message:
        return _report(message, as_json=as_json)
    _add_published(document)
    if as_json:
        import json  # noqa: PLC0415 (slow to import)

        print(json.dumps(document, indent=2))
        return 0
    if not document["environments"]:
        where, option = (f" to {environment}", f" --env {environment}") if environment else ("", "")
        print(f"nothing has been deployed{where} yet. next: abreast deploy{option}")
    for line in status_lines(document):
        print(line)
    return 0


def _report(message: _ExitMessage, *, as_json: bool) -> int:
    what, need, next_command, code = message.args
    print(
        f"abreast: {what}",
        *([f"  needed: {need}"] if need else []),
        *([f"  next:   {next_command}"] if next_command else []),
        sep="\n",
        file=sys.stderr,
    )
    if as_json:
        print(error_document(what, need, next_command, code))
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


def _folders() -> tuple[str, str]:
    """Return the folder of abreast.yml ("" if the state is elsewhere), and that of the state."""
    configured = state_location(os.environ)
    if configured and not is_elsewhere(configured):
        file = configured.removeprefix("sqlite:///")
        return "", os.path.dirname(file) if file != configured else configured  # noqa: PTH120 (pathlib is slow to import)
    folder = os.getcwd()  # noqa: PTH109 (pathlib is slow to import)
    while not os.path.isfile(os.path.join(folder, "abreast.yml")):  # noqa: PTH113, PTH118
        if os.path.isfile(os.path.join(folder, "abreast.yaml")):  # noqa: PTH113, PTH118
            what = f"found abreast.yaml in {folder}"
            raise _ExitMessage(what, "the name abreast.yml", "git mv abreast.yaml abreast.yml", 2)
        parent = os.path.dirname(folder)  # noqa: PTH120
        if parent == folder:
            raise _ExitMessage("no abreast.yml here or in any folder above", "a project", "abreast init", 2)
        folder = parent
    return folder, os.path.join(folder, ".abreast")  # noqa: PTH118


def _ledger_file(config_folder: str, state_folder: str) -> str:
    """Return the file to read: for a ledger that is kept elsewhere, its mirror, which is as new as the home here."""
    location = state_location(os.environ)
    if not is_elsewhere(location):
        return f"{state_folder}/ledger.db"
    from pathlib import Path  # noqa: PLC0415 (slow, and seldom needed)

    from abreast.core.errors import AbreastError  # noqa: PLC0415 (as above)
    from abreast.wiring.state_homes import mirror_folder, open_mirror  # noqa: PLC0415

    config_file, state = Path(config_folder, "abreast.yml"), Path(state_folder)
    file = f"{mirror_folder(location, config_file, state)}/ledger.db"
    if os.path.exists(file) and file_errors.why_unwritable(file):  # noqa: PTH110
        return file
    try:
        mirror = open_mirror(location, config_file, state)
        if mirror.trouble:
            print(f"as it was last known here: {mirror.trouble}", file=sys.stderr)
        mirror.close()
    except AbreastError as error:
        raise _ExitMessage(error.what, error.need, error.next, error.exit_code) from error
    return file


def _read_status(config_folder: str, folder: str, file: str, only: str | None) -> dict[str, object]:
    if file_errors.is_ledger_lost(os.path.dirname(file)):  # noqa: PTH120
        raise _ExitMessage(*file_errors.lost_ledger_error(file), 1)
    if not os.path.exists(file):  # noqa: PTH110
        _check_environment(config_folder, only, [])
        return {"project": None, "environments": {}, "proposals": []}
    if why := file_errors.why_unwritable(file):
        print(file_errors.unwritable_note(os.path.dirname(file), why), file=sys.stderr)  # noqa: PTH120
    try:
        database = connect_read_only(file)
        try:
            return _query_ledger(database, config_folder, folder, file, only)
        finally:
            database.close()
    except sqlite3.Error as error:
        raise _ExitMessage(*file_errors.damaged_file_error(file, str(error)), 1) from error


def _query_ledger(
    database: sqlite3.Connection, config_folder: str, folder: str, file: str, only: str | None
) -> dict[str, object]:
    (owner,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if owner != file_errors.APPLICATION_ID:
        raise _ExitMessage(*file_errors.foreign_file_error(file), 1)
    if version > file_errors.SCHEMA_VERSION:
        raise _ExitMessage(*file_errors.newer_schema_error(file, version), 1)
    latest = database.execute(
        "SELECT environment, id, project, state, chapter, started, finished, release, author,"
        " (SELECT json_extract(entry, '$.data.run_url') FROM entries"
        " WHERE kind = 'plan' AND subject = deployments.id), EXISTS (SELECT 1 FROM entries"
        " WHERE kind = 'event' AND subject = deployments.id AND json_extract(entry, '$.data.kind') = 'removed')"
        " FROM deployments"
        " WHERE rowid IN (SELECT max(rowid) FROM deployments WHERE kind NOT IN ('rehearse', 'drill')"
        " GROUP BY environment) ORDER BY environment"
    ).fetchall()
    _check_environment(config_folder, only, [row[0] for row in latest])
    environments = {}
    for *row, is_removed in latest:
        if only == row[0] or (only is None and not is_removed):
            environments[row[0]] = _environment_status(database, folder, row)
    project = latest[0][2] if latest else None
    return {"project": project, "environments": environments, "proposals": _open_proposals(database, only)}


def _open_proposals(database: sqlite3.Connection, only: str | None) -> list[dict[str, object]]:
    """Return what waits for a person to approve it, newest first."""
    names = ("hash", "environment", "summary", "by", "reason", "expires")
    return [dict(zip(names, row, strict=True)) for row in database.execute(_PROPOSALS_QUERY, (only,))]


def _check_environment(config_folder: str, requested: str | None, deployed: list[str]) -> None:
    """Raise _ExitMessage for an environment that was never deployed, and that abreast.yml does not have either."""
    if requested is None or requested in deployed:
        return
    configured: tuple[str, ...] = ()
    if config_folder:
        from pathlib import Path  # noqa: PLC0415 (slow, and seldom needed)

        from abreast.config.names import environment_names  # noqa: PLC0415 (slow, as above)
        from abreast.core.errors import ConfigError  # noqa: PLC0415

        try:
            configured = environment_names(Path(config_folder, "abreast.yml"))
        except ConfigError as error:
            raise _ExitMessage(error.what, error.need, error.next, error.exit_code) from error
    if requested not in configured and requested.rpartition("-pr-")[0] not in configured:
        choices = ", ".join(dict.fromkeys((*deployed, *configured))) or "none was deployed yet"
        raise _ExitMessage(f"there is no environment {requested!r}", f"one of: {choices}", "abreast status", 2)


def _environment_status(database: sqlite3.Connection, folder: str, row: "list[str]") -> dict[str, object]:
    name, id_, _, state, chapter, started, finished, _, author, run_url = row
    rows = database.execute(_LIVE_QUERY, (name,)).fetchall()
    live_services = [LiveRow(*row) for row in rows]
    last_success = database.execute(
        "SELECT release FROM deployments WHERE environment = ? AND state = 'succeeded' ORDER BY rowid DESC LIMIT 1",
        (name,),
    ).fetchone()
    holder = status_holders.read_holder(folder, name) or status_holders.read_lease(database, name)
    deployment: dict[str, object] = {
        "id": id_,
        "state": state,
        "chapter": chapter,
        "started": started,
        "finished": finished,
        "author": author,
        "run_url": run_url or None,
    }
    if state != "succeeded":
        deployment["why"] = _failure_message(database, id_)
    if state not in {*FINISHED_STATES, "stuck", "approving"} and not holder:
        deployment["interrupted"] = True
    health = probe_health(live_services)
    home = f"{folder}/local/{name}"
    for live in live_services:
        if live.runs_without_address:
            health[live.service] = _processes_health(home, live)
    stopped = [live.service for live in live_services if health[live.service] == STOPPED]
    services = {live.service: _service_status(home, live, health[live.service]) for live in live_services}
    for service, mode in status_holders.read_maintenance(database, name).items():
        if service in services:
            services[service] |= {"maintenance": mode}
            if service not in stopped:  # its address answers for the page
                services[service]["health"] = "unknown"
    return {
        "release": last_success[0] if last_success and live_services else None,
        "deployment": deployment,
        "lock": status_holders.read_operator_lock(database, name) or holder,
        "stopped": stopped,
        "services": services,
        **_server_status(home),
    }


def _server_status(home: str) -> dict[str, object]:
    """Return the state of the PostgreSQL that abreast runs for an environment, {} if it runs none."""
    if not os.path.isdir(f"{home}/postgres"):  # noqa: PTH112 (pathlib is slow to import)
        return {}
    from abreast.cli import local_processes  # noqa: PLC0415 (as above)

    return {"postgresql": local_processes.server_status(home)}


def _processes_health(home: str, live: "LiveRow") -> str:
    from abreast.cli import local_processes  # noqa: PLC0415 (imports json, which is slow)

    return local_processes.processes_health(home, live.version, int(live.instances))


def _service_status(home: str, live: "LiveRow", health: str) -> dict[str, object]:
    status: dict[str, object] = {
        "platform": live.platform,
        "release": live.release,
        "commit": live.commit,
        "url": live.url,
        "health": "unhealthy" if health == STOPPED else health,
        "since": live.since,
        "artifact": live.artifact,
    }
    if restarted := _restarted(home, live):
        status["restarted"] = restarted
    if live.runs_without_address and live.schedule:
        from abreast.cli import local_processes  # noqa: PLC0415 (as above)

        schedule = local_processes.schedule_status(home, live.service, live.schedule)
        status |= {"schedule": schedule, **({"health": "unhealthy"} if local_processes.has_failed(schedule) else {})}
    return status


def _restarted(home: str, live: "LiveRow") -> list[dict[str, object]]:
    """Return the instances of a local version that were started again: each with how often, and why the last time."""
    if live.platform != "local":
        return []
    records = (_read_text(f"{home}/instances/{live.version}-{number}.json") for number in range(int(live.instances)))
    if not (restarted := [text for text in records if text and '"restarts": 0' not in text]):
        return []
    import json  # noqa: PLC0415 (slow to import, and most often nothing was started again)

    found = [json.loads(text) for text in restarted]
    return [{"instance": each["id"], "times": each["restarts"], "last_exit": each["last_exit"]} for each in found]


def _read_text(file: str) -> str:
    try:
        with open(file) as opened:  # noqa: PTH123
            return opened.read()
    except OSError:
        return ""


def _failure_message(database: sqlite3.Connection, deployment: str) -> str:
    """Return the first line of a deployment's first failure, "" if it has none. Those after it follow from it."""
    row = database.execute(
        "SELECT json_extract(entry, '$.data.service'), json_extract(entry, '$.data.chapter'),"
        " json_extract(entry, '$.data.message') FROM entries WHERE kind = 'event' AND subject = ?"
        " AND json_extract(entry, '$.data.kind') IN ('failed', 'stopped')"
        " ORDER BY json_extract(entry, '$.data.kind'), id LIMIT 1",
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
