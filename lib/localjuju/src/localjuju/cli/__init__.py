"""The commands `juju` and `localjuju`. A command's module is imported when it is run."""
