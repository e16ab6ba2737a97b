"""Make accounts and catalogue entries through Keystone's API, and tell their ids.

Reads one JSON object from standard input, makes it true, prints the ids as JSON. Running it again
changes nothing. It runs in the workload container beside the API and needs Python only.

Input: `url`, and `address`, where to find it; `ca_file`; `admin` (`name`, `password`, `domain`,
`project`); `domain` and `project` of the accounts; `accounts`, name → `password`, `fingerprint`,
`roles`; `disabled`, names; `catalogue`, a list of `name`, `type`, `description`, `region` and
`urls` by interface.
Output: ids of `domain`, `project`, `admin_user`, `admin_project`, and `users`, name → `id` and
`fingerprint`.
"""

import functools
import http.client
import json
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PATIENCE = 60  # seconds that the API may take to come back, from a restarting database say


class Connection(http.client.HTTPSConnection):
    """A connection to an address, whose server proves the name in the URL.

    Any unit of Keystone would do, but only this one is sure to be there. Its own address is no
    name to verify: a new pod has another one, and a certificate for it comes only later.
    """

    def __init__(self, address, context, host, **arguments):
        super().__init__(host, context=context, **arguments)
        self._address = address
        self._tls = context

    def connect(self):
        """Connect and shake hands."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


class Handler(urllib.request.HTTPSHandler):
    """Opens URLs by such connections."""

    def __init__(self, address, ca_file):
        super().__init__()
        context = ssl.create_default_context(cafile=ca_file)
        self._connect = functools.partial(Connection, address, context)

    def https_open(self, request):
        """Open a URL."""
        return self.do_open(self._connect, request)


class Api:
    """Keystone's API, as the administrator."""

    def __init__(self, url, address, ca_file):
        self._url = url
        direct = urllib.request.ProxyHandler({})
        self._opener = urllib.request.build_opener(direct, Handler(address, ca_file))
        self._token = None
        self._admin = None
        self._lists = {}

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
        self._token = self._admin = None  # a login is asked without a token, and refused for good
        answer, headers = self._request("POST", "/auth/tokens", body)
        self._admin = admin
        self._token = headers["X-Subject-Token"]
        return answer["token"]["user"]["id"], answer["token"]["project"]["id"]

    def list(self, kind, **filters):
        """Give the items of a collection (`users`); asked for once."""
        path = f"/{kind}?{urllib.parse.urlencode(filters)}"
        if path not in self._lists:
            self._lists[path] = self._request("GET", path)[0][kind]
        return self._lists[path]

    def create(self, kind, values):
        """Make an item and give it."""
        one = kind.removesuffix("s")
        return self._request("POST", f"/{kind}", {one: values})[0][one]

    def change(self, kind, id_, values):
        """Change some values of an item."""
        self._request("PATCH", f"/{kind}/{id_}", {kind.removesuffix("s"): values})

    def assign(self, project, user, role):
        """Give a user a role on a project."""
        self._request("PUT", f"/projects/{project}/users/{user}/roles/{role}")

    def _may_pass(self, code, request):
        """Tell whether a refusal may pass; get a new token where ours is the cause.

        A new password ends all tokens of the second in which it was set, ours as well if we
        logged in at once.
        """
        if code == 401 and request.has_header("X-auth-token") and self._admin:
            time.sleep(1)
            self.log_in(self._admin)
            request.add_header("X-Auth-Token", self._token)
            return True
        return code >= 500

    def _request(self, method, path, body=None):
        request = urllib.request.Request(  # noqa: S310 - the URL is the charm's, not a user's
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
                with self._opener.open(request, timeout=60) as answer:
                    text = answer.read()
                return (json.loads(text) if text else {}), answer.headers
            except urllib.error.HTTPError as error:
                if time.monotonic() > end or not self._may_pass(error.code, request):
                    raise
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > end:
                    raise
            time.sleep(1)


def ensure(api, kind, names, values=None, **filters):
    """Make an item with these names, or change its values to these; give its id.

    A big cloud has many users and projects, so `filters` narrow what is listed.
    """
    items = api.list(kind, **filters)
    found = next((each for each in items if names.items() <= each.items()), None)
    values = values or {}
    if found is None:
        found = api.create(kind, {**names, **values})
        items.append(found)
    changed = {key: value for key, value in values.items() if found.get(key) != value}
    if changed:
        api.change(kind, found["id"], changed)
    return found["id"]


def make_accounts(api, accounts, domain, project):
    """Make accounts with their roles; give name → `id` and `fingerprint`."""
    needed = sorted({role for account in accounts.values() for role in account["roles"]})
    roles = {name: ensure(api, "roles", {"name": name}) for name in needed}
    present = {each["name"]: each for each in api.list("users", domain_id=domain)}
    made = {}
    for name, account in accounts.items():
        values = {"enabled": True, "helio_fingerprint": account["fingerprint"]}
        known = present.get(name, {}).get("helio_fingerprint")
        if known is None:
            user = {"name": name, "domain_id": domain, "password": account["password"], **values}
            present[name] = api.create("users", user)
        elif known != account["fingerprint"] or not present[name]["enabled"]:
            # A password that is set again, even to the same, ends every token of the account.
            if known != account["fingerprint"]:
                values["password"] = account["password"]
            api.change("users", present[name]["id"], values)
        made[name] = {"id": present[name]["id"], "fingerprint": account["fingerprint"]}
    assigned = {
        (each["user"]["id"], each["role"]["id"])
        for each in api.list("role_assignments", **{"scope.project.id": project})
        if "user" in each
    }
    for name, account in accounts.items():
        for role in account["roles"]:
            if (made[name]["id"], roles[role]) not in assigned:
                api.assign(project, made[name]["id"], roles[role])
    return made


def disable(api, names, domain):
    """Disable accounts that no client has any more; give name → `id` and no fingerprint.

    They are kept, because what they own shall be their own again when the client comes back.
    """
    found = {}
    for user in api.list("users", domain_id=domain):
        if user["name"] in names:
            if user["enabled"]:
                api.change("users", user["id"], {"enabled": False})
            found[user["name"]] = {"id": user["id"], "fingerprint": ""}
    return found


def make_entry(api, entry):
    """Make a service and its endpoints; an endpoint whose URL differs is changed."""
    ensure(api, "regions", {"id": entry["region"]})
    names = {"type": entry["type"], "name": entry["name"]}
    service = ensure(api, "services", names, {"description": entry["description"]})
    for interface, url in entry["urls"].items():
        place = {"service_id": service, "interface": interface, "region_id": entry["region"]}
        ensure(api, "endpoints", place, {"url": url, "enabled": True})


def make(api, wish):
    """Make everything; return the ids."""
    admin_user, admin_project = api.log_in(wish["admin"])
    domain = ensure(api, "domains", {"name": wish["domain"]}, name=wish["domain"])
    names = {"name": wish["project"], "domain_id": domain}
    project = ensure(api, "projects", names, **names)
    users = make_accounts(api, wish["accounts"], domain, project)
    users |= disable(api, wish["disabled"], domain)
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
        made = make(Api(wish["url"], wish["address"], wish["ca_file"]), wish)
    except urllib.error.HTTPError as error:
        # The body says what Keystone objects to; it never quotes a password.
        raise SystemExit(f"{error.url}: {error} {error.read().decode()}") from error
    except urllib.error.URLError as error:
        raise SystemExit(f"{wish['url']}: {error}") from error
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main()
