"""A site below a server in JavaScript that the server's own build makes, so that both are one service."""

import re

from abreast.detection.draft import Kind, ServiceDraft
from abreast.detection.ecosystems.node import build_script
from abreast.detection.ecosystems.node_package import NodePackage
from abreast.detection.ecosystems.old_hashes import allow_old_hashes
from abreast.detection.repository import Repository, is_inside, relative_to

_SERVES_FILES = re.compile(r"express\.static\(|serve-static|koa-static|@fastify/static|\.sendFile\(")
_IN_PRODUCTION = re.compile(
    r"NODE_ENV\s*[!=]==?\s*['\"]production|['\"]production['\"]\s*[!=]==?\s*process\.env\.NODE_ENV"
)


def merge_nested_builds(repository: Repository, services: list[ServiceDraft]) -> None:
    """Take sites out of the services that the build of a server enters, if the server sends files."""
    for server in [each for each in services if each.kind is Kind.WEB and each.ecosystem == "node"]:
        package = NodePackage(repository, server.folder)
        script = package.expanded_script(build_script(package))
        for site in [each for each in services if each.kind is Kind.SITE and is_inside(each.folder, server.folder)]:
            place = relative_to(site.folder, server.folder)
            code = _code(repository, server, site)
            if _enters(script, place) and _SERVES_FILES.search(code):
                services.remove(site)
                server.remarks.append(f"{place} is built into it ({package.file})")
                allow_old_hashes(NodePackage(repository, site.folder), server)
                if _IN_PRODUCTION.search(code):
                    _run_for_production(server)


def _enters(script: str, folder: str) -> bool:
    """Whether a script runs something in a folder."""
    return bool(re.search(rf"(?:\bcd|--prefix|--cwd|-C)[ =](?:\./)?{re.escape(folder)}/?(?=\s|&|;|$)", script))


def _code(repository: Repository, server: ServiceDraft, site: ServiceDraft) -> str:
    """Return the code of a server without that of the site below it."""
    files = repository.sources(server.folder, ".js", ".ts", ".mjs", ".cjs")
    return "\n".join(repository.text(file) for file in files if not is_inside(file, site.folder))


def _run_for_production(server: ServiceDraft) -> None:
    """Set ``NODE_ENV`` as Heroku does: code can send the site in production only."""
    run = server.chosen("run")
    if run and "NODE_ENV" not in str(run.value):
        server.replace("run", f"NODE_ENV=production {run.value}")
