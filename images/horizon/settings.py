"""What decides about the dashboard's static files; the charm's settings say the same of them."""

DEBUG = False
SECRET_KEY = "no session is made while an image is built"  # noqa: S105 - signs nothing
STATIC_ROOT = "/usr/share/horizon/static"
COMPRESS_OFFLINE = True
WEBROOT = "/"
# Without a cache that works, one of the files is left out.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
