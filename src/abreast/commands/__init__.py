"""Runs the project's own commands: builds, tests, migrations."""
