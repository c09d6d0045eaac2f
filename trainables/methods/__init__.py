"""The methods, listed in METHODS. To add one, write a file and add a line here.

`base.py` defines a method: it provides the parts of a model, from which `learner.assemble` builds it, and the terms of
the objective. The files here have the records that users write; `modules/` has parts that need torch.
"""

from trainables.methods.ard_vae import ARDVAE
from trainables.methods.base import HeldOut, Method, Phase, Sampler, Setting
from trainables.methods.dd_vae import DDVAE
from trainables.methods.dip_vae import DIPVAE
from trainables.methods.geco_l0_arm_vae import GecoL0ArmVAE
from trainables.methods.gm_vae import GMVAE
from trainables.methods.info_vae import InfoVAE
from trainables.methods.intel_vae import IntelVAE
from trainables.methods.mask_aae import MaskAAE
from trainables.methods.mog_vae import MoGVAE
from trainables.methods.rae import RAE
from trainables.methods.rate_bound_vae import RateBoundVAE
from trainables.methods.sparse_vae import SparseVAE
from trainables.methods.sylvester_vae import SylvesterVAE
from trainables.methods.tc_vae import TCVAE
from trainables.methods.vae import VAE, BetaVAE
from trainables.methods.vamp_vae import VampVAE
from trainables.methods.vimae import VIMAE
from trainables.methods.wae_mmd import WAEMMD

METHODS: tuple[type[Method], ...] = (
    VAE,
    BetaVAE,
    IntelVAE,
    ARDVAE,
    SparseVAE,
    TCVAE,
    DIPVAE,
    RAE,
    DDVAE,
    WAEMMD,
    VIMAE,
    InfoVAE,
    RateBoundVAE,
    GMVAE,
    MoGVAE,
    VampVAE,
    SylvesterVAE,
    GecoL0ArmVAE,
    MaskAAE,
)

__all__ = ["METHODS", "HeldOut", "Method", "Phase", "Sampler", "Setting"]
