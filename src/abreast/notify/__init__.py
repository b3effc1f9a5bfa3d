"""Tells people and other services what deployments do."""
