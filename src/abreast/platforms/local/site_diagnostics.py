"""What the plan says about parts of a site that only Netlify carries out."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.model import Service
from abreast.core.site_rules.redirects import REDIRECTS_FILE
from abreast.core.site_rules.rules import CONFIG_FILE, parse_rules, unsupported_rules
from abreast.platforms.interface import SourceFiles

FUNCTION_FOLDERS = {"netlify/functions": "functions", "netlify/edge-functions": "edge functions"}
"""Where Netlify looks for functions."""


def site_diagnostics(service: Service, files: SourceFiles) -> Iterator[Diagnostic]:
    """Yield a warning for each rule of a site that never applies on `local`, and for functions."""
    for path in sorted({*_config_files(service, files), *_redirect_files(service, files)}):
        rules = parse_rules({PurePosixPath(path).name: (files.read(path) or b"").decode(errors="replace")})
        for limit in unsupported_rules(rules):
            yield _warning(f"the rule for {limit} ({path}), which `local` cannot do: it never applies here")
    for folder in _folders(service):
        for name, kind in FUNCTION_FOLDERS.items():
            if any(path.startswith(f"{(folder / name).as_posix()}/") for path in files.paths):
                yield _warning(f"`local` does not run the {kind} in {(folder / name).as_posix()}")


def _folders(service: Service) -> list[PurePosixPath]:
    """Return the output folder and those above it."""
    output = PurePosixPath(service.build.output or ".")
    return [output, *output.parents] if output != PurePosixPath() else [output]


def _config_files(service: Service, files: SourceFiles) -> list[str]:
    names = [(folder / CONFIG_FILE).as_posix() for folder in _folders(service)]
    return [name for name in names if name in files.paths][:1]


def _redirect_files(service: Service, files: SourceFiles) -> list[str]:
    """Return the ``_redirects`` beside the output folder, wherever the build takes it from."""
    top = PurePosixPath(service.build.output or ".").parts[:1]
    own = [path for path in files.paths if PurePosixPath(path).parts[: len(top)] == top]
    return [path for path in own or files.paths if PurePosixPath(path).name == REDIRECTS_FILE]


def _warning(what: str) -> Diagnostic:
    return Diagnostic(DiagnosticSeverity.WARNING, "", what)
