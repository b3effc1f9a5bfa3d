"""Watch: probe the new versions under live traffic until the settle time has passed."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping

from abreast.core.model import Chapter, Failure, Version
from abreast.core.plan import ServicePlan
from abreast.core.probes import ProbeResult, ProbeSeries, ProbeVerdict
from abreast.deploy.chapters.check import probe_interval, probe_version, with_live_probes
from abreast.deploy.runtime.run import Run


async def watch_services(run: Run, names: Collection[str], versions: Mapping[str, Version]) -> list[Failure]:
    """Return the failures as soon as one of the named services fails; an empty list after the settle time."""
    parts = [part for part in run.plan.rollouts if part.name in names]
    watch_ended = asyncio.Event()
    watching = [
        asyncio.ensure_future(_watch_service(run, part, with_live_probes(run, versions[part.name]), watch_ended))
        for part in parts
    ]
    cancelled = asyncio.ensure_future(run.halt.wait())
    timer = asyncio.ensure_future(asyncio.sleep(run.plan.settle))
    await asyncio.wait({timer, cancelled, *watching}, return_when=asyncio.FIRST_COMPLETED)
    watch_ended.set()
    failures = await asyncio.gather(*watching)
    timer.cancel()
    cancelled.cancel()
    if stopping := run.halt.stop_failure(Chapter.WATCH, None):
        return [stopping]
    return [failure for failure in failures if failure]


async def _watch_service(run: Run, part: ServicePlan, version: Version, watch_ended: asyncio.Event) -> Failure | None:
    """Probe until the watch ends and the last probe succeeds, or the service fails. It starts as healthy."""
    series = ProbeSeries(start=0.0, hold=float("inf"), was_healthy=True)
    interval = probe_interval(run, part.service)
    while True:
        last = watch_ended.is_set()
        observation, result = await probe_version(run, part, version, Chapter.WATCH)
        series = series.with_result(ProbeResult(0, result.success, result.why, result.final))
        if series.verdict is ProbeVerdict.FAILED:
            return Failure(Chapter.WATCH, series.why, part.name, observation.log_tail)
        if last and result.success:
            return None
        with contextlib.suppress(TimeoutError):
            await (asyncio.sleep(interval) if last else asyncio.wait_for(watch_ended.wait(), interval))
