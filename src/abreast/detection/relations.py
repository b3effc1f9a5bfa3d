"""What concerns several services: their names, what they watch, and one origin for a site and its backend."""

import re

from abreast.detection.draft import Authority, Kind, Note, Proposal, ServiceDraft, valid_name
from abreast.detection.proxies import CUT, KEPT
from abreast.detection.repository import Repository, path_in

_PROXY_FILE = re.compile(r"(vite|vue|webpack)\.config\.|proxy\.conf|nginx|setupProxy")
_PROXY = re.compile(r"['\"`]\^?(/[\w/-]+)['\"`]\s*:\s*(?:\{[^{}]*?target\s*:\s*|['\"`]https?://)")
_NGINX_PROXY = re.compile(r"location\s+(/[\w/-]+?)/?\s*\{[^}]*proxy_pass")
_RESERVED = frozenset(
    {"settle", "drain", "on_failure", "gates", "breaking", "objectives", "tag", "may_skip", "maintenance"}
)
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
    backends = [service.name for service in services if service.kind is Kind.WEB]
    for service in services:
        if service.kind is Kind.SITE and not (service.chosen(KEPT) or service.chosen(CUT)):
            _read_development_proxy(repository, service)
        kept, cut = service.proposals.pop(KEPT, []), service.proposals.pop(CUT, [])
        if service.kind is not Kind.SITE:
            continue
        if kept and len(backends) == 1:
            routes: dict[str, str | bool] = {str(proposal.value): backends[0] for proposal in kept}
            service.propose("routes", routes, kept[0].source, Authority.PROJECT)
        elif kept:
            notes.append(_route_note(service, kept[0], "on its own origin"))
        if cut:
            notes.append(_route_note(service, cut[0], "on its own origin, and the backend without that path"))


def _route_note(site: ServiceDraft, proposal: Proposal, where: str) -> Note:
    line = f"{site.name}: {{routes: {{{proposal.value}: NAME}}}}"
    return Note(f"{proposal.source}: {site.name} expects {proposal.value} {where}", line)


def _read_development_proxy(repository: Repository, site: ServiceDraft) -> None:
    """Propose the paths that the development server of a site, or its nginx, sends to the backend."""
    for name in repository.names(site.folder):
        file = path_in(site.folder, name)
        if not _PROXY_FILE.match(name):
            continue
        text = repository.text(file)
        key = CUT if re.search(r"\b(rewrite|pathRewrite)\b", text) else KEPT
        for path in dict.fromkeys([*_PROXY.findall(text), *_NGINX_PROXY.findall(text)]):
            site.propose(key, path, f"{file}: proxy")
    manifest = path_in(site.folder, "package.json")
    if not site.chosen(KEPT) and not site.chosen(CUT) and repository.json(manifest).get("proxy"):
        site.propose(KEPT, "/api", f"{manifest}: proxy")


def propose_watch(services: list[ServiceDraft]) -> None:
    """Let a service of the root leave alone what belongs to another service below it."""
    users = [service for service in services if service.kind in {Kind.SITE, Kind.WEB}]
    for service in (each for each in services if not each.folder):
        below = [other.folder for other in users if other.folder and other.ecosystem != service.ecosystem]
        if below and service.kind in {Kind.WEB, Kind.WORKER}:
            patterns = ("**", *(f"!{folder}/**" for folder in dict.fromkeys(below)))
            service.propose("watch", patterns, "the other folders have services of their own")
