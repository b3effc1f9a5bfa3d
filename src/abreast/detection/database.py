"""How a service's database is migrated, and the variable that has its URL."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from abreast.core.schema.migration_formats import parse_file_name
from abreast.detection.connection_scheme import postgres_scheme
from abreast.detection.connection_variables import other_urls, propose_connection_variables
from abreast.detection.draft import LOCAL, Authority, Kind, Note, Proposal, ServiceDraft
from abreast.detection.ecosystems.alembic import alembic_command
from abreast.detection.ecosystems.node_package import NodePackage, workspace_packages
from abreast.detection.ecosystems.table_commands import table_command
from abreast.detection.repository import Repository, path_in, relative_to

POSTGRES = frozenset(
    {"psycopg", "psycopg2", "psycopg2-binary", "asyncpg", "pg8000", "pg", "postgres", "@vercel/postgres",
     "@neondatabase/serverless", "pg-promise", "pgx", "slonik"}
)  # fmt: skip
OTHER_ENGINES = {
    "mysql": "MySQL", "mysql2": "MySQL", "mysqlclient": "MySQL", "pymysql": "MySQL", "aiomysql": "MySQL",
    "trilogy": "MySQL", "@fastify/mysql": "MySQL", "mongoose": "MongoDB", "mongodb": "MongoDB", "pymongo": "MongoDB",
    "motor": "MongoDB", "mongoengine": "MongoDB", "beanie": "MongoDB",
}  # fmt: skip
_FILE_URL_PACKAGES = frozenset({"@libsql/client", "libsql"})
_SQLITE = frozenset({"sqlite3", "better-sqlite3", "aiosqlite", *_FILE_URL_PACKAGES})
_URL_NAMES = re.compile(
    r"\b((?:[A-Z]+_)*(?:DATABASE|POSTGRES|PG|DB|NEON|SQLALCHEMY_DATABASE)_(?:PRISMA_)?(?:URL|URI|DSN))\b"
)
SQL_FOLDERS = (
    "migrations", "db/migrations", "sql/migrations", "database/migrations", "sql", "db/migration", "schema/migrations",
    "internal/db/migrations", "src/main/resources/db/migration", "db/migrate", "src/migrations", "supabase/migrations",
)  # fmt: skip
_COMMENT = re.compile(r"^\s*#.*$", re.MULTILINE)
_SQLITE_FIRST = re.compile(r"^DATABASES\b[^=\n]*=\s*\{\s*['\"]default['\"]:\s*\{[^}]*?backends\.sqlite3", re.MULTILINE)
"""Django's settings where SQLite is what they begin with, whatever comes after an ``if``."""

_SQLITE_DEFAULT = re.compile(r"(?:getenv|environ\.get)\(\s*['\"]\w+['\"],\s*f?['\"]sqlite")
"""A URL of SQLite that a variable replaces."""

_EMBEDDED = re.compile(
    r"sqlx::migrate!|embed_migrations!|//go:embed\s+\S*migrations|MigrateAsync\(|Database\.Migrate\("
)

_POSTGRES_ONLY = re.compile(
    r"contrib\.postgres|RunSQL\(|backends\.postgresql|contrib\.gis|import psycopg|ssl_require|sslmode"
)
"""What Django can do with PostgreSQL only."""


@dataclass(frozen=True, slots=True)
class Migrator:
    """How migrations run: a ``command``, or a ``folder`` of SQL files. ``status`` succeeds if nothing is pending."""

    source: str
    command: str = ""
    folder: str = ""
    status: str = ""
    variable: str = ""
    engine: str = ""


def propose_database(repository: Repository, draft: ServiceDraft, notes: list[Note]) -> None:
    """Propose the database of a service, if its migrations are known."""
    if draft.kind is not Kind.WEB:
        return
    migrator = _find_migrator(repository, draft)
    draft.engine = (migrator.engine if migrator else "") or _engine(repository, draft)
    migrator = _declared_migrator(draft, migrator) or migrator
    if migrator is None:
        _propose_without_migrations(repository, draft)
        return
    if _migrates_itself(repository, draft, migrator):
        notes.append(_left_out(migrator, "the program migrates its database itself when it starts"))
        _propose_without_migrations(repository, draft)
        return
    variable = migrator.variable or _variable(repository, draft)
    if draft.engine == "sqlite" and (migrator.source.endswith(".prisma") or draft.packages & _FILE_URL_PACKAGES):
        _propose_file_url(draft, migrator, variable or "DATABASE_URL")
    else:
        _propose_migrator(repository, draft, migrator, variable, notes)


def _propose_without_migrations(repository: Repository, draft: ServiceDraft) -> None:
    """Propose a PostgreSQL that nothing migrates before the service starts: it may make its tables by itself."""
    variable = _variable(repository, draft) if draft.engine == "postgresql" else ""
    if variable:
        _propose(repository, draft, Migrator("its code"), variable, draft.engine)


def _variable(repository: Repository, draft: ServiceDraft) -> str:
    """Return the variable with the database's URL, "" if there is none.

    A service that puts the address together from others gets those, as parts of a URL.
    """
    if found := _url_variable(repository, draft):
        return found
    is_split = draft.engine == "postgresql" and propose_connection_variables(repository, draft)
    return "DATABASE_URL" if is_split else ""


def _declared_migrator(draft: ServiceDraft, found: Migrator | None) -> Migrator | None:
    """Return the release command of another platform as a migrator, if it migrates."""
    release = draft.chosen("release")
    command = str(release.value) if release else ""
    if release is None or not re.search(r"migrat|upgrade|db:", command) or (found and found.folder):
        return None
    own = found or Migrator("")
    status = own.status if own.command in command else ""
    return Migrator(release.source, command, status=status, variable=own.variable, engine=own.engine)


def _left_out(migrator: Migrator, why: str) -> Note:
    return Note(f"{migrator.source}: {why}", f'database: {{url: "${{DATABASE_URL}}", migrations: {migrator.folder}}}')


def _propose_migrator(
    repository: Repository, draft: ServiceDraft, migrator: Migrator, variable: str, notes: list[Note]
) -> None:
    """Propose a `database`, or a `release` command where the URL or the engine is none that abreast can take."""
    if variable and draft.engine in {"postgresql", "sqlite", "either"}:
        draft.proposals.pop("release", None)
        _propose(repository, draft, migrator, variable, draft.engine)
    elif migrator.command and draft.engine == "sqlite":
        _migrate_in_build(draft, migrator)
    elif migrator.command:
        why = _why_release(migrator, variable, draft.engine)
        draft.propose("release", migrator.command, why, Authority.PLATFORM)
    else:
        notes.append(_left_out(migrator, "migrations, but no variable with the database's URL was found"))


def _migrate_in_build(draft: ServiceDraft, migrator: Migrator) -> None:
    """Let the build make a database that is a file of the checkout: `release` runs in a copy."""
    draft.proposals.pop("release", None)
    build = draft.chosen("build.run")
    command = f"{build.value} && {migrator.command}" if build else migrator.command
    source = f"{build.source}, {migrator.source}" if build else migrator.source
    draft.proposals["build.run"] = [Proposal(command, source, build.authority if build else Authority.CONVENTION)]
    draft.remarks.append("its database is a file in the checkout, so each release starts with an empty one")


def _propose_file_url(draft: ServiceDraft, migrator: Migrator, variable: str) -> None:
    """Keep a file of SQLite where it outlives a release, for libraries that want ``file:`` in its URL."""
    place = f"{variable}=file:$ABREAST_DATA/app.db "
    why = f"{migrator.source}; not `database`, since its URL of SQLite, file:…, is no URL of abreast"
    draft.proposals.pop("release", None)
    draft.propose("release", place + migrator.command, why, Authority.PLATFORM)
    if run := draft.text("run"):
        draft.replace("run", place + run)


def _why_release(migrator: Migrator, variable: str, engine: str) -> str:
    if engine not in {"postgresql", "sqlite", "either", ""}:
        return f"{migrator.source}; not `database`, since abreast does not back up {engine}"
    return (
        migrator.source if variable else f"{migrator.source}; not `database`, since no variable has the database's URL"
    )


def _propose(repository: Repository, draft: ServiceDraft, migrator: Migrator, variable: str, engine: str) -> None:
    default, hint, is_file_here = "", "", engine == "postgresql" and _runs_on_sqlite(repository, draft)
    if engine == "postgresql" and not is_file_here:
        scheme = postgres_scheme(repository, draft, variable)
        default, hint = f":-{scheme}:///{_name(draft)}", "; unset on local: PostgreSQL that abreast runs"
        if others := other_urls(repository, draft, variable, scheme):
            why = f"the example has the same database there as in {variable}"
            draft.propose("database.variables", dict(others), why, Authority.PROJECT)
    elif engine in {"sqlite", "either"} and not migrator.source.endswith(".prisma"):
        default = ":-sqlite:///app.db"
    draft.propose(
        "database.url", f"${{{variable}{default}}}", f"{migrator.source}: {variable}{hint}", Authority.PROJECT
    )
    if variable != "DATABASE_URL":
        draft.propose("database.variable", variable, migrator.source, Authority.PROJECT)
    draft.propose("database.migrations", migrator.folder, migrator.source, Authority.PROJECT)
    draft.propose("database.command", migrator.command, migrator.source, Authority.PROJECT)
    draft.propose("database.status", migrator.status, migrator.source)
    if is_file_here:
        why = "a file on this machine, since its settings take any URL; other environments need the real one"
        draft.propose(f"{LOCAL}database.url", f"${{{variable}:-sqlite:///app.db}}", why)
        for key in ("variable", "variables", "command", "status"):
            if chosen := draft.chosen(f"database.{key}"):
                draft.propose(f"{LOCAL}database.{key}", chosen.value, "")


def _name(draft: ServiceDraft) -> str:
    """Return a name for a service's database that PostgreSQL takes without quotes."""
    name = re.sub(r"[^a-z0-9]+", "_", draft.folder.lower()).strip("_") or "app"
    return (name if re.match(r"[a-z]", name) else f"db_{name}")[:40].rstrip("_")


def _runs_on_sqlite(repository: Repository, draft: ServiceDraft) -> bool:
    """Whether Django takes its database from a URL alone, and no code asks for PostgreSQL itself."""
    texts = [repository.text(file) for file in repository.sources(draft.folder, ".py")]
    return (
        "django" in draft.packages
        and any(re.search(r"dj_database_url\.(config|parse)\(|env\.db(_url)?\(", text) for text in texts)
        and not any(_POSTGRES_ONLY.search(text) for text in texts)
    )


def _migrates_itself(repository: Repository, draft: ServiceDraft, migrator: Migrator) -> bool:
    suffixes = {"rust": (".rs",), "go": (".go",), "dotnet": (".cs",)}.get(draft.ecosystem)
    is_flyway = draft.ecosystem == "java" and "db/migration" in migrator.folder
    return bool(migrator.folder) and (
        is_flyway
        or bool(
            suffixes
            and any(_EMBEDDED.search(repository.text(file)) for file in repository.sources(draft.folder, *suffixes))
        )
    )


def _engine(repository: Repository, draft: ServiceDraft) -> str:
    """Return the engine that packages and settings speak of, "either" if SQLite is a default that a URL replaces."""
    packages = draft.packages
    settings = (
        "\n".join(
            repository.text(file)
            for file in repository.sources(draft.folder, ".py")
            if re.search(r"settings|config", file)
        )
        if draft.ecosystem == "python"
        else ""
    )
    if draft.ecosystem == "ruby":
        text = repository.text(path_in(draft.folder, "config/database.yml"))
        return "postgresql" if "postgresql" in text or "pg" in packages else "sqlite" if "sqlite" in text else ""
    settings = _COMMENT.sub("", settings)
    code = repository.sources(draft.folder, ".py") if draft.ecosystem == "python" else []
    if "sqlite" not in settings and any(_SQLITE_DEFAULT.search(repository.text(file)) for file in code):
        return "either"
    if "sqlite" in settings and ("dj_database_url" in settings or _URL_NAMES.search(settings)):
        return "either"
    if "sqlite" in settings and (_SQLITE_FIRST.search(settings) or not packages & POSTGRES):
        return "sqlite"
    if packages & POSTGRES or "postgresql" in settings:
        return "postgresql"
    if other := next((OTHER_ENGINES[name] for name in packages if name in OTHER_ENGINES), ""):
        return other
    text = repository.text(path_in(draft.folder, "Cargo.toml")) + re.sub(
        r".*// indirect", "", repository.text(path_in(draft.folder, "go.mod"))
    )
    if re.search(r"postgres|lib/pq|jackc/pgx", text):
        return "postgresql"
    is_sqlite = (
        packages & _SQLITE or "sqlite" in settings + text or any("sqlite:///" in repository.text(file) for file in code)
    )
    return "sqlite" if is_sqlite else ""


def _url_variable(repository: Repository, draft: ServiceDraft) -> str:
    """Return the variable with the database's URL: of the examples of variables, or else of the code."""
    suffixes = {
        "python": (".py", ".ini", ".toml"),
        "node": (".ts", ".js", ".mjs", ".cjs"),
        "go": (".go",),
        "rust": (".rs",),
    }.get(draft.ecosystem, ())
    examples = [
        path_in(folder, name)
        for folder in (draft.folder, "")
        for name in repository.names(folder)
        if name.startswith(".env")
    ]
    code = repository.sources(draft.folder, *suffixes)[:200] if suffixes else []
    texts = [text for file in (*examples, *code) if re.search("_(UR[LI]|DSN)", text := repository.text(file))]
    names = [name for text in texts for name in _URL_NAMES.findall(text) if not name.startswith("TEST_")]
    if "DATABASE_URL" in names:
        return "DATABASE_URL"
    if named := next((name for name in names if not name.startswith("SQLALCHEMY")), ""):
        return named
    if draft.packages & {"dj-database-url", "rails"} or any(
        re.search(r"\bdatabase_url\b", repository.text(file)) for file in code
    ):
        return "DATABASE_URL"
    return ""


def _find_migrator(repository: Repository, draft: ServiceDraft) -> Migrator | None:
    finder = _FINDERS.get(draft.ecosystem)
    return (finder(repository, draft) if finder else None) or _sql_folder(repository, draft)


def _node_migrator(repository: Repository, draft: ServiceDraft) -> Migrator | None:
    package = NodePackage(repository, draft.folder)
    linked = (
        [draft.folder]
        if not package.is_member
        else [draft.folder, *(each.folder for each in _linked_packages(package))]
    )
    for folder in linked:
        if found := _prisma(repository, package, folder):
            return found
    if config := repository.has(*(path_in(draft.folder, f"drizzle.config.{suffix}") for suffix in ("ts", "js", "mjs"))):
        out = re.search(r"out:\s*['\"]([^'\"]+)", repository.text(config))
        output = path_in(draft.folder, out[1] if out else "drizzle")
        if any(repository.below(output, ".sql")):
            return Migrator(config, package.execute("drizzle-kit migrate"))
        return None
    for name in (
        "migrate:deploy",
        "db:migrate",
        "migration:run",
        "migrate:latest",
        "migrate:up",
        "db:migrate:deploy",
        "migrate",
    ):
        if (script := package.scripts.get(name)) and not re.search(r"migrate dev|--env-file=\.env|supabase", script):
            return Migrator(f"{package.file}: scripts.{name}", package.run_script(name))
    if config := repository.has(*(path_in(draft.folder, f"knexfile.{suffix}") for suffix in ("js", "ts", "cjs"))):
        return Migrator(config, package.execute("knex migrate:latest"))
    return None


def _linked_packages(package: NodePackage) -> list[NodePackage]:
    return [
        each for each in workspace_packages(package.repository, package.workspace) if each.name in package.dependencies
    ]


def _prisma(repository: Repository, package: NodePackage, folder: str) -> Migrator | None:
    prisma = package.manifest.get("prisma")
    named = prisma.get("schema") if isinstance(prisma, dict) else None
    places = [str(named)] if named else []
    schema = repository.has(
        *(
            path_in(folder, place)
            for place in (*places, "prisma/schema.prisma", "schema.prisma", "src/prisma/schema.prisma")
        )
    )
    migrations = path_in(schema.rpartition("/")[0], "migrations")
    if not schema or not any(repository.below(migrations, ".sql")):
        return None
    text = repository.text(schema)
    provider, url = (
        re.search(r"datasource[^}]*provider\s*=\s*\"(\w+)", text),
        re.search(r"url\s*=\s*env\(\"(\w+)", text),
    )
    default = {path_in(package.folder, "prisma/schema.prisma"), path_in(package.folder, "schema.prisma")}
    option = "" if schema in default or named else f" --schema {relative_to(schema, package.folder)}"
    engine = provider[1] if provider else ""
    variable = url[1] if url else "DATABASE_URL"
    return Migrator(
        schema,
        package.execute(f"prisma migrate deploy{option}"),
        status=package.execute(f"prisma migrate status{option}"),
        variable=variable,
        engine=engine,
    )


def _python_migrator(repository: Repository, draft: ServiceDraft) -> Migrator | None:
    if "django" in draft.packages and "manage.py" in repository.names(draft.folder):
        file = path_in(draft.folder, "manage.py")
        return Migrator(file, "python manage.py migrate --noinput", status="python manage.py migrate --check")
    if "flask-migrate" in draft.packages and (config := next(iter(repository.below(draft.folder, "alembic.ini")), "")):
        return Migrator(config, "flask db upgrade")
    if "litestar" in draft.packages and "advanced-alchemy" in draft.packages:
        return Migrator(
            f"{path_in(draft.folder, 'pyproject.toml')}: advanced-alchemy", "litestar database upgrade --no-prompt"
        )
    if "aerich" in draft.packages and "[tool.aerich]" in repository.text(path_in(draft.folder, "pyproject.toml")):
        return Migrator(f"{path_in(draft.folder, 'pyproject.toml')}: tool.aerich", "aerich upgrade")
    if config := repository.has(path_in(draft.folder, "alembic.ini")):
        return Migrator(config, f"{alembic_command(repository, config)} upgrade head")
    if config := next((file for file in repository.below(draft.folder, "alembic.ini") if "test" not in file), ""):
        return Migrator(
            config, f"{alembic_command(repository, config)} -c {relative_to(config, draft.folder)} upgrade head"
        )
    command, file = table_command(repository, draft.folder)
    return Migrator(file, command) if command else None


def _rails(repository: Repository, draft: ServiceDraft) -> Migrator | None:
    schema = repository.has(path_in(draft.folder, "db/schema.rb"), path_in(draft.folder, "db/structure.sql"))
    if "rails" not in draft.packages or not schema:
        return None
    return Migrator(schema, "bundle exec rails db:migrate", status="bundle exec rails db:abort_if_pending_migrations")


def _laravel(repository: Repository, draft: ServiceDraft) -> Migrator | None:
    file = repository.has(path_in(draft.folder, "artisan"))
    return Migrator(file, "php artisan migrate --force") if file else None


def _sql_folder(repository: Repository, draft: ServiceDraft) -> Migrator | None:
    for folder in SQL_FOLDERS:
        place = path_in(draft.folder, folder)
        files = [name for name in repository.names(place) if name.endswith(".sql")]
        if files and all(parse_file_name(name) for name in files):
            return Migrator(f"{place}/{files[0]}", folder=folder)
    return None


_FINDERS: Mapping[str, Callable[[Repository, ServiceDraft], Migrator | None]] = {
    "node": _node_migrator, "python": _python_migrator, "ruby": _rails, "php": _laravel,
}  # fmt: skip
