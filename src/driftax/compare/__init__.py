"""How well an equation agrees with its optimizer, and how sure we are."""

from driftax.compare.order_test import OrderTest as OrderTest
from driftax.compare.order_test import RungError as RungError
from driftax.compare.order_test import Verdict as Verdict
from driftax.compare.weak_error import RungStudy as RungStudy
