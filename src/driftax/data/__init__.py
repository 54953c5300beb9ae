"""Real data sets by name, found on this machine: never a download, and nothing is unpickled."""

from driftax.data._value import Dataset as Dataset
from driftax.data.catalogue import SETS as SETS
from driftax.data.load import load_data as load_data
