"""Public test tools: emulators of platforms, and a command that is killed at a chosen write."""
