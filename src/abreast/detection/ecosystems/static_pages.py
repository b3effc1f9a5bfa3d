"""Folders of pages without a build, and sites of generators that are one program."""

import re

from abreast.detection.draft import Authority, Kind, ServiceDraft
from abreast.detection.ecosystems.python_project import PythonProject
from abreast.detection.repository import Repository, path_in

_NO_SITE = re.compile(
    r"(^|/)(templates?|static|public|assets|views|tests?|coverage|htmlcov|reports?|wwwroot|resources)(/|$)"
)


DOCUMENTATION = ("mkdocs build", "mdbook build")
"""Builds of generators that are made for manuals."""


def _propose_mkdocs(repository: Repository, draft: ServiceDraft, file: str) -> None:
    """Propose what installs MkDocs: the list that names it, or else itself with its theme."""
    version, source = PythonProject(repository, draft.folder).version()
    draft.propose("python", version, source, Authority.PROJECT)
    for name in ("requirements.txt", "docs/requirements.txt", "requirements-docs.txt", "requirements/docs.txt"):
        listed = path_in(draft.folder, name)
        if "mkdocs" in repository.text(listed):
            draft.propose("build.install", f"pip install -r {name}", listed, Authority.PROJECT)
            return
    theme = re.search(r"^theme:[ \t]*(?:\n[ \t]+name:[ \t]*)?['\"]?([\w-]+)", repository.text(file), re.MULTILINE)
    name = "mkdocs-material" if theme and theme[1] == "material" else "mkdocs"
    draft.propose("build.install", f"pip install {name}", f"{file}; no list of packages names it")


def detect_pages(repository: Repository, folder: str) -> list[ServiceDraft]:
    """Return a folder with an index.html, or the source of a site generator, as a site."""
    names = repository.names(folder)
    generators = (
        (("hugo.toml", "hugo.yaml", "config/_default/hugo.toml"), "hugo --minify", "public"),
        (("mkdocs.yml", "mkdocs.yaml"), "mkdocs build", "site"),
        (("_config.yml",), "bundle exec jekyll build", "_site"),
        (("book.toml",), "mdbook build", "book"),
        (("zola.toml",), "zola build", "public"),
    )
    for files, build, output in generators:
        if file := repository.has(*(path_in(folder, name) for name in files)):
            if "jekyll" in build and not re.search(r"jekyll|github-pages", repository.text(path_in(folder, "Gemfile"))):
                continue
            draft = ServiceDraft("", folder, Kind.SITE, "pages")
            if "jekyll" in build:
                draft.propose("build.install", "bundle install", path_in(folder, "Gemfile"), Authority.PROJECT)
            if "mkdocs" in build:
                _propose_mkdocs(repository, draft, file)
            draft.propose("build.run", build, file)
            draft.propose("build.output", output, file)
            return [draft]
    if "index.html" not in names or _NO_SITE.search(folder):
        return []
    draft = ServiceDraft("", folder, Kind.SITE, "pages")
    draft.propose("build.output", ".", path_in(folder, "index.html"))
    return [draft]
