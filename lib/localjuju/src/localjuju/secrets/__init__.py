"""The rules of secrets, as pure functions over a model.

Three parties call this: hook commands (what a charm does with its secrets and those of others),
operators' commands (user secrets, owned by the model), and the choice of hooks (`due`,
`delivered`, `next_due`). Values are base64 text throughout; nothing here logs or prints.

Who may do what:

- The *manager* of a secret may change it: the unit that owns it, or the leader of the owning
  application. All units of an owning application may read it without a grant.
- Everyone else needs a grant, made over a relation and gone with it; for user secrets a grant
  to the application.
- A unit that reads a secret *tracks* the revision which it first got, until it refreshes.
- A revision that is not the newest and that nobody tracks is *obsolete*.
"""

from localjuju.secrets._access import (
    can_read,
    check_consumer_label,
    consumed_by_label,
    find,
    is_manager,
    is_owner,
    label_for,
    manage,
    managed,
    owned_by_label,
    user_secret,
)
from localjuju.secrets._changes import (
    application_removed,
    create,
    forget_remote,
    grant,
    relation_removed,
    remove,
    revoke,
    unit_removed,
    update,
)
from localjuju.secrets._hooks import (
    delivered,
    due,
    next_due,
)
from localjuju.secrets._reading import (
    locate,
    newest,
    obsolete,
    read,
)
from localjuju.secrets._user import (
    add_user_secret,
    grant_user_secret,
    remove_user_secret,
    revoke_user_secret,
    update_user_secret,
)
from localjuju.secrets._values import (
    CONTENT_LIMIT,
    RETRY_SECONDS,
    ROTATIONS,
    RandomBytes,
    SecretDeniedError,
    SecretError,
    SecretNotFoundError,
    check_content,
    check_rotation,
    is_uri,
    new_id,
    next_rotation,
    parse_reference,
    parse_uri,
    uri,
)

__all__ = [
    "CONTENT_LIMIT",
    "RETRY_SECONDS",
    "ROTATIONS",
    "RandomBytes",
    "SecretDeniedError",
    "SecretError",
    "SecretNotFoundError",
    "add_user_secret",
    "application_removed",
    "can_read",
    "check_consumer_label",
    "check_content",
    "check_rotation",
    "consumed_by_label",
    "create",
    "delivered",
    "due",
    "find",
    "forget_remote",
    "grant",
    "grant_user_secret",
    "is_manager",
    "is_owner",
    "is_uri",
    "label_for",
    "locate",
    "manage",
    "managed",
    "new_id",
    "newest",
    "next_due",
    "next_rotation",
    "obsolete",
    "owned_by_label",
    "parse_reference",
    "parse_uri",
    "read",
    "relation_removed",
    "remove",
    "remove_user_secret",
    "revoke",
    "revoke_user_secret",
    "unit_removed",
    "update",
    "update_user_secret",
    "uri",
    "user_secret",
]
