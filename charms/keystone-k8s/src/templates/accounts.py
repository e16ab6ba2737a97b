"""Make accounts and catalogue entries through Keystone's API, and tell their ids.

Reads one JSON object from standard input, makes it true, prints the ids as JSON. Running it again
changes nothing. It runs in the workload container beside the API and needs Python only.

Input: `url`, `ca_file`; `admin` (`name`, `password`, `domain`, `project`); `domain` and `project`
of the accounts; `accounts`, name → `password`, `fingerprint`, `roles`; `disabled`, names;
`catalogue`, a list of `name`, `type`, `description`, `region` and `urls` by interface.
Output: ids of `domain`, `project`, `admin_user`, `admin_project`, and `users`, name → `id` and
`fingerprint`.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PATIENCE = 60  # seconds that the API may take to come back, from a restarting database say


class Api:
    """Keystone's API, as the administrator."""

    def __init__(self, url, ca_file):
        self._url = url
        self._context = ssl.create_default_context(cafile=ca_file)
        self._token = None

    def log_in(self, admin):
        """Get a token; return the ids of the administrator and its project."""
        user = {
            "name": admin["name"],
            "password": admin["password"],
            "domain": {"name": admin["domain"]},
        }
        project = {"name": admin["project"], "domain": {"name": admin["domain"]}}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": project},
            }
        }
        answer, headers = self._request("POST", "/auth/tokens", body)
        self._token = headers["X-Subject-Token"]
        return answer["token"]["user"]["id"], answer["token"]["project"]["id"]

    def find(self, kind, **filters):
        """Give the first item of a collection (`users`) that has these values, or None."""
        query = urllib.parse.urlencode(filters)
        items = self._request("GET", f"/{kind}?{query}")[0][kind]
        # Keystone ignores a filter that it does not know, so look again.
        matching = [each for each in items if filters.items() <= each.items()]
        return matching[0] if matching else None

    def ensure(self, kind, filters, values=None):
        """Give the item with these filters and values, made or changed as needed."""
        values, one = values or {}, "policy" if kind == "policies" else kind.removesuffix("s")
        found = self.find(kind, **filters)
        if found is None:
            return self._request("POST", f"/{kind}", {one: {**filters, **values}})[0][one]
        changed = {key: value for key, value in values.items() if found.get(key) != value}
        if not changed:
            return found
        return self._request("PATCH", f"/{kind}/{found['id']}", {one: changed})[0][one]

    def put(self, path):
        """Make an assignment; it is no error if it is there."""
        self._request("PUT", path)

    def ensure_region(self, name):
        """Make a region; its id is its name."""
        try:
            self._request("GET", f"/regions/{name}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            self._request("POST", "/regions", {"region": {"id": name}})

    def _request(self, method, path, body=None):
        # The URL is the charm's, not a user's.
        request = urllib.request.Request(  # noqa: S310
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        if self._token:
            request.add_header("X-Auth-Token", self._token)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = urllib.request.urlopen(request, context=self._context, timeout=60)  # noqa: S310
                with answer:
                    text = answer.read()
                return (json.loads(text) if text else {}), answer.headers
            except urllib.error.HTTPError as error:
                if error.code < 500 or time.monotonic() > end:
                    raise
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > end:
                    raise
            time.sleep(1)


def make_account(api, name, account, domain, project, roles):
    """Make an account with its roles; set its password only if it is another one."""
    # A password that is set again, even to the same, ends every token of the account.
    fingerprint = {"helio_fingerprint": account["fingerprint"]}
    found = api.find("users", name=name, domain_id=domain)
    if found is None or found.get("helio_fingerprint") != account["fingerprint"]:
        fingerprint["password"] = account["password"]
    filters = {"name": name, "domain_id": domain}
    user = api.ensure("users", filters, {"enabled": True, **fingerprint})
    for role in account["roles"]:
        api.put(f"/projects/{project}/users/{user['id']}/roles/{roles[role]}")
    return {"id": user["id"], "fingerprint": account["fingerprint"]}


def make_entry(api, entry):
    """Make a service and its endpoints; an endpoint whose URL differs is changed."""
    api.ensure_region(entry["region"])
    names = {"type": entry["type"], "name": entry["name"]}
    description = {"description": entry["description"], "enabled": True}
    service = api.ensure("services", names, description)
    for interface, url in entry["urls"].items():
        place = {
            "service_id": service["id"],
            "interface": interface,
            "region_id": entry["region"],
        }
        api.ensure("endpoints", place, {"url": url, "enabled": True})


def make(api, wish):
    """Make everything; return the ids."""
    admin_user, admin_project = api.log_in(wish["admin"])
    domain = api.ensure("domains", {"name": wish["domain"]}, {"enabled": True})["id"]
    project = api.ensure(
        "projects", {"name": wish["project"], "domain_id": domain}, {"enabled": True}
    )["id"]
    needed = sorted({role for account in wish["accounts"].values() for role in account["roles"]})
    roles = {name: api.ensure("roles", {"name": name})["id"] for name in needed}
    users = {
        name: make_account(api, name, account, domain, project, roles)
        for name, account in wish["accounts"].items()
    }
    for name in wish["disabled"]:
        # Kept, because what it owns shall be its own again when the client comes back.
        if api.find("users", name=name, domain_id=domain):
            filters = {"name": name, "domain_id": domain}
            user = api.ensure("users", filters, {"enabled": False})
            users[name] = {"id": user["id"], "fingerprint": ""}
    for entry in wish["catalogue"]:
        make_entry(api, entry)
    return {
        "domain": domain,
        "project": project,
        "admin_user": admin_user,
        "admin_project": admin_project,
        "users": users,
    }


def main():
    """Do what standard input says."""
    wish = json.load(sys.stdin)
    try:
        made = make(Api(wish["url"], wish["ca_file"]), wish)
    except urllib.error.HTTPError as error:
        # The body says what Keystone objects to; it never quotes a password.
        raise SystemExit(f"{error.url}: {error} {error.read().decode()}") from error
    except urllib.error.URLError as error:
        raise SystemExit(f"{wish['url']}: {error}") from error
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
