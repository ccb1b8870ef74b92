#!/usr/bin/env python3
"""Writes a header with a name for the text of other headers: contract.py OUTPUT INPUT..."""

import hashlib
import sys

text = b"".join(open(name, "rb").read() for name in sys.argv[2:])
with open(sys.argv[1], "w") as out:
    out.write(f'#define FPM_HANDLER_CONTRACT "{hashlib.sha256(text).hexdigest()[:32]}"\n')
