"""Hugging Face Spaces: backends that a Space builds from a Dockerfile. Two Spaces form a blue-green pair."""
