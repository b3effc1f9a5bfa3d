"""The chapters of a deployment, one file each. Those on databases are in ``deploy.data``."""
