"""GitLab's REST API."""
