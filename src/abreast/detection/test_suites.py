"""The tests of a service, as a command that writes a JUnit report."""

import re
from collections.abc import Iterator, Mapping
from itertools import chain

from abreast.detection.draft import LOCAL, Authority, Kind, Note, ServiceDraft
from abreast.detection.ecosystems.node_package import NodePackage
from abreast.detection.ecosystems.python import django_settings, settings_files
from abreast.detection.ecosystems.python_project import PythonProject
from abreast.detection.repository import Repository, path_in, relative_to

_NO_TESTS = re.compile(r"no test|exit 1|^echo|prettier|eslint|^true$")
_BROWSER = re.compile(r"\b(playwright|cypress|testcafe|wdio|nightwatch|start-server-and-test|karma)\b|\s--browser\b")
_BROWSER_OF_VITEST = re.compile(r"\bbrowser:\s*\{[^}]*?\benabled:\s*true")
_IMPORTS_BROWSER = re.compile(r"^\s*(?:from|import) (?:selenium|playwright|splinter|pyppeteer)\b", re.MULTILINE)
_PYTHON_TEST = re.compile(r"(^|/)test_\w+\.py$|_test\.py$|(^|/)tests?\.py$")
_OF_TESTS = re.compile(rf"{_PYTHON_TEST.pattern}|(^|/)tests?/")
"""Tests, and what they share."""
_MODULES = {"factory-boy": "factory", "beautifulsoup4": "bs4", "python-dateutil": "dateutil", "pyyaml": "yaml"}
"""Packages for tests whose module has another name."""
_REPORTERS = {
    "vitest": "vitest run --reporter=default --reporter=junit --outputFile=junit.xml",
    "jest": "jest --ci",
}
_WATCHING = re.compile(r"(?<=\bvitest) (watch|dev)\b| --(watch|watchAll|ui)(=true)?(?!\S)")
"""What makes a runner wait for changes even though ``CI`` is set."""
_PARTS = re.compile(r"((?:\w+=\S* )*)(?:npx )?(.*)", re.DOTALL)
"""The assignments in front of a program, and the program with its arguments."""
_FAIL_WITHOUT_TESTS = frozenset({"jest", "vitest", "react-scripts"})
"""Runners that fail if there is nothing to run. A new React app names its runner, also if its only test was deleted."""
_TEST_FILE = re.compile(r"(?<![a-z])(test|spec)s?(?![a-z]).*\.[cm]?[jt]sx?$", re.IGNORECASE)
_TEST_SETUP = re.compile(r"setup|\.config\.", re.IGNORECASE)
_SETTINGS = re.compile(r"^from \.[\w.]* import |^(?:DATABASES|PASSWORD_HASHERS)\b", re.MULTILINE)
"""What a module of settings has that builds on others."""
_URL_DEFAULT = re.compile(
    r"dj_database_url\.config\(\s*default(?!\s*=[^\n]*['\"]postgres)|env\.db\w*\([^)]*default|_URL['\"],\s*(default\s*=\s*)?f?['\"]sqlite"
    r"|_URL['\"] in os\.environ"
)
"""Settings that have a database without any URL."""
_IN_MEMORY = frozenset({"mongodb-memory-server", "sqlite3", "pg-mem", "mongomock"})
"""Packages by which tests do without a server."""

_COMPILED: Mapping[str, tuple[str, str, str]] = {
    "go": ("_test.go", "go test ./...", "go.mod"),
    "rust": (".rs", "cargo test --locked", "Cargo.toml"),
}


def propose_tests(repository: Repository, draft: ServiceDraft, notes: list[Note]) -> None:
    """Propose the tests of a service. Those that need a server, or a browser, are a note."""
    if draft.kind in {Kind.WORKER, Kind.CRON} or draft.chosen("test"):
        return
    command, source = _find_tests(repository, draft)
    if not command:
        return
    variables, missing = _variables_of_tests(repository, draft, command)
    reason = _reason_against(repository, draft, command) or (f"need {', '.join(missing)}" if missing else "")
    if reason:
        notes.append(Note(f"{source}: tests, but they {reason}", f"{draft.name}: {{test: {command}}}"))
    elif variables:
        draft.propose("test.run", command, source, Authority.PROJECT)
        draft.propose("test.env", variables, "a gate gets none of the service's variables", Authority.PROJECT)
    else:
        draft.propose("test", command, source, Authority.PROJECT)


def _variables_of_tests(
    repository: Repository, draft: ServiceDraft, command: str
) -> tuple[dict[str, str | bool], list[str]]:
    """Return what tests get of the variables that the code needs, and those for which there is nothing to give."""
    found: dict[str, str | bool] = {}
    missing = []
    for key in sorted(key for key in draft.proposals if key.startswith("env.")):
        chosen, name = draft.chosen(key), key.removeprefix("env.")
        if chosen is None or not chosen.is_needed:
            continue
        if "--settings=" in command and _SETTINGS.search(
            repository.text(chosen.source.rpartition("; ")[2].partition(" cannot")[0])
        ):
            continue  # settings for another place need it
        given = f"{draft.text(LOCAL + key)} {chosen.value}"
        value = "only-for-tests" if chosen.value == {"generate": True} else _default(given)
        if value:
            found[name] = value
        else:
            missing.append(name)
    if _needs_url(repository, draft):
        found[draft.text("database.variable") or "DATABASE_URL"] = "sqlite:///test.db"
    return found, missing


def _default(text: str) -> str:
    """Return the first default of a variable in a text, "" without one."""
    default = re.search(r"\$\{\w+:-([^}]*)\}", text)
    return default[1] if default else ""


def _needs_url(repository: Repository, draft: ServiceDraft) -> bool:
    """Whether Django can be imported with the URL of a database only, and takes SQLite."""
    url = draft.text("database.url") + draft.text(f"{LOCAL}database.url")
    texts = (repository.text(file) for file in settings_files(repository, draft.folder))
    return "django" in draft.packages and ":-sqlite" in url and not any(_URL_DEFAULT.search(text) for text in texts)


def _reason_against(repository: Repository, draft: ServiceDraft, command: str) -> str:
    script = ""
    if draft.ecosystem == "node":
        script = NodePackage(repository, draft.folder).expanded_script(command.rpartition(" ")[2])
        names = (f"{name}.config.{suffix}" for name in ("vitest", "vite") for suffix in ("ts", "js", "mts", "mjs"))
        configs = (repository.text(path_in(draft.folder, name)) for name in names)
        if "vitest" in f"{script} {command}" and any(map(_BROWSER_OF_VITEST.search, configs)):
            return "seem to need a browser"
    if _BROWSER.search(script or command) or ("ng test" in script and "karma" in draft.packages):
        return "seem to need a browser"
    if draft.ecosystem == "python" and any(map(_IMPORTS_BROWSER.search, _texts_of_tests(repository, draft.folder))):
        return "seem to need a browser"
    if _WATCHING.search(script):
        return "watch for changes, so they never end"
    if draft.kind is Kind.SITE:
        return ""
    has_file = draft.engine in {"", "sqlite", "either"} or draft.chosen(f"{LOCAL}database.url")
    if has_file or _IN_MEMORY & draft.packages:
        return ""
    return "seem to need a database" + (f" ({draft.engine})" if draft.engine != "postgresql" else "")


def _find_tests(repository: Repository, draft: ServiceDraft) -> tuple[str, str]:
    if draft.ecosystem == "node":
        return _node_tests(NodePackage(repository, draft.folder))
    if draft.ecosystem == "python":
        command, source = _python_tests(PythonProject(repository, draft.folder))
        return _with_static_files(repository, draft, command), source
    if draft.ecosystem in _COMPILED:
        return _compiled_tests(repository, draft)
    if draft.ecosystem == "java":
        command = draft.text("build.run").split()[0] if draft.text("build.run") else ""
        tests = next(iter(repository.below(path_in(draft.folder, "src/test"))), "")
        arguments = "-B test" if "mvn" in command else "test"
        return (f"{command} {arguments}", tests) if command and tests else ("", "")
    if draft.ecosystem == "php" and repository.has(path_in(draft.folder, "artisan")):
        file = repository.has(path_in(draft.folder, "phpunit.xml"))
        return ("php artisan test", file) if file else ("", "")
    if draft.ecosystem == "ruby" and next(iter(repository.below(path_in(draft.folder, "test"), "_test.rb")), ""):
        return "bundle exec rails test", path_in(draft.folder, "test")
    return "", ""


def _with_static_files(repository: Repository, draft: ServiceDraft, command: str) -> str:
    """Return tests of Django with what collects static files in front, if pages fail without their manifest."""
    texts = (repository.text(file) for file in settings_files(repository, draft.folder))
    if "manage.py test" in command and any("ManifestStaticFilesStorage" in text for text in texts):
        return f"python manage.py collectstatic --noinput && {command}"
    return command


def _compiled_tests(repository: Repository, draft: ServiceDraft) -> tuple[str, str]:
    suffix, command, manifest = _COMPILED[draft.ecosystem]
    for file in repository.below(draft.folder, suffix):
        if draft.ecosystem == "go" or "#[test]" in repository.text(file) or "/tests/" in file:
            return command, f"{path_in(draft.folder, manifest)}, {file}"
    return "", ""


def _node_tests(package: NodePackage) -> tuple[str, str]:
    for name in ("test:ci", "test:unit", "test"):
        script = package.expanded_script(name)
        if not script or _NO_TESTS.search(script):
            continue
        source = f"{package.file}: scripts.{name}"
        once = _WATCHING.sub("", script).strip()
        runner = once.replace("npx ", "").split()[0]
        if runner in _FAIL_WITHOUT_TESTS and not _has_tests(package):
            continue
        if (file := _builds_before(package, name)) and once == script.strip() and not _BROWSER.search(script):
            return package.run_in_workspace(f"turbo run {name} --filter={package.name}"), file
        if runner in _REPORTERS and once.removeprefix("npx ").strip() in {runner, f"{runner} run", f"{runner} --run"}:
            return package.execute(_REPORTERS[runner]), source
        parts = _PARTS.fullmatch(once)
        if once != script.strip() and parts and not re.search("[;&|]", once):
            return f"{parts[1]}{package.execute(parts[2])}", source
        return package.run_script(name), source
    if re.search(r"prettier", package.scripts.get("test", "")):
        return package.run_script("test"), f"{package.file}: scripts.test"
    return "", ""


def _builds_before(package: NodePackage, name: str) -> str:
    """Return turbo's file if it says that packages are built before a script runs, "" if not."""
    file = path_in(package.workspace, "turbo.json")
    tasks = package.repository.json(file).get("tasks") or package.repository.json(file).get("pipeline")
    task = tasks.get(name) if isinstance(tasks, dict) and package.is_member else None
    needed = task.get("dependsOn") if isinstance(task, dict) else None
    return file if isinstance(needed, list) and {"build", "^build"}.intersection(map(str, needed)) else ""


def _has_tests(package: NodePackage) -> bool:
    files = (relative_to(file, package.folder) for file in package.repository.below(package.folder))
    return any(_TEST_FILE.search(file) and not _TEST_SETUP.search(file) for file in files)


def _python_tests(project: PythonProject) -> tuple[str, str]:
    repository, folder = project.repository, project.folder
    installed = project.packages | (frozenset() if project.uses_pipenv else project.development)
    listed = project.development_packages()
    first = next(
        (file for file in repository.below(folder, ".py") if _PYTHON_TEST.search(file)),
        "",
    )
    install = f"{project.development_installation()} && " if _needs_more(project, listed - installed) else ""
    if "pytest" in installed | listed and first:
        options = " --cov --cov-report=xml" if "pytest-cov" in installed | listed else ""
        return f"{install}python -m pytest --junitxml=junit.xml{options}", first
    if "django" in project.packages | frozenset({"django"} if "manage.py" in repository.names(folder) else ()):
        tests = next(
            (
                file
                for file in repository.below(folder, ".py")
                if re.search(r"(^|/)tests?(/.*|\w*)\.py$", file) and "def test" in repository.text(file)
            ),
            "",
        )
        return (f"{install}python manage.py test{_test_settings(repository, folder)}", tests) if tests else ("", "")
    if first and any("import unittest" in text for text in _texts_of_tests(repository, folder)):
        return f"{install}python -m unittest discover", first
    return "", ""


def _test_settings(repository: Repository, folder: str) -> str:
    """Return the option for settings that a project in Django has for its tests, "" if it has none."""
    package = django_settings(repository, folder).rpartition(".")[0]
    for name in (f"{package}.{each}" for each in ("test", "tests", "testing")):
        if _SETTINGS.search(repository.text(path_in(folder, f"{name.replace('.', '/')}.py"))):
            return f" --settings={name}"
    return ""


def _needs_more(project: PythonProject, names: frozenset[str]) -> bool:
    """Whether tests need some of the packages for development: pytest, or one that they or the code import."""
    modules = "|".join(re.escape(_MODULES.get(name, name.replace("-", "_"))) for name in names)
    imported = re.compile(rf"^\s*(?:from|import) (?:{modules})\b", re.MULTILINE)
    code = map(project.repository.text, project.repository.sources(project.folder, ".py"))
    texts = chain(_texts_of_tests(project.repository, project.folder), code)
    return "pytest" in names or bool(modules and any(map(imported.search, texts)))


def _texts_of_tests(repository: Repository, folder: str) -> Iterator[str]:
    return (repository.text(file) for file in repository.below(folder, ".py") if _OF_TESTS.search(file))
