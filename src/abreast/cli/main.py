"""The command line: every command, its options and its help; what they do is elsewhere."""

import os
import sys
from pathlib import Path

import click

from abreast import __version__
from abreast.core.errors import AbreastError, UsageError


class _OrderedGroup(click.Group):
    """Commands in the order of a deployment's life; a near miss is told."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(self.commands)


@click.group(cls=_OrderedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="abreast")
def abreast() -> None:
    """Deploy a project's services side by side, as one release: all get there, or none does."""


env_option = click.option("--env", "environment", metavar="E", help="The environment; the only one, or local.")
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
service_option = click.option(
    "--service", "services", multiple=True, metavar="S", help="Only this service; may be repeated."
)
force_option = click.option("--force", is_flag=True, help="Deploy also what did not change.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@abreast.command()
@click.option("--render", "for_render", is_flag=True, help="Write render.yaml from abreast.yml instead.")
@env_option
def init(environment: str | None, *, for_render: bool) -> int:
    """Write abreast.yml for the repository at hand."""
    from abreast.cli.commands import init  # noqa: PLC0415 (a command imports what it needs, so that --help is quick)

    return (
        init.write_render_blueprint(_working_directory(), environment)
        if for_render
        else init.write_config(_working_directory())
    )


@abreast.command()
@env_option
@json_option
def doctor(environment: str | None, *, as_json: bool) -> int:
    """Say what is wrong with the project, its credentials and its platforms, and how to mend it."""
    from abreast.cli.commands import doctor  # noqa: PLC0415

    return doctor.run_checks(_working_directory(), environment, as_json=as_json)


@abreast.command()
@env_option
@service_option
@click.option("--since", metavar="REF", help="Compare with this commit instead of what is live.")
@force_option
@json_option
def plan(environment: str | None, services: tuple[str, ...], since: str | None, *, force: bool, as_json: bool) -> int:
    """Say what would be deployed, in which order, and why (or why not)."""
    from abreast.cli.commands import deployments  # noqa: PLC0415

    request = deployments.request_from_options(services=services, since=since, force=force)
    return deployments.plan(_working_directory(), environment, request, as_json=as_json)


@abreast.command()
@env_option
@service_option
@click.option("--since", metavar="REF", help="Compare with this commit instead of what is live.")
@click.option("--release", metavar="V", help="Deploy a release that was built before.")
@click.option("--skip-gate", "skip", multiple=True, metavar="G", help="Do not ask this gate; needs a reason.")
@click.option("--reason", default="", metavar="R", help="Why; stands in the ledger.")
@force_option
@yes_option
@click.option("--allow-dirty", is_flag=True, help="Deploy the commit although files differ from it.")
@json_option
def deploy(
    environment: str | None, services: tuple[str, ...], since: str | None, release: str | None,
    skip: tuple[str, ...], reason: str, *, force: bool, yes: bool, allow_dirty: bool, as_json: bool,
) -> int:  # fmt: skip
    """Deploy what changed, all services together, and turn back together if one fails."""
    from abreast.cli.commands import deployments  # noqa: PLC0415

    request = deployments.request_from_options(
        services=services, since=since, release=release, force=force, skipped_gates=skip, reason=reason
    )
    return deployments.deploy(
        _working_directory(), environment, request, yes=yes, allow_dirty=allow_dirty, as_json=as_json
    )


@abreast.command()
@env_option
@service_option
@click.option("--to", "release", metavar="V", help="The release to go back to; the last good one before.")
@click.option("--restore-data", is_flag=True, help="Also restore what the databases held before; says what is lost.")
@click.option("--reason", required=True, metavar="R", help="Why; stands in the ledger.")
@yes_option
@json_option
def rollback(
    environment: str | None, services: tuple[str, ...], release: str | None, reason: str,
    *, restore_data: bool, yes: bool, as_json: bool,
) -> int:  # fmt: skip
    """Put users back on an earlier release, all services together."""
    from abreast.cli.commands import deployments  # noqa: PLC0415

    request = deployments.request_from_options(services=services, release=release, reason=reason, is_rollback=True)
    return deployments.rollback(
        _working_directory(), environment, request, restore_data=restore_data, yes=yes, as_json=as_json
    )


@abreast.command()
@click.argument("deployment", required=False)
@json_option
def resume(deployment: str | None, *, as_json: bool) -> int:
    """Go on with a deployment that was cut off, from its last recorded step."""
    from abreast.cli.commands import deployments  # noqa: PLC0415

    return deployments.resume(_working_directory(), deployment, as_json=as_json)


@abreast.command()
@click.argument("deployment", required=False)
@click.option("--reason", default="", metavar="R", help="Why; stands in the ledger.")
@json_option
def cancel(deployment: str | None, reason: str, *, as_json: bool) -> int:
    """Stop a deployment and put everything back as it was."""
    from abreast.cli.commands import deployments  # noqa: PLC0415

    return deployments.cancel(_working_directory(), deployment, reason, as_json=as_json)


@abreast.command(add_help_option=True)
@env_option
@json_option
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
def status(environment: str | None, *, as_json: bool, watch: bool) -> int:
    """Show what is live, and how it is, on one screen."""
    from abreast.cli.commands.status import main  # noqa: PLC0415

    arguments = [*(["--env", environment] if environment else []), *(["--json"] if as_json else [])]
    if not watch:
        return main(arguments)
    from abreast.cli.commands.history import watch_status  # noqa: PLC0415

    return watch_status(lambda: main(arguments))


@abreast.command()
@env_option
@click.option("--limit", default=20, show_default=True, metavar="N", help="How many deployments at most.")
@json_option
def history(environment: str | None, limit: int, *, as_json: bool) -> int:
    """List deployments, newest first."""
    from abreast.cli.commands import history  # noqa: PLC0415

    return history.history(_working_directory(), environment, limit, as_json=as_json)


@abreast.command()
@click.argument("deployment", required=False)
@click.option("--watch", is_flag=True, help="Follow it until it is over.")
@json_option
def show(deployment: str | None, *, watch: bool, as_json: bool) -> int:
    """Show one deployment in full: its chapters, how long each took, and why it failed."""
    from abreast.cli.commands import history  # noqa: PLC0415

    return history.show(_working_directory(), deployment, watch=watch, as_json=as_json)


@abreast.command()
@click.argument("deployment", required=False)
@env_option
@service_option
@click.option("--follow", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option("--lines", "count", default=50, show_default=True, metavar="N", help="How many to begin with.")
def logs(
    deployment: str | None, environment: str | None, services: tuple[str, ...], count: int, *, follow: bool
) -> int:
    """Show what the services print, or what the commands of one DEPLOYMENT printed."""
    from abreast.cli.commands import history  # noqa: PLC0415

    return history.logs(_working_directory(), deployment, environment, services, count, follow=follow)


@abreast.command()
@env_option
@click.option("--reason", required=True, metavar="R", help="Why; whoever wants to deploy is told.")
def lock(environment: str | None, reason: str) -> int:
    """Keep every deployment out of an environment."""
    from abreast.cli.commands import environments  # noqa: PLC0415

    return environments.lock(_working_directory(), environment, reason)


@abreast.command()
@env_option
def unlock(environment: str | None) -> int:
    """Let deployments in again."""
    from abreast.cli.commands import environments  # noqa: PLC0415

    return environments.unlock(_working_directory(), environment)


@abreast.command()
@env_option
@yes_option
def down(environment: str | None, *, yes: bool) -> int:
    """Stop what runs locally; data, logs and the ledger stay."""
    from abreast.cli.commands import environments  # noqa: PLC0415

    return environments.down(_working_directory(), environment, yes=yes)


@abreast.command()
@click.option("--keep", is_flag=True, help="Leave the example running, to look around.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to put it; a temporary folder.")
def demo(folder: Path | None, *, keep: bool) -> int:
    """Tell the whole story on this machine, under load, in a minute."""
    from abreast.demo.runner import run_demo  # noqa: PLC0415

    return run_demo(folder, keep=keep)


@abreast.group()
def db() -> None:
    """Databases: backups, migrations, and the way back."""


@db.command(name="backup")
@env_option
@service_option
@click.option("--scheduled", is_flag=True, help="Stay, and make one whenever `backups: schedule` says so.")
@json_option
def db_backup(environment: str | None, services: tuple[str, ...], *, scheduled: bool, as_json: bool) -> int:
    """Back databases up, and restore what was backed up into a copy to see that it can be."""
    from abreast.cli.commands import databases  # noqa: PLC0415

    return databases.backup(_working_directory(), environment, services, scheduled=scheduled, as_json=as_json)


@db.command(name="list")
@env_option
@service_option
@json_option
def db_list(environment: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """List backups, newest first."""
    from abreast.cli.commands import databases  # noqa: PLC0415

    return databases.list_backups(_working_directory(), environment, services, as_json=as_json)


@db.command(name="restore")
@click.argument("backup", required=False, default="")
@env_option
@service_option
@click.option("--reason", default="", metavar="R", help="Why; stands in the ledger.")
@yes_option
@json_option
def db_restore(
    backup: str, environment: str | None, services: tuple[str, ...], reason: str, *, yes: bool, as_json: bool
) -> int:
    """Put a BACKUP in a database's place: the newest good one, or by its name or release. Says first what is lost."""
    from abreast.cli.commands import databases  # noqa: PLC0415

    return databases.restore(_working_directory(), backup, environment, services, reason, yes=yes, as_json=as_json)


@db.command(name="status")
@env_option
@service_option
@json_option
def db_status(environment: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """Say what ran in each database, what is pending, and how old its newest backup is."""
    from abreast.cli.commands import databases  # noqa: PLC0415

    return databases.status(_working_directory(), environment, services, as_json=as_json)


@db.command(name="migrate")
@env_option
@service_option
@yes_option
@json_option
def db_migrate(environment: str | None, services: tuple[str, ...], *, yes: bool, as_json: bool) -> int:
    """Bring databases up to date with the commit, without deploying: backup, rehearsal, migration."""
    from abreast.cli.commands import databases  # noqa: PLC0415

    return databases.migrate(_working_directory(), environment, services, yes=yes, as_json=as_json)


@db.command(name="rehearse")
@env_option
@service_option
@json_option
def db_rehearse(environment: str | None, services: tuple[str, ...], *, as_json: bool) -> int:
    """Run what is pending on a restored copy only: time, locks, what differs."""
    from abreast.cli.commands import databases  # noqa: PLC0415

    return databases.rehearse(_working_directory(), environment, services, as_json=as_json)


@db.command(name="drill")
@env_option
@service_option
@click.option("--scheduled", is_flag=True, help="Stay, and do it whenever `backups: drill` says so.")
@json_option
def db_drill(environment: str | None, services: tuple[str, ...], *, scheduled: bool, as_json: bool) -> int:
    """Do the disaster on a copy: restore, migrate, start, check; say how long it took and what would be lost."""
    from abreast.cli.commands import databases  # noqa: PLC0415

    return databases.drill(_working_directory(), environment, services, scheduled=scheduled, as_json=as_json)


@abreast.command()
def schema() -> int:
    """Print the JSON Schema of abreast.yml, for editors."""
    from abreast.cli.commands import history  # noqa: PLC0415

    return history.schema()


@abreast.command()
@click.argument("section", required=False)
def docs(section: str | None) -> int:
    """Print the reference of abreast.yml, or one SECTION of it."""
    from abreast.cli.commands import history  # noqa: PLC0415

    return history.docs(section)


def run(arguments: list[str]) -> int:
    """Run one command line; errors become a text on standard error and an exit code, never a traceback."""
    try:
        return _exit_code(abreast.main(arguments, prog_name="abreast", standalone_mode=False))
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        print("stopped", file=sys.stderr)
        return 1
    except AbreastError as error:
        print(f"abreast: {_redacted(str(error))}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 (a person sees words, not a traceback)
        return _report_internal_error(error)


def _report_internal_error(error: Exception) -> int:
    """Say that abreast itself is at fault, and where; what was begun can be resumed."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    fault = AbreastError(
        f"a fault in abreast itself, at {where}: {type(error).__name__}: {error}",
        need="this reported; what was recorded is safe",
        next="abreast status",
    )
    print(f"abreast: {_redacted(str(fault))}", file=sys.stderr)
    return 4


def _redacted(text: str) -> str:
    from abreast.cli.redaction import redact  # noqa: PLC0415

    return redact(text)


def _exit_code(answer: object) -> int:
    return answer if isinstance(answer, int) else 0


def _working_directory() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise UsageError("the folder you are in is gone", next="cd somewhere else") from error
