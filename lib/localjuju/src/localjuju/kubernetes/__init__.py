"""The part of the Kubernetes interface that charms use, served to the units' charm containers.

`derived` shows what the engine itself runs as Kubernetes would: services, stateful sets, pods.
`objects` keeps what charms write beside or over that, in the model. `requests` answers one
request: who asks, whether it may, what is done; all three are pure. `accounts` makes the units'
tokens and the server's certificate, `server` speaks HTTP over TLS.

There are no controllers: an object is kept and shown, and only a service of type `LoadBalancer`
has an effect (`balancers`): the address of the application that it selects.
"""

from localjuju.kubernetes._accounts import ACCOUNT_PATH, Accounts, open_accounts
from localjuju.kubernetes._balancers import balanced_ports
from localjuju.kubernetes._objects import ApiError
from localjuju.kubernetes._requests import Answer, Request, answer
from localjuju.kubernetes._server import PORT, KubernetesServer

__all__ = [
    "ACCOUNT_PATH",
    "PORT",
    "Accounts",
    "Answer",
    "ApiError",
    "KubernetesServer",
    "Request",
    "answer",
    "balanced_ports",
    "open_accounts",
]
