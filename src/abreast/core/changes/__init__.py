"""What changed: globs, watch patterns, workspaces, and the inputs of a build."""
