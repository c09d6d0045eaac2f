"""Prepared sets: the rows of a data set in mapped files, which all processes of a machine share.

`prepare.py` makes a set, `verify.py` checks it, `mapped.py` opens it. `index_file.py` says where a set lies and what is
in it; `shards.py` is the format of its files.
"""
