"""What a user writes: the records of a spec, the domains of its search, and where in the file a mistake is.

`records.py` is the spec itself; `yaml_file.py` reads the file, and `diagnostics.py` words the mistakes.
`shipped.py` finds the specs and cluster files that come with vaeorch.
"""

__all__ = [
    "diagnostics",
    "domains",
    "earlier",
    "evaluations",
    "published",
    "records",
    "shipped",
    "yaml_file",
]  # the modules that others import
