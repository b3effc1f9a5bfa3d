"""SQLite: one file beside the service, copied with the online backup API."""
