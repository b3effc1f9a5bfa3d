"""One file for each ecosystem: what a folder's own manifests say of a service in it."""
