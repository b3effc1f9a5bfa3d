"""The Hugging Face Hub's API for Spaces, emulated: repositories, storage, builds, and the running Spaces."""

from abreast.testing.platforms.huggingface.access import READ_TOKEN, TOKEN
from abreast.testing.platforms.huggingface.emulator import HuggingFaceEmulator
from abreast.testing.platforms.huggingface.upload_api import LFS_THRESHOLD

__all__ = ["LFS_THRESHOLD", "READ_TOKEN", "TOKEN", "HuggingFaceEmulator"]
