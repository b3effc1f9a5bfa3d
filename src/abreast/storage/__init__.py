"""Object stores for artifacts and backups."""
