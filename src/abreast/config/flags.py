"""Feature flags: those of the project, with the values of an environment."""

from collections.abc import Iterator

from abreast.config import schema
from abreast.config.fault_messages import found_text, suggestion
from abreast.config.variables import references
from abreast.config.yaml_document import Document, KeyPath
from abreast.core.errors import Fault
from abreast.core.flags import FlagValue, differing_flags, flag_variable, flag_word
from abreast.core.secrets import looks_secret


def resolve_flags(project: schema.Project, environment: str) -> dict[str, FlagValue]:
    """Return the flags of an environment, in the order of the project."""
    return {**project.flags, **project.environments[environment].flags}


def flag_faults(document: Document, project: schema.Project) -> Iterator[Fault]:
    """Yield unknown flags, values of another kind than the default, secrets, and variables with the name of a flag."""
    for name, default in project.flags.items():
        yield from _value_faults(document, ("flags", name), default)
    for environment, described in project.environments.items():
        for name, value in described.flags.items():
            path: KeyPath = ("environments", environment, "flags", name)
            if name not in project.flags:
                known = ", ".join(project.flags) or "none, `flags` of the project is empty"
                text = f"unknown flag{suggestion(name, project.flags)}, expected one of: {known}"
                yield document.fault(path, text, at_key=True)
            elif _kind(value) != _kind(project.flags[name]):
                text = f"expected {_kind(project.flags[name])}, as in `flags`, found {found_text(path, value)}"
                yield document.fault(path, text)
            else:
                yield from _value_faults(document, path, value)
    variables = {flag_variable(name): name for name in project.flags}
    for path, name in _variables(project):
        if name in variables:
            text = f"this is the variable of the flag {variables[name]}; choose another name"
            yield document.fault((*path, name), text, at_key=True)


def _value_faults(document: Document, path: KeyPath, value: FlagValue) -> Iterator[Fault]:
    if isinstance(value, str) and (references(value) or looks_secret("", value)):
        yield document.fault(path, "a flag is no secret and refers to no variable; use `env` of a service for that")


def _variables(project: schema.Project) -> Iterator[tuple[KeyPath, str]]:
    for service, config in project.services.items():
        yield from ((("services", service, "env"), name) for name in config.env)
    for environment, described in project.environments.items():
        for service, override in (described.model_extra or {}).items():
            env = override.get("env") if isinstance(override, dict) else None
            if isinstance(env, dict):
                yield from ((("environments", environment, service, "env"), name) for name in env)


def _kind(value: FlagValue) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "a text" if isinstance(value, str) else "a number"


def built_in_flag_notes(project: schema.Project, environment: str) -> Iterator[str]:
    """Yield which flags of frontends a promotion to an environment does not change, since builds hold their values."""
    promotion = project.environments[environment].promotion
    if promotion is None or promotion.source not in project.environments:
        return
    builds = [name for name, service in project.services.items() if service.run is None and service.build.run]
    first, second = resolve_flags(project, promotion.source), resolve_flags(project, environment)
    for flag, there, here in differing_flags(first, second) if builds else ():
        yield (
            f"{flag} is {flag_word(there)} in {promotion.source} and {flag_word(here)} in {environment}: "
            f"{', '.join(builds)} is built with {flag_word(there)}, and a promotion does not change that"
        )
