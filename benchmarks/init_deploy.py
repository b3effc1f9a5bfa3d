"""Public repositories deployed without an edit: clone, `abreast init --yes`, commit, `abreast deploy --yes`.

ABREAST_INIT_CORPUS names a folder with checkouts called OWNER+NAME. A clone of each repository in init_deployments.txt is
deployed to this machine, which needs ports 8080 and 8081 (it waits for them), npm, and what else it installs with. Then every
URL is asked. Packages count as "do not install here" if the plain command of their package manager fails in a fresh clone too,
or if a version of Node or Python is not on this machine. It takes a minute or more each: ABREAST_INIT_RESULTS names a file that
keeps what was measured on this commit, so that a run can go on later.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from benchmarks.init import CORPUS_VARIABLE
from benchmarks.plain_install import first_error, plain_failure

RESULTS_VARIABLE = "ABREAST_INIT_RESULTS"
REPOSITORIES = Path(__file__).with_name("init_deployments.txt")
TIMEOUT = 1200
"""Seconds that one command may take."""

DEPLOYED, NEEDS, NO_PACKAGES, FAILED = "deployed", "needs a value", "its packages do not install here", "failed"
UNREACHABLE = "its build or tests ask a host that this machine cannot reach"
_PORTS = (8080, 8081)
_NOT_HERE = re.compile(r"needs (Node [\d.]+: the node on the PATH is .*)|there is no (Python .* on this machine)")
"""A version that abreast refuses a deployment for, before it installs anything."""
_UNKNOWN_HOST = re.compile(
    r"(?:ENOTFOUND|EAI_AGAIN) ([a-z][\w-]*(?:\.[\w-]+)+)|while retrieving https?://([\w.-]+)|resolve host:? '?([\w.-]+)"
    r"|hostname: '([\w.-]+)'"
)
_VARIABLES = {
    "CI": "1", "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@localhost", "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@localhost",
}  # fmt: skip
_TAKEN = re.compile(r"port \d+ of \S+ is taken by")
_HINT = re.compile(r"^\s*(next|or|need|needed|needs):")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one repository. ``answers``: the HTTP status of each path of each service, 0 without an answer."""

    repository: str
    outcome: str
    why: str
    answers: dict[str, int]


def run() -> str:
    """Return the table of all repositories that are there."""
    corpus = Path(os.environ.get(CORPUS_VARIABLE, "/nowhere"))
    names = [name for name in REPOSITORIES.read_text().split() if (corpus / name.replace("/", "+")).is_dir()]
    if not names:
        return f"## init and deploy\n\nnot measured: set {CORPUS_VARIABLE}"
    results = [_measure(corpus, name) for name in names]
    installed = [result for result in results if result.outcome != NO_PACKAGES]
    reaching = [result for result in installed if result.outcome != UNREACHABLE]
    deployed = [result for result in results if result.outcome == DEPLOYED]
    rows = [f"| {result.repository} | {result.outcome} | {result.why or _answers(result)} |" for result in results]
    return f"""## init and deploy

`git clone`, `abreast init --yes`, commit, `abreast deploy --yes`: no edit, no variable, no server started. The secret scan was
{"on" if _has_scanner() else "off: no scanner is installed"}. All rows are of one run on the commit above. The machine reaches PyPI, npm and Debian only.

{len(deployed)} of {len(results)} repositories were deployed, and every URL answered. The packages of {len(installed)} install on this machine, so that
{100 * len(deployed) // max(1, len(installed))} % of those were deployed. Goal: ≥ 80 %. Of these, {len(installed) - len(reaching)} ask a host that this machine cannot reach, such as one with fonts: without them
it is {100 * len(deployed) // max(1, len(reaching))} %.

| repository | result | URLs, or why not |
|---|---|---|
{chr(10).join(rows)}"""


def _has_scanner() -> bool:
    return bool(shutil.which("kingfisher", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"))


def _answers(result: Result) -> str:
    return ", ".join(f"{place} {status}" for place, status in result.answers.items())


def _measure(corpus: Path, name: str) -> Result:
    """Return the kept result of a repository, or deploy it."""
    file = os.environ.get(RESULTS_VARIABLE)
    kept = Path(file).read_text().splitlines() if file and Path(file).exists() else []
    for line in kept:
        if json.loads(line)["repository"] == name:
            return Result(**json.loads(line))
    result = deploy_copy(corpus / name.replace("/", "+"), name)
    if file:
        with Path(file).open("a") as opened:
            opened.write(json.dumps(asdict(result)) + "\n")
    return result


def deploy_copy(source: Path, name: str) -> Result:
    """Deploy a copy of a checkout as a user would, ask every URL, and take it down again."""
    with tempfile.TemporaryDirectory(prefix="abreast-deploy-") as home:
        folder = Path(home) / name.rpartition("/")[2]
        _run(Path(home), "git", "clone", "--quiet", str(source), str(folder))
        _wait_for_ports()
        code, text = _abreast(folder, "init", "--yes")
        if code:
            return Result(name, FAILED, f"init: {text.strip().splitlines()[0]}", {})
        for command in ("git add -A", "git commit -q -m abreast"):
            _run(folder, *command.split())
        try:
            code, text = _abreast(folder, "deploy", "--yes")
            while code and _TAKEN.search(text):
                _wait_for_ports()
                code, text = _abreast(folder, "deploy", "--yes")
            answers = dict(_ask_all(folder)) if code == 0 else {}
        finally:
            _abreast(folder, "down", "--yes")
        return _judge(
            name, code, text, answers, lambda service, command: _not_installable(source, folder, service, command)
        )


def _judge(
    name: str, code: int, text: str, answers: dict[str, int], not_installable: Callable[[str, str], str]
) -> Result:
    """Say what became of a repository. ``not_installable`` says why a service's own lock files do not install, if so."""
    if code == 0:
        is_up = bool(answers) and all(0 < status < 500 for status in answers.values())
        return Result(name, DEPLOYED if is_up else FAILED, "", answers)
    if missing := re.findall(r"not set: (.*)|\$\{(\w+)\} is not set", text):
        return Result(name, NEEDS, "not set: " + ", ".join(first or second for first, second in missing), {})
    if older := _NOT_HERE.search(text):
        return Result(name, NO_PACKAGES, f"needs {older[1] or older[2]}", {})
    reason = _reason(text)
    failed = re.search(r"^(\S+): `(.*?)`: ", reason)
    if failed and (why := not_installable(failed[1], failed[2])):
        return Result(name, NO_PACKAGES, _cell(why), {})
    error = first_error("\n".join(re.findall(r"^ +│ (.*)$", text, re.MULTILINE)))
    if host := _UNKNOWN_HOST.search(text):
        return Result(name, UNREACHABLE, _cell(f"{reason[:160]}: {next(filter(None, host.groups()))}"), {})
    return Result(name, FAILED, _cell(f"{reason[:160]}: {error}"), {})


def _reason(text: str) -> str:
    """Return the line that says what ended a deployment: of a service that failed, or the error of the command."""
    if turned_back := re.findall(r"turned-back: (.*)", text):
        return str(turned_back[-1])
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _HINT.match(line)]
    return next((line for line in lines if line.startswith("abreast: ")), lines[-1] if lines else "")


def _not_installable(source: Path, folder: Path, name: str, command: str) -> str:
    """Return why a service's packages do not install without abreast either, "" if they do or another command failed."""
    service = yaml.safe_load((folder / "abreast.yml").read_text())["services"].get(name, {})
    if (service.get("build") or {}).get("install") != command:
        return ""
    return plain_failure(source, service.get("folder", ""), service.get("python", ""))


def _cell(text: str) -> str:
    return re.sub(r"/tmp/\S*/", "…/", text).replace("|", "\\|")


def _wait_for_ports() -> None:
    """Wait until nothing else on this machine listens on the ports for users."""
    for port in _PORTS:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(1)


def _ask_all(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield each service's ``/`` and health path, with the status that it answers."""
    config = yaml.safe_load((folder / "abreast.yml").read_text())["services"]
    services = json.loads(_abreast(folder, "status", "--json")[1])["environments"]["local"]["services"]
    for name, service in services.items():
        for path in dict.fromkeys(("/", config[name].get("health", "/"))) if service.get("url") else ():
            yield f"{name} {path}", _ask(service["url"] + path)


def _ask(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def _abreast(folder: Path, *arguments: str) -> tuple[int, str]:
    return _run(folder, sys.executable, "-m", "abreast", *arguments)


def _run(folder: Path, *command: str) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **_VARIABLES}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, f"no end after {TIMEOUT} s"
    return done.returncode, done.stdout


def main() -> int:
    """Deploy the repositories that are named, or all, and print what became of each."""
    corpus = Path(os.environ[CORPUS_VARIABLE])
    for name in sys.argv[1:] or REPOSITORIES.read_text().split():
        if (corpus / name.replace("/", "+")).is_dir():
            result = _measure(corpus, name)
            print(f"{name}: {result.outcome}: {result.why or _answers(result)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
