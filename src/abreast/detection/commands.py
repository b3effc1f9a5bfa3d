"""Commands that start a server: whether one is for development, and how each is told its port."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

HOST, PORT = "127.0.0.1", "$PORT"

_DEVELOPMENT = re.compile(
    r"\b(nodemon|ts-node-dev|tsx watch|next dev|nux[it] dev|remix (vite:)?dev|react-router dev|astro dev|"
    r"gatsby develop|ng serve|webpack serve|webpack-dev-server|"
    r"vue-cli-service serve|react-scripts start|svelte-kit dev|nitropack dev|"
    r"flask run|runserver|fastapi dev|nest start|nx serve|wrangler dev|vercel dev|netlify dev|concurrently|"
    r"expo|electron|supabase start|docker|storybook|turbo (run )?dev|air|cargo run|cargo watch|go run)\b"
    r"|--(watch|reload|hot|serve)\b|\bvite(?!\S)(?! +(build|preview))|^parcel (?!build)|\bastro$|^nuxt$|^make\b"
)
_WRAPPERS = re.compile(
    r"^((poetry|pdm|pipenv|uv|hatch) run |exec |"
    r"cross-env (\S+=\S* )*|dotenv( -\S+( [^\s-]\S*)?)* (-- )?|(/usr/bin/)?tini -- )"
)
_ASSIGNMENTS = re.compile(r"^((?:[A-Za-z_]\w*=\S*\s+)*)(.*)$", re.DOTALL)
_ENV_FILE = re.compile(r"\s--env-file[= ](\S+)")
_STEPS = re.compile(r"\s*(?:&&|;)\s*")
_LAUNCHERS = frozenset({"python", "python3", "npx", "php", "bundle", "pnpm", "yarn", "bunx", "bin/rails"})
_LAUNCHER_WORDS = frozenset({"exec", "run", "-m", "bundle", "npx"})
_NODE_MANAGERS = r"(?:npm|pnpm|yarn|bun)(?: run)?"


@dataclass(frozen=True, slots=True)
class PortOptions:
    """How a server is told where to listen. ``joined``: host and port are one value, such as ``--bind HOST:PORT``."""

    port: tuple[str, ...]
    host: tuple[str, ...] = ()
    joined: bool = False
    reads_variable: bool = False


SERVERS: Mapping[str, PortOptions] = {
    "gunicorn": PortOptions(("--bind", "-b"), joined=True, reads_variable=True),
    "hypercorn": PortOptions(("--bind", "-b"), joined=True),
    "uvicorn": PortOptions(("--port", "-p"), ("--host", "-h")),
    "fastapi": PortOptions(("--port",), ("--host",)),
    "litestar": PortOptions(("--port", "-p"), ("--host", "-H")),
    "granian": PortOptions(("--port",), ("--host",)),
    "sanic": PortOptions(("--port", "-p"), ("--host", "-H")),
    "daphne": PortOptions(("-p", "--port"), ("-b", "--bind")),
    "waitress-serve": PortOptions(("--port",), ("--host",)),
    "streamlit": PortOptions(("--server.port",), ("--server.address",)),
    "chainlit": PortOptions(("--port",), ("--host",)),
    "next": PortOptions(("-p", "--port"), ("-H", "--hostname"), reads_variable=True),
    "serve": PortOptions(("-l", "--listen", "-p"), reads_variable=True),
    "http-server": PortOptions(("-p", "--port"), ("-a",), reads_variable=True),
    "vite": PortOptions(("--port",), ("--host",)),
    "svelte-kit": PortOptions(("--port", "-p"), ("--host", "-H")),
    "rails": PortOptions(("-p", "--port"), ("-b", "--binding")),
    "puma": PortOptions(("-p", "--port"), reads_variable=True),
    "rackup": PortOptions(("-p", "--port"), ("-o", "--host")),
    "artisan": PortOptions(("--port",), ("--host",)),
}
"""Servers that take their port as an option, by the word that names them in a command."""


def is_development(command: str) -> bool:
    """Whether a command starts a development server, or something that is no server."""
    return bool(_DEVELOPMENT.search(command))


def unwrap(command: str) -> str:
    """Return a command without what only prepares its environment, such as ``poetry run``."""
    while found := _WRAPPERS.match(command):
        command = command[found.end() :]
    return command.strip()


def steps(command: str) -> list[str]:
    """Return the commands that ``&&`` and ``;`` join."""
    return [step for step in _STEPS.split(command.strip()) if step]


def without_build(command: str) -> str:
    """Return a start command without a build in front, which has run by then."""
    kept = [step for step in steps(command) if not re.match(rf"{_NODE_MANAGERS} build\b|tsc\b", step)]
    return " && ".join(kept) if len(kept) < len(steps(command)) else command


def without_missing_files(command: str, has_file: Callable[[str], bool]) -> str:
    """Return a command of Node or Bun without files of variables that are in no commit: it fails without them."""
    return _ENV_FILE.sub(lambda found: found[0] if has_file(found[1]) else "", command)


def without_process_manager(command: str) -> str:
    """Return what ``pm2 start`` would start. pm2 leaves it in the background, where nobody watches it."""
    words = split_words(command)
    if words[:2] not in (["pm2", "start"], ["pm2-runtime", "start"]):
        return command
    words, script, arguments = words[2:], "", []
    while words:
        word = words.pop(0)
        if word == "--":
            arguments = words
            break
        if word in {"--name", "-n", "-i", "--instances", "--interpreter", "-o", "-e"} and words:
            words.pop(0)
        elif not word.startswith("-"):
            script = script or word
    start = [script] if script in {"node", "python", "npm"} else ["node", script]
    return shlex.join([*start, *arguments])


def listen_on_port(command: str) -> str:
    """Return a command so that its server listens on ``$PORT``, if it takes that as an option."""
    parts = re.split(r"(\s*(?:&&|;)\s*)", command.strip())
    parts[-1] = _listen_on_port(parts[-1])
    return "".join(parts)


def _listen_on_port(command: str) -> str:
    _, options = _server(command)
    command = re.sub(r"\s--reload\b", "", command)
    if options is None:
        return re.sub(r"(--server\.port|--http\.port|-Dserver\.port)=\d+", rf"\1={PORT}", command)
    if options.reads_variable and re.search(r"\s(-c|-C|--config)\b", command):
        return command
    if option := _given(command, options.port):
        host = r"([\w.\[\]:*]*?:)?" if options.joined else "()"
        pattern = rf"((?:^|\s){re.escape(option)}[ =]?){host}(?:\d{{2,5}}|\$\{{?PORT[^\s}}]*\}}?)"
        return re.sub(pattern, rf"\g<1>\g<2>{PORT}", command, count=1)
    if options.joined:
        return f"{command} {options.port[0]} {HOST}:{PORT}"
    host = f" {options.host[0]} {HOST}" if options.host and not _given(command, options.host) else ""
    return f"{command}{host} {options.port[0]} {PORT}"


def takes_port(command: str) -> bool:
    """Whether a command is certain to listen on ``$PORT``: it says so, or its server reads that variable."""
    _, options = _server(steps(command)[-1] if command else "")
    return "$PORT" in command or "${PORT" in command or bool(options and options.reads_variable)


def _given(command: str, names: tuple[str, ...]) -> str:
    return next((name for name in names if re.search(rf"(^|\s){re.escape(name)}([ =]|:?\d)", command)), "")


def _server(command: str) -> tuple[str, PortOptions | None]:
    """Return the server that a command starts, and its options; None if it is none that is known."""
    words = split_words(unwrap(_ASSIGNMENTS.sub(r"\2", command)))
    for position, word in enumerate(words[:5]):
        name = word.rpartition("/")[2] if "bin/" in word else word
        if name in SERVERS and (name != "rails" or "server" in words or "s" in words) and name != "vite":
            return name, SERVERS[name]
        if name == "vite" and words[position + 1 : position + 2] == ["preview"]:
            return name, SERVERS[name]
        if position and not word.startswith("-") and name not in _LAUNCHER_WORDS and words[0] not in _LAUNCHERS:
            break
    return "", None


def split_words(command: str) -> list[str]:
    """Return the words of a command as a shell reads them, or between blanks if its quotes do not match."""
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
