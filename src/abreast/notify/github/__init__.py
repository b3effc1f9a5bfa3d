"""GitHub is told: deployments, a check run on the commit, and a comment on its pull request."""
