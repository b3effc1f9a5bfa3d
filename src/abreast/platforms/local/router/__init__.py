"""Envoy in front of the services: switches traffic between versions without a failed request."""
