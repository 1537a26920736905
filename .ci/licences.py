"""Checks that every dependency may be shipped. Reads `cargo metadata` from standard input.

An SPDX expression is satisfied by the licences below: AND needs both sides, OR needs one. Only dependencies that end up
in the binary or build it count; what only tests use is listed as well, since it is downloaded by whoever builds.
"""

import json
import re
import sys

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "Unicode-3.0", "Unlicense", "Zlib",
}


def satisfied(expression):
    """Recursive descent over `A OR B AND (C OR D)`; a slash is the old spelling of OR."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def either():
        value = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            other = both()
            value = value or other
        return value

    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            other = one()
            value = value and other
        return value

    def one():
        name = tokens.pop(0)
        if name == "(":
            value = either()
            tokens.pop(0)
            return value
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            name = f"{name} WITH {tokens.pop(0)}"
        return name in ALLOWED

    return either() and not tokens


assert satisfied("MIT OR GPL-3.0") and satisfied("(MIT OR Apache-2.0) AND Unicode-3.0") and satisfied("MIT/Apache-2.0")
assert not satisfied("MIT AND GPL-3.0") and not satisfied("GPL-3.0")

packages = json.load(sys.stdin)["packages"]
wrong = [
    f"{package['name']} {package['version']}: {package['license']}"
    for package in packages
    if not package["license"] or not satisfied(package["license"])
]
foreign = [
    f"{package['name']} {package['version']}: {package['source']}"
    for package in packages
    if package["source"] and not package["source"].startswith("registry+https://github.com/rust-lang/crates.io-index")
]
for line in wrong:
    print("licence:", line)
for line in foreign:
    print("not from crates.io:", line)
if wrong or foreign:
    sys.exit(1)
print(f"{len(packages)} packages, all under licences that may be shipped, all from crates.io")
