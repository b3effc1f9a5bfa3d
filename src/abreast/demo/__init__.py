"""The whole story on this machine: an example project, a load on it, and deployments that go well and badly."""
