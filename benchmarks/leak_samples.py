"""Secrets as two scanners sample them, read from checkouts of their repositories. Nothing of them is stored here."""

import random
import re
import string
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import yaml

op: Any = import_module("re._constants")
parser: Any = import_module("re._parser")

PRINTABLE = string.ascii_letters + string.digits + "-_.~+/"
SAMPLES_PER_RULE = 3


class Sample(NamedTuple):
    """A text that contains a secret."""

    rule: str
    text: str
    secret: str


def gitleaks_samples(checkout: Path) -> tuple[list[Sample], list[Sample]]:
    """Return samples in context, and bare ones of the rules that need no context.

    A secret is generated from its rule's expression. The contexts are gitleaks' own, from its ``generate.go``.
    """
    chance = random.Random(7)
    rules = tomllib.loads((checkout / "config/gitleaks.toml").read_text())["rules"]
    source = (checkout / "cmd/generate/config/utils/generate.go").read_text()
    templates = [
        double.encode().decode("unicode_escape") if double else raw
        for double, raw in re.findall(r'^\t\t"[^"\n]+":\s+(?:"((?:[^"\\\n]|\\.)*)"|`([^`]*)`),', source, re.MULTILINE)
    ]
    in_context, bare = [], []
    for rule in rules:
        if not rule.get("regex"):
            continue
        expression = python_syntax(rule["regex"])
        for _ in range(SAMPLES_PER_RULE):
            whole, secret = _generate(expression, rule.get("secretGroup", 1), chance)
            if _needs_no_context(expression, secret):
                bare.append(Sample(rule["id"], f"got {secret} back", secret))
            elif "\n" in whole or len(secret) > 400 or not rule.get("keywords"):
                in_context.append(Sample(rule["id"], whole, secret))
                continue
            name = re.sub(r"\W+", "", rule["keywords"][0]) or "my"
            for template in templates:
                text = template.replace("{i}", name).replace("{I}", name.upper()).replace("{s}", secret)
                in_context.append(Sample(rule["id"], text, secret))
    return in_context, bare


def kingfisher_samples(checkout: Path) -> tuple[list[Sample], list[Sample]]:
    """Return the examples of kingfisher's rules, and the secrets alone of the rules that need no context."""
    in_context, bare = [], []
    for path in sorted((checkout / "data/rules").glob("*.yml")):
        for rule in yaml.safe_load(path.read_text())["rules"]:
            if rule.get("visible", True) is False:
                continue
            expression = python_syntax(rule["pattern"])
            for example in rule.get("examples", []):
                found = re.search(expression, example)
                if not found:
                    continue
                groups = found.groupdict()
                secret = groups.get("TOKEN") or next((each for each in reversed(found.groups()) if each), found[0])
                in_context.append(Sample(rule["id"], example, secret))
                if _needs_no_context(expression, secret):
                    bare.append(Sample(rule["id"], f"got {secret} back", secret))
    return in_context, bare


def _needs_no_context(expression: str, secret: str) -> bool:
    return any(re.search(expression, text) for text in (secret, f'"{secret}"', f"\n{secret}\n"))


def python_syntax(expression: str) -> str:
    """Return an expression of Go or Rust in Python's syntax: flags in the middle are scoped, classes are spelled out."""
    text = expression.strip()
    flags = ""
    while found := re.match(r"\(\?([a-z]+)\)\s*", text):
        flags += found[1]
        text = text[found.end() :]
    for name, letters in (("alnum", "a-zA-Z0-9"), ("alpha", "a-zA-Z"), ("digit", "0-9"), ("xdigit", "0-9a-fA-F")):
        text = text.replace(f"[:{name}:]", letters)
    text = text.replace(r"\z", r"\Z").replace("(?<", "(?P<").replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
    return (f"(?{''.join(sorted(set(flags)))})" if flags else "") + _scope_flags(text)


def _scope_flags(text: str) -> str:
    out, open_groups, at, in_class = [], [0], 0, False
    while at < len(text):
        letter, flag = text[at], re.match(r"\(\?(-?[a-z]+(?:-[a-z]+)?)\)", text[at:])
        if letter == "\\":
            out.append(text[at : at + 2])
            at += 2
            continue
        if flag and not in_class:
            out.append(f"(?{flag[1]}:")
            open_groups[-1] += 1
            at += flag.end()
            continue
        in_class = letter == "[" or (in_class and letter != "]")
        if not in_class and letter == "(":
            open_groups.append(0)
        if not in_class and letter == ")":
            out.append(")" * open_groups.pop())
        out.append(letter)
        at += 1
    return "".join(out) + ")" * sum(open_groups)


def _generate(expression: str, group: int, chance: random.Random) -> tuple[str, str]:
    """Return a text that matches, and what its group took."""
    for _ in range(200):
        text = "".join(_letters(parser.parse(expression), chance))
        found = re.search(expression, text)
        if found:
            return found[0], (found[group] if found.re.groups >= group and found[group] else found[0])
    raise ValueError(f"no sample of {expression}")


def _letters(tree: Any, chance: random.Random) -> Iterator[str]:  # noqa: ANN401 (the parser's)
    for kind, value in tree:
        if kind is op.LITERAL:
            yield chr(value)
        elif kind is op.NOT_LITERAL:
            yield chance.choice(PRINTABLE.replace(chr(value), ""))
        elif kind is op.ANY:
            yield chance.choice(PRINTABLE)
        elif kind is op.IN:
            yield chance.choice(_choices(value))
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            least, most, inner = value
            for _ in range(least if kind is op.MIN_REPEAT else chance.randint(least, min(most, least + (least > 8)))):
                yield from _letters(inner, chance)
        elif kind is op.SUBPATTERN:
            yield from _letters(value[3], chance)
        elif kind is op.BRANCH:
            yield from _letters(chance.choice(value[1]), chance)


def _choices(members: Any) -> str:  # noqa: ANN401 (the parser's)
    letters = ""
    for kind, value in members:
        if kind is op.LITERAL:
            letters += chr(value)
        elif kind is op.RANGE:
            letters += "".join(map(chr, range(value[0], value[1] + 1)))
        elif kind is op.CATEGORY:
            letters += {op.CATEGORY_DIGIT: string.digits, op.CATEGORY_SPACE: " "}.get(
                value, string.ascii_letters + string.digits
            )
    negated = any(kind is op.NEGATE for kind, _ in members)
    return "".join(sorted(set(PRINTABLE) - set(letters))) if negated else letters
