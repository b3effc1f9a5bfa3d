"""What the commands do, one file per group of commands."""
