"""Serve the dashboard with the settings beside this file.

The dashboard looks for its settings in the folder of the package; so they are put where Python
finds what it has imported already. What they import stands beside them, too.
"""

import importlib.util
import pathlib
import sys

_PATH = pathlib.Path(__file__).with_name("local_settings.py")
sys.path.append(str(_PATH.parent))
_spec = importlib.util.spec_from_file_location("local.local_settings", _PATH)
_settings = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_settings)
sys.modules[_spec.name] = _settings

from openstack_dashboard.wsgi import application  # noqa: E402, F401 - needs the above
