"""Build artifacts, stored by digest and never changed."""
