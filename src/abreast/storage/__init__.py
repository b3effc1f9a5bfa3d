"""Object stores, which artifacts and backups are kept in."""
