"""Words of messages."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 service``, ``2 services``. ``plural``: the noun's plural, if irregular."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
