"""Every example of abreast.yml in the docs is one that abreast accepts."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.config.load import load_config
from abreast.wiring.assembly import PLUGIN_SETTINGS
from page_examples import page_examples

ROOT = Path(__file__).parents[2]
PLATFORMS = {"local", "netlify", "render", "huggingface", "static-dir"}
BACKEND, FRONTEND = {"run": "serve"}, {"build": {"run": "make", "output": "dist"}}


def examples() -> Iterator[Any]:
    pages = [page for page in (ROOT / "docs").glob("*.md") if page.name != "platforms.md"]  # about plug-ins
    for page in (ROOT / "README.md", *sorted(pages)):
        blocks = [example.text for example in page_examples(page) if example.language == "yaml"]
        yield from (pytest.param(text, id=f"{page.stem}-{number}") for number, text in enumerate(blocks))


def whole_config(text: str) -> dict[str, Any]:
    """Complete an example: a project, an environment, and the services that it mentions."""
    shown = yaml.safe_load(text)
    if "database" in shown:
        shown = {"services": {"backend": {**BACKEND, **shown}}}
    config = {"project": "shop", "environments": {"local": {}}, **shown}
    services = config.setdefault("services", {})
    for settings in config["environments"].values():
        for name, value in (settings or {}).items():
            if isinstance(value, dict) and PLATFORMS & value.keys():
                site = "netlify" in value or "static-dir" in value
                services[name] = {**(FRONTEND if site else BACKEND), **(services.get(name) or {})}
    for name in ["backend", *re.findall(r"/\*: ([\w-]+)", text)]:
        services.setdefault(name, BACKEND)
    for name, service in list(services.items()):
        if not service.keys() & {"run", "build"}:
            services[name] = {**service, **(FRONTEND if name == "frontend" else BACKEND)}
    return config


@pytest.mark.parametrize("text", list(examples()))
def test_it_is_valid(text: str, tmp_path: Path) -> None:
    text = text.replace("…", "x")
    (tmp_path / "abreast.yml").write_text(yaml.safe_dump(whole_config(text)))
    names = re.findall(r"\b[A-Z][A-Z0-9_]{3,}\b", text)
    variables = {**dict.fromkeys(names, "postgresql://localhost/shop"), "REGION": "eu-west-1"}
    project = load_config(tmp_path / "abreast.yml", variables, PLUGIN_SETTINGS)
    for name in project.environments:
        assert project.environment(name).services is not None
