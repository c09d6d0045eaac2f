"""Small runs for tests: one of every method and mapping, on the digits that come with scikit-learn."""

from trainables.run import Run

METHODS = {
    "vae": {"name": "vae"},
    "beta_vae": {"name": "beta_vae", "beta": 0.3},
    "ard_vae": {"name": "ard_vae", "beta": 0.5, "dz_size": 101},
    "ard_vae student_t": {"name": "ard_vae", "beta": 0.5, "dz_size": 101, "prior_form": "student_t"},
    "intel_vae identity": {"name": "intel_vae", "mapping": {"name": "identity"}},
    "intel_vae sphere": {"name": "intel_vae", "mapping": {"name": "sphere"}},
    "intel_vae holes": {"name": "intel_vae", "mapping": {"name": "holes", "holes": 3}},
    "intel_vae sectors": {"name": "intel_vae", "mapping": {"name": "sectors", "clusters": 5}},
    "intel_vae learned sectors": {"name": "intel_vae", "mapping": {"name": "sectors", "clusters": 3, "learned": True}},
    "intel_vae sparse": {"name": "intel_vae", "mapping": {"name": "sparse", "gamma": 3.0}},
    "intel_vae hierarchical": {"name": "intel_vae", "mapping": {"name": "hierarchical", "groups": [2, 4]}},
}


def a_run(named: str = "vae", **changes) -> Run:
    """A run of two epochs and 19 steps on 300 digits, latent size 6."""
    values = {
        "method": METHODS[named],
        "network": {"name": "mlp", "hidden": [16], "latent_dim": 6},
        "data": {"name": "digits", "train_rows": 300, "val_rows": 90},
        "batch_size": 32,
        "epochs": 2,
    }
    return Run.model_validate(values | changes)
