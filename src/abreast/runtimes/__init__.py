"""What services run with: Python environments, and the dependencies that an install made."""
