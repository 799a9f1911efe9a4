"""`python -m avatar_platform.local`: the demo."""

import sys

from avatar_platform.local.demo import main

sys.exit(main())
