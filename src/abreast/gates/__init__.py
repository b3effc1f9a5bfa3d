"""What must hold before users are touched."""
