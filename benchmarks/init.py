"""`abreast init` on public repositories: which services it finds, and how much of each is right.

ABREAST_INIT_CORPUS names a folder with checkouts called OWNER+NAME of the repositories in init_expectations.yaml, at the
commits that stand there. What is right was written down before `init` was tuned. Repositories marked `held_out` were measured
once, and then mended; those marked `second` to `fifth` were chosen after that, measured once, and mended too. "*" stands where
any answer would do, or where the right one could not be told from the files.
"""

import os
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from abreast.detection.detect import draft_config
from abreast.detection.draft import Draft, ServiceDraft
from benchmarks import init_speed

CORPUS_VARIABLE = "ABREAST_INIT_CORPUS"
EXPECTATIONS = Path(__file__).with_name("init_expectations.yaml")
FIELDS = ("folder", "kind", "python", "install", "build", "output", "run", "health", "migrate", "test")
GROUPS = ("held_out", "second", "third", "fourth", "fifth")
NEEDED_FIELDS = frozenset(FIELDS) - {"test"}
"""What `local` needs to build, start, check and migrate a service."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One expected service: the draft of it, and its fields that are wrong. None: no draft."""

    repository: str
    service: str
    group: str
    wrong: tuple[str, ...] | None
    answers: dict[str, str]

    @property
    def is_right(self) -> bool:
        return self.wrong is not None and not NEEDED_FIELDS.intersection(self.wrong)


def run() -> str:
    """Return the table of all repositories that are there."""
    corpus = Path(os.environ.get(CORPUS_VARIABLE, "/nowhere"))
    judgements, extra, times, folders = [], 0, [], []
    for name, expected in yaml.safe_load(EXPECTATIONS.read_text()).items():
        folder = corpus / name.replace("/", "+")
        if not folder.is_dir():
            continue
        folders.append(folder)
        began = time.perf_counter()
        draft = draft_config(folder)
        times.append(time.perf_counter() - began)
        found = list(judge(name, expected, draft))
        judgements += found
        extra += len(draft.services) - sum(judgement.wrong is not None for judgement in found)
    if not judgements:
        return f"## init\n\nnot measured: set {CORPUS_VARIABLE}"
    return f"""## init

{len(times)} public repositories, {len(judgements)} services. Goal: ≥ 90 % of the services right in every field that `local` needs (all but `test`).

| repositories | services | found | right | {" | ".join(FIELDS)} |
|---|---|---|---|{"---|" * len(FIELDS)}
{_row("tuned on", [each for each in judgements if each.group == "tuned"])}
{_row("held out first, then mended", [each for each in judgements if each.group == "held_out"])}
{_row("held out second, then mended", [each for each in judgements if each.group == "second"])}
{_row("held out third, then mended", [each for each in judgements if each.group == "third"])}
{_row("held out fourth, then mended", [each for each in judgements if each.group == "fourth"])}
{_row("held out fifth, then mended", [each for each in judgements if each.group == "fifth"])}
{_row("all", judgements)}

The repositories held out first: 11 of 15 services were right when they were first measured, and the mistakes were mended. Of those
held out second, 13 of 14 were. Of those held out third (30 repositories), 31 of 38 were, and 8 services were written that nobody
expected: libraries of a workspace, a manual, and pages that a framework builds from. Of those held out fourth (17 repositories), 14 of 18
were, and 2 services were written that nobody expected: a site that a server builds and sends, and pages of a design. Of those held out
fifth (12 repositories), 10 of 14 were: one repository ended `init` with an error, and one server was taken for a site.

Services that nobody expected: {extra}. Time for a repository: {statistics.median(times) * 1000:.0f} ms (median), {max(times) * 1000:.0f} ms (longest).

{init_speed.measure(folders)}"""


def _row(title: str, judgements: list[Judgement]) -> str:
    found = [judgement for judgement in judgements if judgement.wrong is not None]
    wrong = Counter(field for judgement in found for field in judgement.wrong or ())
    right = sum(judgement.is_right for judgement in judgements)
    cells = [f"{len(found) - wrong[field]}/{len(found)}" for field in FIELDS]
    share = f"{right} ({100 * right / max(1, len(judgements)):.0f} %)"
    return f"| {title} | {len(judgements)} | {len(found)} | {share} | {' | '.join(cells)} |"


def judge(repository: str, expected: dict[str, Any], draft: Draft) -> Iterator[Judgement]:
    """Yield a judgement for each expected service of a repository."""
    left = list(draft.services)
    for name, facts in expected.items():
        if name == "commit":
            continue
        group = next((group for group in GROUPS if facts.get(group)), "tuned")
        candidates = sorted(left, key=lambda each: len(_wrong_fields(facts, each)) + 10 * _is_other(facts, name, each))
        if not candidates or _is_other(facts, name, candidates[0]):
            yield Judgement(repository, name, group, None, {})
            continue
        left.remove(candidates[0])
        yield Judgement(repository, name, group, tuple(_wrong_fields(facts, candidates[0])), _answers(candidates[0]))


def _is_other(facts: dict[str, Any], name: str, service: ServiceDraft) -> bool:
    return not (_matches(facts["folder"], service.folder) and facts["kind"] == service.kind) and service.name != name


def _wrong_fields(facts: dict[str, Any], service: ServiceDraft) -> list[str]:
    answers = _answers(service)
    return [
        field
        for field in FIELDS
        if not _matches(facts.get(field, ""), answers[field], whole=field in {"folder", "kind", "output", "health"})
    ]


def _matches(expected: object, answer: str, *, whole: bool = True) -> bool:
    if isinstance(expected, list):
        return any(_matches(each, answer, whole=whole) for each in expected)
    text = str(expected)
    if text == "*":
        return True
    if text == "":
        return not answer
    return bool(re.fullmatch(text, answer) if whole else re.search(text, answer))


def _answers(service: ServiceDraft) -> dict[str, str]:
    release = service.text("release")
    install = re.sub(r" --exclude-newer \S+", "", service.text("build.install"))
    migrate = service.text("database.command") or service.text("database.migrations") or release
    if not migrate and re.search(r"\bmigrat|\binit-?db|create_db", service.text("build.run")):
        migrate = service.text("build.run")  # of a database that is a file of the checkout
    return {
        "folder": service.folder, "kind": service.kind.value, "python": service.text("python"),
        "install": install, "build": service.text("build.run"), "output": service.text("build.output"),
        "run": service.text("run"), "health": service.text("health") or ("/" if service.kind == "web" else ""),
        "migrate": migrate, "test": service.text("test") or service.text("test.run"),
    }  # fmt: skip


def main() -> int:
    """Print every wrong field, for whoever improves `init`."""
    corpus = Path(os.environ[CORPUS_VARIABLE])
    for name, expected in yaml.safe_load(EXPECTATIONS.read_text()).items():
        folder = corpus / name.replace("/", "+")
        if (sys.argv[1:] and not any(argument in name for argument in sys.argv[1:])) or not folder.is_dir():
            continue
        for judgement in judge(name, expected, draft_config(folder)):
            for field in judgement.wrong or ():
                print(
                    f"{name} {judgement.service}: {field} is {judgement.answers[field]!r}, expected {expected[judgement.service].get(field)!r}"
                )
            if judgement.wrong is None:
                print(f"{name} {judgement.service}: not found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
