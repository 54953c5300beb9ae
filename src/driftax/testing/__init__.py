"""What a rule of one's own must satisfy, tried on the rule itself: `check_optimizer`."""

from driftax.testing.battery import check_optimizer as check_optimizer
from driftax.testing.report import Report as Report
from driftax.testing.report import Row as Row
