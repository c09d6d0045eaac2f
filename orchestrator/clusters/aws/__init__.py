"""The kind `aws`: machines of Amazon EC2, which are started for a sweep and ended after it.

`record.py` has what a user writes, `render.py` makes the file of Ray's cluster launcher from it, `lint.py` checks that
without a network. `life.py` starts and ends a cluster, with `cloud.py` for the calls to AWS and `launcher.py` for
`ray up`; `checking.py` looks at the account. `errors.py` has what AWS's errors mean, `policies.py` what machines may
do, `prices.py` what they cost. Two programs run on the machines themselves: `watchdog.py` on the head, and
`on_worker.py` on workers.
"""
