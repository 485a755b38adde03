"""Texts to a feature cache, from a clone: ``python -m featurize.text MANIFEST --out FOLDER``."""

import sys

from skmmal.featurize.text import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m featurize.text"))
