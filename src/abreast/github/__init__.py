"""GitHub's REST API, as far as abreast uses it."""
