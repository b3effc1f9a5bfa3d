"""Render's API, emulated: services of every kind run as local processes of the commits of a repository."""

from abreast.testing.platforms.render.deploy_api import HOOK_KEY
from abreast.testing.platforms.render.emulator import TOKEN, RenderEmulator
from abreast.testing.platforms.render.service import OWNER_ID, Deploy, EnvGroup, Service, ServiceKind

__all__ = ["HOOK_KEY", "OWNER_ID", "TOKEN", "Deploy", "EnvGroup", "RenderEmulator", "Service", "ServiceKind"]
