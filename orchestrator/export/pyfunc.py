"""The model of an MLflow model, which MLflow reads from this file: encode, decode, reconstruct or sample, by `op`."""

import mlflow
import numpy as np
from mlflow.pyfunc import PythonModel


class VAE(PythonModel):
    """`predict(x, params={"op": ...})`: rows in, codes, latents or rows out.

    encode        rows (B, *X) -> means and variances of q(y|x), (B, 2, D); a flow has no variances: (B, 1, D)
    represent     rows (B, *X) -> latents (B, L)
    decode        latents (B, L) -> rows (B, *X)
    reconstruct   rows (B, *X) -> rows (B, *X)
    sample        anything -> `n` generated rows (n, *X), by `seed`
    """

    def load_context(self, context):  # MLflow asks for this name of the parameter
        import vaeorch

        self.model = vaeorch.load(context.artifacts["model"])

    def predict(self, context, model_input, params=None):
        asked = {"op": "encode", "n": 1, "seed": 0} | (params or {})
        if asked["op"] == "sample":
            return self.model.sample(int(asked["n"]), int(asked["seed"]))
        value = np.asarray(model_input)
        if asked["op"] == "encode":
            code = self.model.encode(value)
            return np.stack([part for part in code if part is not None], axis=1)
        if asked["op"] not in ("represent", "decode", "reconstruct"):
            raise ValueError(f"op: {asked['op']!r} is unknown: encode, represent, decode, reconstruct or sample.")
        return getattr(self.model, asked["op"])(value)


mlflow.models.set_model(VAE())
