"""Where data sets lie: a folder, or a place in a bucket, which must never pass through Path (it eats a slash)."""

from pathlib import Path

S3 = "s3://"


def root_of(text: str | Path | None) -> Path | str | None:
    """A data root as it was written: a folder as Path, s3://bucket/prefix as str without slashes at its end."""
    if text is None or isinstance(text, Path):
        return text
    return text.rstrip("/") if text.startswith(S3) else Path(text)


def recorded(root: Path | str | None) -> str | None:
    """A data root as files and other processes are told of it: good from any working directory; see `root_of`."""
    return root if root is None or isinstance(root, str) else str(root.resolve())


def in_bucket(root: Path | str | None) -> bool:
    """Whether the root is s3://bucket/prefix."""
    return isinstance(root, str) and root.startswith(S3)
