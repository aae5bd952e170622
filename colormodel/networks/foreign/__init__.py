"""Networks that were made elsewhere, in ONNX, by profiles that are data."""

from colormodel.networks.foreign.errors import ForeignError, MissingRuntime
from colormodel.networks.foreign.graph import check_onnx, read_onnx
from colormodel.networks.foreign.network import (
    MODEL_TENSOR,
    REFERENCE_PREFIX,
    ForeignConfig,
    ForeignNetwork,
    graph_sides,
    load_foreign,
)
from colormodel.networks.foreign.profile import (
    ConfidenceProfile,
    InputProfile,
    OutputProfile,
    Profile,
    ProfileError,
    known_profiles,
    load_profile,
    profile_of,
    to_toml,
)
from colormodel.networks.foreign.session import Session
