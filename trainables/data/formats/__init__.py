"""Readers of file formats, which know no data set: images, arrays, tables, archives and pickles that are not run.

`locate.py` finds a data set's files and tells what is wrong with them; `archives.py` reads a zip file or the folder it
unpacks to; `decoding.py` and `folders.py` read pictures, `arrays.py` a user's own array or table.
"""
