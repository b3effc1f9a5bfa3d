"""Render: backends that Render builds from a commit; each goes live in the turn."""
