"""Attestations: who built an artifact, where and from what, signed so that anybody can verify it."""
