"""The two ends of `keystone-resources`, held against each other."""

import dataclasses
import json

from charmkit import publish
from charmkit.interfaces import keystone_resources
from charmkit.spec import PEERS, RelationData, Snapshot

ENDPOINT = "identity-ops"
CLIENT = keystone_resources.Requirer(domain="heat", username="heat_admin", project="stacks")
PROVIDER = keystone_resources.Provider()
LABEL = "identity-ops:heat_admin"
URI = "secret:0000000000"


def sees(bag=None, *, app="heat", own=None, secrets=None, is_leader=True):
    relation = RelationData(id=7, endpoint=ENDPOINT, app="other", remote_app=bag or {})
    return Snapshot(
        app=app,
        unit=f"{app}/0",
        is_leader=is_leader,
        relations={ENDPOINT: (relation,), PEERS: (RelationData(id=1, endpoint=PEERS),)},
        own_secrets=own or {},
        secrets=secrets or {},
        entropy=b"e" * 32,
    )


def request():
    """Give the client's request as Juju delivers it, and the content of its secret."""
    publication = CLIENT.request(sees())
    (bag,), (secret,) = publication.bags, publication.secrets
    assert (secret.label, secret.grants) == (LABEL, (7,))
    return publish._texts(bag.app, {LABEL: URI}), secret.content


def value(operation):
    if operation.name != "list_endpoint":
        return {"id": f"{operation.name}-id"}
    interface = operation.params["interface"]
    return [{"url": f"https://{interface}:5000/v3", "region_id": "RegionOne"}]


def results(asked, code=0):
    ops = [
        {"name": each.name, "return-code": code, "value": value(each)} for each in asked.operations
    ]
    return {str(asked.relation_id): {"id": asked.id, "ops": ops}}


def answer(bag, content, code=0):
    snapshot = sees(bag, app="keystone", secrets={URI: content})
    (asked,) = PROVIDER.requests(snapshot)
    (published,) = PROVIDER.respond(snapshot, results(asked, code)).bags
    return published.app


def test_the_domain_is_read_once_it_is_made():
    bag, content = request()
    found = CLIENT.read(sees(answer(bag, content), own={LABEL: content}))
    assert found == keystone_resources.Domain(
        name="heat",
        id="create_domain-id",
        username="heat_admin",
        user_id="create_user-id",
        password=content["password"],
        auth_url="https://internal:5000/v3",
        public_auth_url="https://public:5000/v3",
        region="RegionOne",
        project="stacks",
        project_id="create_project-id",
    )


def test_the_password_travels_as_a_secret_only():
    bag, content = request()
    assert content["password"] not in bag["request"]
    assert URI in bag["request"]
    (asked,) = PROVIDER.requests(sees(bag, app="keystone", secrets={URI: content}))
    (user,) = [each for each in asked.operations if each.name == "create_user"]
    assert user.params["password"] == content["password"]
    assert content["password"] not in repr(asked)


def test_a_request_waits_until_its_secret_can_be_read():
    bag, _ = request()
    snapshot = sees(bag, app="keystone")
    assert list(PROVIDER.secret_uris(snapshot)) == [URI]
    assert PROVIDER.requests(snapshot) == ()
    (published,) = PROVIDER.respond(snapshot, {}).bags
    assert published.app == {"status": "ready"}


def test_a_failed_operation_is_not_read_as_a_domain():
    bag, content = request()
    assert CLIENT.read(sees(answer(bag, content, code=1), own={LABEL: content})) is None


def test_the_client_can_tell_why_it_is_refused():
    bag, content = request()
    assert CLIENT.problem(sees()) is None
    assert CLIENT.problem(sees(answer(bag, content))) is None
    refused = json.loads(answer(bag, content)["response"])
    error = {"error": "domain heat is not one that heat made"}
    refused["ops"][1:] = [{"name": "create_domain", "return-code": 1, "value": error}]
    assert CLIENT.problem(sees({"response": json.dumps(refused)})) == error["error"]
    refused["ops"][-1]["value"] = None
    assert CLIENT.problem(sees({"response": json.dumps(refused)})) == "create_domain failed"
    old = dataclasses.replace(CLIENT, domain="other")
    assert old.problem(sees({"response": json.dumps(refused)})) is None


def test_two_clients_with_the_same_wish_have_answers_of_their_own():
    bag, content = request()
    relations = tuple(
        RelationData(id=number, endpoint=ENDPOINT, app=app, remote_app=bag)
        for number, app in ((7, "heat"), (8, "other"))
    )
    snapshot = dataclasses.replace(
        sees(app="keystone", secrets={URI: content}), relations={ENDPOINT: relations}
    )
    first, second = PROVIDER.requests(snapshot)
    assert first.id == second.id
    made = {**results(first), **results(second, code=1)}
    bags = PROVIDER.respond(snapshot, made).bags
    codes = [json.loads(each.app["response"])["ops"][0]["return-code"] for each in bags]
    assert codes == [0, 1]


def test_what_came_of_an_older_request_is_no_answer():
    bag, content = request()
    snapshot = sees(bag, app="keystone", secrets={URI: content})
    (asked,) = PROVIDER.requests(snapshot)
    older = {"7": {**results(asked)["7"], "id": "older"}}
    (published,) = PROVIDER.respond(snapshot, older).bags
    assert published.app == {"status": "ready"}


def test_an_answer_that_leaves_something_out_is_not_read_as_a_domain():
    bag, content = request()
    told = answer(bag, content)
    full = json.loads(told["response"])
    for lost in range(len(full["ops"])):
        if full["ops"][lost]["name"] not in ("create_role", "grant_role"):
            less = {**full, "ops": full["ops"][:lost] + full["ops"][lost + 1 :]}
            seen = sees({"response": json.dumps(less)}, own={LABEL: content})
            assert CLIENT.read(seen) is None, full["ops"][lost]


def test_an_answer_to_an_older_request_is_not_read():
    bag, content = request()
    told = answer(bag, content)
    another = dataclasses.replace(CLIENT, domain="stacks")
    assert another.read(sees(told, own={LABEL: content})) is None


def test_the_password_stays_the_same():
    known = {LABEL: {"password": "known"}}
    (secret,) = CLIENT.request(sees(own=known)).secrets
    assert secret.content == {"password": "known"}


def test_a_domain_has_a_manager_and_the_roles_that_its_users_need():
    client = dataclasses.replace(CLIENT, further_roles=("worker",))
    made = {"create_role": [], "grant_role": []}
    for each in client._operations():
        made.setdefault(each["name"], []).append(each["params"])
    assert [each["name"] for each in made["create_role"]] == ["manager", "worker"]
    assert {each["role"] for each in made["grant_role"]} == {"{{ create_role[0].id }}"}
    assert client._id != CLIENT._id


def test_a_follower_asks_for_nothing():
    assert CLIENT.request(sees(is_leader=False)) is None


def test_nonsense_is_no_request():
    for text in ("", "[]", "nonsense", '{"id": 1, "ops": 3}', '{"ops": [{"name": "x"}]}'):
        assert PROVIDER.requests(sees({"request": text}, app="keystone")) == ()


def test_the_builders_fit_both_ends():
    bag, content = request()
    provided = keystone_resources.provider_side(bag, {})
    assert CLIENT.read(sees(provided.app_bag, own={LABEL: content})) is not None
    wanted = keystone_resources.requirer_side({}, {})
    snapshot = sees(wanted.app_bag, app="keystone", secrets=wanted.secrets)
    (asked,) = PROVIDER.requests(snapshot)
    assert {each.name for each in asked.operations} <= set(keystone_resources.OPERATIONS)


def test_the_documents_are_json():
    bag, _ = request()
    assert json.loads(bag["request"])["tag"] == "heat"
