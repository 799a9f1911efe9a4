"""`python -m avatar_worker.render.kernels`: compiles the head kernel; see `build`."""

import logging
import sys

from avatar_worker.render.kernels.build import main

logging.basicConfig(level=logging.INFO, format="%(message)s")
sys.exit(main())
