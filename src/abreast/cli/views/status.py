"""What ``abreast status`` prints. Imports next to nothing."""

import sqlite3
import time
from collections.abc import Iterator


def status_lines(document: dict[str, object]) -> Iterator[str]:
    """Yield what is live in each environment, the next command where something is wrong, and what was proposed."""
    yield from _environment_lines(document)
    proposals = document["proposals"]
    assert isinstance(proposals, list)
    for proposal in proposals:
        yield f"proposal {proposal['hash']} to {proposal['environment']}: {_printable(proposal['summary'])}"
        yield f"  by {_printable(proposal['by'])}: {_printable(proposal['reason'])}"
        yield f"  a person decides: abreast approve {proposal['hash']}"


def _environment_lines(document: dict[str, object]) -> Iterator[str]:
    environments = document["environments"]
    assert isinstance(environments, dict)
    for name, environment in environments.items():
        deployment, lock = environment["deployment"], environment["lock"]
        yield f"{document['project']} · {name} · {environment['release'] or 'nothing is live'}"
        state = f"{deployment['state']} ({deployment['chapter']})"
        yield f"  deployment {deployment['id']}  {state}  started {_format_age(deployment['started'])}"
        if deployment.get("why"):
            yield f"  why: {_printable(deployment['why'])}"
        if deployment["state"] == "turned-back":
            yield f"  next: abreast logs {deployment['id']}"
        if deployment.get("interrupted"):
            yield f"  interrupted. next: abreast resume {deployment['id']}"
        elif (stopped := environment["stopped"]) and deployment["finished"]:
            release = f" --release {environment['release']}" if environment["release"] else ""
            yield f"  not running: {', '.join(stopped)}. next: abreast deploy --env {name}{release}"
        if deployment["state"] == "stuck":
            resume = f"abreast resume {deployment['id']}"
            yield f"  stuck while turning back. next: {resume}, or: {resume} --accept-as-it-is --reason …"
        if lock and "pid" not in lock:
            yield f"  locked by {lock['holder']}: {_printable(lock['reason'])}. next: abreast unlock --env {name}"
        yield from _server_lines(environment, name)
        for service, live in environment["services"].items():
            yield (
                f"  {service:<14} {_health(live):<10} {live['release'] or '?':<6} {(live['commit'] or '?')[:7]:<7}  "
                f"{live['platform']:<8} {live['url']:<28} {_format_age(live['since'])}"
            )
            if "maintenance" in live:
                yield f"    {_maintenance_line(live['maintenance'])}"
            yield from map(_restarted_line, live.get("restarted", ()))
            if "schedule" in live:
                yield f"    {_schedule_line(live['schedule'])}"
            if problem := _published_problem(live):
                yield f"    {live['platform']}: {problem}"
                if not live["release"]:
                    release = f" --release {environment['release']}" if environment["release"] else " --force"
                    yield f"    next: abreast deploy --env {name} --service {service}{release}"


def _server_lines(environment: dict[str, object], name: str) -> Iterator[str]:
    """Yield how the PostgreSQL is that abreast runs for an environment, if it runs one."""
    server = environment.get("postgresql")
    if not isinstance(server, dict):
        return
    if server["state"] == "running":
        yield f"  postgresql runs on this machine, on port {server['port']} of 127.0.0.1"
    else:
        next_command = f". next: abreast deploy --env {name}" if environment["services"] else ""
        yield f"  postgresql on this machine is {server['state']}{next_command}"


def _health(live: dict[str, object]) -> object:
    return "maintenance" if "maintenance" in live and live["health"] == "unknown" else live["health"]


def _maintenance_line(mode: dict[str, str]) -> str:
    switched = "in maintenance" if mode["state"] == "on" else f"maintenance was interrupted while {mode['state']}"
    return f"{switched}, begun {_format_age(mode['since'])} by {_printable(mode['by'])}: {_printable(mode['reason'])}"


def _restarted_line(restarted: dict[str, object]) -> str:
    times = "once" if restarted["times"] == 1 else f"{restarted['times']} times"
    return f"    {restarted['instance']} was started again {times}; the last time: {_printable(restarted['last_exit'])}"


def _schedule_line(status: dict[str, object]) -> str:
    """Return when a scheduled command runs, and how it ran last, in one line. Times are in UTC."""
    last, timing = status["last"], f"{status['schedule']} ({status['timezone']})"
    if not isinstance(last, dict):
        return f"{timing}: has not run yet; next {_second(status['next'])}"
    end = f"exit code {last['exit_code']}" if last["state"] == "ended" else last["state"]
    return f"{timing}: last {_second(last['started'])}, {end}; next {_second(status['next'])}"


def _second(moment: object) -> str:
    return str(moment)[:19].replace("T", " ")


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
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return shown.replace("##[", "##\u200b[")  # the runner of GitHub Actions would obey it


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
