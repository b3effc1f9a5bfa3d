"""What must hold of something running."""
