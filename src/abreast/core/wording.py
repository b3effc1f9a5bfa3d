"""Words of messages."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 service``, ``2 services``. ``plural``: the noun's plural, if irregular."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def rough_duration(seconds: float) -> str:
    """Return a duration as people say it: ``40 s``, ``3 min``, ``2 h 5 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 3:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    hours, minutes = divmod(minutes + (rest >= 30), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
