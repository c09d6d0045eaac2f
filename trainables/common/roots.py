"""Data roots: a folder, or a prefix in a bucket, which must stay a str because Path removes a slash of s3://."""

import os
from pathlib import Path

S3 = "s3://"
Root = Path | str | None
"""A folder; s3://bucket/prefix; or None for the user's cache."""


def root_of(text: Root) -> Root:
    """Parse a data root as a user wrote it or `recorded` returned it: a folder as Path, a bucket's prefix as str."""
    if not text or isinstance(text, Path):
        return text or None
    return S3 + text.removeprefix(S3).rstrip("/") if in_bucket(text) else Path(text).expanduser()


def data_root(root: Root) -> Path | str:
    """The root of the data sets: `root`, or the user's cache if it is None."""
    return Path.home() / ".cache" / "vaeorch" if root is None else root_of(root)


def recorded(root: Root) -> str | None:
    """A data root to write to files or pass to other processes: valid from any working directory."""
    return str(root.resolve()) if isinstance(root, Path) else root


def in_bucket(root: Root) -> bool:
    """Whether the root is s3://bucket/prefix."""
    return isinstance(root, str) and root.startswith(S3)


def cache_folder() -> Path:
    """This machine's cache of what can be fetched or computed again: VAEORCH_CACHE, or the user's cache."""
    return Path(os.environ.get("VAEORCH_CACHE") or Path.home() / ".cache" / "vaeorch").expanduser().absolute()
