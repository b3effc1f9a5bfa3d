"""Databases: inspection, dumps, restores, migrations; and the encrypted backup store."""
