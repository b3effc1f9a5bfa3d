"""What providers' HTTP APIs share: an HTTP API client with retries and rate limits, uploads, polling."""
