"""What every other package uses: nothing here knows of models or data.

`records.py` has Record, of which all that a user writes is made; `errors.py` the errors that callers tell apart;
`lazy.py` imports at first use, so that reading a specification does not load torch; `files.py` writes files whole or
not at all; `roots.py` names where data lie.
"""
