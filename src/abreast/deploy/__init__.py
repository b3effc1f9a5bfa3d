"""Deployments as durable workflows, one module per chapter."""
