"""The Hugging Face Hub's API for Docker Spaces, emulated: repositories, builds, and the running Spaces."""

from abreast.testing.platforms.huggingface.access import READ_TOKEN, TOKEN
from abreast.testing.platforms.huggingface.emulator import HuggingFaceEmulator
from abreast.testing.platforms.huggingface.repository_api import LFS_THRESHOLD

__all__ = ["LFS_THRESHOLD", "READ_TOKEN", "TOKEN", "HuggingFaceEmulator"]
