"""What an operator's commands do to a model: pure functions, with Juju's own words for errors.

Every function checks first and changes after, so that a refused change leaves the model as it
was. Nothing here waits: removals only mark what shall go, the engine takes it away.
"""

from localjuju.changes._applications import (
    add_application,
    add_charm,
    add_units,
    attach_resources,
    deploy,
    ensure_units,
    forget_charm,
    refresh,
    remove_application,
    remove_units,
    resolved,
    scale_application,
    set_constraints,
    set_exposed,
    set_trust,
    unused_charms,
)
from localjuju.changes._errors import ChangeError
from localjuju.changes._options import (
    MODEL_OPTIONS,
    ModelOption,
    change_config,
    check_config,
    model_option,
    reset_config,
    set_config,
    set_model_config,
)
from localjuju.changes._relations import (
    add_relation,
    find_relation,
    infer_ends,
    remove_relation,
)
from localjuju.changes._tasks import (
    EXEC,
    begin_operation,
    cancel_task,
    enqueue_action,
    resolve_unit,
)
from localjuju.changes._user_secrets import (
    add_secret,
    grant_secret,
    remove_secret,
    revoke_secret,
    update_secret,
)

__all__ = [
    "EXEC",
    "MODEL_OPTIONS",
    "ChangeError",
    "ModelOption",
    "add_application",
    "add_charm",
    "add_relation",
    "add_secret",
    "add_units",
    "attach_resources",
    "begin_operation",
    "cancel_task",
    "change_config",
    "check_config",
    "deploy",
    "enqueue_action",
    "ensure_units",
    "find_relation",
    "forget_charm",
    "grant_secret",
    "infer_ends",
    "model_option",
    "refresh",
    "remove_application",
    "remove_relation",
    "remove_secret",
    "remove_units",
    "reset_config",
    "resolve_unit",
    "resolved",
    "revoke_secret",
    "scale_application",
    "set_config",
    "set_constraints",
    "set_exposed",
    "set_model_config",
    "set_trust",
    "unused_charms",
    "update_secret",
]
