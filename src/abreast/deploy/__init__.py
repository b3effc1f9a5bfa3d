"""The story of a deployment, one module per chapter; durable."""
