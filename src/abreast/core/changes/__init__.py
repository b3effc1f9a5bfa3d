"""Change detection: globs, watch patterns, workspaces and build inputs."""
