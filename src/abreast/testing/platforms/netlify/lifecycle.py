"""How a deploy gets ready, is published and rolled back."""

import time
from typing import Any

from abreast.testing.platforms.common import utc_timestamp
from abreast.testing.platforms.netlify.model import PRODUCTION_BRANCH, Deploy, NetlifyState, RefusedError, Site

NOT_EMULATED = ("edge_functions", "server", "zip")
"""Parts of a deploy that the emulator does not have."""


class Lifecycle:
    """Changes deploys as Netlify does."""

    def __init__(self, state: NetlifyState) -> None:
        self._state = state

    def accept(self, deploy: Deploy, body: dict[str, Any]) -> None:
        """Take what a deploy consists of. Raises RefusedError for file names that cannot be served."""
        if found := [part for part in NOT_EMULATED if body.get(part)]:
            raise RefusedError(501, f"the emulator has no deploys with {found[0]}")
        files: dict[str, str] = {path.lstrip("/"): digest for path, digest in body.get("files", {}).items()}
        if wrong := [path for path in files if "#" in path or "?" in path]:
            raise RefusedError(422, f"invalid file name: {wrong[0]}")
        deploy.files, deploy.functions = files, dict(body.get("functions", {}))
        deploy.functions_config = body.get("functions_config", {})
        deploy.schedules = body.get("function_schedules", [])
        deploy.missing_digests = set(files.values()).difference(self._state.blobs)
        deploy.missing_functions = set(deploy.functions.values()).difference(self._state.blobs)
        if self._state.build_error:
            deploy.state, deploy.pending_states = "processing", ["error"]
        elif deploy.is_complete:
            self._start_processing(deploy)
        else:
            deploy.state = "preparing" if body.get("async") else "uploading"
            deploy.pending_states = ["prepared"] if body.get("async") else []

    def receive(self, deploy: Deploy, digest: str, content: bytes) -> None:
        """Store an uploaded file or function. The last one starts the processing."""
        self._state.blobs[digest] = content
        for other in self._state.deploys.values():
            other.missing_digests.discard(digest)
            other.missing_functions.discard(digest)
        if deploy.is_complete and not self._state.build_error:
            self._start_processing(deploy)

    def advance(self, deploy: Deploy) -> None:
        """Enter the next state, if it is time."""
        waits = deploy.state == self._state.stuck_state or time.monotonic() < deploy.done_at
        if not deploy.pending_states or waits:
            return
        deploy.state = deploy.pending_states.pop(0)
        site = self._state.sites[deploy.site_id]
        if deploy.state == "error":
            deploy.error = self._state.build_error
        if deploy.state == "ready" and deploy.branch != PRODUCTION_BRANCH:
            site.branch_deploys[deploy.branch] = deploy.id
        elif deploy.state == "ready" and not deploy.draft:
            live = self._state.live_deploy(site)
            if not (live and live.locked):
                self.publish(deploy)

    def publish(self, deploy: Deploy) -> None:
        """Make a deploy the site's live one. That ends the lock of the one before."""
        site = self._state.sites[deploy.site_id]
        if live := self._state.live_deploy(site):
            live.locked = live is deploy and live.locked
        deploy.draft, deploy.published_at = False, utc_timestamp()
        site.live_deploy_id = deploy.id
        site.published = [*(earlier for earlier in site.published if earlier != deploy.id), deploy.id]

    def roll_back(self, site: Site) -> None:
        """Publish the deploy that was live before. Raises RefusedError if there is none."""
        before = [
            earlier for earlier in site.published if earlier in self._state.deploys and earlier != site.live_deploy_id
        ]
        if not before:
            raise RefusedError(422, "there is no deploy to roll back to")
        self.publish(self._state.deploys[before[-1]])

    def _start_processing(self, deploy: Deploy) -> None:
        deploy.state, deploy.pending_states = "processing", ["ready"]
        deploy.done_at = time.monotonic() + self._state.work_seconds()
