"""Which folders of a repository have services, by what each ecosystem's own files say."""

import re
from collections.abc import Iterator

from abreast.detection.draft import Kind, Note, ServiceDraft
from abreast.detection.ecosystems import compiled, node, python, ruby_and_php, static_pages
from abreast.detection.ecosystems.node_frameworks import page_folder
from abreast.detection.ecosystems.node_package import NodePackage
from abreast.detection.repository import Repository, is_inside, path_in, relative_to

MAX_DEPTH = 3
"""How many levels below the root services are looked for."""

_ASIDE = re.compile(
    r"(^|/)(_[\w-]+|examples?|samples?|demos?|fixtures?|tests?|__tests__|e2e|cypress|[\w-]*docs?|documentation|templates?|tools?|tooling|scripts|benchmarks?|playgrounds?|"
    r"storybook|\.[\w-]+|spec|testdata|mocks|cookbook|tutorials?|remix\.init|design|devops|infra|terraform)(/|$)"
)
_BUILT_FROM_ROOT = frozenset({"@11ty/eleventy", "hexo"})
"""Generators that read the whole folder, and copy what they are told to: a page below is a part of the site."""
_BACKENDS = (
    ruby_and_php.detect_ruby, ruby_and_php.detect_php, compiled.detect_go, compiled.detect_rust, compiled.detect_java,
    compiled.detect_dotnet,
)  # fmt: skip


def find_services(repository: Repository) -> tuple[list[ServiceDraft], list[Note]]:
    """Return the services of all folders, and notes of what stands aside, such as examples."""
    services: list[ServiceDraft] = []
    notes: list[Note] = []
    for folder in repository.folders:
        if folder.count("/") >= MAX_DEPTH:
            continue
        if not is_aside(folder):
            services += _services_of(repository, folder)
        elif folder.count("/") < 2 and (found := node.detect(repository, folder)):
            notes.append(_aside_note(found))
    _drop_pages_of_others(repository, services)
    notes += _set_documentation_aside(services)
    _merge_builds_into_others(services)
    notes += [
        Note(f"{package.file}: a mobile or desktop application, which no platform of abreast runs")
        for package in _apps(repository)
    ]
    notes += [
        Note(f"{file}: a Worker of Cloudflare, which no platform of abreast runs")
        for folder in repository.folders
        if (file := repository.has(*(path_in(folder, f"wrangler.{suffix}") for suffix in ("toml", "json", "jsonc"))))
        and folder.count("/") < MAX_DEPTH
        and not any(service.folder == folder for service in services)
    ]
    return services, notes


def is_aside(folder: str) -> bool:
    """Whether a folder is for examples, documentation, tests or tools, by its name."""
    return bool(_ASIDE.search(folder)) and not re.match(r"(apps|services)/[\w-]*docs$", folder)


def _services_of(repository: Repository, folder: str) -> list[ServiceDraft]:
    backends = [draft for detect in _BACKENDS for draft in detect(repository, folder)]
    if found := python.detect(repository, folder):
        backends.append(found)
    frontend = node.detect(repository, folder)
    if backends and frontend and frontend.kind is Kind.SITE and not _has_own_page(repository, folder):
        frontend = None
        _add_assets(repository, backends[0])
    elif backends and not frontend and "package.json" in repository.names(folder):
        _add_assets(repository, backends[0])
    found_services = [*backends, *([frontend] if frontend else [])]
    return found_services or static_pages.detect_pages(repository, folder)


def _has_own_page(repository: Repository, folder: str) -> bool:
    return bool(
        repository.has(
            path_in(folder, "index.html"), path_in(folder, "src/index.html"), path_in(folder, "public/index.html")
        )
    )


def _add_assets(repository: Repository, backend: ServiceDraft) -> None:
    """Let a backend's build also build the assets of the package.json beside it."""
    assets = node.build_only(repository, backend.folder)
    if assets is None:
        return
    for key, order in (("build.install", (backend, assets)), ("build.run", (assets, backend))):
        join_commands(backend, key, *order)


def join_commands(target: ServiceDraft, key: str, first: ServiceDraft, second: ServiceDraft) -> None:
    """Set a command of a service to those of two drafts, one after the other."""
    chosen = [proposal for draft in (first, second) if (proposal := draft.chosen(key))]
    if not chosen:
        return
    command = " && ".join(str(proposal.value) for proposal in chosen)
    source = ", ".join(dict.fromkeys(proposal.source for proposal in chosen))
    authority = max(proposal.authority for proposal in chosen)
    target.proposals[key] = []
    target.propose(key, command, source, authority)


def _aside_note(found: ServiceDraft) -> Note:
    line = f"{found.folder.rpartition('/')[2]}: {{folder: {found.folder}, …}}"
    return Note(f"{found.folder}: looks like an example, documentation or a tool, not like a service", line)


def _apps(repository: Repository) -> Iterator[NodePackage]:
    for folder in repository.folders:
        if folder.count("/") < MAX_DEPTH and "package.json" in repository.names(folder) and not _ASIDE.search(folder):
            package = NodePackage(repository, folder)
            if not {"expo", "react-native", "electron"}.isdisjoint(package.dependencies):
                yield package


def _drop_pages_of_others(repository: Repository, services: list[ServiceDraft]) -> None:
    """Drop folders of pages inside another service, which serves or builds them; and the root, if it is not alone."""
    for page in [
        service for service in services if service.ecosystem == "pages" and service.text("build.output") == "."
    ]:
        others = [other for other in services if other is not page]
        if any(_has_page_of(repository, other, page.folder) for other in others) or (not page.folder and others):
            services.remove(page)


def _has_page_of(repository: Repository, service: ServiceDraft, folder: str) -> bool:
    """Whether a folder of pages belongs to a service: it lies in it; a site of the root builds from ``src``, or all."""
    if service.kind is not Kind.SITE or service.folder or _BUILT_FROM_ROOT & service.packages:
        return is_inside(folder, service.folder)
    home = page_folder(NodePackage(repository, "")) if service.ecosystem == "node" else ""
    return is_inside(folder, home or "src")


def _set_documentation_aside(services: list[ServiceDraft]) -> Iterator[Note]:
    """Take a book or a manual out of the root of a repository that has other services."""
    for site in [each for each in services if each.text("build.run") in static_pages.DOCUMENTATION]:
        if len(services) > 1:
            services.remove(site)
            chosen = site.chosen("build.run")
            line = f"docs: {{build: {{run: {site.text('build.run')}, output: {site.text('build.output')}}}}}"
            yield Note(f"{chosen.source if chosen else ''}: looks like documentation, not like a service", line)


def _bring_output_home(site: ServiceDraft) -> None:
    """Let a build copy what it leaves outside the site's folder into it, where abreast takes it from."""
    command = f"rm -rf dist && cp -R {site.text('build.output')} dist"
    site.replace("build.run", " && ".join(filter(None, (site.text("build.run"), command))))
    site.replace("build.output", "dist")


def _merge_builds_into_others(services: list[ServiceDraft]) -> None:
    """Merge a site whose build lands in another service's folder into that service, which serves it."""
    for site in [service for service in services if service.text("build.output").startswith("../")]:
        target = path_in(site.folder, site.text("build.output"))
        homes = [
            other
            for other in services
            if other is not site and other.kind is Kind.WEB and is_inside(target, other.folder)
        ]
        if not homes:
            _bring_output_home(site)
            continue
        home = max(homes, key=lambda other: len(other.folder))
        services.remove(site)
        place = relative_to(site.folder, home.folder)
        build = ServiceDraft("", home.folder, Kind.SITE)
        parts = [site.text("build.install"), site.text("build.run")]
        source = site.chosen("build.output")
        build.propose(
            "build.run", f"(cd {place} && {' && '.join(filter(None, parts))})", source.source if source else ""
        )
        join_commands(home, "build.run", build, home)
        if home.folder:
            home.propose("watch", (f"{home.folder}/**", f"{site.folder}/**"), f"{site.folder} is built into it")
