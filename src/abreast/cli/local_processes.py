"""What runs on this machine for services without an address, by the supervisor's records. Imports next to nothing."""

import fcntl
import json

HEALTHY, UNHEALTHY, STOPPED = "healthy", "unhealthy", "stopped"
"""STOPPED: the environment does not run, such as after a reboot."""


def processes_health(home: str, version: str, count: int) -> str:
    """Return whether all processes of a version run, by the records in the supervisor's ``home``."""
    running = sum(_is_recorded_alive(f"{home}/instances/{version}-{number}.json") for number in range(count))
    if running == count:
        return HEALTHY
    return UNHEALTHY if running or _is_locked(f"{home}/supervisor.lock") else STOPPED


def server_status(home: str) -> dict[str, object]:
    """Return the state and the port of the server of databases in ``home``, which was made."""
    try:
        with open(f"{home}/postgres/port") as file:  # noqa: PTH123 (as above)
            port = int(file.read())
    except (OSError, ValueError):
        return {"state": "unknown", "port": None}
    return {"state": "running" if _is_recorded_alive(f"{home}/instances/postgres.json") else "stopped", "port": port}


def schedule_status(home: str, service: str, schedule: str) -> dict[str, object]:
    """Return when a scheduled command ran last and how that ended, and when it is due next; times in ISO 8601, UTC."""
    # Slow to import, and most projects have no schedule.
    from datetime import UTC, datetime  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from abreast.machine.cron_schedule import CronSchedule  # noqa: PLC0415
    from abreast.platforms.local.supervisor.schedule_record import ScheduleRecord, next_due  # noqa: PLC0415

    record, now = ScheduleRecord.read(Path(home, "schedules", f"{service}.json")), datetime.now(UTC)
    run, handled = record.run, record.handled if record.schedule == schedule else None
    last = None
    if run:
        is_running = run.ended is None and _is_locked(f"{home}/schedules/{service}.lock")
        last = {
            "started": run.started.isoformat(timespec="seconds"),
            "ended": run.ended and run.ended.isoformat(timespec="seconds"),
            "exit_code": run.exit_code,
            "state": "running" if is_running else "interrupted" if run.exit_code is None else "ended",
        }
    due = max(now, next_due(schedule, handled, now))
    timing = CronSchedule.parse(schedule)
    return {
        "schedule": timing.expression,
        "timezone": timing.timezone,
        "next": due.isoformat(timespec="seconds"),
        "last": last,
    }


def has_failed(status: dict[str, object]) -> bool:
    """Whether the last run of a scheduled command failed or was interrupted."""
    last = status["last"]
    return isinstance(last, dict) and last["state"] != "running" and last["exit_code"] != 0


def is_process_alive(pid: object, ticks: object) -> bool:
    """Whether a process runs that has this pid and started at this time."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123 (pathlib is slow to import)
            fields = file.read().rpartition(")")[2].split()
            return fields[0] != "Z" and int(fields[19]) == ticks
    except (OSError, ValueError, IndexError):
        return False


def _is_recorded_alive(file: str) -> bool:
    try:
        with open(file) as opened:  # noqa: PTH123 (as above)
            identity = json.load(opened)["identity"]
        with open("/proc/sys/kernel/random/boot_id") as opened:  # noqa: PTH123 (as above)
            is_this_boot = opened.read().strip() == identity["boot"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return is_this_boot and is_process_alive(identity["pid"], identity["start_ticks"])


def _is_locked(file: str) -> bool:
    try:
        with open(file) as lock:  # noqa: PTH123 (as above)
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
