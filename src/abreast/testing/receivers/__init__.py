"""Receivers of notifications, at least as strict as the real ones."""
