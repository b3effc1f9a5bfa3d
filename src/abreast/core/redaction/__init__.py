"""Redaction: secrets in every encoding, and what looks like one."""
