"""The script that makes accounts and catalogue entries: its steps, then its HTTP."""

import copy
import io
import itertools
import json
import pathlib
import urllib.error

import pytest

from charmkit.interfaces import keystone_resources

SCRIPT = pathlib.Path(__file__).parents[3] / "charms/keystone-k8s/src/templates/accounts.py"


@pytest.fixture
def accounts(load_script):
    return load_script(SCRIPT)


class Keystone:
    """Keystone's API in memory; `writes` are the requests that changed something.

    As the client of the script does, it asks for a collection once, and again when something was
    made in it.
    """

    def __init__(self):
        self.items = {}
        self.writes = []
        self._lists = {}
        self._ids = (f"id-{number}" for number in itertools.count())

    def log_in(self, admin):
        assert admin["password"] == "admin-password"
        self._lists = {}
        return "admin-user", "admin-project"

    def list(self, kind, **filters):
        question = kind, tuple(sorted(filters.items()))
        if question not in self._lists:
            items = self.items.setdefault(kind, [])
            found = [each for each in items if filters.items() <= each.items()]
            self._lists[question] = copy.deepcopy(found)
        return self._lists[question]

    def create(self, kind, values):
        self.writes.append(("create", kind))
        made = {"id": next(self._ids), "enabled": True, **values}
        self.items.setdefault(kind, []).append(made)
        self._lists = {asked: found for asked, found in self._lists.items() if asked[0] != kind}
        return copy.deepcopy(made)

    def change(self, kind, id_, values):
        self.writes.append(("change", kind, id_, tuple(sorted(values))))
        (found,) = [each for each in self.items[kind] if each["id"] == id_]
        found.update(values)

    def assign(self, target, user, role, kind="projects"):
        self.writes.append(("assign", target, user, role))
        one = kind.removesuffix("s")
        where = {"id": target}
        if kind == "projects":
            (project,) = [each for each in self.items[kind] if each["id"] == target]
            where["domain"] = {"id": project["domain_id"]}
        assignment = {"user": {"id": user}, "role": {"id": role}, "scope": {one: where}}
        # What it is found by.
        asked = {f"scope.{one}.id": target, "role.id": role, "include_names": "true"}
        if assignment | asked not in self.items.setdefault("role_assignments", []):
            self.items["role_assignments"].append(assignment | asked)

    def withdraw(self, target, user, role, kind="projects"):
        self.writes.append(("withdraw", target, user, role))
        scope = f"scope.{kind.removesuffix('s')}.id"
        (found,) = [
            each
            for each in self.items["role_assignments"]
            if (each.get("user"), each["role.id"], each.get(scope)) == ({"id": user}, role, target)
        ]
        self.items["role_assignments"].remove(found)

    def roles(self, domain):
        """Give the names of the roles that are given in a domain and its projects."""
        names = {each["id"]: each["name"] for each in self.items["roles"]}
        return sorted(
            names[each["role.id"]]
            for each in self.items.get("role_assignments", ())
            if domain
            in (
                each.get("scope.domain.id"),
                each["scope"].get("project", {}).get("domain", {}).get("id"),
            )
        )

    def user(self, name):
        (found,) = [each for each in self.items["users"] if each["name"] == name]
        return found


ENTRY = {
    "name": "placement",
    "type": "placement",
    "description": "Placement",
    "region": "RegionOne",
    "urls": {
        "internal": "https://placement:8778",
        "public": "https://10.8.0.6:8778",
        "admin": "https://placement:8778",
    },
}


def account(word="p1"):
    return {"password": word, "fingerprint": f"print of {word}", "roles": ["service"]}


def wish(accounts=None, disabled=(), catalogue=(ENTRY,), resources=(), idle=()):
    return {
        "admin": {"name": "admin", "password": "admin-password"},
        "domain": "service_domain",
        "project": "services",
        "accounts": {"svc_placement": account()} if accounts is None else accounts,
        "disabled": list(disabled),
        "catalogue": list(catalogue),
        "resources": list(resources),
        "idle": list(idle),
    }


@pytest.fixture
def keystone(accounts):
    api = Keystone()
    accounts.make(api, wish())
    api.writes.clear()
    return api


def test_everything_is_made(accounts):
    api = Keystone()
    made = accounts.make(api, wish())
    user = api.user("svc_placement")
    assert user["domain_id"] == made["domain"]
    assert made["users"] == {"svc_placement": {"id": user["id"], "fingerprint": "print of p1"}}
    assert {each["interface"]: each["url"] for each in api.items["endpoints"]} == ENTRY["urls"]
    assert {each["region_id"] for each in api.items["endpoints"]} == {"RegionOne"}


def test_an_account_has_its_roles_and_no_other(accounts):
    api = Keystone()
    made = accounts.make(api, wish())
    (assignment,) = api.items["role_assignments"]
    (role,) = [each for each in api.items["roles"] if each["id"] == assignment["role"]["id"]]
    assert (role["name"], assignment["scope.project.id"]) == ("service", made["project"])


def test_the_same_wish_changes_nothing(accounts, keystone):
    accounts.make(keystone, wish())
    assert keystone.writes == []


def test_the_answer_is_the_same_each_time(accounts, keystone):
    assert accounts.make(keystone, wish()) == accounts.make(keystone, wish())


def test_what_was_told_holds_no_password(accounts, keystone):
    assert "p1" not in json.dumps(accounts.make(keystone, wish())).replace("print of p1", "")


def test_a_new_password_is_set_once(accounts, keystone):
    for _ in range(2):
        accounts.make(keystone, wish({"svc_placement": account("p2")}))
    assert keystone.user("svc_placement")["password"] == "p2"
    assert len(keystone.writes) == 1


def test_a_url_that_changes_changes_its_endpoint(accounts, keystone):
    moved = {**ENTRY, "urls": {**ENTRY["urls"], "public": "https://10.8.0.9:8778"}}
    accounts.make(keystone, wish(catalogue=[moved]))
    assert len(keystone.items["endpoints"]) == 3
    assert [write[:2] for write in keystone.writes] == [("change", "endpoints")]


def test_another_region_gets_endpoints_of_its_own(accounts, keystone):
    accounts.make(keystone, wish(catalogue=[ENTRY, {**ENTRY, "region": "Two"}]))
    assert len(keystone.items["services"]) == 1
    assert len(keystone.items["endpoints"]) == 6


def test_an_account_that_nobody_has_any_more_is_disabled_and_kept(accounts, keystone):
    made = accounts.make(keystone, wish({}, disabled=["svc_placement"]))
    user = keystone.user("svc_placement")
    assert user["enabled"] is False
    assert made["users"] == {"svc_placement": {"id": user["id"], "fingerprint": ""}}
    assert len(keystone.items["endpoints"]) == 3


def test_disabling_again_changes_nothing(accounts, keystone):
    accounts.make(keystone, wish({}, disabled=["svc_placement"]))
    keystone.writes.clear()
    accounts.make(keystone, wish({}, disabled=["svc_placement"]))
    assert keystone.writes == []


def test_an_account_that_comes_back_is_the_same_user(accounts, keystone):
    before = keystone.user("svc_placement")["id"]
    accounts.make(keystone, wish({}, disabled=["svc_placement"], catalogue=[]))
    accounts.make(keystone, wish({"svc_placement": account("p2")}))
    user = keystone.user("svc_placement")
    assert (user["id"], user["enabled"], user["password"]) == (before, True, "p2")


def test_an_account_to_disable_that_never_was_is_no_error(accounts, keystone):
    assert accounts.make(keystone, wish(disabled=["svc_other"]))["users"].keys() == {
        "svc_placement"
    }


# --- HTTP --------------------------------------------------------------------------------------

ADMIN = {"name": "admin", "password": "admin-password", "domain": "Default", "project": "admin"}
TOKEN = {"user": {"id": "u"}, "project": {"id": "p"}}
LOGGED_IN = (201, {"X-Subject-Token": "t0ken"}, {"token": TOKEN})


@pytest.fixture
def client(accounts, api, monkeypatch):
    monkeypatch.setattr(accounts.time, "sleep", lambda seconds: None)
    api.answers["POST", "/auth/tokens"] = LOGGED_IN
    return accounts.Api(api.url, "127.0.0.1", api.ca_file)


def test_the_token_is_used_after_the_login(api, client):
    api.answers["GET", "/users?domain_id=d"] = (200, {}, {"users": [{"id": "1"}]})
    assert client.log_in(ADMIN) == ("u", "p")
    assert client.list("users", domain_id="d") == [{"id": "1"}]
    assert api.requests[1][2]["X-Auth-Token"] == "t0ken"


def test_a_collection_is_asked_for_once(api, client):
    api.answers["GET", "/roles?"] = (200, {}, {"roles": []})
    client.list("roles")
    client.list("roles")
    assert len(api.requests) == 1


def test_a_collection_is_asked_for_again_when_something_was_made_in_it(api, client):
    here, there = [], [{"id": "7"}]
    answers = [(200, {}, {"users": each}) for each in (here, there)]
    api.answers["GET", "/users?domain_id=d"] = answers
    api.answers["POST", "/users"] = (201, {}, {"user": {"id": "7"}})
    assert client.list("users", domain_id="d") == here
    client.create("users", {"name": "n"})
    assert client.list("users", domain_id="d") == there


def test_writes_have_the_form_of_the_api(api, client):
    api.answers["POST", "/users"] = (201, {}, {"user": {"id": "7"}})
    api.answers["PATCH", "/users/7"] = (200, {}, {"user": {"id": "7"}})
    api.answers["PUT", "/projects/p/users/7/roles/r"] = (204, {}, None)
    assert client.create("users", {"name": "n"}) == {"id": "7"}
    client.change("users", "7", {"enabled": False})
    api.answers["DELETE", "/domains/d/users/7/roles/r"] = (204, {}, None)
    client.assign("p", "7", "r")
    client.withdraw("d", "7", "r", "domains")
    assert [json.loads(body or "null") for *_, body in api.requests] == [
        {"user": {"name": "n"}},
        {"user": {"enabled": False}},
        None,
        None,
    ]


def test_an_api_that_is_coming_back_is_asked_again(api, client):
    api.answers["GET", "/roles?"] = [(503, {}, None), (500, {}, None), (200, {}, {"roles": []})]
    assert client.list("roles") == []
    assert len(api.requests) == 3


def test_an_api_that_stays_away_is_an_error(accounts, api, client, monkeypatch):
    monkeypatch.setattr(accounts, "PATIENCE", -1)
    api.answers["GET", "/roles?"] = (503, {}, None)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        client.list("roles")


def test_a_token_that_died_with_the_old_password_is_replaced(api, client):
    project = {"user": {"id": "u"}, "project": {"id": "p"}}
    api.answers["POST", "/auth/tokens"] = (201, {"X-Subject-Token": "t"}, {"token": project})
    client.log_in(ADMIN)
    api.answers["GET", "/roles?"] = [(401, {}, None), (200, {}, {"roles": []})]
    assert client.list("roles") == []
    assert len(api.requests) == 4, "a login, the refusal, another login, the answer"


def test_a_refusal_is_not_tried_again(api, client):
    api.answers["GET", "/roles?"] = (403, {}, {"error": "no"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        client.list("roles")
    assert len(api.requests) == 1


def test_a_certificate_of_another_authority_is_refused(accounts, api, authority, monkeypatch):
    monkeypatch.setattr(accounts, "PATIENCE", -1)
    other = accounts.Api(api.url, "127.0.0.1", str(authority / "other.pem"))
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        other.log_in(ADMIN)
    assert api.requests == []


def test_the_server_proves_the_name_in_the_url_whatever_its_address(accounts, api):
    api.answers["GET", "/roles?"] = (200, {}, {"roles": [{"id": "r"}]})
    named = accounts.Api(f"https://api.test:{api.port}", "127.0.0.1", api.ca_file)
    assert named.list("roles") == [{"id": "r"}]


def test_a_server_of_another_name_is_refused(accounts, api, monkeypatch):
    monkeypatch.setattr(accounts, "PATIENCE", -1)
    named = accounts.Api(f"https://other.test:{api.port}", "127.0.0.1", api.ca_file)
    with pytest.raises(urllib.error.URLError, match="mismatch"):
        named.list("roles")
    assert api.requests == []


def test_a_refusal_ends_the_script_with_what_keystone_says(accounts, api, monkeypatch):
    api.answers["POST", "/auth/tokens"] = (401, {}, {"error": {"message": "wrong password"}})
    where = {"url": api.url, "address": "127.0.0.1", "ca_file": api.ca_file}
    text = json.dumps({**where, **wish(), "admin": ADMIN})
    monkeypatch.setattr(accounts.sys, "stdin", io.StringIO(text))
    with pytest.raises(SystemExit) as caught:
        accounts.main()
    assert "401" in str(caught.value)
    assert "wrong password" in str(caught.value)
    assert "admin-password" not in str(caught.value)


# --- domains of clients ------------------------------------------------------------------------

HERE, WHO = "{{ create_domain[0].id }}", "{{ create_user[0].id }}"


def asked(*operations, app="heat", is_admin=False):
    named = [{"name": name, "params": params} for name, params in operations]
    return {
        "app": app, "is_admin": is_admin, "relation": f"of {app}", "id": "request",
        "operations": named,
    }  # fmt: skip


def domain_of(app="heat", name="heat", user="boss", word="d1", role="manager", is_admin=False):
    """A request for a domain with somebody who manages it."""
    secret = {"password": word, "fingerprint": f"print of {word}"}
    return asked(
        ("create_role", {"name": role}),
        ("create_domain", {"name": name, "enable": True}),
        ("create_user", {"name": user, "domain": HERE, **secret}),
        ("grant_role", {"role": "{{ create_role[0].id }}", "user": WHO,
                        "user_domain": HERE, "domain": HERE}),
        app=app,
        is_admin=is_admin,
    )  # fmt: skip


def results(made, app="heat"):
    return made["resources"][f"of {app}"]["ops"]


def test_a_client_gets_a_domain_with_a_manager(accounts):
    api = Keystone()
    made = accounts.make(api, wish(resources=[domain_of()]))
    assert [each["return-code"] for each in results(made)] == [0, 0, 0, 0]
    domain, user = results(made)[1]["value"]["id"], results(made)[2]["value"]["id"]
    assert api.user("boss")["domain_id"] == domain
    granted = [each for each in api.items["role_assignments"] if "scope.domain.id" in each]
    assert [(each["user"]["id"], each["scope.domain.id"]) for each in granted] == [(user, domain)]


def test_each_client_hears_what_came_of_its_own_request(accounts):
    made = accounts.make(Keystone(), wish(resources=[domain_of(), domain_of(app="magnum")]))
    assert [each["return-code"] for each in results(made)] == [0, 0, 0, 0]
    assert [each["return-code"] for each in results(made, "magnum")] == [0, 2]
    assert made["resources"]["of heat"]["id"] == made["resources"]["of magnum"]["id"] == "request"


def test_a_domain_that_is_asked_for_again_is_not_made_again(accounts):
    api = Keystone()
    first = accounts.make(api, wish(resources=[domain_of()]))
    api.writes.clear()
    assert accounts.make(api, wish(resources=[domain_of()])) == first
    assert {write[0] for write in api.writes} == {"assign"}  # which Keystone takes as done


@pytest.mark.parametrize("name", ["service_domain", "other"])
def test_no_client_takes_over_a_domain_of_somebody_else(accounts, name):
    api = Keystone()
    accounts.make(api, wish(resources=[domain_of(app="magnum", name="other")]))
    api.writes.clear()
    made = accounts.make(api, wish(resources=[domain_of(name=name)]))
    assert results(made)[-1]["return-code"] == accounts.NOT_YET
    assert results(made)[-1]["value"]["error"] == f"domain {name} is not one that heat made"
    assert api.writes == []


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (("delete_user", {"name": "admin"}), "unknown operation: delete_user"),
        (("make", {}), "unknown operation: make"),
        (("create_user", {"name": "x", "domain": HERE}), f"cannot resolve {HERE}: no such result"),
        (("create_project", {"name": "x"}), "create_project: missing parameter 'domain'"),
    ],
)
def test_a_wrong_operation_is_refused_for_good(accounts, operation, reason):
    api = Keystone()
    made = accounts.make(api, wish(resources=[asked(operation, ("create_role", {"name": "r"}))]))
    (only,) = results(made)
    assert (only["return-code"], only["value"]) == (1, {"error": reason})


GRANT = {"role": "admin", "user": "admin-user", "user_domain": "default"}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (("grant_role", GRANT), "domain default is not one that heat made"),
        (("show_domain", {"name": "heat"}), "domain heat is not one that heat made"),
    ],
)
def test_what_is_not_there_may_come_yet(accounts, operation, reason):
    made = accounts.make(Keystone(), wish(resources=[asked(operation)]))
    (only,) = results(made)
    assert (only["return-code"], only["value"]) == (2, {"error": reason})


def test_what_was_not_there_yet_is_found_when_it_is(accounts):
    api = Keystone()
    mine = asked(("show_domain", {"name": "heat"}))
    assert results(accounts.make(api, wish(resources=[mine])))[0]["return-code"] == 2
    accounts.make(api, wish(resources=[domain_of()]))
    assert results(accounts.make(api, wish(resources=[mine])))[0]["return-code"] == 0


@pytest.mark.parametrize(("status", "code"), [(400, 1), (403, 2), (404, 2), (409, 2)])
def test_what_keystone_objects_to_is_the_client_s_alone(accounts, client, api, status, code):
    api.answers["GET", "/roles?"] = (200, {}, {"roles": []})
    api.answers["POST", "/roles"] = (status, {}, {"error": {"message": "the word is s3cret"}})
    operations = [{"name": "create_role", "params": {"name": "x" * 300}}]
    (only,) = accounts.Resources(client, "heat", is_admin=True).run(operations)
    assert only["return-code"] == code
    assert only["value"]["error"].startswith(f"create_role: Keystone answers HTTP Error {status}")
    assert "s3cret" not in json.dumps(only)


@pytest.mark.parametrize("status", [401, 500])
def test_what_is_no_fault_of_a_client_fails_everything(accounts, client, api, monkeypatch, status):
    monkeypatch.setattr(accounts, "PATIENCE", 0)
    api.answers["GET", "/roles?"] = (status, {}, {})
    with pytest.raises(urllib.error.HTTPError):
        accounts.Resources(client, "heat", is_admin=True).run(
            [{"name": "create_role", "params": {"name": "x"}}]
        )


def test_script_and_interface_mean_the_same_by_their_codes(accounts):
    for name in ("DONE", "REFUSED", "NOT_YET"):
        assert getattr(accounts, name) == getattr(keystone_resources, name)


def test_nobody_is_given_a_role_outside_of_the_client_s_domains(accounts):
    api = Keystone()
    foreign = {
        "role": "manager",
        "user": "boss",
        "user_domain": "heat",
        "domain": "service_domain",
    }
    made = accounts.make(api, wish(resources=[domain_of()]))
    made = accounts.make(api, wish(resources=[asked(("grant_role", foreign))]))
    (only,) = results(made)
    assert only["value"]["error"] == "domain service_domain is not one that heat made"


REFUSED = (
    "role {} is for applications that keystone's option admin-applications names,"
    " and heat is not one"
)


@pytest.mark.parametrize("role", ["admin", "Admin", "service"])
def test_no_client_makes_a_privileged_role(accounts, role):
    api = Keystone()
    made = accounts.make(api, wish(resources=[domain_of(role=role)]))
    (only,) = results(made)
    assert (only["return-code"], only["value"]) == (1, {"error": REFUSED.format(role)})
    assert not [each for each in api.items["domains"] if each["name"] == "heat"]


def grant(role, **params):
    """The request for a domain, and for one role more in it or in a project of it."""
    made = domain_of()
    where = {"user": WHO, "user_domain": HERE, **(params or {"domain": HERE})}
    made["operations"].append({"name": "grant_role", "params": {"role": role, **where}})
    return made


@pytest.mark.parametrize("by", ["name", "id"])
@pytest.mark.parametrize("name", ["admin", "Admin", "service"])
def test_no_client_is_given_a_privileged_role_that_is_there(accounts, name, by):
    api = Keystone()
    role = api.create("roles", {"name": name})[by]
    made = accounts.make(api, wish(resources=[grant(role)]))
    assert results(made)[-1]["value"] == {"error": REFUSED.format(role)}
    assert api.roles(results(made)[1]["value"]["id"]) == ["manager"]


def test_no_client_is_given_a_privileged_role_in_a_project(accounts):
    api = Keystone()
    api.create("roles", {"name": "admin"})
    request = grant("admin", project="{{ create_project[0].id }}", project_domain=HERE)
    project = {"name": "create_project", "params": {"name": "stacks", "domain": HERE}}
    request["operations"].insert(-1, project)
    made = accounts.make(api, wish(resources=[request]))
    assert [each["return-code"] for each in results(made)] == [0, 0, 0, 0, 0, 1]
    assert results(made)[-1]["value"] == {"error": REFUSED.format("admin")}


def test_a_role_that_implies_a_privileged_one_is_privileged(accounts):
    api = Keystone()
    admin, chief, owner = (api.create("roles", {"name": n}) for n in ("admin", "chief", "owner"))
    api.items["role_inferences"] = [
        {"prior_role": owner, "implies": [chief]},
        {"prior_role": chief, "implies": [admin]},
    ]
    made = accounts.make(api, wish(resources=[grant("owner")]))
    assert results(made)[-1]["value"] == {"error": REFUSED.format("owner")}


def test_a_role_that_a_privileged_one_implies_is_given(accounts):
    api = Keystone()
    admin, member = (api.create("roles", {"name": name}) for name in ("admin", "member"))
    api.items["role_inferences"] = [{"prior_role": admin, "implies": [member]}]
    made = accounts.make(api, wish(resources=[grant("member")]))
    assert results(made)[-1]["return-code"] == 0


def administrator(is_admin):
    """The request of an administrator, in the domain and in a project."""
    made = domain_of(role="admin", is_admin=is_admin)
    there = {"project": "{{ create_project[0].id }}", "project_domain": HERE}
    who = {"role": "{{ create_role[0].id }}", "user": WHO, "user_domain": HERE}
    made["operations"] += [
        {"name": "create_project", "params": {"name": "tests", "domain": HERE}},
        {"name": "grant_role", "params": {**who, **there}},
    ]
    return made


def test_an_application_that_is_named_has_an_administrator(accounts):
    api = Keystone()
    made = accounts.make(api, wish(resources=[administrator(is_admin=True)]))
    assert {each["return-code"] for each in results(made)} == {0}
    assert api.roles(results(made)[1]["value"]["id"]) == ["admin", "admin"]


def test_an_application_that_is_no_longer_named_loses_its_administrator(accounts):
    api = Keystone()
    made = accounts.make(api, wish(resources=[administrator(is_admin=True)]))
    domain = results(made)[1]["value"]["id"]
    # What we never gave stays: an assignment elsewhere, to a group, or to be inherited.
    (role,) = [each["id"] for each in api.items["roles"] if each["name"] == "admin"]
    api.assign("default", "admin-user", role, "domains")
    by = {"role.id": role, "include_names": "true"}
    heir = {"domain": {"id": domain}, "OS-INHERIT:inherited_to": "projects"}
    others = [
        {"group": {"id": "g"}, "scope": {"domain": {"id": domain}}, **by},
        {"user": {"id": "u"}, "scope": heir, **by},
        {"user": {"id": "u"}, "scope": {"system": {"all": True}}, **by},
    ]
    api.items["role_assignments"] += others
    before = list(api.items["role_assignments"])
    accounts.make(api, wish(resources=[administrator(is_admin=False)]))
    assert api.roles(domain) == []
    assert len(before) - len(api.items["role_assignments"]) == 2
    assert api.items["role_assignments"][-3:] == others


def test_a_client_keeps_the_roles_that_it_may_have(accounts):
    api = Keystone()
    accounts.make(api, wish(resources=[domain_of()]))
    api.writes.clear()
    accounts.make(api, wish(resources=[domain_of()]))
    assert not [each for each in api.writes if each[0] == "withdraw"]


def test_a_client_may_ask_where_a_service_is(accounts):
    where = ("list_endpoint", {"name": "placement", "interface": "public"})
    made = accounts.make(Keystone(), wish(resources=[asked(where)]))
    (only,) = results(made)
    assert [each["url"] for each in only["value"]] == [ENTRY["urls"]["public"]]


def test_the_domain_of_a_client_that_left_is_disabled_and_comes_back(accounts):
    api = Keystone()
    accounts.make(api, wish(resources=[domain_of()]))
    made = accounts.make(api, wish(idle=["heat"]))
    (domain,) = [each for each in api.items["domains"] if each["name"] == "heat"]
    assert domain["enabled"] is False
    assert made["owners"] == ["heat"]
    accounts.make(api, wish(resources=[domain_of()]))
    assert domain["enabled"] is True


def test_what_came_of_operations_holds_no_password(accounts):
    made = accounts.make(Keystone(), wish(resources=[domain_of(word="s3cret")]))
    assert "s3cret" not in json.dumps(made)
