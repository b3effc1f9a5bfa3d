"""Services in Python: Django, ASGI and WSGI applications, Streamlit, Gradio."""

import re
from collections.abc import Callable

from abreast.detection.draft import Authority, Kind, ServiceDraft
from abreast.detection.ecosystems.python_age import bounds_of_flask, needs_pkg_resources, requirement_for
from abreast.detection.ecosystems.python_apps import Application, find_applications
from abreast.detection.ecosystems.python_imports import imports_framework
from abreast.detection.ecosystems.python_project import PythonProject, has_manifest
from abreast.detection.repository import Repository, is_inside, parents, path_in

_LISTEN = "--host 127.0.0.1 --port $PORT"
_SETTINGS_MODULE = re.compile(r"DJANGO_SETTINGS_MODULE['\"],\s*['\"]([\w.{}]+)")
_BIND = "--bind 127.0.0.1:$PORT"


def detect(repository: Repository, folder: str) -> ServiceDraft | None:
    """Return the service of a folder in Python, None if it has none."""
    is_django = "manage.py" in repository.names(folder) and "django" in repository.text(path_in(folder, "manage.py"))
    if not is_django and not has_manifest(repository, folder) and not _lacks_manifest(repository, folder):
        return None
    project = PythonProject(repository, folder)
    draft = ServiceDraft("", folder, Kind.WEB, "python", packages=project.packages)
    if is_django:
        draft.packages |= {"django"}
        _propose_django(project, draft)
    elif not _propose_framework(project, draft):
        return None
    describe_environment(project, draft)
    return draft


def _lacks_manifest(repository: Repository, folder: str) -> bool:
    """Whether an application lies in a folder, for which no file lists packages: here, above or below."""
    if not imports_framework(repository, folder, frozenset(_FRAMEWORKS)):
        return False
    below = (other for other in repository.folders if is_inside(other, folder))
    return not any(has_manifest(repository, other) for other in (*parents(folder), *below))


def describe_environment(project: PythonProject, draft: ServiceDraft) -> None:
    """Propose the version of Python, and the command that installs the packages."""
    version, source = project.version()
    draft.propose("python", version, source, Authority.PROJECT)
    missing = _missing_server(project, draft)
    for installation in project.installations():
        added = {
            requirement_for(missing, version): f"; {missing}, since no server for production is among its packages"
        }
        added = added if missing else {}
        importer = needs_pkg_resources(project.pins())
        if importer and not (importer == "gunicorn" and "--exclude-newer" in installation.command):
            added["'setuptools<81'"] = (
                f"; setuptools<81, since its {importer} imports pkg_resources, which later ones lack"
            )
        is_of_today = installation.command.startswith("pip install -r ")
        for bound in bounds_of_flask(project.requirement_lines()) if is_of_today else ():
            added[f"'{bound}'"] = f"; {bound} for its old Flask"
        command = project.add_packages(installation.command, *added) if added else installation.command
        draft.propose("build.install", command, installation.source + "".join(added.values()), Authority.PROJECT)


def _missing_server(project: PythonProject, draft: ServiceDraft) -> str:
    words = draft.text("run").split()
    name = words[0] if words else ""
    names = {"fastapi": "fastapi-cli"}
    return name if name in {"gunicorn", "uvicorn"} and not project.has(names.get(name, name)) else ""


# ── Django ──────────────────────────────────────────────────────────────────────────────────────


def _propose_django(project: PythonProject, draft: ServiceDraft) -> None:
    repository, folder = project.repository, project.folder
    settings = django_settings(repository, folder)
    package = settings.partition(".")[0]
    file = path_in(folder, "manage.py")
    if project.has("daphne", "channels"):
        draft.propose(
            "run", f"daphne -b 127.0.0.1 -p $PORT {package}.asgi:application", f"{file}, and daphne among its packages"
        )
    elif project.has("uvicorn") and not project.has("gunicorn"):
        draft.propose("run", f"uvicorn {package}.asgi:application {_LISTEN}", f"{file}, and uvicorn among its packages")
    else:
        bind = "" if repository.has(path_in(folder, "gunicorn.conf.py")) else f" {_BIND}"
        draft.propose("run", f"gunicorn {package}.wsgi{bind}", file)
    server = _settings_of_server(repository, path_in(folder, package.replace(".", "/")))
    if server and server != settings:
        source = f"{package}/wsgi.py; manage.py has {settings}"
        draft.propose("env.DJANGO_SETTINGS_MODULE", server, source, Authority.PROJECT)
    if found := next(
        (
            each
            for each in settings_files(repository, folder)
            if re.search(r"^\s*STATIC_ROOT\b", repository.text(each), re.MULTILINE)
        ),
        "",
    ):
        draft.propose("build.run", "python manage.py collectstatic --noinput", f"{found}: STATIC_ROOT")


def _settings_of_server(repository: Repository, folder: str) -> str:
    """Return the settings that a server of Django starts with, where nobody names others: "" if nothing says so."""
    texts = (repository.text(path_in(folder, name)) for name in ("wsgi.py", "asgi.py"))
    return next((found[1] for text in texts if (found := _SETTINGS_MODULE.search(text))), "")


def django_settings(repository: Repository, folder: str) -> str:
    """Return the settings module that manage.py names."""
    found = _SETTINGS_MODULE.search(repository.text(path_in(folder, "manage.py")))
    if found:
        return found[1]
    file = next((name for name in repository.below(folder, "/settings.py")), f"{folder}/config/settings.py")
    return f"{file.split('/')[-2]}.settings"


def settings_files(repository: Repository, folder: str) -> list[str]:
    """Return the files of Django's settings."""
    return [
        file for file in repository.below(folder, ".py")
        if re.search(r"(^|/)settings(/\w+)?\.py$", file[len(folder) :])
    ]  # fmt: skip


# ── applications ────────────────────────────────────────────────────────────────────────────────


def _propose_framework(project: PythonProject, draft: ServiceDraft) -> bool:
    return any(project.has(package) and propose(project, draft, package) for package, propose in _FRAMEWORKS.items())


def _script(project: PythonProject, draft: ServiceDraft, package: str) -> bool:
    """Streamlit and Gradio run a script."""
    repository, folder = project.repository, project.folder
    depth = folder.count("/") + 1 + bool(folder)
    imported = re.compile(rf"^\s*(import|from) {package}\b", re.MULTILINE)
    scripts = [
        file
        for file in repository.sources(folder, ".py")
        if file.count("/") <= depth and imported.search(repository.text(file))
    ]
    scripts.sort(key=lambda file: not re.search(r"(streamlit_app|app|main|Home|home|index)\.py$", file))
    if not scripts:
        return False
    name = scripts[0][len(folder) + 1 :] if folder else scripts[0]
    draft.propose("run", _SCRIPT_COMMANDS[package].format(name), f"{scripts[0]} imports {package}")
    draft.propose("instances", 1, "its sessions are in memory")
    return True


_SCRIPT_COMMANDS = {
    "streamlit": "streamlit run {} --server.address 127.0.0.1 --server.port $PORT --server.headless true",
    "gradio": "GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT=$PORT python {}",
    "chainlit": "chainlit run {} --headless --host 127.0.0.1 --port $PORT",
}


def _asgi(project: PythonProject, draft: ServiceDraft, package: str) -> bool:
    for app in find_applications(project.repository, project.folder, _CLASSES.get(package, "")) or find_applications(
        project.repository, project.folder
    ):
        factory = " --factory" if app.is_factory else ""
        directory = f" --app-dir {app.directory}" if app.directory else ""
        draft.propose("run", f"uvicorn {app.path} {_LISTEN}{factory}{directory}", f"{app.file}: {app.name}")
    return bool(draft.chosen("run"))


def _wsgi(project: PythonProject, draft: ServiceDraft, package: str) -> bool:
    for app in find_applications(project.repository, project.folder, _CLASSES.get(package, "")) or find_applications(
        project.repository, project.folder
    ):
        name = f"'{app.path}()'" if app.is_factory else _wsgi_object(app, package)
        directory = f" --chdir {app.directory}" if app.directory else ""
        draft.propose("run", f"gunicorn {name} {_BIND}{directory}", f"{app.file}: {app.name}")
    return bool(draft.chosen("run"))


def _wsgi_object(app: Application, package: str) -> str:
    return f"{app.module}:{app.name}.server" if package == "dash" else app.path


_CLASSES = {
    "fastapi": "FastAPI",
    "flask": "Flask",
    "starlette": "Starlette",
    "litestar": "Litestar",
    "quart": "Quart",
    "dash": "Dash",
}
_FRAMEWORKS: dict[str, Callable[[PythonProject, ServiceDraft, str], bool]] = {
    "streamlit": _script, "gradio": _script, "chainlit": _script, "fastapi": _asgi, "litestar": _asgi, "quart": _asgi,
    "python-fasthtml": _asgi, "dash": _wsgi, "flask": _wsgi, "bottle": _wsgi, "starlette": _asgi,
}  # fmt: skip
