"""``${NAME}`` in abreast.yml: looked up where abreast runs; secrets as late as can be."""

import re
from collections.abc import Mapping

from abreast.core.errors import UsageError
from abreast.core.secrets import Secret, looks_secret

_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")


def references(template: str) -> tuple[str, ...]:
    """Return the names that a template refers to."""
    return tuple(found[2] for found in _REFERENCE.finditer(template) if found[2])


def unset_references(template: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names without a default that a template refers to and that are not set."""
    found = _REFERENCE.finditer(template)
    return tuple(one[2] for one in found if one[2] and one[3] is None and one[2] not in variables)


def interpolate(template: str, variables: Mapping[str, str]) -> str:
    """Return the template with its references replaced; ``$$`` is a dollar."""
    return _REFERENCE.sub(lambda one: "$" if one[1] else variables.get(one[2], one[3] or ""), template)


def is_secret(name: str, template: str, variables: Mapping[str, str]) -> bool:
    """Tell whether a variable looks like a secret, by its name, by what it refers to, or by its value."""
    return any(looks_secret(one) for one in (name, *references(template))) or looks_secret(
        "", interpolate(template, variables)
    )


def resolve_secrets(templates: Mapping[str, str], variables: Mapping[str, str]) -> Mapping[str, Secret]:
    """Return the values of secrets; raises UsageError that names every variable that is not set."""
    unset = sorted({name for template in templates.values() for name in unset_references(template, variables)})
    if unset:
        raise UsageError(
            f"not set: {', '.join(unset)}",
            need="the values that abreast.yml refers to",
            next=f"export {unset[0]}=…",
        )
    return {name: Secret(name, interpolate(template, variables)) for name, template in templates.items()}
