"""Workflows of CI providers, as text: what a careful engineer would write by hand for this project."""
