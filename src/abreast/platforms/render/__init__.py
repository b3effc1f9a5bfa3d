"""Render: backends that Render builds from a commit. They go live when traffic switches."""
