"""`python -m mlops.serving`: the replica program that a supervisor or an image starts."""

import sys

from mlops.serving.main import main

sys.exit(main())
