"""What the words of a build command change about a framework's folders, such as ``nuxt build ./app``."""

import re
from collections.abc import Mapping, Sequence
from itertools import dropwhile

from abreast.detection.commands import split_words, steps, unwrap
from abreast.detection.ecosystems.node_package import NodePackage
from abreast.detection.repository import path_in, relative_to

_OUTPUT_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "vite build": ("--outDir",),
    "astro build": ("--outDir",),
    "vitepress build": ("--outDir",),
    "vuepress build": ("--dest", "-d"),
    "docusaurus build": ("--out-dir",),
    "eleventy": ("--output",),
    "ng build": ("--output-path",),
    "vue-cli-service build": ("--dest",),
    "parcel build": ("--dist-dir", "--out-dir", "-d"),
    "webpack": ("--output-path", "-o"),
    "rsbuild build": ("--dist-path",),
    "next export": ("--outdir", "-o"),
}
"""The options by which each build command is told where to put a site."""

_TAKE_FOLDER = (
    "vite build", "nuxt build", "nuxt generate", "nuxi build", "nuxi generate", "next build", "vitepress build",
    "vuepress build",
)  # fmt: skip
"""Build commands whose first word is the folder that they build, and leave their output in."""


def build_arguments(package: NodePackage, command: str) -> list[str] | None:
    """Return the words after a command in the build script, ``./app`` in ``nuxt build ./app``; None without it."""
    wanted = command.split()
    for step in steps(package.expanded_script("build")):
        words = split_words(unwrap(step))
        words = list(dropwhile(lambda word: word == "npx" or re.match(r"\w+=", word), words))
        if words[: len(wanted)] == wanted:
            return words[len(wanted) :]
    return None


def build_root(package: NodePackage) -> str:
    """Return the folder below the package that its build script builds, "" for the package itself."""
    found = (build_arguments(package, command) for command in _TAKE_FOLDER)
    named = next((words[0].removeprefix("./").rstrip("/") for words in found if words), "")
    is_folder = named and any(package.repository.below(path_in(package.folder, named)))
    return named if is_folder else ""


def build_output(package: NodePackage) -> str:
    """Return the folder, from the package, that an option of the build script names for a site; "" without one."""
    for command, options in _OUTPUT_OPTIONS.items():
        if named := _option(build_arguments(package, command) or (), options):
            below = build_root(package) if command in _TAKE_FOLDER else ""
            return relative_to(path_in(path_in(package.folder, below), named), package.folder)
    return ""


def _option(words: Sequence[str], names: tuple[str, ...]) -> str:
    for position, word in enumerate(words):
        name, separator, value = word.partition("=")
        if name in names:
            return value if separator else "".join(words[position + 1 : position + 2])
    return ""
