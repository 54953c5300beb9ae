"""Neural networks as objectives: their mean loss over a data set, as a function of a flat vector of params."""

from driftax.networks._objective import Network as Network
from driftax.networks._objective import network as network
from driftax.networks.losses import cross_entropy as cross_entropy
from driftax.networks.losses import half_squared_error as half_squared_error
from driftax.networks.named import NETWORKS as NETWORKS
from driftax.networks.named import named_network as named_network
