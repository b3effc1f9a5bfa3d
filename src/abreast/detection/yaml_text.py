"""A draft as the text of an abreast.yml, with a comment that says where each value comes from."""

import json
import re
import textwrap
from collections.abc import Iterator
from itertools import groupby

import yaml

from abreast.detection.draft import LOCAL, Draft, Note, Proposal, ServiceDraft, Value
from abreast.detection.repository import YAML_LOADER

KEYS = (
    "type", "schedule", "folder", "python", "node", "watch", "needs", "build.install", "build.run", "build.output",
    "release", "run", "instances", "test", "test.run", "test.env", "health", "routes", "env", "database.url",
    "database.variable", "database.variables", "database.migrations", "database.command", "database.status",
)  # fmt: skip
"""The keys of a service in the order in which they are written. A value of ``env`` is a key of its own."""

_INDENT, _COMMENT_COLUMN, _WIDTH = "  ", 44, 118
_PLAIN = re.compile(r"[A-Za-z0-9_./$*][^#\n]*")


def write_yaml(draft: Draft) -> str:
    """Return the text of a draft."""
    lines = [f"project: {draft.project}", "services:"]
    for service in draft.services:
        lines += [_INDENT + line for line in _service_lines(service)]
    lines += ["environments:", *_local_lines(draft)]
    if draft.gates:
        lines += ["gates:", *(_line(_INDENT, name, value, source) for name, (value, source) in draft.gates.items())]
    if draft.notes:
        lines += ["", "# Seen, and left out:", *(line for note in draft.notes for line in _note_lines(note))]
    return "\n".join(lines) + "\n"


def comment_out(text: str, number: int, why: str) -> str:
    """Return a written text without what stands at a line, counted from 1, and below it: as a comment that says why.

    Only comments are added if that is a key of the whole file, which no file does without.
    """
    lines = text.splitlines()
    first = number - 1
    depth = _depth(lines[first])
    after = next((at for at, line in enumerate(lines) if at > first and _depth(line) <= depth), len(lines))
    indent = " " * depth
    told = [f"{indent}# left out, since abreast refuses it: {why}"]
    if depth:
        kept, taken = [*_close(lines[:first], lines[after:], depth)], lines[first:after]
        told += [line if line.lstrip().startswith("#") else f"{indent}# {line[depth:]}" for line in taken]
    else:
        kept, after = lines[:first], first
    return "\n".join([*kept, *told, *lines[after:]]) + "\n"


def _close(before: list[str], after: list[str], depth: int) -> Iterator[str]:
    """Yield the lines before what goes, where a key that has nothing left below it gets ``{}``."""
    above = max((at for at, line in enumerate(before) if _is_key(line) and _depth(line) < depth), default=-1)
    siblings = [line for line in before[above + 1 :] if _is_key(line)]
    following = next((line for line in after if _is_key(line)), "")
    is_empty = not siblings and _depth(following) < depth
    for at, line in enumerate(before):
        yield re.sub(r":(?=\s|$)", ": {}", line, count=1) if at == above and is_empty else line


def _is_key(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _local_lines(draft: Draft) -> Iterator[str]:
    """Yield the environment of this machine, with the variables that differ there."""
    services = {service.name: [*_local_settings(service)] for service in draft.services}
    if not any(services.values()):
        yield f"{_INDENT}local: {{}}"
        return
    yield f"{_INDENT}local:"
    for name, settings in services.items():
        if settings:
            yield f"{_INDENT * 2}{name}:"
        for parent, keys in groupby(settings, key=lambda setting: setting[0].partition(".")[0]):
            yield f"{_INDENT * 3}{parent}:"
            yield from (_line(_INDENT * 4, key.partition(".")[2], at.value, at.source) for key, at in keys)


def _local_settings(service: ServiceDraft) -> Iterator[tuple[str, Proposal]]:
    """Yield what differs on this machine, by keys such as ``env.NAME``."""
    for key in sorted(service.proposals):
        if key.startswith(LOCAL) and (chosen := service.chosen(key)):
            yield key.removeprefix(LOCAL), chosen


def _service_lines(service: ServiceDraft) -> Iterator[str]:
    yield f"{service.name}:"
    for remark in service.remarks:
        yield from (f"{_INDENT}# {line}" for line in textwrap.wrap(remark, _WIDTH - 8))
    opened: set[str] = set()
    for key in _ordered_keys(service):
        parent, _, leaf = key.rpartition(".")
        if parent and parent not in opened:
            opened.add(parent)
            yield f"{_INDENT}{parent}:"
        chosen = service.chosen(key)
        assert chosen is not None
        yield _line(_INDENT * (2 if parent else 1), leaf, chosen.value, _source(service, key, chosen))


def _ordered_keys(service: ServiceDraft) -> Iterator[str]:
    for key in KEYS:
        if key == "env":
            yield from sorted(name for name in service.proposals if name.startswith("env.") and service.chosen(name))
        elif service.chosen(key):
            yield key


def _source(service: ServiceDraft, key: str, chosen: Proposal) -> str:
    others = [f"{proposal.source} says {write_value(proposal.value)}" for proposal in service.overruled(key)]
    rivals = [f"or {write_value(proposal.value)} ({proposal.source})" for proposal in service.rivals(key)]
    texts = [chosen.source, *(rivals or others)[:2]] if not key.startswith("env.") else [chosen.source]
    return "; ".join(text for text in texts if text)


def _line(indent: str, key: str, value: Value, source: str) -> str:
    text = f"{indent}{key}: {write_value(value)}"
    return f"{text.ljust(_COMMENT_COLUMN)}  # {source}" if source else text


def write_value(value: Value) -> str:
    """Return a value as YAML that stands in one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_in_flow, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_in_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, int):
        return str(value)
    return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    if not _PLAIN.fullmatch(text) or text.startswith("*") or text != text.strip() or ": " in text or text.endswith(":"):
        return False
    try:
        return bool(yaml.load(text, Loader=YAML_LOADER) == text)  # noqa: S506 (it is a safe one)
    except yaml.YAMLError:
        return False


def _in_flow(value: str | bool) -> str:
    """Return a value as YAML between brackets, where fewer texts need no quotes."""
    return json.dumps(value) if isinstance(value, str) and not _is_flow_safe(value) else write_value(value)


def _is_flow_safe(text: str) -> bool:
    return bool(re.fullmatch(r"[\w./-]+", text)) and _is_plain(text)


def _note_lines(note: Note) -> Iterator[str]:
    yield from (f"# {line}" for line in textwrap.wrap(f"- {note.text}", _WIDTH, subsequent_indent="  "))
    if note.line:
        yield f"#     {note.line}"
