"""Real data: what there is, where it is looked up, and how it is read. Nothing is ever downloaded."""

from driftax.data.catalogue import CATALOGUE as CATALOGUE
from driftax.data.find import find as find
from driftax.data.find import keep as keep
from driftax.data.load import Dataset as Dataset
from driftax.data.load import load_data as load_data
