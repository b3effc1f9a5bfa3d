"""What a run of a CI system shows beyond plain lines."""
