"""Gates: what must pass before a release gets traffic."""
