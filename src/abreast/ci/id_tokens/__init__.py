"""Who vouches for a run of a CI system: the ID token that the system signs for it."""

ID_TOKEN_VARIABLES = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ABREAST_ID_TOKEN")
"""What a job has that may have a token: at GitHub what is exchanged for one, at GitLab the token. Both are secrets."""
