"""The module linked into nginx: the same gate, over a reload too."""

import pytest

import harness
from linkgate import CLEAN, LISTED, LinkGate

STATIC = harness.PLAIN / "nginx-static"


@pytest.mark.skipif(not STATIC.exists(), reason="no nginx-static: make static NGINX_SRC=...")
@pytest.mark.parametrize("reload", [False, True])
def test_linked_in(world, reload):
    g = LinkGate(world, binary=str(STATIC), module="")
    if reload:
        g.nginx.reload()
        g.ready()
    assert g.nginx.get("/tap", {"X-Card-No": LISTED}).status == 403
    assert g.nginx.get("/tap", {"X-Card-No": CLEAN}).status == 200
    assert g.status()["fault"] == "none"
