"""What this machine tells of its processes; Linux."""
