"""Every built-in platform, gate and notifier. A new one is a file and a line here, or a package that registers it."""

from abreast.core.model import DEFAULT_PLATFORM
from abreast.gates.interface import GatePlugin
from abreast.notify.interface import NotifierPlugin
from abreast.platforms.interface import PlatformPlugin
from abreast.wiring.registry import Registry

PLATFORMS = Registry(
    "abreast.platforms",
    PlatformPlugin,
    {
        DEFAULT_PLATFORM: "abreast.platforms.local.platform:PLUGIN",
        "huggingface": "abreast.platforms.huggingface.platform:PLUGIN",
        "netlify": "abreast.platforms.netlify.platform:PLUGIN",
        "render": "abreast.platforms.render.platform:PLUGIN",
        "static-dir": "abreast.platforms.static_dir:PLUGIN",
    },
)
"""Platforms by the name that abreast.yml uses. A service that names none runs on `DEFAULT_PLATFORM`, the first."""

GATES = Registry(
    "abreast.gates",
    GatePlugin,
    {
        "command": "abreast.gates.command_gate:PLUGIN",
        "scan": "abreast.gates.scan_gate:PLUGIN",
    },
)
"""What evaluates a gate, by its ``runner``. abreast.yml configures an installed gate under ``gates``, by its name."""

NOTIFIERS = Registry(
    "abreast.notifiers",
    NotifierPlugin,
    {
        "apprise": "abreast.notify.apprise:PLUGIN",
        "email": "abreast.notify.email.plugin:PLUGIN",
        "github": "abreast.notify.github.plugin:PLUGIN",
        "pagerduty": "abreast.notify.pagerduty:PLUGIN",
        "slack": "abreast.notify.slack.plugin:PLUGIN",
        "teams": "abreast.notify.teams:PLUGIN",
        "webhook": "abreast.notify.webhook:PLUGIN",
    },
)
"""Who can be told about deployments, by the name under ``notify`` in abreast.yml."""
