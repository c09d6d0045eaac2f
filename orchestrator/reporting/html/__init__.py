"""The HTML report on a sweep: one file without any link to the network.

`page.py` collects the sections. A section is a file whose `section(sweep)` makes a title and HTML from `content.py`'s
plain data; to add one, write it and put it into `page.SECTIONS`. `charts.py` and `tables.py` draw, `markup.py` escapes.
"""
