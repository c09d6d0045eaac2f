"""Where data sets lie: a folder, or a place in a bucket, which must never pass through Path (it eats a slash)."""

from pathlib import Path

S3 = "s3://"
Root = Path | str | None
"""A folder; s3://bucket/prefix; or None, the user's cache."""


def root_of(text: Root) -> Root:
    """A data root as it was written or `recorded`: a folder as Path, a place in a bucket as str."""
    if not text or isinstance(text, Path):
        return text or None
    return S3 + text.removeprefix(S3).rstrip("/") if in_bucket(text) else Path(text)


def data_root(root: Root) -> Path | str:
    """Below what the sets lie: `root`, or the user's cache where none was given."""
    return Path.home() / ".cache" / "vaeorch" if root is None else root_of(root)


def recorded(root: Root) -> str | None:
    """A data root as files and other processes are told of it: good from any working directory."""
    return str(root.resolve()) if isinstance(root, Path) else root


def in_bucket(root: Root) -> bool:
    """Whether the root is s3://bucket/prefix."""
    return isinstance(root, str) and root.startswith(S3)
