"""The record of every deployment, and its hash-chained audit trail."""
