"""What of a repository a deployment to Netlify would leave out, found before anything is built."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from abreast.core.errors import PlatformError
from abreast.core.model import Service
from abreast.platforms.interface import SourceFiles
from abreast.platforms.netlify.bundled_functions import BUNDLE_ADVICE

BUNDLED, NO_FUNCTIONS = "bundled", "none"
"""The values of the setting ``functions``."""

DEFAULT_FOLDERS = ("netlify/functions", "netlify/edge-functions", "netlify-automatic-functions")
"""Where Netlify looks for functions."""

SERVER_OUTPUTS = {".next": "Next.js", ".output": "Nuxt or Nitro", ".nuxt": "Nuxt"}
"""Output folders that hold a framework's server."""

ADAPTERS = (
    "@astrojs/netlify",
    "@netlify/angular-runtime",
    "@netlify/remix-adapter",
    "@netlify/remix-edge-adapter",
    "@netlify/vite-plugin-react-router",
    "@netlify/vite-plugin-tanstack-start",
    "@sveltejs/adapter-netlify",
)
"""Packages that build a framework's server as functions."""

NEXT_RUNTIME = "@netlify/plugin-nextjs"
"""Builds functions and blobs; abreast cannot deploy the latter."""


_CHANGE = "change abreast.yml, commit, then: abreast plan"


def require_deployable_source(service: Service, source: SourceFiles) -> None:
    """Raise PlatformError if the repository has functions or a framework's server that a release would leave out."""
    output = PurePosixPath(service.build.output or ".")
    _require_folder_of_files(output)
    setting = service.settings.get("functions")
    if setting == NO_FUNCTIONS:
        return
    folders = [folder for folder in (output, *output.parents) if folder != PurePosixPath("..")]
    if NEXT_RUNTIME in _plugins(folders, source):
        raise PlatformError(
            f"the site needs {NEXT_RUNTIME}, which stores blobs with a deploy; abreast cannot deploy those",
            need="a static export of Next.js, or a site that Netlify builds itself",
            next=_CHANGE,
        )
    found = sorted(set(_functions(folders, source)))
    if setting == BUNDLED and not service.build.run:
        raise PlatformError(
            "nothing bundles the functions: the service has no build command", need=BUNDLE_ADVICE, next=_CHANGE
        )
    if found and setting != BUNDLED:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise PlatformError(
            f"the repository has functions for Netlify ({found[0]}{more}), which a folder of files does not include",
            need=f"{BUNDLE_ADVICE}; or `functions: none` if they are not this site's",
            next=_CHANGE,
        )


def _require_folder_of_files(output: PurePosixPath) -> None:
    if framework := SERVER_OUTPUTS.get(output.name):
        raise PlatformError(
            f"{output} is the output of a server of {framework}, which is not a folder of files",
            need="the folder of a static export, such as `out`, or a site that Netlify builds itself",
            next=_CHANGE,
        )


def _functions(folders: list[PurePosixPath], source: SourceFiles) -> Iterator[str]:
    """Yield the files of functions, and the adapters that build some."""
    for folder in folders:
        config = _toml(folder, source)
        build, functions = config.get("build", {}), config.get("functions", {})
        custom = (build.get("functions"), build.get("edge_functions"), functions.get("directory"))
        for name in (*DEFAULT_FOLDERS, *filter(None, custom)):
            below = f"{(folder / str(name).lstrip('/')).as_posix()}/"
            yield from (file for file in source.paths if file.startswith(below))
        yield from (package for package in ADAPTERS if package in _dependencies(folder, source))


def _plugins(folders: list[PurePosixPath], source: SourceFiles) -> set[str]:
    configured = {
        str(plugin.get("package")) for folder in folders for plugin in _toml(folder, source).get("plugins", [])
    }
    return configured.union(*(_dependencies(folder, source) for folder in folders))


def _toml(folder: PurePosixPath, source: SourceFiles) -> dict[str, Any]:
    name = (folder / "netlify.toml").as_posix()
    try:
        return tomllib.loads((source.read(name) or b"").decode(errors="replace"))
    except tomllib.TOMLDecodeError as error:
        raise PlatformError(
            f"{name} is not valid: {error}", need="valid TOML", next=f"correct {name}, commit, then: abreast plan"
        ) from error


def _dependencies(folder: PurePosixPath, source: SourceFiles) -> frozenset[str]:
    """Return the packages that a package.json names; none if it is not valid."""
    try:
        package = json.loads(source.read((folder / "package.json").as_posix()) or b"{}")
    except ValueError:
        return frozenset()
    if not isinstance(package, dict):
        return frozenset()
    return frozenset(name for kind in ("dependencies", "devDependencies") for name in package.get(kind) or ())
