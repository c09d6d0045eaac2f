"""Readers of file formats, independent of data sets: images, arrays, tables, archives, and pickles (never executed).

`locate.py` finds a data set's files and reports what is wrong with them; `archives.py` reads a zip file or the folder
it unpacks to; `decoding.py` and `folders.py` read pictures, `arrays.py` a user's own array or table.
"""
