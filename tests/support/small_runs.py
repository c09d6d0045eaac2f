"""Small runs for tests: one of every method and mapping, on the digits that come with scikit-learn."""

from trainables.run import Run

METHODS = {
    "vae": {"name": "vae"},
    "vae of 5 samples": {"name": "vae", "gamma": 0.1, "importance_samples": 5},
    "beta_vae": {"name": "beta_vae", "beta": 0.3},
    "ard_vae": {"name": "ard_vae", "beta": 0.5, "dz_size": 101},
    "ard_vae student_t": {"name": "ard_vae", "beta": 0.5, "dz_size": 101, "prior_form": "student_t"},
    "ard_vae means": {"name": "ard_vae", "beta": 0.5, "dz_size": 101, "dz_codes": "means"},
    "intel_vae identity": {"name": "intel_vae", "mapping": {"name": "identity"}},
    "intel_vae sphere": {"name": "intel_vae", "mapping": {"name": "sphere"}},
    "intel_vae holes": {"name": "intel_vae", "mapping": {"name": "holes", "holes": 3}},
    "intel_vae sectors": {"name": "intel_vae", "mapping": {"name": "sectors", "clusters": 5}},
    "intel_vae learned sectors": {"name": "intel_vae", "mapping": {"name": "sectors", "clusters": 3, "learned": True}},
    "intel_vae sparse": {"name": "intel_vae", "mapping": {"name": "sparse", "gamma": 3.0}},
    "intel_vae sparse latents": {
        "name": "intel_vae",
        "mapping": {"name": "sparse", "gamma": 3.0, "floor": 0.2, "loss_on": "latents", "initial_bias": 0.0}
        | {"log_offset": 1e-5},
    },
    "intel_vae hierarchical": {"name": "intel_vae", "mapping": {"name": "hierarchical", "groups": [2, 4]}},
    "sparse_vae": {"name": "sparse_vae"},
    "tc_vae": {"name": "tc_vae", "beta": 3.0},
    "dip_vae I": {"name": "dip_vae", "lambda_od": 1.0},
    "dip_vae II": {"name": "dip_vae", "form": "II", "lambda_od": 2.0, "lambda_d": 3.0},
    "rae": {"name": "rae", "regulariser": {"name": "l2", "weight": 1e-4}},
    "rae gp": {"name": "rae", "regulariser": {"name": "gp", "weight": 1e-3}},
    "rae sn": {"name": "rae", "beta": 0.01, "regulariser": {"name": "sn"}},
    "dd_vae": {"name": "dd_vae", "alpha": 3.0},
    "wae_mmd": {"name": "wae_mmd"},
    "vimae": {"name": "vimae", "pretraining_steps": 5},
    "vimae logistic": {"name": "vimae", "prior_form": "logistic", "kernel": "rbf", "input_noise": "clipped"}
    | {"pretraining_steps": 2},
    "info_vae": {"name": "info_vae", "alpha": 0.5, "lam": 10.0},
    "rate_bound_vae": {"name": "rate_bound_vae", "rate": 5.0, "reconstruction_weight": 1.0},
    "gm_vae": {"name": "gm_vae", "components": 3, "context_dim": 2, "hidden": 8, "free_nats": 0.5},
    "mog_vae": {"name": "mog_vae", "components": 4},
    "mog_vae official": {"name": "mog_vae", "components": 4, "means": "axes", "variance": 2.718, "entropy_weight": 6.0},
    "vamp_vae": {"name": "vamp_vae", "components": 20, "beta": 0.5},
    "vamp_vae normal": {"name": "vamp_vae", "components": 20, "pseudo_inputs": "normal"},
    "geco_l0_arm_vae": {"name": "geco_l0_arm_vae", "tau": 20.0},
    "geco_l0_arm_vae, goal out of reach": {"name": "geco_l0_arm_vae", "tau": 0.1},
    "mask_aae": {"name": "mask_aae", "critic_width": 16, "critic_depth": 2},
    "mask_aae turns": {"name": "mask_aae", "critic_width": 8, "critic_depth": 2, "epoch_counts": "turns", "period": 3},
    "geco_l0_arm_vae steep": {"name": "geco_l0_arm_vae", "tau": 20.0, "k": 7.0},
    "sylvester_vae": {"name": "sylvester_vae", "steps": 2, "columns": 3},
}
CONVOLUTIONAL = ("ard_mnist", "ard_shapes", "dd_fashion", "geco_mnist", "intel_mnist", "locatello", "vsc_conv")
"""A network of each kind for images."""


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
