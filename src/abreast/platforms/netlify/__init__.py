"""Netlify: static sites. A release is staged as a draft and published when traffic switches."""
