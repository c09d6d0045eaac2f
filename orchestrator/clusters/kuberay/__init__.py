"""The kind `kuberay`: pods of a Kubernetes cluster with the KubeRay operator.

`record.py` has what a user writes, `ray_job.py` renders the manifest of a job from it, `jobs.py` submits it and looks
after it, by the program that `kubectl.py` runs.
"""
