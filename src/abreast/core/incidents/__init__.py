"""Incidents: what went wrong in an environment, as its record shows."""
