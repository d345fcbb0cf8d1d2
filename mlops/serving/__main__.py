"""`python -m mlops.serving`: the replica program that a supervisor or an image starts."""

import os
import sys

from mlops.serving.main import main

code = main()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # taking scikit-learn and the server apart would take most of a second, while somebody waits for the end
