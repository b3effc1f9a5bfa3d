"""The chapters on databases: backup, rehearsal, migration, restore, drill, undo."""
