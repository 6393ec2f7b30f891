"""What runs inside training pods: standard library only, Python 3.8 or newer; `bundle.py` makes one file of it."""
