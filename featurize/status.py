"""How far a featurization is, from a clone: ``python -m featurize.status FOLDER``."""

import sys

from skmmal.featurize.status import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m featurize.status"))
