"""The chapters of a deployment, one file each; data has a wing of its own."""
