"""The gates that abreast.yml asks for."""

from collections.abc import Iterator

from abreast.config import schema
from abreast.core.gates import TEST, Gate, Threshold


def gates(project: schema.Project) -> Iterator[Gate]:
    """Yield each service's tests, with the coverage that is asked of them, then the project's own commands."""
    asked = project.gates.coverage
    threshold = Threshold(asked.total, asked.changed) if asked else None
    for name, service in project.services.items():
        if test := service.test:
            yield Gate(
                TEST,
                name,
                run=test.run,
                timeout=test.timeout,
                env=test.env,
                reports=tuple(test.reports),
                coverage=tuple(test.coverage),
                threshold=threshold,
            )
    for name, command in (project.gates.model_extra or {}).items():
        yield Gate(name, run=command.run, timeout=command.timeout, env=command.env)
