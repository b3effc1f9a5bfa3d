"""What the platforms of others have in common: an HTTP API with limits, and moods."""
