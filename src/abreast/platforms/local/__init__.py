"""The built-in platform: runs services on this machine as processes and folders behind Envoy."""
