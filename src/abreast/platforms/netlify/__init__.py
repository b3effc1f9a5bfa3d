"""Netlify: static sites, each release a draft first and published in the turn."""
