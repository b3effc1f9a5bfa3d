"""The kinds of failures that lead to a rollback, and which of them a text names."""

CAUSES = (
    "critical bug",
    "performance issue",
    "security vulnerability",
    "data corruption",
    "service outage",
    "failed deployment",
)


def stated_cause(text: str) -> str:
    """Return the cause that a text of the form ``cause: text`` names, "" if it names none."""
    before, colon, _ = text.partition(":")
    cause = " ".join(before.replace("-", " ").split()).lower()
    return cause if colon and cause in CAUSES else ""
