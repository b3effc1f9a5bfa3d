"""Services in JavaScript: sites that a build leaves, and servers."""

import re
from collections.abc import Sequence

from abreast.detection.commands import (
    is_development,
    listen_on_port,
    unwrap,
    without_build,
    without_missing_files,
    without_process_manager,
)
from abreast.detection.dockerfiles import parse_dockerfile
from abreast.detection.draft import Authority, Kind, ServiceDraft
from abreast.detection.ecosystems.client_routers import missing_fallback
from abreast.detection.ecosystems.node_frameworks import (
    BUNDLERS,
    PAGE_FRAMEWORKS,
    Framework,
    find_framework,
    has_sources,
    serves,
)
from abreast.detection.ecosystems.node_package import NodePackage
from abreast.detection.ecosystems.old_hashes import allow_old_hashes
from abreast.detection.repository import Repository, path_in, relative_to

START_SCRIPTS = ("start:prod", "start:production", "serve:prod", "start")
_ENTRY_FILES = (
    "server.js", "src/server.js", "index.js", "src/index.js", "app.js", "src/app.js", "main.js", "server.mjs",
    "index.mjs", "src/index.mjs",
)  # fmt: skip
_HEROKU_BUILD = "heroku-postbuild"
"""The script that Heroku runs in place of ``build``: https://devcenter.heroku.com/articles/nodejs-support#build-behavior"""

_RUN_THEIR_OUTPUT = frozenset({"@tanstack/react-start", "nitropack", "nitro"})
_PREVIEWS = re.compile(r"(svelte-kit (start|preview)|vite preview)\b")
"""Start scripts that show what an adapter of SvelteKit leaves to a server of its own."""

_NO_SERVICE = frozenset({"expo", "react-native", "electron", "@vscode/vsce", "vscode"})
_BUNDLERS = frozenset(bundler.package for bundler in BUNDLERS)
_BUILT_ENTRY = re.compile(r"(node|bun)( run)? (\./)?(dist|build|lib|out)/[\w./-]+")
_BUN_ENTRY_FILES = tuple(f"{place}{name}.{suffix}" for name in ("index", "server", "main", "app")
                         for place in ("src/", "") for suffix in ("ts", "tsx", "js"))  # fmt: skip
_BUN_FILE = re.compile(r"\bbun(?:\s+(?:run|--?[\w-]+))*\s+([\w./-]+\.[jt]sx?)\b")
"""The file that a script of package.json has Bun run."""
_EXPORTS_SERVER = re.compile(r"^export default (?:\{[^}]*\bfetch\b|(?:app|api|server|hono|router)\b)", re.MULTILINE)
_OTHER_RUNTIMES = frozenset({"wrangler", "@vercel/node", "@hono/node-server"})
"""Packages of those who start what a file exports somewhere else."""
_LISTENS = re.compile(r"\.listen\(|createServer\(|\bserve\(|Bun\.serve|Deno\.serve")


def detect(repository: Repository, folder: str) -> ServiceDraft | None:
    """Return the service of a folder's package.json, None if it has none."""
    if "package.json" not in repository.names(folder):
        return None
    package = NodePackage(repository, folder)
    if not package.manifest or _NO_SERVICE.intersection(package.dependencies):
        return None
    if package.members and not has_sources(package):
        return None  # the root of a workspace, which only runs scripts of its packages
    framework = find_framework(package)
    if framework and framework.package in _BUNDLERS and _serves_build(package):
        framework = None
    draft = _framework_service(package, framework) if framework else _plain_server(package)
    if draft is None:
        return None
    draft.ecosystem, draft.packages = "node", frozenset(package.dependencies)
    draft.has_pages = draft.kind is Kind.WEB and framework is not None and framework.package in PAGE_FRAMEWORKS
    for installation in package.installations():
        draft.propose("build.install", installation.command, installation.source, Authority.PROJECT)
    if "no lock file" in draft.proposals["build.install"][0].source:
        draft.remarks.append("without a lock file, each build can get other versions")
    _describe_versions(package, draft)
    allow_old_hashes(package, draft)
    return draft


def build_only(repository: Repository, folder: str) -> ServiceDraft | None:
    """Return the build of a package.json beside a backend: its assets. None if there is nothing to build."""
    package = NodePackage(repository, folder)
    script = package.scripts.get("build", "")
    if not script or is_development(script) or script.startswith("echo"):
        return None
    draft = ServiceDraft("", folder, Kind.SITE, "node")
    draft.propose(
        "build.install", package.installations()[0].command, package.installations()[0].source, Authority.PROJECT
    )
    draft.propose("build.run", package.run_script("build"), f"{package.file}: scripts.build", Authority.PROJECT)
    return draft


def _framework_service(package: NodePackage, framework: Framework) -> ServiceDraft | None:
    if (
        "build" not in package.scripts
        and framework.package in {"vite", "webpack", "nitro", "h3"}
        and not serves(package)
    ):
        return None  # a library, or a workspace's root
    if "build" not in package.scripts and framework.package in PAGE_FRAMEWORKS and not has_sources(package):
        return None  # it only lends the framework to folders below it
    script = package.scripts.get("build", "")
    if "lib" in script.split() or (re.search(r"\b(tsup|unbuild|rollup -c|tsc -b?$)", script) and not framework.run):
        return None
    kind = Kind.WEB if framework.run else Kind.SITE
    draft = ServiceDraft("", package.folder, kind)
    _propose_build(package, framework, draft)
    source = framework.source or f"{package.file}: {framework.package}"
    if framework.remark:
        draft.remarks.append(framework.remark)
    if framework.output:
        draft.propose("build.output", framework.output, source)
        if remark := missing_fallback(package, framework.package):
            draft.remarks.append(remark)
        return draft
    start = _start_script(package)
    if start and framework.package not in _RUN_THEIR_OUTPUT and not _PREVIEWS.match(package.scripts[start]):
        draft.propose("run", _as_run(package, start), f"{package.file}: scripts.{start}", Authority.PROJECT)
    run = (
        framework.run
        if framework.run.startswith(("node ", "HOST=", "npx ", "bunx ", "pnpm ", "yarn "))
        else package.execute(framework.run)
    )
    draft.propose("run", listen_on_port(run), source)
    return draft


def _propose_build(package: NodePackage, framework: Framework | None, draft: ServiceDraft) -> None:
    repository = package.repository
    if draft.kind is Kind.WEB and build_script(package) == _HEROKU_BUILD:
        source = f"{package.file}: Heroku runs scripts.{_HEROKU_BUILD}"
        draft.propose("build.run", package.run_script(_HEROKU_BUILD), source, Authority.PLATFORM)
    elif repository.has(path_in(package.workspace, "turbo.json")) and package.is_member and "build" in package.scripts:
        command = package.run_in_workspace(f"turbo run build --filter={package.name}")  # where turbo 1 looks
        draft.propose("build.run", command, path_in(package.workspace, "turbo.json"), Authority.PROJECT)
    elif package.is_member and "build" in package.scripts and (before := package.builds_before()):
        command = _workspace_build(package, before)
        draft.propose(
            "build.run", command, f"{package.file}: scripts.build, and packages of its workspace", Authority.PROJECT
        )
    elif "build" in package.scripts:
        draft.propose("build.run", package.run_script("build"), f"{package.file}: scripts.build", Authority.PROJECT)
    elif framework:
        draft.propose(
            "build.run", package.execute(framework.build.removeprefix("npx ")), f"{package.file}: {framework.package}"
        )


def build_script(package: NodePackage) -> str:
    """Return the name of the script that builds a server: that of Heroku, if the repository is declared for it."""
    is_for_heroku = package.repository.has("Procfile", "app.json") and _HEROKU_BUILD in package.scripts
    return _HEROKU_BUILD if is_for_heroku else "build"


def _workspace_build(package: NodePackage, before: Sequence[str]) -> str:
    """Return the command that builds a package after those in the folders ``before``: pnpm alone sorts them itself."""
    if package.manager == "pnpm":
        return f"pnpm --filter '{package.name}...' run build"
    build = package.run_script("build")
    return " && ".join([*(f"(cd {relative_to(folder, package.folder)} && {build})" for folder in before), build])


def _start_script(package: NodePackage) -> str:
    for name in START_SCRIPTS:
        script = package.scripts.get(name, "")
        if script and not is_development(unwrap(without_build(script))):
            return name
    return ""


def _as_run(package: NodePackage, name: str) -> str:
    """Return a start script as a command: its text if that needs nothing of npm, with its port as an option."""
    script = without_process_manager(_without_process_file(package, without_build(package.scripts[name])))
    script = without_missing_files(script, lambda file: bool(package.repository.has(path_in(package.folder, file))))
    adapted = listen_on_port(script)
    if script != package.scripts[name] or re.match(r"node\s", script):
        return package.execute(adapted) if re.match(r"(tsx|ts-node)\s", script) else adapted
    if re.search(r"(\s-p|--port)[ =]?\d", script):
        return package.execute(adapted)
    return package.run_script(name)


def _without_process_file(package: NodePackage, script: str) -> str:
    """Return a start command of pm2 with the script that its configuration names."""
    found = re.search(r"^pm2(?:-runtime)? start (\S+\.(?:json|config\.c?js))", script)
    text = package.repository.text(path_in(package.folder, found[1])) if found else ""
    named = re.search(r"['\"]?script['\"]?\s*:\s*['\"]([^'\"]+)", text)
    return f"pm2 start {named[1]}" if named else script


def _plain_server(package: NodePackage) -> ServiceDraft | None:
    draft = ServiceDraft("", package.folder, Kind.WEB)
    start, nx = _start_script(package), _nx_output(package)
    if nx and serves(package):
        draft.propose("run", f"node {nx[0]}", nx[1], Authority.PROJECT)
    elif start and (serves(package) or _starts_listener(package, package.scripts[start])):
        draft.propose("run", _as_run(package, start), f"{package.file}: scripts.{start}", Authority.PROJECT)
    elif serves(package):
        candidates = (_bun_command(package), _entry_command(package), _typescript_command(package))
        draft.propose("run", *next((found for found in candidates if found[0]), ("", "")))
        draft.propose("run", *_container_entry(package), Authority.CONTAINER)
    if not draft.chosen("run"):
        return None
    _propose_build(package, None, draft)
    return draft


def _bun_command(package: NodePackage) -> tuple[str, str]:
    """Return the command of Bun for the file that it serves, and what says so: what it exports, or where it listens.

    Bun runs TypeScript, and serves a default export with ``fetch`` on ``$PORT``: https://bun.sh/docs/api/http#export-default-syntax
    """
    if package.manager != "bun" or not package.tools.isdisjoint(_OTHER_RUNTIMES):
        return "", ""
    named = [found[1] for name in ("dev", "start") if (found := _BUN_FILE.search(package.scripts.get(name, "")))]
    for name in dict.fromkeys((*named, str(package.manifest.get("module", "")), *_BUN_ENTRY_FILES)):
        file = path_in(package.folder, name)
        text = package.repository.text(file) if name else ""
        if _EXPORTS_SERVER.search(text) or _LISTENS.search(text):
            return f"bun {name}", f"{file}: what it exports by default" if _EXPORTS_SERVER.search(
                text
            ) else f"{file} listens"
    return "", ""


def _entry_command(package: NodePackage) -> tuple[str, str]:
    """Return the command for the file that listens, and what says so: of several, ``main`` of package.json."""
    main = str(package.manifest.get("main", "")).removeprefix("./")
    candidates = dict.fromkeys((main, f"src/{main}", *_ENTRY_FILES))
    for name in candidates:
        file = path_in(package.folder, name)
        if name and not name.endswith("ts") and _LISTENS.search(package.repository.text(file)):
            return f"node {name}", f"{file} listens"
    return "", ""


def _typescript_command(package: NodePackage) -> tuple[str, str]:
    """Return the command of a server in TypeScript, compiled if anything compiles it, and what says so."""
    config = package.repository.json(path_in(package.folder, "tsconfig.json")).get("compilerOptions")
    output = str(config.get("outDir", "dist") if isinstance(config, dict) else "dist").removeprefix("./").rstrip("/")
    sources = (f"{place}{name}.ts" for name in ("server", "index", "main", "app") for place in ("src/", ""))
    for source in sources:
        file = path_in(package.folder, source)
        if not _LISTENS.search(package.repository.text(file)):
            continue
        runner = next((name for name in ("tsx", "ts-node") if name in package.tools), "")
        if "build" in package.scripts or not runner:
            return f"node {output}/{source.rpartition('/')[2].removesuffix('.ts')}.js", f"{package.file}: main"
        return package.execute(f"{runner} {source}"), f"{file} listens, and nothing compiles it"
    return "", ""


def _nx_output(package: NodePackage) -> tuple[str, str] | None:
    file = path_in(package.folder, "project.json")
    build = (package.repository.json(file).get("targets") or {}).get("build") or {}
    options = build.get("options") or {}
    path, main = options.get("outputPath"), options.get("main")
    if not isinstance(path, str) or not isinstance(main, str):
        return None
    return f"{path}/{re.sub(r'[.]ts$', '.js', main.rpartition('/')[2])}", f"{file}: targets.build"


def _serves_build(package: NodePackage) -> bool:
    """Whether a package with a bundler and a page has a server too, which serves them."""
    start = _start_script(package)
    return bool(start) and serves(package) and _starts_listener(package, package.expanded_script(start))


def _container_entry(package: NodePackage) -> tuple[str, str]:
    """Return the command of the package's Dockerfile, if it runs what the build leaves."""
    file = package.repository.has(path_in(package.folder, "Dockerfile"))
    found = _BUILT_ENTRY.fullmatch(parse_dockerfile(package.repository.text(file)).start) if file else None
    return (found[0], f"{file}: CMD") if found and "build" in package.scripts else ("", "")


def _starts_listener(package: NodePackage, script: str) -> bool:
    found = re.search(r"(?:node|bun|tsx|ts-node)\s+(?:-\S+\s+\S+\s+)?(\S+)", script)
    path = path_in(package.folder, found[1]) if found else ""
    text = next(
        (text for name in (path, f"{path}.js", f"{path}/index.js") if (text := package.repository.text(name))), ""
    )
    return bool(_LISTENS.search(text))


def _describe_versions(package: NodePackage, draft: ServiceDraft) -> None:
    oldest, source = package.oldest_node()
    draft.propose("node", oldest, source, Authority.PROJECT)
    version, source = package.node_version()
    if version and not oldest:
        draft.remarks.append(f"Node {version} ({source}): the node on the PATH builds and runs it")
