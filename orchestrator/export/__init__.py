"""Trained models for use elsewhere: loaded by name, and written in formats that others read.

`loading.py` finds a model, `folder.py` writes and reads one as safetensors, `graphs.py` as torch.export and ONNX, and
`registry.py` for MLflow. `formats.py` is the table of them.
"""

__all__ = ["encoding", "formats", "loading", "pruning", "registry"]  # the modules that others import
