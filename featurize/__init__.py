"""The scripts of a clone, ``python -m featurize.image ...``. What they call is `skmmal.featurize`."""
