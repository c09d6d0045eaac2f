"""Prepared sets in a bucket of S3 or of a server that speaks its protocol.

`fetch.py` brings a set into this machine's cache, `push.py` sends one; `s3.py` is the connection, and sorts out errors.
"""
