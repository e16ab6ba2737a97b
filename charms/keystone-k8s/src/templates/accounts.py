"""Make accounts and catalogue entries through Keystone's API, and tell their ids.

Reads one JSON object from standard input, makes it true, prints the ids as JSON. Running it again
changes nothing. It runs in the workload container beside the API and needs Python only.

Input: `url`, and `address`, where to find it; `ca_file`; `admin` (`name`, `password`, `domain`,
`project`); `domain` and `project` of the accounts; `accounts`, name → `password`, `fingerprint`,
`roles`; `disabled`, names; `catalogue`, a list of `name`, `type`, `description`, `region` and
`urls` by interface; `resources`, a list of clients' requests: `app`, `is_admin`, whether it may
have administrators of the cloud, `relation`, `id` and `operations`, each `name` and `params`;
`idle`, applications whose requests are gone.
Output: ids of `domain`, `project`, `admin_user`, `admin_project`; `users`, name → `id` and
`fingerprint`; `resources`, relation of a request → its `id`, and `ops`, a list of `name`,
`return-code` and `value`; `owners`, the applications that own domains.
"""

import functools
import http.client
import json
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

OWNER = "helio_owner"  # property of a domain: the application that asked for it
DONE, REFUSED, NOT_YET = 0, 1, 2  # what operations return; what is not yet is tried again
PRIVILEGED = ("admin", "service")  # roles that count in the whole cloud, wherever they are given
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
        """Give the items of a collection (`users`); asked for once while nothing is made in it."""
        path = f"/{kind}?{urllib.parse.urlencode(filters)}"
        if path not in self._lists:
            self._lists[path] = self._request("GET", path)[0][kind]
        return self._lists[path]

    def create(self, kind, values):
        """Make an item and give it; what was listed before lacks it."""
        one = kind.removesuffix("s")
        self._lists = {
            path: items for path, items in self._lists.items() if not path.startswith(f"/{kind}?")
        }
        return self._request("POST", f"/{kind}", {one: values})[0][one]

    def change(self, kind, id_, values):
        """Change some values of an item."""
        self._request("PATCH", f"/{kind}/{id_}", {kind.removesuffix("s"): values})

    def assign(self, target, user, role, kind="projects"):
        """Give a user a role on a project or domain."""
        self._request("PUT", f"/{kind}/{target}/users/{user}/roles/{role}")

    def withdraw(self, target, user, role, kind="projects"):
        """Take a role on a project or domain from a user; one that it has no more is no error."""
        try:
            self._request("DELETE", f"/{kind}/{target}/users/{user}/roles/{role}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

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
    changed = {key: value for key, value in values.items() if found.get(key) != value}
    if changed:
        api.change(kind, found["id"], changed)
    return found["id"]


def make_users(api, accounts, domain):
    """Make users with their passwords; give name → `id` and `fingerprint`."""
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
    return made


def make_accounts(api, accounts, domain, project):
    """Make accounts with their roles; give name → `id` and `fingerprint`."""
    needed = sorted({role for account in accounts.values() for role in account["roles"]})
    roles = {name: ensure(api, "roles", {"name": name}) for name in needed}
    made = make_users(api, accounts, domain)
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


class RefusedError(Exception):
    """An operation that a client may not ask for, or that refers to nothing."""

    code = REFUSED


class NotYetError(RefusedError):
    """An operation that cannot be done as things are now: they may change without the client."""

    code = NOT_YET


# What Keystone objects to in an operation. Anything else is no fault of the client's: a database
# that does not answer, an account of ours that is refused. Then all is tried again.
OBJECTIONS = {400: RefusedError, 403: NotYetError, 404: NotYetError, 409: NotYetError}


def privileged(api):
    """Give the ids of the roles that are privileged, or imply one that is."""
    # Policies compare names of roles without their case.
    found = {each["id"] for each in api.list("roles") if each["name"].casefold() in PRIVILEGED}
    rules = api.list("role_inferences")
    while True:
        more = {
            rule["prior_role"]["id"]
            for rule in rules
            if found & {each["id"] for each in rule["implies"]}
        }
        if more <= found:
            return found
        found |= more


class Resources:
    """Carries out the operations of one client, who may only touch domains of its own.

    The domain bears its owner's name, so that no client takes over a domain, and with it the
    users, that somebody else made. A privileged role is no matter of one domain: an administrator
    of any is one of the cloud. So it is for those alone who are named.
    """

    def __init__(self, api, app, is_admin):
        self._api = api
        self._app = app
        self._is_admin = is_admin
        self._made = {}

    def run(self, operations):
        """Carry out operations up to the first that fails; give what came of each."""
        if not self._is_admin:
            self._withdraw_privileges()
        results = []
        for each in operations:
            try:
                value = self._run(each["name"], each["params"])
            except RefusedError as error:
                answer = {"return-code": error.code, "value": {"error": str(error)}}
            else:
                self._made.setdefault(each["name"], []).append(value)
                answer = {"return-code": DONE, "value": value}
            results.append({"name": each["name"], **answer})
            if answer["return-code"]:
                break
        return results

    def _run(self, name, params):
        action = getattr(self, f"_{name}", None)
        if action is None or not re.fullmatch("(create|show|list|grant)_[a-z]+", name):
            raise RefusedError(f"unknown operation: {name}")
        known = {key: self._resolve(value) for key, value in params.items()}
        try:
            return action(known)
        except KeyError as error:
            raise RefusedError(f"{name}: missing parameter {error}") from error
        except urllib.error.HTTPError as error:
            if error.code not in OBJECTIONS:
                raise
            error.close()  # unread: clients see the reason, and the body may quote a parameter
            raise OBJECTIONS[error.code](f"{name}: Keystone answers {error}") from error

    def _resolve(self, value):
        """Give what `{{ create_domain[0].id }}` refers to; other values as they are."""
        found = re.fullmatch(r"{{ *(\w+)\[(\d+)\]\.(\w+) *}}", str(value))
        if not found:
            return value
        name, index, key = found.groups()
        try:
            return self._made[name][int(index)][key]
        except (IndexError, KeyError, TypeError):
            raise RefusedError(f"cannot resolve {value}: no such result") from None

    def _domain(self, wanted):
        """Give the client's own domain with this id or name."""
        for each in self._api.list("domains"):
            if wanted in (each["id"], each["name"]) and each.get(OWNER) == self._app:
                return each
        raise NotYetError(f"domain {wanted} is not one that {self._app} made")

    def _one(self, kind, wanted, domain):
        """Give the user or project with this id or name in a domain."""
        items = self._api.list(kind, domain_id=domain["id"])
        found = next((each for each in items if wanted in (each["id"], each["name"])), None)
        if found is None:
            raise NotYetError(f"no such item in {kind} of domain {domain['name']}: {wanted}")
        return found

    def _withdraw_privileges(self):
        """Take away what was given while the client might still have it."""
        own = {each["id"] for each in self._api.list("domains") if each.get(OWNER) == self._app}
        if not own:
            return
        for role in sorted(privileged(self._api)):
            given = {"role.id": role, "include_names": "true"}
            for each in self._api.list("role_assignments", **given):
                scope = each["scope"]
                # Only what `_grant_role` gives: to a user, on a project or domain alone.
                if "user" not in each or "OS-INHERIT:inherited_to" in scope:
                    continue
                if scope.get("domain", {}).get("id") in own:
                    place, kind = scope["domain"]["id"], "domains"
                elif scope.get("project", {}).get("domain", {}).get("id") in own:
                    place, kind = scope["project"]["id"], "projects"
                else:
                    continue
                self._api.withdraw(place, each["user"]["id"], role, kind)

    def _refuse_privileged(self, name):
        raise RefusedError(
            f"role {name} is for applications that keystone's option admin-applications names,"
            f" and {self._app} is not one"
        )

    def _create_role(self, params):
        name = str(params["name"])
        if not self._is_admin and name.casefold() in PRIVILEGED:
            self._refuse_privileged(name)
        return {"id": ensure(self._api, "roles", {"name": name}), "name": name}

    def _create_domain(self, params):
        name = params["name"]
        domains = self._api.list("domains")
        if any(each["name"] == name and each.get(OWNER) != self._app for each in domains):
            raise NotYetError(f"domain {name} is not one that {self._app} made")
        id_ = ensure(self._api, "domains", {"name": name}, {OWNER: self._app, "enabled": True})
        return {"id": id_, "name": name}

    def _create_project(self, params):
        domain = self._domain(params["domain"])
        names = {"name": params["name"], "domain_id": domain["id"]}
        id_ = ensure(self._api, "projects", names, domain_id=domain["id"])
        return {"id": id_, **names}

    def _create_user(self, params):
        domain = self._domain(params["domain"])
        account = {
            "password": params["password"],
            "fingerprint": params["fingerprint"],
            "roles": (),
        }
        made = make_users(self._api, {params["name"]: account}, domain["id"])
        return {"id": made[params["name"]]["id"], "name": params["name"]}

    def _list_endpoint(self, params):
        """List a service's endpoints of one interface."""
        services = {each["name"]: each["id"] for each in self._api.list("services")}
        return [
            {key: each[key] for key in ("id", "interface", "region_id", "url")}
            for each in self._api.list("endpoints")
            if each["service_id"] == services.get(params["name"])
            and each["interface"] == params["interface"]
        ]

    def _show_domain(self, params):
        found = self._domain(params["name"])
        return {"id": found["id"], "name": found["name"]}

    def _show_project(self, params):
        found = self._one("projects", params["name"], self._domain(params["domain"]))
        return {"id": found["id"], "name": found["name"], "domain_id": found["domain_id"]}

    def _grant_role(self, params):
        user = self._one("users", params["user"], self._domain(params["user_domain"]))
        roles = self._api.list("roles")
        found = [each["id"] for each in roles if params["role"] in (each["id"], each["name"])]
        if not found:
            raise NotYetError(f"no such role: {params['role']}")
        if not self._is_admin and found[0] in privileged(self._api):
            self._refuse_privileged(params["role"])
        if "project" in params:
            domain = self._domain(params["project_domain"])
            target = self._one("projects", params["project"], domain)
            self._api.assign(target["id"], user["id"], found[0])
        else:
            self._api.assign(self._domain(params["domain"])["id"], user["id"], found[0], "domains")
        return {}


def disable_domains(api, apps):
    """Disable the domains of applications that have left; what is in them is kept."""
    for each in api.list("domains"):
        if each.get(OWNER) in apps and each["enabled"]:
            api.change("domains", each["id"], {"enabled": False})


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
    resources = {
        each["relation"]: {
            "id": each["id"],
            "ops": Resources(api, each["app"], each["is_admin"]).run(each["operations"]),
        }
        for each in wish["resources"]
    }
    disable_domains(api, wish["idle"])
    return {
        "domain": domain,
        "project": project,
        "admin_user": admin_user,
        "admin_project": admin_project,
        "users": users,
        "resources": resources,
        "owners": sorted({each["app"] for each in wish["resources"]} | set(wish["idle"])),
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
