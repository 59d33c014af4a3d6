"""``python -m smallnet_core.cli``."""

import sys

from smallnet_core.cli import main

sys.exit(main())
