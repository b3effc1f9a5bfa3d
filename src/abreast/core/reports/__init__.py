"""Reports of others' tools: tests, coverage, findings, bills of materials."""
