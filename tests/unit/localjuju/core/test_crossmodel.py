"""Relations between models: the engine with two models, real hook commands, a clock to turn."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from localjuju import changes, crossmodel, secrets
from localjuju.changes import ChangeError
from localjuju.model import Life, Model, Relation

OFFERING, CONSUMING = "m", "n"


class Pair:
    """Two models on one engine: `db` in the offering one, `web` in the consuming one."""

    def __init__(self, cloud: Any, new_world: Any, command_failed: type[Exception]) -> None:
        self.cloud = cloud
        self.command_failed = command_failed
        self.new_world = new_world
        self.seen: list[dict[str, Any]] = []
        self.failures: dict[str, str] = {}

    @property
    def models(self) -> dict[str, Model]:
        return self.cloud.engine.models

    async def deploy(self, model: str, name: str, units: int = 1) -> None:
        def edit(live: Model) -> None:
            world = self.new_world()
            world.model, world.now = live, self.cloud.clock.now()
            world.app(name, units=units, path=str(self.cloud.charm_dir)).service_address = ""
            for unit in live.units.values():
                unit.address = ""

        await self.cloud.engine.change(model, edit)

    async def set_up(self) -> None:
        await self.cloud.engine.add_model(CONSUMING, {})
        await self.deploy(OFFERING, "db")
        await self.deploy(CONSUMING, "web", units=2)
        await self.offer()
        await self.consume()

    async def offer(self) -> None:
        await self.cloud.engine.change(
            OFFERING, lambda m: changes.add_offer(m, "db", ["give"], "gift", uuid="offer-1")
        )

    async def consume(self, alias: str = "store") -> None:
        found = changes.find_offer(self.models.values(), "admin/m.gift")
        details = changes.offer_details(*found)
        await self.cloud.engine.change(CONSUMING, lambda m: changes.consume(m, details, alias))

    async def integrate(self) -> None:
        await self.cloud.engine.change(
            CONSUMING, lambda m: changes.add_relation(m, "web:take", "store:give")
        )
        await self.rest()

    async def suspend(self, suspended: bool) -> None:
        number = self.halves()[0].id
        await self.cloud.engine.change(
            OFFERING,
            lambda m: changes.set_suspended(m, [number], suspended=suspended, reason="audit"),
        )
        await self.rest()

    async def rest(self) -> None:
        """Return when nobody has anything to do, and nothing is to be brought across."""
        await self.cloud.rest()
        for model in self.models.values():
            assert crossmodel.mirror(model, self.models.values()) == []

    def halves(self) -> tuple[Relation, Relation]:
        (offering,) = self.models[OFFERING].relations.values()
        (consuming,) = self.models[CONSUMING].relations.values()
        return offering, consuming

    def hooks(self, unit: str) -> list[str]:
        return [hook for hook in self.cloud.hooks(unit) if "-relation-" in hook]


@pytest.fixture
def pair(cloud: Any, new_world: Any, command_failed: type[Exception]) -> Pair:
    return Pair(cloud, new_world, command_failed)


def environment(pair: Pair, unit: str, hook: str) -> dict[str, str]:
    return next(
        found
        for found in reversed(pair.cloud.substrate.environments)
        if found["JUJU_UNIT_NAME"] == unit and found["JUJU_HOOK_NAME"] == hook
    )


async def test_each_side_sees_the_other_under_the_name_that_juju_gives(pair):
    told = {}

    async def charm(hook):
        if hook.name.endswith("relation-joined"):
            told[hook.unit] = (
                await hook.run("relation-list", "--app"),
                json.loads(await hook.run("relation-list", "--format=json")),
                json.loads(await hook.run("relation-model-get", "--format=json"))["uuid"],
                json.loads(await hook.run("relation-get", "--format=json", "-")),
            )

    pair.cloud.substrate.charms = {"db": charm, "web": charm}
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        offering, consuming = pair.models[OFFERING], pair.models[CONSUMING]
        alias = crossmodel.alias_of(consuming, "web")
        assert alias.startswith("remote-") and len(alias) == len("remote-") + 32
        app, units, model, bag = told["db/0"]
        assert (app, units, model) == (alias, [f"{alias}/0", f"{alias}/1"], consuming.uuid)
        assert bag["ingress-address"] == consuming.applications["web"].service_address
        app, units, model, bag = told["web/1"]
        assert (app, units, model) == ("store", ["store/0"], offering.uuid)
        assert bag["ingress-address"] == offering.applications["db"].service_address
        found = environment(pair, "web/0", "take-relation-joined")
        assert (found["JUJU_REMOTE_APP"], found["JUJU_REMOTE_UNIT"]) == ("store", "store/0")
        assert found["JUJU_RELATION_ID"] == f"take:{pair.halves()[1].id}"


async def test_the_hooks_are_those_of_any_relation(pair):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        assert pair.hooks("web/0") == [
            "take-relation-created",
            "take-relation-joined",
            "take-relation-changed",
        ]
        assert pair.hooks("db/0") == [
            "give-relation-created",
            *["give-relation-joined", "give-relation-changed"] * 2,
        ]


async def test_data_travels_both_ways_and_only_when_it_changed(pair):
    async def db(hook):
        if hook.name == "give-relation-changed" and hook.remote_unit:
            got = await hook.run("relation-get", "question", hook.remote_unit)
            await hook.run("relation-set", "--app", f"answer=re: {got}")

    async def web(hook):
        if hook.name == "take-relation-created":
            await hook.run("relation-set", "question=who")
        if hook.name == "take-relation-changed" and not hook.remote_unit:
            pair.seen.append(json.loads(await hook.run("relation-get", "--format=json", "-")))

    pair.cloud.substrate.charms = {"db": db, "web": web}
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        assert pair.seen[-1] == {"answer": "re: who"}
        count = len(pair.cloud.substrate.dispatched)
        for model in pair.models.values():
            pair.cloud.engine.persist(model)
        await pair.rest()
        assert len(pair.cloud.substrate.dispatched) == count


async def test_units_that_come_and_go_are_seen_on_the_other_side(pair):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        pair.cloud.take()
        now = pair.cloud.clock.now()
        await pair.cloud.engine.change(CONSUMING, lambda m: changes.remove_units(m, "web", 1, now))
        await pair.rest()
        assert pair.hooks("db/0") == ["give-relation-departed"]
        found = environment(pair, "db/0", "give-relation-departed")
        assert found["JUJU_DEPARTING_UNIT"] == found["JUJU_REMOTE_UNIT"]
        assert found["JUJU_REMOTE_UNIT"].endswith("/1")


@pytest.mark.parametrize("side", [OFFERING, CONSUMING])
async def test_a_relation_removed_on_one_side_goes_on_both(pair, side):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        pair.cloud.take()
        number = str(pair.halves()[0 if side == OFFERING else 1].id)
        await pair.cloud.engine.change(side, lambda m: changes.remove_relation(m, number))
        await pair.rest()
        assert pair.hooks("db/0")[-1] == "give-relation-broken"
        assert pair.hooks("web/0") == ["take-relation-departed", "take-relation-broken"]
        assert not pair.models[OFFERING].relations and not pair.models[CONSUMING].relations
        await pair.integrate()  # and it can come again
        assert pair.hooks("web/0")[-1] == "take-relation-changed"


async def test_a_suspended_relation_is_broken_and_comes_back(pair):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        pair.cloud.take()
        await pair.suspend(True)
        assert pair.hooks("web/0") == ["take-relation-departed", "take-relation-broken"]
        assert pair.hooks("db/0")[-1] == "give-relation-broken"
        assert [half.suspended for half in pair.halves()] == [True, True]
        pair.cloud.take()
        await pair.suspend(False)
        first = ["relation-created", "relation-joined", "relation-changed"]
        assert pair.hooks("web/0") == [f"take-{name}" for name in first]
        assert pair.hooks("db/0")[0] == "give-relation-created"


@pytest.mark.parametrize("suspended", [False, True])
async def test_a_new_engine_finds_all_as_it_was(pair, suspended):
    pair.cloud.substrate.charms = secret_charms(pair, full_uri=True)
    await pair.cloud.start()
    await pair.set_up()
    await pair.integrate()
    await pair.suspend(suspended)
    before = {name: dataclasses.asdict(model) for name, model in pair.models.items()}
    await pair.cloud.kill()
    pair.cloud.take()
    async with pair.cloud.running():
        await pair.rest()
        assert [hook for _, hook in pair.cloud.take() if "relation" in hook] == []
        for name, model in pair.models.items():
            after = dataclasses.asdict(model)
            for part in ("relations", "offers", "saas", "secrets", "remote_secrets"):
                assert after[part] == before[name][part]


async def test_only_relations_with_an_offer_of_this_model_are_suspended(pair):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        number = pair.halves()[1].id
        with pytest.raises(ChangeError, match="not associated with an offer"):
            changes.set_suspended(pair.models[CONSUMING], [number], suspended=True)


async def test_what_is_of_one_machine_only_does_not_leave_its_model(pair):
    async with pair.cloud.running():
        await pair.set_up()
        charm = pair.models[CONSUMING].charm_of("web")
        charm.endpoints["take"] = dataclasses.replace(charm.endpoints["take"], scope="container")
        with pytest.raises(ChangeError, match="do not leave a model"):
            changes.add_relation(pair.models[CONSUMING], "web:take", "store:give")


async def test_a_name_that_is_removed_takes_its_relations_along(pair):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        await pair.cloud.engine.change(CONSUMING, lambda m: changes.remove_saas(m, "store"))
        await pair.rest()
        assert pair.models[CONSUMING].saas == {}
        assert not pair.models[OFFERING].relations
        assert list(pair.models[OFFERING].offers) == ["gift"]


async def test_an_offer_in_use_is_taken_back_by_force_only(pair):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        offering = pair.models[OFFERING]
        with pytest.raises(ChangeError, match=r"offer has 1 relation$"):
            changes.remove_offer(offering, "gift")
        with pytest.raises(ChangeError, match='model "m": application "db" is used by 1 consumer'):
            changes.check_no_connections(offering)
        with pytest.raises(ChangeError, match="application is used by 1 consumer"):
            changes.remove_application(offering, "db")
        await pair.cloud.engine.change(
            OFFERING, lambda m: changes.remove_offer(m, "gift", force=True)
        )
        await pair.rest()
        assert not offering.relations and not pair.models[CONSUMING].relations
        assert pair.models[CONSUMING].saas["store"].status.current == "terminated"


@pytest.mark.parametrize("gone", [OFFERING, CONSUMING])
async def test_a_model_that_goes_leaves_the_other_clean(pair, gone):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        await pair.cloud.engine.destroy_model(gone, force=True)
        await pair.rest()
        (left,) = pair.models.values()
        assert left.relations == {}
        if gone == OFFERING:
            assert left.saas["store"].status.current == "terminated"
        else:
            assert list(left.offers) == ["gift"]


async def test_a_model_whose_offers_nobody_uses_goes_without_force(pair):
    async with pair.cloud.running():
        await pair.set_up()
        changes.check_no_connections(pair.models[OFFERING])
        await pair.cloud.engine.destroy_model(OFFERING)
        assert list(pair.models) == [CONSUMING]


async def test_the_name_shows_how_the_application_behind_it_is(pair):
    async def db(hook):
        await hook.run("status-set", "blocked", "no key")

    pair.cloud.substrate.charms = {"db": db}
    async with pair.cloud.running():
        await pair.set_up()
        await pair.rest()
        status = pair.models[CONSUMING].saas["store"].status
        assert (status.current, status.message) == ("blocked", "no key")


async def test_two_applications_of_one_model_are_told_apart(pair):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        await pair.deploy(CONSUMING, "shop")
        await pair.cloud.engine.change(
            CONSUMING, lambda m: changes.add_relation(m, "shop:take", "store")
        )
        await pair.rest()
        ends = {r.ends[0].app for r in pair.models[OFFERING].relations.values()}
        assert len(ends) == 2
        offering = pair.models[OFFERING]
        assert len(changes.connections(offering, offering.offers["gift"])) == 2


async def test_an_endpoint_that_is_no_longer_offered_is_not_used(pair):
    async with pair.cloud.running():
        await pair.set_up()
        await pair.cloud.engine.change(
            OFFERING, lambda m: changes.add_offer(m, "db", ["take"], "gift", uuid="")
        )
        await pair.integrate()  # its own endpoint has the name of the one that is offered now
        assert all(not model.relations for model in pair.models.values())
        assert pair.hooks("db/0") == []


@pytest.mark.parametrize("stored", [0, 1, 2, 3])
async def test_what_a_dead_engine_did_not_bring_across_the_next_one_does(pair, stored):
    """The models are stored one after the other; the engine may end after any of them."""
    await pair.cloud.start()
    await pair.set_up()
    await pair.rest()
    engine = pair.cloud.engine
    commit, done = engine.store.commit, []

    def commit_some(model: Model) -> list[str]:
        done.append(model.name)
        return commit(model) if len(done) <= stored else []

    engine.store.commit = commit_some
    await engine.change(CONSUMING, lambda m: changes.add_relation(m, "web:take", "store:give"))
    assert done[:3] == [CONSUMING, OFFERING, CONSUMING]
    await pair.cloud.kill()
    pair.cloud.take()
    async with pair.cloud.running():
        await pair.rest()
        if not stored:  # the command itself was not stored: nothing came of it
            assert all(not model.relations for model in pair.models.values())
            return
        offering, consuming = pair.halves()
        assert consuming.crossing.relation_id == offering.id
        assert offering.life is consuming.life is Life.ALIVE
        assert pair.hooks("web/0").count("take-relation-created") == 1
        assert pair.hooks("web/0")[-1] == "take-relation-changed"


# --- Secrets ----------------------------------------------------------------------------------


def secret_charms(pair: Pair, *, full_uri: bool) -> dict[str, Any]:
    """The provider shares a secret in its created hook; the requirer reads it when it may."""
    pair.content = "v1"

    async def db(hook):
        if hook.name == "give-relation-created" and not hasattr(pair, "secret"):
            uri = await hook.run("secret-add", f"word={pair.content}xx", "--owner", "application")
            pair.secret = uri.removeprefix("secret:")
            await hook.run("secret-grant", "--relation", hook.environment["JUJU_RELATION_ID"], uri)
            if full_uri:
                uri = f"secret://{hook.environment['JUJU_MODEL_UUID']}/{pair.secret}"
            await hook.run("relation-set", "--app", f"secret={uri}")
        if hook.name == "config-changed" and hasattr(pair, "command"):
            await pair.command(hook)
        if hook.name == "secret-remove":
            pair.seen.append({"remove": hook.environment["JUJU_SECRET_REVISION"]})

    async def web(hook):
        if hook.name == "take-relation-changed" and not hook.remote_unit:
            pair.uri = await hook.run("relation-get", "secret")
            got = await hook.run("secret-get", pair.uri, "--label", "mine", "--format=json")
            pair.seen.append({hook.unit: json.loads(got)["word"]})
        if hook.name == "secret-changed":
            assert hook.environment["JUJU_SECRET_LABEL"] == "mine"
            old = json.loads(await hook.run("secret-get", "--label", "mine", "--format=json"))
            uri = hook.environment["JUJU_SECRET_ID"]
            new = json.loads(await hook.run("secret-get", uri, "--refresh", "--format=json"))
            pair.seen.append({hook.unit: [old["word"], new["word"]], "uri": uri})
        if hook.name == "update-status":
            try:
                await hook.run("secret-get", pair.uri, "--peek")
            except pair.command_failed as error:
                pair.failures[hook.unit] = str(error)

    return {"db": db, "web": web}


async def reconfigure(pair: Pair, command: Any) -> None:
    pair.command = command
    pair.colour = getattr(pair, "colour", 0) + 1
    colour = f"c{pair.colour}"
    await pair.cloud.engine.change(
        OFFERING, lambda m: changes.set_config(m, "db", {"colour": colour})
    )
    await pair.rest()


@pytest.mark.parametrize("full_uri", [True, False])
async def test_a_secret_granted_over_the_relation_is_read_on_the_other_side(pair, full_uri):
    pair.cloud.substrate.charms = secret_charms(pair, full_uri=full_uri)
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        assert {"web/0": "v1xx"} in pair.seen and {"web/1": "v1xx"} in pair.seen
        alias = crossmodel.alias_of(pair.models[CONSUMING], "web")
        secret = pair.models[OFFERING].secrets[pair.secret]
        assert {n: c.tracked for n, c in secret.consumers.items()} == {
            f"{alias}/0": 1,
            f"{alias}/1": 1,
        }


async def test_a_new_revision_is_told_across_once_and_the_old_one_is_removed_after(pair):
    pair.cloud.substrate.charms = secret_charms(pair, full_uri=True)
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        pair.seen.clear()
        await reconfigure(pair, lambda hook: hook.run("secret-set", pair.secret, "word=v2xx"))
        uuid = pair.models[OFFERING].uuid
        told = [found for found in pair.seen if "uri" in found]
        assert sorted(told, key=str) == [
            {"web/0": ["v1xx", "v2xx"], "uri": f"secret://{uuid}/{pair.secret}"},
            {"web/1": ["v1xx", "v2xx"], "uri": f"secret://{uuid}/{pair.secret}"},
        ]
        assert pair.seen[-1] == {"remove": "1"}
        assert len(pair.seen) == 3


async def test_what_was_revoked_or_removed_is_read_no_more(pair):
    pair.cloud.substrate.charms = secret_charms(pair, full_uri=True)
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()

        async def revoke(hook):
            number = next(iter(pair.models[OFFERING].relations))
            await hook.run("secret-revoke", "--relation", str(number), pair.secret)

        await reconfigure(pair, revoke)
        await pair.cloud.advance(400)
        assert set(pair.failures) == {"web/0", "web/1"}
        assert all("permission denied" in text for text in pair.failures.values())
        pair.failures.clear()
        await reconfigure(pair, lambda hook: hook.run("secret-remove", pair.secret))
        await pair.cloud.advance(400)
        assert all("not found" in text for text in pair.failures.values()), pair.failures
        assert len(pair.failures) == 2
        assert pair.models[CONSUMING].remote_secrets == {}


async def test_suspension_stops_the_reading_of_secrets(pair):
    pair.cloud.substrate.charms = secret_charms(pair, full_uri=True)
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        await pair.suspend(True)
        await pair.cloud.advance(400)
        assert all("permission denied" in text for text in pair.failures.values())
        assert len(pair.failures) == 2
        pair.failures.clear()
        await pair.suspend(False)
        await pair.cloud.advance(400)
        assert pair.failures == {}


async def test_without_a_grant_nothing_of_another_model_is_read(pair):
    pair.cloud.substrate.charms = secret_charms(pair, full_uri=True)
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        outsider = {}

        async def spy(hook):
            if hook.name == "start":
                for reference in (f"secret:{pair.secret}", pair.uri):
                    try:
                        await hook.run("secret-get", reference)
                    except pair.command_failed as error:
                        outsider[reference] = str(error)

        pair.cloud.substrate.charms["spy"] = spy
        await pair.deploy(CONSUMING, "spy")
        await pair.rest()
        assert len(outsider) == 2
        assert all("permission denied" in text for text in outsider.values())


async def test_readers_that_are_gone_hold_no_revision_back(pair):
    pair.cloud.substrate.charms = secret_charms(pair, full_uri=True)
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        await pair.cloud.engine.destroy_model(CONSUMING, force=True)
        await pair.rest()
        assert pair.models[OFFERING].secrets[pair.secret].consumers == {}


async def test_the_consuming_side_shares_secrets_as_well(pair):
    read = []

    async def web(hook):
        if hook.name == "take-relation-created" and hook.unit == "web/0":
            uri = await hook.run("secret-add", "word=from-web", "--owner", "unit")
            await hook.run("secret-grant", "--relation", hook.environment["JUJU_RELATION_ID"], uri)
            await hook.run("relation-set", f"secret={uri}")
        if await hook.run("config-get", "colour") == "blue":
            for uri in json.loads(await hook.run("secret-ids", "--format=json")):
                await hook.run("secret-set", uri, "word=from-web-2")

    async def db(hook):
        if hook.name == "give-relation-changed" and hook.remote_unit.endswith("/0"):
            uri = await hook.run("relation-get", "secret", hook.remote_unit)
            if uri:  # else its created hook has not ended yet: another changed comes
                read.append(await hook.run("secret-get", uri, "word"))
        if hook.name == "secret-changed":
            uri = hook.environment["JUJU_SECRET_ID"]
            assert uri.startswith(f"secret://{pair.models[CONSUMING].uuid}/")
            read.append(await hook.run("secret-get", uri, "word", "--refresh"))

    pair.cloud.substrate.charms = {"db": db, "web": web}
    async with pair.cloud.running():
        await pair.set_up()
        await pair.integrate()
        assert read == ["from-web"]
        await pair.cloud.engine.change(
            CONSUMING, lambda m: changes.set_config(m, "web", {"colour": "blue"})
        )
        await pair.rest()
        assert read == ["from-web", "from-web-2"]
        (secret,) = pair.models[CONSUMING].secrets.values()
        assert secrets.obsolete(secret) == [1]


def half_secret(new_world: Any) -> tuple[Model, Model, str]:
    """Two models without an engine: `db` of the one has granted a secret to `web` of the other."""
    offering, consuming = new_world(), new_world()
    consuming.model.uuid, consuming.model.name = "22222222-2222-3333-4444-555555555555", "n"
    offering.app("db")
    consuming.app("web", units=2)
    changes.add_offer(offering.model, "db", ["give"], uuid="offer-1")
    details = changes.offer_details(offering.model, offering.model.offers["db"])
    changes.consume(consuming.model, details, "store")
    changes.add_relation(consuming.model, "web", "store")
    models = (offering.model, consuming.model)
    crossmodel.mirror(consuming.model, models)
    (half,) = offering.model.relations.values()
    number = "c" * 20
    secrets.create(
        offering.model,
        secret_id=number,
        owner_kind="application",
        owner="db",
        data={"word": "b25l"},
        now=1.0,
    )
    secrets.grant(offering.model, number, half.id, half.ends[0].app)
    return offering.model, consuming.model, number


def test_a_reader_tracks_what_it_first_saw_until_it_refreshes(new_world):
    owner, reader, number = half_secret(new_world)

    def get(**how: bool) -> str:
        return crossmodel.read_secret(reader, "web/0", owner, number, **how).data["word"]

    assert get() == "b25l"
    secrets.update(owner, number, data={"word": "dHdv"}, now=2.0)
    assert get() == "b25l"
    assert get(peek=True) == "dHdv"
    assert get() == "b25l"
    assert get(refresh=True) == "dHdv"
    assert get() == "dHdv"


def test_a_readers_label_is_its_own_and_stands_for_one_secret(new_world):
    owner, reader, number = half_secret(new_world)
    crossmodel.read_secret(reader, "web/0", owner, number, label="mine")
    found = secrets.consumed_by_label(reader, "web/0", "mine")
    assert found is not None and found.id == number
    assert secrets.consumed_by_label(reader, "web/1", "mine") is None
    secrets.add_user_secret(reader, "other", {"word": "b25l"}, secret_id="d" * 20, now=1.0)
    secrets.grant_user_secret(reader, "other", "web")
    with pytest.raises(secrets.SecretError, match='secret with label "mine" already exists'):
        secrets.read(reader, "web/0", secret_id="d" * 20, label="mine")
    secrets.read(reader, "web/1", secret_id="d" * 20, label="mine")
    with pytest.raises(secrets.SecretError, match='secret with label "mine" already exists'):
        crossmodel.read_secret(reader, "web/1", owner, number, label="mine")


def test_with_the_relation_the_grant_is_gone_and_with_the_owner_the_secret(new_world):
    owner, reader, number = half_secret(new_world)
    crossmodel.read_secret(reader, "web/0", owner, number)
    secrets.relation_removed(owner, next(iter(owner.relations)))
    with pytest.raises(secrets.SecretDeniedError, match="permission denied"):
        crossmodel.read_secret(reader, "web/0", owner, number)
    secrets.application_removed(owner, "db")
    with pytest.raises(secrets.SecretNotFoundError, match=f'secret "{number}" not found'):
        crossmodel.read_secret(reader, "web/0", owner, number)
    crossmodel.mirror(owner, (owner, reader))
    assert reader.remote_secrets == {}


def test_a_grant_to_one_unit_is_for_that_unit(new_world):
    owner, reader, number = half_secret(new_world)
    (half,) = owner.relations.values()
    alias = half.ends[0].app
    secrets.revoke(owner, number, relation_id=half.id)
    secrets.grant(owner, number, half.id, f"{alias}/1")
    assert crossmodel.read_secret(reader, "web/1", owner, number).number == 1
    with pytest.raises(secrets.SecretDeniedError):
        crossmodel.read_secret(reader, "web/0", owner, number)
