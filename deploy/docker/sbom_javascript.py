"""What the compiled frontend is made of, as CycloneDX 1.6: `sbom_javascript.py package-lock.json > sbom.json`.

`npm sbom` refuses the lock, because some of Reflex's packages name an older React than they run with. Standard library
only.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote


def component(path: str, locked: dict[str, Any]) -> dict[str, Any]:
    """One package of the lock; `path` is where npm puts it, `node_modules/...`."""
    name = path.rpartition("node_modules/")[2]
    version = locked["version"]
    purl = f"pkg:npm/{quote(name, safe='/')}@{quote(version, safe='')}"
    found: dict[str, Any] = {"type": "library", "bom-ref": f"{purl}#{path}", "name": name, "version": version}
    found["purl"] = purl
    algorithm, _, digest = locked.get("integrity", "").partition("-")
    if algorithm == "sha512":
        found["hashes"] = [{"alg": "SHA-512", "content": base64.b64decode(digest).hex()}]
    if isinstance(locked.get("license"), str):
        found["licenses"] = [{"expression": locked["license"]}]
    return found


def bill(lock: dict[str, Any]) -> dict[str, Any]:
    """All packages of a `package-lock.json` of version 2 or 3."""
    packages: dict[str, dict[str, Any]] = lock["packages"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "novapulse-frontend", "name": "novapulse-frontend"}
        },
        "components": [
            component(path, locked) for path, locked in sorted(packages.items()) if "version" in locked and path
        ],
    }


if __name__ == "__main__":
    json.dump(bill(json.loads(Path(sys.argv[1]).read_text())), sys.stdout, indent=1)
