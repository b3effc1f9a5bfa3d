"""abreast deploys a project's services side by side, as one release."""

__version__ = "0.1.0"
