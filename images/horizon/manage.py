"""Run a management command of the dashboard with the settings beside this file.

The dashboard looks for its settings in the folder of the package; so they are put where Python
finds what it has imported already.
"""

import os
import sys

import settings

sys.modules["local.local_settings"] = settings
os.environ["DJANGO_SETTINGS_MODULE"] = "openstack_dashboard.settings"

from django.core.management import execute_from_command_line  # noqa: E402 - needs the above

execute_from_command_line(sys.argv)
