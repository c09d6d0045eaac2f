"""Utilities that every other package uses; they do not depend on models or data.

`records.py` has Record, the base of all that a user writes in YAML; `errors.py` the errors that callers handle;
`lazy.py` imports modules at first use, so that reading a specification does not load torch; `files.py` writes files
whole or not at all; `roots.py` has data roots: folders and buckets.
"""
