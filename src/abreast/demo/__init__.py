"""The demo: an example project under load, and deployments that succeed and fail."""
