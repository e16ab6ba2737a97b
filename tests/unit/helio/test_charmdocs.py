from helio.charmdocs import render

CHARM = {
    "name": "api-k8s",
    "summary": "An API.",
    "description": "Serves\nan API.",
    "assumes": ["k8s-api"],
    "containers": {"api": {}},
    "requires": {
        "database": {"interface": "mysql_client", "description": "Where | it keeps things."},
        "cache": {"interface": "memcache", "optional": True},
    },
    "provides": {"api": {"interface": "http", "optional": True}},
    "config": {
        "options": {
            "debug": {"type": "boolean", "default": False, "description": "As [<unit>: DEFAULT]."},
            "region": {"type": "string", "default": "RegionOne"},
            "name": {"type": "string", "default": ""},
        }
    },
    "actions": {"restore": {"params": {"from": {}, "dry": {}}, "required": ["from"]}},
    "resources": {"api-image": {"type": "oci-image", "description": "The API."}},
}


def test_a_charm_is_described_by_its_metadata():
    page = render({"api-k8s": CHARM})
    for line in (
        "- [api-k8s](#api-k8s): An API.",
        "Serves an API.",
        "Runs in pods. More in its [README](../../charms/api-k8s/README.md).",
        "| `database` | requires, needed | `mysql_client` | Where \\| it keeps things. |",
        "| `cache` | requires | `memcache` |  |",
        "| `api` | provides | `http` |  |",
        "| `debug` | boolean | `false` | As [&lt;unit>: DEFAULT]. |",
        "| `region` | string | `RegionOne` |  |",
        "| `name` | string |  |  |",
        "| `restore` | `dry` (optional), `from` |  |",
        "| `api-image` | oci-image | The API. |",
    ):
        assert f"\n{line}\n" in page, line


def test_what_a_charm_has_not_is_not_mentioned():
    page = render({"host": {"name": "host", "summary": "A host.", "resources": {}}})
    assert "| option |" not in page
    assert "| action |" not in page
    assert page.endswith("\n") and not page.endswith("\n\n")
