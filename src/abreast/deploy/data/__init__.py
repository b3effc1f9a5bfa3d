"""The chapters on data: backup, rehearsal, migration, restore, drill, undo."""
