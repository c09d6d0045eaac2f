"""Prepared sets: the rows of a data set in memory-mapped files, which all processes of a machine share.

`prepare.py` writes a set, `verify.py` checks it, `mapped.py` opens it. `index_file.py` has a set's location and its
index; `shards.py` the format of its files.
"""
