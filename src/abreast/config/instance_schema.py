"""The structure of what each instance of a service has: its health check, its resources."""

from pydantic import Field

from abreast.config.field_types import Command, Cpu, Duration, Memory, StrictModel, UrlPath


class Health(StrictModel):
    """The health check that every instance must pass before it gets traffic, and while it is watched.

    If the response names a commit (`commit` in JSON, or the header `X-Commit`), it must be the deployed commit. Every
    probe has the `User-Agent` `abreast-probe`, so that a service can leave probes out of its access log.
    """

    path: UrlPath | None = Field(
        None,
        description="The path to request. 2xx and 3xx are healthy. Default: `/`, where a service with `run` is healthy "
        "with 4xx too: an API need not have anything there.",
    )
    within: Duration = Field(2.0, description="The timeout of one request.")
    start: Duration = Field(
        60.0,
        description="How long until the first healthy response. While it warms up, a service may refuse connections or "
        "answer 502, 503 or 504. If it answers nothing but another server error, such as 500, for a quarter of this "
        "time, it fails at once.",
    )
    hold: Duration | None = Field(
        None,
        description="How long it must stay healthy before it gets traffic. Default: 1s. A folder on `local` needs to "
        "answer once only.",
    )
    interval: Duration | None = Field(
        None,
        ge=0.1,
        le=3600,
        description="How often it is asked: as a candidate, while it is watched, and on `local` as long as it is live. "
        "Default: 4 times a second, a worker's `command` each second; every 3s by the router of `local`.",
    )
    command: Command | None = Field(
        None,
        description="For a worker, instead of `path`: a command that succeeds while it is healthy. It runs with the "
        "worker's variables, in its folder, for `within` at most. Default: a worker is healthy while it runs.",
    )


class Resources(StrictModel):
    """What each instance of a service may use.

    On `local`, the kernel keeps an instance to it, where the machine lets abreast make control groups; the plan says
    so where it does not. An instance that needs more memory is killed, and starts again. On Render they are those of a
    plan, at Hugging Face those of the hardware; another size is refused, with the nearest one there is.
    """

    cpu: Cpu | None = Field(None, description="CPUs, such as `0.5` for half of one. Default: no limit.")
    memory: Memory | None = Field(None, description="Memory, such as `512MB`. Default: no limit.")
