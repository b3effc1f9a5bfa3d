"""Frameworks of JavaScript as data, and what a framework's own configuration changes about them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from abreast.detection.ecosystems.build_options import build_arguments, build_output, build_root
from abreast.detection.ecosystems.node_package import NodePackage
from abreast.detection.repository import path_in

CODE_SUFFIXES = (".js", ".ts", ".mjs", ".cjs", ".mts", ".cts")


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework by its npm package: ``output`` is what a site's build leaves, ``run`` starts a server instead.

    ``build`` is its build command, for projects without a script for it.
    """

    package: str
    build: str
    output: str = ""
    run: str = ""
    remark: str = ""
    source: str = ""


def _sveltekit(package: NodePackage, framework: Framework) -> Framework:
    config, text = _config(package, "svelte.config")
    code = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    adapters = set(re.findall(r"@sveltejs/adapter-\w+", code)) or set(package.dependencies)
    if "@sveltejs/adapter-static" in adapters:
        pages = re.search(r"pages:\s*['\"]([^'\"]+)", text)
        return replace(framework, output=pages[1] if pages else "build", run="", source=config)
    if "@sveltejs/adapter-node" in adapters:
        out = re.search(r"out:\s*['\"]([^'\"]+)", text)
        return replace(framework, run=f"node {out[1] if out else 'build'}", source=config)
    if re.search(r"\bsvelte-kit build\b", " ".join(package.scripts.values())):  # before 1.0, which left it to Vite
        framework = replace(framework, build="svelte-kit build", run="svelte-kit preview")
    adapter = next((name for name in sorted(adapters) if name.startswith("@sveltejs/adapter-")), "its adapter")
    why = f"{adapter} is for another platform, so SvelteKit's preview server runs it; @sveltejs/adapter-node is better"
    return replace(framework, source=config, remark=why)


def _next(package: NodePackage, framework: Framework) -> Framework:
    config, text = _config(package, "next.config")
    if re.search(r"output:\s*['\"]export['\"]", text):
        folder = re.search(r"distDir:\s*['\"]([^'\"]+)", text)
        return replace(framework, output=folder[1] if folder else "out", run="", source=config)
    if build_arguments(package, "next export") is not None:
        return replace(framework, output="out", run="", source=f"{package.file}: scripts.build")
    if re.search(r"output:\s*['\"]standalone['\"]", text):
        return replace(framework, source=config)
    return framework


def _nuxt(package: NodePackage, framework: Framework) -> Framework:
    build = package.scripts.get("build", "")
    if re.search(r"nux[it] generate", build):
        return replace(framework, output=".output/public", run="", source=f"{package.file}: scripts.build")
    return framework


def _astro(package: NodePackage, framework: Framework) -> Framework:
    config, text = _config(package, "astro.config")
    folder = re.search(r"outDir:\s*['\"]([^'\"]+)", text)
    output = folder[1].removeprefix("./").rstrip("/") if folder else "dist"
    if "@astrojs/node" in text:
        return replace(framework, output="", run=f"HOST=127.0.0.1 node {output}/server/entry.mjs", source=config)
    return replace(framework, output=output, source=config if folder else "")


def _react_router(package: NodePackage, framework: Framework) -> Framework:
    config, text = _config(package, "react-router.config", "vite.config", "remix.config")
    if re.search(r"ssr:\s*false", text):
        return replace(framework, output="build/client", run="", source=config)
    older = framework.package == "@remix-run/dev" and not package.dependencies.get("vite")
    server = "react-router-serve" if framework.package == "@react-router/dev" else "remix-serve"
    entry = "./build/index.js" if older else "./build/server/index.js"
    return replace(framework, run=package.execute(f"{server} {entry}"))


def _angular(package: NodePackage, framework: Framework) -> Framework:
    file = path_in(package.folder, "angular.json")
    config = package.repository.json(file)
    projects = config.get("projects")
    if not isinstance(projects, dict) or not projects:
        return framework
    applications = [
        key
        for key, project in projects.items()
        if isinstance(project, dict) and project.get("projectType") == "application"
    ]
    name = str(config.get("defaultProject") or next(iter(applications or projects)))
    targets = projects[name].get("architect") or projects[name].get("targets") or {}
    build = targets.get("build") or {}
    options, builder = build.get("options") or {}, str(build.get("builder"))
    named = options.get("outputPath") or f"dist/{name}"
    paths = named if isinstance(named, dict) else {"base": named}
    path = str(paths.get("base") or f"dist/{name}")
    browser = str(paths.get("browser", "browser" if builder.endswith(":application") else ""))
    if options.get("ssr") or options.get("server"):
        return replace(framework, output="", run=f"node {path}/server/server.mjs", source=file)
    return replace(framework, output=f"{path}/{browser}".rstrip("/"), source=file)


def _vite(package: NodePackage, framework: Framework) -> Framework:
    config, text = _config(package, "vite.config")
    root = _vite_root(package, text)
    output, is_of_config = _vite_folder(text, "outDir")
    if not root and not output:
        return framework
    found = path_in("" if is_of_config else root, output or framework.output)
    return replace(framework, output=found, source=f"{config}: {'outDir' if output else 'root'}")


def _vite_root(package: NodePackage, text: str) -> str:
    """Return the folder whose page Vite builds, "" for that of its configuration: other tools have a ``root``, too."""
    root, _ = _vite_folder(text, "root")
    page = path_in(path_in(path_in(package.folder, build_root(package)), root), "index.html")
    return root if package.repository.has(page) else ""


def _vite_folder(text: str, key: str) -> tuple[str, bool]:
    """Return the folder that a key of vite.config names, "" without one, and whether it is one from the file's own."""
    start = r"(?:path\.)?(?:resolve|join)?\(?((?:import\.meta\.|_*)dirname\s*,\s*)?"
    found = re.search(rf"\b{key}:\s*{start}['\"`]([^'\"`]+)['\"`]((?:\s*,\s*['\"`][^'\"`]+['\"`](?=[\s,)]))*)", text)
    if found is None:
        return "", False
    parts = re.findall(r"[^\s'\"`,]+", found[3]) if "(" in found[0] else []
    return "/".join([found[2], *parts]), bool(found[1])


def _eleventy(package: NodePackage, framework: Framework) -> Framework:
    config, text = _config(package, "eleventy.config", ".eleventy")
    found = re.search(r"\boutput:\s*['\"]([^'\"]+)", text)
    return replace(framework, output=found[1].removeprefix("./").rstrip("/"), source=config) if found else framework


def _webpack(package: NodePackage, framework: Framework) -> Framework:
    for file, text in _configs(
        package, "webpack.config.production", "webpack.config.prod", "webpack.prod", "webpack.config"
    ):
        found = re.search(r"path:\s*(?:path\.)?(?:resolve|join)?\(?\s*(?:__dirname,\s*)?['\"`]([^'\"`$]+)", text)
        if found and "plugin" in text.lower():
            return replace(framework, output=found[1].removeprefix("./").strip("/"), source=f"{file}: output.path")
    return framework


def _nitro(package: NodePackage, framework: Framework) -> Framework:
    config, text = _config(package, "nitro.config", "vite.config")
    static = re.search(r"preset:\s*['\"](static|github[-_]pages)['\"]", text)
    return replace(framework, output=".output/public", run="", source=config) if static else framework


FRAMEWORKS = (
    Framework("next", "next build", run="next start"),
    Framework("nuxt", "nuxt build", run="node .output/server/index.mjs"),
    Framework("@react-router/dev", "react-router build", run="react-router-serve"),
    Framework("@remix-run/dev", "remix build", run="remix-serve"),
    Framework("@sveltejs/kit", "vite build", run="vite preview"),
    Framework("@tanstack/react-start", "vite build", run="node .output/server/index.mjs"),
    Framework("@solidjs/start", "vinxi build", run="node .output/server/index.mjs"),
    Framework("@analogjs/platform", "vite build", run="node dist/analog/server/index.mjs"),
    Framework("astro", "astro build", output="dist"),
    Framework("gatsby", "gatsby build", output="public"),
    Framework("@docusaurus/core", "docusaurus build", output="build"),
    Framework("vitepress", "vitepress build", output=".vitepress/dist"),
    Framework("vuepress", "vuepress build", output=".vuepress/dist"),
    Framework("@11ty/eleventy", "npx @11ty/eleventy", output="_site"),
    Framework("@angular/cli", "ng build", output="dist"),
    Framework("@angular/core", "ng build", output="dist"),
    Framework("react-scripts", "react-scripts build", output="build"),
    Framework("@vue/cli-service", "vue-cli-service build", output="dist"),
    Framework("ember-cli", "ember build", output="dist"),
    Framework("preact-cli", "preact build", output="build"),
    Framework("hexo", "hexo generate", output="public"),
    Framework("gridsome", "gridsome build", output="dist"),
    Framework("@nestjs/core", "nest build", run="node dist/main"),
    Framework("@strapi/strapi", "strapi build", run="strapi start"),
    Framework("nitropack", "nitropack build", run="node .output/server/index.mjs"),
    Framework("nitro", "nitro build", run="node .output/server/index.mjs"),
    Framework("@adonisjs/core", "node ace build", run="node build/bin/server.js"),
)
"""The first whose package is a dependency decides. A line each: package, build, output or run."""

PAGE_FRAMEWORKS = frozenset(
    {"next", "nuxt", "@react-router/dev", "@remix-run/dev", "@sveltejs/kit", "@tanstack/react-start",
     "@solidjs/start", "astro"}
)  # fmt: skip
"""Frameworks whose servers answer ``/`` with a page, and read ``$PORT``."""

BUNDLERS = (
    Framework("vite", "vite build", output="dist"),
    Framework("parcel", "parcel build", output="dist"),
    Framework("parcel-bundler", "parcel build", output="dist"),
    Framework("@rsbuild/core", "rsbuild build", output="dist"),
    Framework("webpack", "webpack --mode=production", output="dist"),
)
"""Bundlers make a site only where no server is among the dependencies."""

SERVER_PACKAGES = frozenset(
    {"express", "fastify", "koa", "hono", "@hono/node-server", "@hapi/hapi", "polka", "restify", "socket.io", "ws",
     "h3", "apollo-server", "@apollo/server", "@nestjs/core", "graphql-yoga", "elysia", "@feathersjs/feathers", "micro",
     "@loopback/core", "connect", "@fastify/autoload", "json-server", "probot", "moleculer-web", "@trpc/server"}
)  # fmt: skip

_NO_ENTRY = re.compile(r"(^|/)(\.[\w-]+|docs?|tests?|e2e|cypress|examples?|fixtures)/")

_VARIANTS: dict[str, Callable[[NodePackage, Framework], Framework]] = {
    "@sveltejs/kit": _sveltekit, "next": _next, "nuxt": _nuxt, "astro": _astro, "@angular/cli": _angular,
    "@angular/core": _angular, "vite": _vite, "@11ty/eleventy": _eleventy, "webpack": _webpack,
    "@react-router/dev": _react_router, "@remix-run/dev": _react_router, "nitropack": _nitro, "nitro": _nitro,
}  # fmt: skip


def find_framework(package: NodePackage) -> Framework | None:
    """Return the framework of a package, as its configuration sets it up; None if it has none that is known."""
    known = (*FRAMEWORKS, *(() if serves(package) and not has_page(package) else BUNDLERS))
    tools = package.tools
    if package.is_member:
        tools -= {each.package for each in FRAMEWORKS if not _is_used(package, each)}
    framework = next((each for each in known if each.package in tools), None)
    if framework is None and not serves(package):
        framework = next((each for each in BUNDLERS if each.package in package.scripts.get("build", "").split()), None)
    if framework is None or (framework.package == "vite" and not _has_entry_page(package)):
        return None
    variant = _VARIANTS.get(framework.package)
    return _as_built(package, variant(package, framework) if variant else framework)


def _as_built(package: NodePackage, framework: Framework) -> Framework:
    """Return a framework with the folders that words of the build script name."""
    root, output, source = build_root(package), build_output(package), f"{package.file}: scripts.build"
    if framework.output and (output or root):
        return replace(framework, output=output or path_in(root, framework.output), source=source)
    if root and framework.run == "next start":
        return replace(framework, run=f"next start {root}", source=source)
    if root and framework.run.startswith("node .output/"):
        return replace(framework, run=f"node {root}/{framework.run.removeprefix('node ')}", source=source)
    return framework


def _is_used(package: NodePackage, framework: Framework) -> bool:
    """Whether scripts run a framework. A package of a workspace can depend on one only to extend it."""
    program = framework.build.removeprefix("npx ").split()[0].rpartition("/")[2]
    return any(re.search(rf"(^|[\s/]){program}(\s|$)", script) for script in package.scripts.values())


def serves(package: NodePackage) -> bool:
    """Whether a package of a server is among the dependencies."""
    return bool(SERVER_PACKAGES.intersection(package.dependencies))


def has_page(package: NodePackage) -> bool:
    """Whether there is a page where bundlers look for one."""
    places = ("index.html", "src/index.html", "public/index.html")
    return bool(package.repository.has(*(path_in(package.folder, place) for place in places)))


def _has_entry_page(package: NodePackage) -> bool:
    """Whether there is a page from which Vite builds a site. Without one, it builds a library or assets."""
    pages = package.repository.below(package.folder, "index.html")
    return any(not _NO_ENTRY.search(page[len(package.folder) :]) for page in pages)


def page_folder(package: NodePackage) -> str:
    """Return the folder whose page its bundler builds a site of, as its configuration or its build script names it."""
    root = _vite_root(package, _config(package, "vite.config")[1])
    return path_in(path_in(package.folder, build_root(package)), root)


def has_sources(package: NodePackage) -> bool:
    """Whether there is anything that a framework or a server is made of, beside the packages of a workspace."""
    inside = [
        path[len(package.folder) :].lstrip("/")
        for path in package.repository.below(package.folder, *CODE_SUFFIXES, ".tsx", ".jsx", ".vue", ".html", ".astro")
    ]
    return any(re.match(r"(src|app|pages|server|lib|routes)/|(index|server|app|main)\.\w+$", path) for path in inside)


def _config(package: NodePackage, *names: str) -> tuple[str, str]:
    return next(iter(_configs(package, *names)), ("", ""))


def _configs(package: NodePackage, *names: str) -> list[tuple[str, str]]:
    folder = path_in(package.folder, build_root(package))
    paths = (path_in(folder, f"{name}{suffix}") for name in names for suffix in CODE_SUFFIXES)
    return [(path, package.repository.text(path)) for path in paths if package.repository.has(path)]
