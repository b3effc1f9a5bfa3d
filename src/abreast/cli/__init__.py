"""What people touch on the command line: parse and show; no decisions."""
