"""What a project in Python was written for, where its files do not say so: versions of its time."""

import re
from collections.abc import Collection, Iterable
from datetime import date, timedelta

STALE_AFTER = timedelta(days=365)
"""Without a commit for so long, nobody has tried the project with the versions of today."""

_RELEASES = {
    "3.8": date(2019, 10, 14), "3.9": date(2020, 10, 5), "3.10": date(2021, 10, 4), "3.11": date(2022, 10, 24),
    "3.12": date(2023, 10, 2), "3.13": date(2024, 10, 7), "3.14": date(2025, 10, 7),
}  # fmt: skip
"""When each Python was released (https://devguide.python.org/versions/)."""

_PYTHON_OF_DJANGO = {"1": ((3, 7), ">=3.5,<3.7"), "2": ((3, 10), ">=3.6,<3.10"), "3.0": ((3, 10), ">=3.6,<3.10")}
"""The Python that a series of Django no longer runs on, and what it needs instead.

Source: https://docs.djangoproject.com/en/stable/faq/install/
"""
_BROUGHT_BY_FLASK_1 = {"jinja2": "<3.1", "markupsafe": "<2.1", "itsdangerous": "<2.1", "werkzeug": "<2.1"}
_BROUGHT_BY_FLASK_2 = {"werkzeug": "<3"}
_TESTED = re.compile(
    r"^\s*(?:python-version|env_?list)\s*[:=](.*(?:\n\s+(?:-\s*)?['\"]?(?:py)?[23][\w.]*['\"]?,?(?=\n|$))*)",
    re.MULTILINE,
)
"""Where a workflow of GitHub and tox name versions of Python, in one line or one a line."""

_BROUGHT_IN = frozenset({"werkzeug", "markupsafe", "asgiref", "starlette", "anyio", "sniffio", "h11", "urllib3"})
"""Packages that others bring: a list that pins one of them is a lock."""


def python_of_django(lines: Collection[str], ours: tuple[int, ...]) -> tuple[str, str]:
    """Return the Python that the pinned Django needs, and the pin; ("", "") if ``ours`` will do."""
    for line in lines:
        if found := re.match(r"\s*django\s*==\s*(\d+)(\.\d+)", line, re.IGNORECASE):
            broken, needed = (
                _PYTHON_OF_DJANGO.get(found[1]) or _PYTHON_OF_DJANGO.get(found[1] + found[2]) or ((99,), "")
            )
            if ours >= broken:
                return needed, line.strip()
    return "", ""


def python_of_its_time(committed: date | None, today: date) -> str:
    """Return the newest Python at a last commit that is more than a year old, "" for a younger or an older one."""
    if committed is None or today - committed < STALE_AFTER:
        return ""
    return next((version for version, day in reversed(_RELEASES.items()) if day <= committed), "")


def python_under_test(texts: Iterable[str], ours: str) -> str:
    """Return the Python that workflows of CI and tox test with: ``ours`` if it is one, or else the newest; or "".

    Those before 3.8 do not count: hardly a machine has one, and packages of today do not install there.
    """
    named = (found for text in texts for found in _TESTED.findall(text))
    versions = {
        ".".join(pair) for found in named for pair in re.findall(r"\b(?:py)?([23])\.?(\d{1,2})\b(?!\.?\*)", found)
    }
    newest = max(versions & _RELEASES.keys(), key=list(_RELEASES).index, default="")
    return ours if ours in versions else newest


def requirement_for(package: str, python: str) -> str:
    """Return a server as a requirement for pip, which does not ask for the Python of a package before version 9."""
    return "'gunicorn<21'" if package == "gunicorn" and python.endswith("<3.7") else package


def needs_pkg_resources(lines: Collection[str]) -> str:
    """Return the pinned package that imports ``pkg_resources``, "" if none does or setuptools is pinned, too.

    setuptools has it before version 81. A gunicorn before 21 does not start without it, and Flask before 2.1 finds no
    commands of its extensions.

    Sources: https://docs.gunicorn.org/en/stable/2023-news.html (21.0),
    https://setuptools.pypa.io/en/latest/pkg_resources.html, https://flask.palletsprojects.com/en/stable/changes/ (2.1)
    """
    pinned = (re.match(r"\s*([\w-]+)\s*==\s*(\d+)(?:\.(\d+))?", line) for line in lines)
    pins = {found[1].lower(): (int(found[2]), int(found[3] or 0)) for found in pinned if found}
    if "setuptools" in pins:
        return ""
    if pins.get("gunicorn", (21,)) < (21,):
        return "gunicorn"
    has_commands = "flask-migrate" in {name.replace("_", "-") for name in pins}
    return "flask" if has_commands and pins.get("flask", (2, 1)) < (2, 1) else ""


def bounds_of_flask(lines: Collection[str]) -> list[str]:
    """Return requirements for what a pinned old Flask brings: it takes any version, and does not start with later ones.

    Sources: https://jinja.palletsprojects.com/en/stable/changes/ (3.1), https://werkzeug.palletsprojects.com/en/stable/changes/
    (2.1, 3.0), https://itsdangerous.palletsprojects.com/en/stable/changes/ (2.1)
    """
    text = "\n".join(lines)
    found = re.search(r"^\s*flask\s*(?:==|~=)\s*(\d+)(?:\.(\d+))?", text, re.IGNORECASE | re.MULTILINE)
    version = (int(found[1]), int(found[2] or 0)) if found else (99, 0)
    bounds = _BROUGHT_BY_FLASK_1 if version < (2, 0) else _BROUGHT_BY_FLASK_2 if version < (2, 3) else {}
    named = {name.lower() for name in re.findall(r"^\s*([\w.-]+)", text, re.MULTILINE)}
    return [f"{name}{bound}" for name, bound in bounds.items() if name not in named]


def is_lock(lines: Collection[str]) -> bool:
    """Whether a list of requirements also pins what its packages depend on."""
    texts = [line.split("#")[0].strip() for line in lines]
    names = {re.split(r"[^\w.-]", text, maxsplit=1)[0].lower() for text in texts}
    return all("==" in text or "@" in text for text in texts if text) and not _BROUGHT_IN.isdisjoint(names)


def index_date(committed: date | None, python: str, today: date) -> str:
    """Return the day whose packages a project was last tried with, "" if it should get those of today.

    A Python that is younger than the last commit needs younger packages as well.
    """
    released = _RELEASES.get(python)
    if committed is None or released is None or committed < released or today - committed < STALE_AFTER:
        return ""
    return committed.isoformat()
