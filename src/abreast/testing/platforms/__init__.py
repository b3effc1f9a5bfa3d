"""Emulators of the platforms' APIs, as real HTTP servers: deploys are kept, and the deployed sites served."""
