"""SQLite: one file beside the service; copies by the online backup API."""
