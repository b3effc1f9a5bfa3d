"""Interpolation of ``${NAME}`` in abreast.yml. Secrets stay templates until they are used."""

import re
from collections.abc import Mapping

from abreast.core.errors import UsageError
from abreast.core.secrets import Secret, looks_secret

_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")


def references(template: str) -> tuple[str, ...]:
    """Return the names of the variables in a template."""
    return tuple(match[2] for match in _REFERENCE.finditer(template) if match[2])


def unset_references(template: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the variables in a template that are not set and have no default."""
    matches = _REFERENCE.finditer(template)
    return tuple(match[2] for match in matches if match[2] and match[3] is None and match[2] not in variables)


def interpolate(template: str, variables: Mapping[str, str]) -> str:
    """Return the template with its variables replaced. ``$$`` is a literal dollar."""
    return _REFERENCE.sub(lambda match: "$" if match[1] else variables.get(match[2], match[3] or ""), template)


def is_secret(name: str, template: str, variables: Mapping[str, str]) -> bool:
    """Return whether a variable looks like a secret: by its name, by the variables in it, or by its value."""
    return any(looks_secret(text) for text in (name, *references(template))) or looks_secret(
        "", interpolate(template, variables)
    )


def resolve_secrets(templates: Mapping[str, str], variables: Mapping[str, str]) -> Mapping[str, Secret]:
    """Return the values of secrets. Raises UsageError that lists every variable that is not set."""
    unset = sorted({name for template in templates.values() for name in unset_references(template, variables)})
    if unset:
        raise UsageError(
            f"not set: {', '.join(unset)}",
            need="the values that abreast.yml refers to",
            next=f"export {unset[0]}=…",
        )
    return {name: Secret(name, interpolate(template, variables)) for name, template in templates.items()}
