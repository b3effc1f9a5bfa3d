"""The embedded platform: processes and folders on this machine, behind Envoy."""
