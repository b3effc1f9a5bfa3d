"""What builds made: kept by digest, never changed."""
