"""Prepared sets in a bucket of S3 or of a server with the same protocol.

`fetch.py` downloads a set into this machine's cache, `push.py` uploads one; `s3.py` has the clients and classifies
their errors.
"""
