"""A message as plain text, for receivers that show nothing else."""

from collections.abc import Iterator

from abreast.notify.message import Message


def plain_text(message: Message) -> str:
    """Return everything but the headline."""
    return "\n".join(_lines(message)).strip() or message.headline


def _lines(message: Message) -> Iterator[str]:
    for service in message.services:
        yield f"{service.name}: {service.text} {service.url}".rstrip()
    for section in message.sections:
        yield f"{section.title}:"
        yield from (f"  {line}" for line in section.lines)
    yield from message.details
    for failure in message.failures:
        yield ""
        yield failure.text
        yield from (f"    {line}" for line in failure.log.splitlines())
    yield ""
    yield from (f"{name}: {value}" for name, value in message.facts)
    if message.next_commands:
        yield f"Next: {message.next_commands[0]}"
