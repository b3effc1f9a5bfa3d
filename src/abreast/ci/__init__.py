"""Which run of a CI system this process belongs to."""
