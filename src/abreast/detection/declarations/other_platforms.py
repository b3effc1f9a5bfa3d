"""What netlify.toml, vercel.json, fly.toml, railway.json, a Space's README and probes of Kubernetes say."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from abreast.detection.commands import is_development
from abreast.detection.draft import Authority, Kind, Note, ServiceDraft
from abreast.detection.proxies import propose_proxy
from abreast.detection.repository import Repository, path_in

_PLATFORM = Authority.PLATFORM


def declare(repository: Repository) -> tuple[list[ServiceDraft], list[Note]]:
    """Return what these files say, each as a draft of the service in its folder."""
    drafts: list[ServiceDraft] = []
    notes: list[Note] = []
    for folder in repository.folders:
        if folder.count("/") > 3:
            continue
        names = set(repository.names(folder))
        if "netlify.toml" in names:
            drafts += _netlify(repository, folder)
        if "vercel.json" in names:
            drafts += _vercel(repository, folder, notes)
        if "fly.toml" in names:
            drafts += _fly(repository, folder)
        drafts += [
            draft
            for name in sorted(names)
            if re.fullmatch(r"railway[\w.]*\.(json|toml)", name)
            for draft in _railway(repository, folder, name)
        ]
        if "README.md" in names and "/" not in folder:
            drafts += _space(repository, folder)
    drafts += _probes(repository)
    return drafts, notes


def _netlify(repository: Repository, folder: str) -> Iterator[ServiceDraft]:
    file = path_in(folder, "netlify.toml")
    config = repository.toml(file)
    build = config.get("build") if isinstance(config.get("build"), dict) else {}
    assert isinstance(build, dict)
    draft = ServiceDraft("", path_in(folder, str(build.get("base") or "")), Kind.SITE)
    publish = str(build.get("publish") or "").strip("/")
    if publish and publish not in {".next", ".nuxt", ".output", ".svelte-kit"}:
        base = str(build.get("base") or "").strip("/")
        inside = publish.removeprefix(f"{base}/") if base else publish
        draft.propose("build.output", inside, f"{file}: build.publish", _PLATFORM)
    if build.get("command"):
        draft.propose("build.run", str(build["command"]), f"{file}: build.command", Authority.GUESS)
    for redirect in config.get("redirects", ()):
        if isinstance(redirect, dict) and "://" in str(redirect.get("to")) and redirect.get("status") == 200:
            propose_proxy(draft, str(redirect.get("from")), str(redirect.get("to")), f"{file}: redirects")
    yield draft


def _vercel(repository: Repository, folder: str, notes: list[Note]) -> Iterator[ServiceDraft]:
    file = path_in(folder, "vercel.json")
    config = repository.json(file)
    draft = ServiceDraft("", folder, Kind.SITE)
    if isinstance(config.get("outputDirectory"), str):
        draft.propose("build.output", config["outputDirectory"].strip("./"), f"{file}: outputDirectory", _PLATFORM)
    if isinstance(config.get("buildCommand"), str):
        draft.propose("build.run", config["buildCommand"], f"{file}: buildCommand", _PLATFORM)
    for rewrite in config.get("rewrites", ()):
        if isinstance(rewrite, dict) and "://" in str(rewrite.get("destination")):
            propose_proxy(draft, str(rewrite.get("source")), str(rewrite.get("destination")), f"{file}: rewrites")
    crons = config.get("crons")
    for cron in crons if isinstance(crons, list) else []:
        if isinstance(cron, dict):
            line = f'cron: {{schedule: "{cron.get("schedule")}", run: "curl -f http://…{cron.get("path")}"}}'
            notes.append(Note(f"{file}: the cron job {cron.get('path')} calls a function of Vercel", line))
    yield draft


def _fly(repository: Repository, folder: str) -> Iterator[ServiceDraft]:
    file = path_in(folder, "fly.toml")
    config = repository.toml(file)
    service = config.get("http_service")
    services = [*(config.get("services") or ()), *([service] if service else ())]
    draft = ServiceDraft("", folder, Kind.WEB)
    for each in services:
        checks = [*(each.get("http_checks") or ()), *(each.get("checks") or ())] if isinstance(each, dict) else []
        for check in checks:
            if isinstance(check, dict) and isinstance(check.get("path"), str):
                draft.propose("health", check["path"], f"{file}: http_checks", _PLATFORM)
    deploy = config.get("deploy")
    if isinstance(deploy, dict) and isinstance(deploy.get("release_command"), str):
        draft.propose("release", deploy["release_command"], f"{file}: deploy.release_command", _PLATFORM)
    yield draft
    processes = config.get("processes")
    for name, command in processes.items() if isinstance(processes, dict) else ():
        process = ServiceDraft(str(name), folder, Kind.WEB if name in {"app", "web"} else Kind.WORKER)
        process.propose("run", str(command), f"{file}: processes.{name}", _PLATFORM)
        yield process


def _railway(repository: Repository, folder: str, name: str) -> Iterator[ServiceDraft]:
    file = path_in(folder, name)
    config: dict[str, Any] = repository.json(file) if name.endswith(".json") else repository.toml(file)
    deploy, build = config.get("deploy"), config.get("build")
    deploy = deploy if isinstance(deploy, dict) else {}
    build = build if isinstance(build, dict) else {}
    kind = Kind.CRON if deploy.get("cronSchedule") else Kind.WORKER if "worker" in name else Kind.WEB
    draft = ServiceDraft("worker" if kind is Kind.WORKER else "", folder, kind)
    for key, value, named in (
        ("run", deploy.get("startCommand"), "startCommand"),
        ("health", deploy.get("healthcheckPath") if kind is Kind.WEB else None, "healthcheckPath"),
        ("schedule", deploy.get("cronSchedule"), "cronSchedule"),
        ("release", deploy.get("preDeployCommand"), "preDeployCommand"),
        ("dockerfile", str(build.get("dockerfilePath") or "").lstrip("/"), "dockerfilePath"),
        ("build.run", build.get("buildCommand"), "buildCommand"),
    ):
        text = " && ".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(text, str) and text and not (key == "run" and is_development(text)):
            draft.propose(key, text, f"{file}: {named}", _PLATFORM)
    yield draft


def _space(repository: Repository, folder: str) -> Iterator[ServiceDraft]:
    """Yield what the header of a Hugging Face Space's README says."""
    file = path_in(folder, "README.md")
    text = repository.text(file)
    header = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    if not header or not re.search(r"^sdk:", header[1], re.MULTILINE):
        return
    try:
        space = yaml.safe_load(header[1])
    except yaml.YAMLError:
        return
    sdk, script = space.get("sdk"), str(space.get("app_file") or "app.py")
    draft = ServiceDraft("", folder, Kind.SITE if sdk == "static" else Kind.WEB)
    if sdk == "static":
        draft.propose("build.output", str(space.get("app_build_dir") or "."), f"{file}: sdk", _PLATFORM)
    elif sdk == "gradio" and repository.has(path_in(folder, script)):
        draft.propose(
            "run",
            f"GRADIO_SERVER_NAME=127.0.0.1 GRADIO_SERVER_PORT=$PORT python {script}",
            f"{file}: app_file",
            _PLATFORM,
        )
    elif sdk == "streamlit" and repository.has(path_in(folder, script)):
        draft.propose(
            "run",
            f"streamlit run {script} --server.address 127.0.0.1 --server.port $PORT --server.headless true",
            f"{file}: app_file",
            _PLATFORM,
        )
    if version := space.get("python_version"):
        draft.propose("python", str(version), f"{file}: python_version", _PLATFORM)
    yield draft


def _probes(repository: Repository) -> Iterator[ServiceDraft]:
    """Yield the path of a readiness or liveness probe, for the root's service."""
    for file in repository.files:
        if not file.endswith((".yml", ".yaml")) or not re.search(
            r"(^|/)(k8s|kubernetes|manifests|deploy|deployment|charts?|helm)(/|[\w-]*\.)", file
        ):
            continue
        text = repository.text(file)
        for kind in ("readinessProbe", "livenessProbe"):
            found = re.search(
                rf"{kind}:\s+httpGet:\s+(?:port:[^\n]*\n\s+)?path:\s*['\"]?(/[^\s'\"{{]*)['\"]?\s*\n", text
            )
            if found:
                draft = ServiceDraft("", "", Kind.WEB)
                draft.propose("health", found[1], f"{file}: {kind}", Authority.CONTAINER)
                yield draft
                break
