"""The methods, one line each. A new method is a file of its own and a line here."""

from trainables.methods.ard_vae import ARDVAE
from trainables.methods.base import HeldOut, Method
from trainables.methods.intel_vae import IntelVAE
from trainables.methods.vae import VAE, BetaVAE

METHODS: tuple[type[Method], ...] = (
    VAE,
    BetaVAE,
    IntelVAE,
    ARDVAE,
)

__all__ = ["METHODS", "HeldOut", "Method"]
