"""Hugging Face Spaces: backends that a Space builds from a Dockerfile; two of them make a blue-green pair."""
