"""Netlify's API, emulated: sites, deploys by digest, functions, locks, rate limits. It also serves the sites."""

from abreast.testing.platforms.netlify.emulator import NetlifyEmulator
from abreast.testing.platforms.netlify.model import TOKEN
from abreast.testing.platforms.netlify.rate_limits import UNLIMITED, RateLimit, RateLimits

__all__ = ["TOKEN", "UNLIMITED", "NetlifyEmulator", "RateLimit", "RateLimits"]
