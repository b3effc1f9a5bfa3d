"""Where the project's code comes from."""
