"""The interface of the engine: durable workflows, which resume at their last recorded step after a crash."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

Json = Any
WorkflowBody = Callable[..., Coroutine[Any, Any, Json]]


class WorkflowEngine(ABC):
    """Runs workflows that resume at their last recorded step after a crash.

    Workflows and steps take and return JSON values. An error that escapes a workflow is never recorded as its
    outcome: the engine stops as if it had been killed, so that the workflow can be resumed.
    """

    @abstractmethod
    def register(self, name: str, body: WorkflowBody) -> None:
        """Register a workflow. Call it before ``launch``."""

    @abstractmethod
    async def launch(self) -> None:
        """Open the record and recover the workflows of an earlier process. Raises StateError if it is unusable."""

    @abstractmethod
    async def run_workflow(self, name: str, id: str, *arguments: Json) -> Json:
        """Start or resume the workflow ``id``, and return its result.

        Raises StateError if it cannot continue now. It stays resumable.
        """

    @abstractmethod
    async def has_workflow(self, id: str) -> bool:
        """Return whether the workflow ``id`` has started, as far as the record goes back."""

    @abstractmethod
    async def start_child(self, name: str, id: str, *arguments: Json) -> Callable[[], Awaitable[Json]]:
        """Start a child workflow and return a function that waits for its result.

        A start and a wait are steps, identified by their position: call them one after the other, in a fixed order.
        """

    @abstractmethod
    async def completed_results(self, prefix: str) -> Mapping[str, Json]:
        """Return the results of completed workflows by id, for ids with this prefix. Not a recorded step."""

    @abstractmethod
    async def run_step(self, name: str, work: Callable[[], Awaitable[Json]]) -> Json:
        """Run ``work`` and record its result. A recorded step returns its result without running again."""

    @abstractmethod
    async def close(self) -> None:
        """Close the record. Unfinished workflows can be resumed."""
