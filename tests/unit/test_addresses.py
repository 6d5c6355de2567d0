"""A compiled frontend finds its server from the page's address, wherever it is served."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from novapulse.launch.addresses import UnknownFrontendError, make_relocatable

_ENVIRONMENT = (
    "var e={PING:`http://localhost:8000/ping`,EVENT:`ws://localhost:8000/_event`,"
    "HEALTH:`http://localhost:8000/_health`,TRANSPORT:`websocket`,TEST_MODE:!1};export{e as t};"
)
_STATE = "var a=1,SAME=[`localhost`,`0.0.0.0`,`::`,`0:0:0:0:0:0:0:0`],b=2;export{SAME as s};"


@pytest.fixture
def client(tmp_path: Path) -> Path:
    assets = tmp_path / "assets"
    assets.mkdir()
    for name, text in {"reflex-env-Abc.js": _ENVIRONMENT, "state-Abc.js": _STATE, "other.js": "1"}.items():
        (assets / name).write_text(text)
        (assets / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    return tmp_path


def test_no_address_is_left(client: Path) -> None:
    make_relocatable(client)
    for script in (client / "assets").glob("*.js"):
        assert "localhost:8000" not in script.read_text()
        assert "0.0.0.0" not in script.read_text()


def test_compressed_copies_say_the_same(client: Path) -> None:
    make_relocatable(client)
    for script in (client / "assets").glob("*.js"):
        assert gzip.decompress(script.with_name(f"{script.name}.gz").read_bytes()).decode() == script.read_text()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node to run the script")
@pytest.mark.parametrize(
    ("origin", "event"),
    [
        ("http://127.0.0.1:8123", "ws://127.0.0.1:8123/_event"),
        ("https://hooks.example.com", "wss://hooks.example.com/_event"),
        ("https://localhost:8443", "wss://localhost:8443/_event"),
        ("http://[::1]:9000", "ws://[::1]:9000/_event"),
    ],
)
def test_the_script_computes_addresses_from_the_page(client: Path, origin: str, event: str) -> None:
    make_relocatable(client)
    script = (client / "assets" / "reflex-env-Abc.js").read_text().replace("export{e as t};", "")
    code = f"globalThis.location={{origin:{json.dumps(origin)}}};{script};console.log(JSON.stringify(e))"
    result = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    urls = json.loads(result.stdout)
    assert urls["EVENT"] == event
    assert urls["PING"] == f"{origin}/ping"
    assert urls["TRANSPORT"] == "websocket"


def test_an_unknown_frontend_is_refused(client: Path) -> None:
    (client / "assets" / "state-Abc.js").write_text("nothing to see")
    with pytest.raises(UnknownFrontendError, match="host names"):
        make_relocatable(client)
