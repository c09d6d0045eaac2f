"""Builds the pages of the documentation that are made from the code, and its pictures, from a small real sweep.

`hooks.py` is what MkDocs calls. `pages.py` lists the generated pages, which `records.py`, `models.py`, `measures.py`,
`files.py` and `program.py` write. `sweep.py` runs the commands of the pages Start and Gallery and keeps what they print
and draw; `mnist.py` draws samples of every method where MNIST's files are at hand.
"""
