"""Envoy in front of the services: moves users between versions without a failed request."""
