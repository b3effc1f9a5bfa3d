"""Routers that run in the browser: their paths are no files of the build."""

from abreast.detection.ecosystems.node_package import NodePackage
from abreast.detection.repository import path_in

_BUILDERS = frozenset({"vite", "react-scripts", "@angular/cli", "@vue/cli-service", "webpack", "parcel"})
"""Frameworks that leave one page. Others leave a page for each path."""

_ROUTERS = (
    "react-router-dom", "react-router", "vue-router", "@angular/router", "@tanstack/react-router", "wouter",
    "@solidjs/router", "preact-router", "svelte-spa-router", "svelte-routing",
)  # fmt: skip
_RULE_FILES = ("public/_redirects", "static/_redirects", "src/_redirects", "_redirects")


def missing_fallback(package: NodePackage, framework: str) -> str:
    """Return what to say of a site whose paths would be 404 when a page is loaded again, "" if they are not."""
    router = next((name for name in _ROUTERS if name in package.dependencies), "")
    files = [*(path_in(package.folder, name) for name in _RULE_FILES), *_toml_files(package)]
    if (
        framework not in _BUILDERS
        or not router
        or any("/index.html" in package.repository.text(file) for file in files)
    ):
        return ""
    return (
        f"{router}: its paths answer 404 when they are loaded again, until the build copies a file `_redirects` with "
        "`/* /index.html 200`, such as public/_redirects"
    )


def _toml_files(package: NodePackage) -> list[str]:
    return ["netlify.toml", path_in(package.folder, "netlify.toml")]
