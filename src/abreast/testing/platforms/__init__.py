"""Emulators of platforms, with their APIs and what they deploy."""
