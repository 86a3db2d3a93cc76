#!/usr/bin/env python3
"""Prints a token of the development issuer, alone on a line, for shells: `make -s token TENANT=acme`.

    token.py HOST:PORT TENANT

The issuer is the one that `make demo` or the compose file runs.
"""

import sys
import urllib.error
import urllib.parse
import urllib.request


def main(issuer, tenant):
    url = f"http://{issuer}/token?" + urllib.parse.urlencode({"tenant": tenant})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy
    try:
        with direct.open(url, timeout=5) as answer:
            sys.stdout.write(answer.read().decode())
    except (urllib.error.URLError, TimeoutError) as problem:
        sys.exit(f"token: no issuer at {issuer} ({problem}); start one with `make demo` or the compose file")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
