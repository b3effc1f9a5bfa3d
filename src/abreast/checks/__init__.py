"""Checks of running versions."""
