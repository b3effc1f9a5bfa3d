"""What concerns several services: their names, what they watch, and one origin for a site and its backend."""

import re

from abreast.detection.draft import Authority, Kind, Note, ServiceDraft, valid_name
from abreast.detection.repository import Repository, path_in

_PROXY = re.compile(r"['\"`]\^?(/[\w/-]+)['\"`]\s*:\s*(?:\{[^{}]*?target\s*:\s*|['\"`]https?://)")
_RESERVED = frozenset({"settle", "drain", "on_failure", "gates", "breaking", "objectives", "tag", "may_skip"})
_DEFAULT_NAMES = {Kind.SITE: "frontend", Kind.WEB: "backend", Kind.WORKER: "worker", Kind.CRON: "job"}


def name_services(services: list[ServiceDraft]) -> None:
    """Give every service a name of its own: as declared, or else of its folder, or else of what it is."""
    taken: set[str] = set()
    for service in services:
        base = valid_name(service.name or service.folder.rpartition("/")[2] or _default_name(service))
        base = f"{base}-service" if base in _RESERVED else base
        candidates = [
            base,
            valid_name(f"{service.folder}-{base}"),
            *(f"{base[:37]}-{number}" for number in range(2, 100)),
        ]
        service.name = next(name for name in candidates if name not in taken)
        taken.add(service.name)


def _default_name(service: ServiceDraft) -> str:
    return "web" if service.kind is Kind.WEB and service.has_pages else _DEFAULT_NAMES[service.kind]


def propose_routes(repository: Repository, services: list[ServiceDraft], notes: list[Note]) -> None:
    """Propose the paths of a site that go to the backend, where its files say so."""
    backends = [service for service in services if service.kind is Kind.WEB]
    for site in (service for service in services if service.kind is Kind.SITE):
        proxied = [(str(proposal.value), proposal.source) for proposal in site.proposals.pop("proxied", [])]
        proxied += [] if proxied else _development_proxy(repository, site.folder)
        if not proxied:
            continue
        source = proxied[0][1]
        if len(backends) == 1:
            routes: dict[str, str | bool] = {path: backends[0].name for path, _ in proxied if path not in {"", "/"}}
            if routes:
                site.propose("routes", routes, source, Authority.PROJECT)
        else:
            notes.append(
                Note(
                    f"{source}: {site.name} expects {proxied[0][0]} on its own origin",
                    f"{site.name}: {{routes: {{{proxied[0][0]}: NAME}}}}",
                )
            )
    for service in services:
        service.proposals.pop("proxied", None)


def _development_proxy(repository: Repository, folder: str) -> list[tuple[str, str]]:
    """Return the paths that the development server of a site sends to its backend."""
    for name in repository.names(folder):
        file = path_in(folder, name)
        if re.match(
            r"vite\.config\.|vue\.config\.|webpack\.config|proxy\.conf|nginx", name
        ) and "proxy" in repository.text(file):
            found = dict.fromkeys(_PROXY.findall(repository.text(file)))
            if found:
                return [(path, f"{file}: proxy") for path in found]
        if "nginx" in name:
            found = dict.fromkeys(re.findall(r"location\s+(/[\w/-]+?)/?\s*\{[^}]*proxy_pass", repository.text(file)))
            if found:
                return [(path, f"{file}: proxy_pass") for path in found]
    if repository.json(path_in(folder, "package.json")).get("proxy"):
        return [("/api", f"{path_in(folder, 'package.json')}: proxy")]
    file = repository.has(path_in(folder, "src/proxy.conf.json"), path_in(folder, "src/setupProxy.js"))
    paths = re.findall(r"['\"](/[\w-]+)(?:/\*+)?['\"]", repository.text(file)) if file else []
    return [(path, file) for path in dict.fromkeys(paths)][:1]


def propose_watch(services: list[ServiceDraft]) -> None:
    """Let a service of the root leave alone what belongs to another service below it."""
    users = [service for service in services if service.kind in {Kind.SITE, Kind.WEB}]
    for service in (each for each in services if not each.folder):
        below = [other.folder for other in users if other.folder and other.ecosystem != service.ecosystem]
        if below and service.kind in {Kind.WEB, Kind.WORKER}:
            patterns = ("**", *(f"!{folder}/**" for folder in dict.fromkeys(below)))
            service.propose("watch", patterns, "the other folders have services of their own")
