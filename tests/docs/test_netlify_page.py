"""Every example of docs/netlify.md is carried out, on the emulator that the page itself starts."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from netlify_cli import cli_program
from sample_project import SampleProject, free_ports, get_text

PAGE = (Path(__file__).parents[2] / "docs/netlify.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
EXAMPLES = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
CONSOLES = [text for language, text in BLOCKS if language == "console"]
SITE, BRANCH, ROUTES, FUNCTIONS = EXAMPLES
DEPLOY, EMULATOR = CONSOLES


@contextmanager
def emulator() -> Iterator[tuple[str, dict[str, str]]]:
    """Start the emulator as the page says; return its address and the variables that it prints."""
    (port,) = free_ports(1)
    _, command, *printed = EMULATOR.replace("9001", str(port)).splitlines()
    arguments = command.removeprefix("$ python ").split()
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        assert [serving.stdout.readline().rstrip() for _ in printed] == printed
        yield f"http://127.0.0.1:{port}", dict(re.findall(r"(\w+)=(\S+)", printed[0]))
        serving.terminate()


def configure(project: SampleProject, example: Mapping[str, Any]) -> None:
    """Add an example to the project's abreast.yml."""
    for name, settings in example.get("services", {}).items():
        project.config["services"][name] |= settings
    (here,) = project.config["environments"].values()
    backend = {name: here[name] for name in ("settle", "backend")}
    project.config["environments"] = {"staging": {**backend, **example["environments"]["staging"]}}


def follow(project: SampleProject, variables: Mapping[str, str], code: int = 0) -> str:
    """Type the commands of the first example, with the answer to what they ask."""
    said = ""
    for line in DEPLOY.splitlines():
        if line.startswith("$ abreast "):
            arguments = line.removeprefix("$ abreast ").split()
            answer = ["--yes"] if arguments[0] == "deploy" else []
            done = project.run(*arguments, *answer, code=code, variables=variables)
            said += done.stdout + done.stderr
        else:
            assert re.match(r"\$ export NETLIFY_AUTH_TOKEN=", line)
    return said


@pytest.mark.executes("docs/netlify.md", 1, 2, 3, 4, 6)
@pytest.mark.exhaustive
def test_a_branch_then_the_site_by_its_name_then_with_routes(project: SampleProject) -> None:
    with emulator() as (url, variables):

        def deployed(example: Mapping[str, Any]) -> str:
            configure(project, example)
            commit = project.commit()
            follow(project, variables)
            return commit

        assert deployed(BRANCH) in get_text(f"{url}/d/next--storefront-staging/")
        assert get_text(f"{url}/s/storefront-staging/") == "Not Found"
        assert deployed(SITE) in get_text(f"{url}/s/storefront-staging/")
        commit = deployed(ROUTES)
        assert f'"commit": "{commit}"' in get_text(f"{url}/s/storefront-staging/api/anything")


FUNCTION = 'export default async () => new Response("hello")\nexport const config = {path: "/hello"}\n'
TOML = '[build]\ncommand = "mkdir dist && echo $ABREAST_COMMIT > dist/index.html"\npublish = "dist"\n'


@pytest.mark.executes("docs/netlify.md", 5)
@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_functions(project: SampleProject) -> None:
    """Netlify's own command line bundles; without it, and without the setting, the plan refuses and nothing is built."""
    path = f"{cli_program().parent}:{os.environ['PATH']}"
    functions = project.folder / "netlify/functions"
    functions.mkdir(parents=True)
    (functions / "hello.mjs").write_text(FUNCTION)
    with emulator() as (url, variables):
        configure(project, SITE)
        project.commit(netlify_toml=TOML)
        refused = follow(project, variables, code=1)
        assert "the repository has functions for Netlify (netlify/functions/hello.mjs)" in refused
        assert "needed: a build with `netlify build --offline`, and `functions: bundled`" in refused
        assert not project.build_log.exists() or "frontend" not in project.build_log.read_text()

        configure(project, FUNCTIONS)
        commit = project.commit()
        said = follow(project, {**variables, "CI": "1", "PATH": path})
        assert "1 of 1 functions" in said
        assert commit in get_text(f"{url}/s/storefront-staging/")
        assert get_text(f"{url}/s/storefront-staging/hello") == "the emulator does not run the function hello"
