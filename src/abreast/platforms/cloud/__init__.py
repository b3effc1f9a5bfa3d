"""What the cloud platforms share: an HTTP API client with retries and rate limits, uploads, polling."""
