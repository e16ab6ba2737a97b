"""Accounts for clients: one for each relation, told in a Juju secret that only this client reads.

What the providers of several interfaces have in common. A password is made up once: as long as we
own the secret of a relation it stays as it is. The secret goes with its relation.
"""

import abc
import dataclasses
import itertools
import typing
from collections.abc import Callable, Iterable, Mapping

from charmkit.spec import (
    BagValue,
    OwnedSecret,
    Publication,
    Publish,
    RelationData,
    SecretContent,
    SecretRef,
    Snapshot,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What one client asks for; each interface adds what can be wished there.

    Attributes:
        relation_id: The client's relation; one account each.
        app: The client's application.
    """

    relation_id: int
    app: str


R = typing.TypeVar("R", bound=Request)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account(typing.Generic[R]):
    """The account that the provider makes for one request."""

    request: R
    username: str
    password: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provider(abc.ABC, typing.Generic[R]):
    """Give accounts; an interface adds how it reads requests, names accounts and answers.

    Attributes:
        endpoint: Our endpoint.
        kind: What operators read of a client's secret, before the client's name.
    """

    kind: typing.ClassVar[str]

    endpoint: str

    @abc.abstractmethod
    def _request(self, relation: RelationData) -> R | None:
        """Give what a client asks for; None if it is not complete."""

    @abc.abstractmethod
    def _username(self, request: R, known: str) -> str:
        """Give the name of an account; `known` is the one that it has already, or ""."""

    def secret_uris(self, snapshot: Snapshot) -> Iterable[str]:
        """Name none: clients send no secrets."""
        return ()

    def secret_labels(self, snapshot: Snapshot) -> Iterable[str]:
        """Name the secret of each client: its account."""
        return [self._label(relation.id) for relation in snapshot.related(self.endpoint)]

    def requests(self, snapshot: Snapshot) -> tuple[R, ...]:
        """Give the complete requests, sorted by relation."""
        found = (self._request(relation) for relation in snapshot.related(self.endpoint))
        return tuple(request for request in found if request is not None)

    def account(self, snapshot: Snapshot, request: R) -> Account[R]:
        """Give the account of a request: the one we own already, or a new one.

        Args:
            snapshot: What was seen; gives the password that was made before, or a random one.
            request: One of `requests`.
        """
        label = self._label(request.relation_id)
        known = snapshot.own_secrets.get(label, {})
        return Account(
            request=request,
            username=self._username(request, known.get("username", "")),
            password=known.get("password") or snapshot.random_text(label),
        )

    def _tell(
        self,
        snapshot: Snapshot,
        accounts: Iterable[Account[R]],
        bag: Callable[[Account[R]], Mapping[str, BagValue]],
        secrets: Callable[[Account[R]], Iterable[OwnedSecret]] | None = None,
    ) -> Publication:
        """Tell clients about their accounts; none whose relation has gone.

        Args:
            snapshot: What was seen.
            accounts: The accounts that exist by the time this is published.
            bag: Gives what a client finds in our application's bag; empty if it cannot be
                answered yet. Its password is kept for when it can.
            secrets: Gives the secrets of a client, if that is not only its account.
        """
        living = {relation.id for relation in snapshot.related(self.endpoint)}
        told = [account for account in accounts if account.request.relation_id in living]
        bags = ((account.request.relation_id, bag(account)) for account in told)
        owned = (secrets(account) if secrets else [self._secret(account)] for account in told)
        return Publication(
            bags=tuple(Publish(relation_id=number, app=found) for number, found in bags if found),
            secrets=tuple(itertools.chain.from_iterable(owned)),
        )

    def _secret(self, account: Account[R], more: SecretContent | None = None) -> OwnedSecret:
        """Give the secret with an account, and with `more` beside its name and password."""
        login = {"username": account.username, "password": account.password}
        return OwnedSecret(
            label=self._label(account.request.relation_id),
            content={**login, **(more or {})},
            grants=(account.request.relation_id,),
            description=f"{self.kind} of {account.request.app}",
        )

    def _uri(self, account: Account[R]) -> SecretRef:
        """Give what stands in a bag for the URI of an account's secret."""
        return SecretRef(self._label(account.request.relation_id))

    def _label(self, relation_id: int) -> str:
        return f"{self.endpoint}:{relation_id}"
