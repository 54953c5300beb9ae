"""Neural networks on real data, as objectives of their flat vector of parameters."""

from driftax.networks.by_name import NETWORKS as NETWORKS
from driftax.networks.by_name import network_by_name as network_by_name
from driftax.networks.objective import Network as Network
from driftax.networks.objective import network as network
