"""The port of what a CI system shows of a command: sections, masks, annotations, and results for later jobs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What a person should see at once. ``file`` is relative to the repository, "" for none; lines begin at 1."""

    title: str
    message: str
    file: str = ""
    line: int = 0
    is_error: bool = True


class CiOutput:
    """What is shown outside of a CI system, or in one that can do no more than print lines: nothing."""

    has_sections = False

    def masks(self, secrets: Iterable[str]) -> Iterator[str]:  # noqa: ARG002 (the port's signature)
        """Yield the lines that hide secrets in all that follows."""
        return iter(())

    def section(self, title: str, lines: Sequence[str]) -> Iterator[str]:  # noqa: ARG002 (as above)
        """Yield the lines of a section that can be folded. Its lines are shown as they are, and nothing obeys them."""
        return iter(())

    def annotations(self, problems: Sequence[Problem]) -> Iterator[str]:  # noqa: ARG002 (as above)
        """Yield lines that show problems where they are, as many as the system takes, and how many more there are."""
        return iter(())

    def publish(self, outputs: Mapping[str, str], summary: str) -> None:
        """Give ``outputs`` to later steps and jobs, and show ``summary``, in Markdown, with the run."""
