# What `helio` and `tests/run` share: Python environments from uv.lock, made when they are missing.
# Sourced by a POSIX shell with $root set to the checkout. Speaks on standard error only, because
# the output of a command such as `helio openrc` is data.
#
# Only the distribution's own Python is used: packed charms and the containers that run them need
# its minor version. Settings of the calling shell (PIP_*, UV_*, PYTHON*) are dropped, except which
# index to use, so that an environment is the same wherever it is made; files such as
# /etc/pip.conf and proxies still count.

python=/usr/bin/python3

say() { printf 'helio: %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

drop_ambient_settings() {
    for name in $(env | sed -n 's/^\(\(PIP\|UV\|PYTHON\|VIRTUAL_ENV\)[A-Z_]*\)=.*/\1/p'); do
        case $name in
            # Where packages come from is the operator's choice; hashes guard what comes.
            UV_DEFAULT_INDEX | UV_INDEX | UV_INDEX_URL | UV_EXTRA_INDEX_URL) ;;
            PIP_INDEX_URL | PIP_EXTRA_INDEX_URL) ;;
            *) unset "$name" ;;
        esac
    done
    # Everything that is downloaded stays in the checkout: removing the checkout removes it.
    export UV_CACHE_DIR="$root/build/cache/uv"
}

# apt_install PACKAGE...: install Debian packages, quietly.
apt_install() {
    log=$root/build/apt.log
    mkdir -p "$root/build"
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -q update && apt-get -qy --no-install-recommends install "$@"; } >"$log" 2>&1 </dev/null || {
        tail -n 5 "$log" >&2
        fail "cannot install $*: apt-get failed, see $log"
    }
}

ensure_python() {
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        [ "$(id -u)" = 0 ] ||
            fail "cannot make a Python environment: python3-venv is missing; install it with: sudo apt-get install python3-venv"
        command -v apt-get >/dev/null ||
            fail "cannot make a Python environment: python3-venv is missing and this is no Debian or Ubuntu"
        apt_install python3 python3-venv
    fi
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "cannot run on $("$python" --version): Helio needs Python 3.11 or newer (Debian 12, Ubuntu 24.04)"
}

# ensure_uv: set $uv to the uv that uv.lock names; its hashes guard the download.
ensure_uv() {
    version=$(sed -n '/^name = "uv"$/{n;s/^version = "\(.*\)"$/\1/p;}' "$root/uv.lock")
    [ -n "$version" ] || fail "cannot find the version of uv in $root/uv.lock: is the checkout complete?"
    uv=$(command -v uv || true)
    case $("${uv:-false}" --version 2>/dev/null) in "uv $version" | "uv $version "*) return ;; esac
    uv=$root/build/uv-$version/bin/uv
    [ -x "$uv" ] && return
    say "getting uv $version"
    work=$root/build/uv-$version.part
    rm -rf "$work"
    "$python" -m venv "$work" || fail "cannot make a Python environment in $work"
    {
        printf 'uv==%s' "$version"
        sed -n '/^name = "uv"$/,/^\[\[package\]\]$/s/.*hash = "\(sha256:[0-9a-f]*\)".*/ --hash=\1/p' \
            "$root/uv.lock" | tr -d '\n'
        echo
    } >"$work/requirements.txt"
    "$work/bin/python" -m pip --disable-pip-version-check --no-cache-dir -q install --no-deps \
        --only-binary :all: --require-hashes -r "$work/requirements.txt" >&2 ||
        fail "cannot get uv $version from the Python package index: is the network reachable?"
    rm -rf "$root/build/uv-$version"
    mv "$work" "$root/build/uv-$version" # uv is a static program: it does not mind the move
}

# Through sudo: what is made in somebody's checkout belongs to them, so that they can remove it.
give_to_owner() {
    owner=$(stat -c %u:%g "$root")
    if [ "$(id -u)" = 0 ] && [ "$owner" != 0:0 ]; then
        # Byte code that root adds later then lies in folders that are theirs.
        "$environment/bin/python" -m compileall -q "$root"/lib/*/src
        find "$root/lib" -name __pycache__ -exec chown -R "$owner" {} +
        chown -R "$owner" "$environment" "$root/build"
    fi
}

# What decides whether an environment is current.
read_current() {
    digest=$(cat "$root/uv.lock" "$root"/lib/*/pyproject.toml | sha256sum | cut -c-64)
    current="$digest $root $(readlink -f "$python") $*"
}

# sync_environment FOLDER GROUP...: make a virtual environment from uv.lock, unless it is current.
sync_environment() {
    environment=$1
    shift
    stamp=$environment/.helio-stamp
    read_current "$@"
    [ "$(cat "$stamp" 2>/dev/null)" = "$current" ] && return
    mkdir -p "$root/build" 2>/dev/null && [ -w "$root/build" ] && [ -w "$root" ] ||
        fail "cannot update $environment: $root belongs to another user; run this once with sudo"
    # Two commands started at the same time: one makes the environment, the other waits for it.
    exec 9>"$root/build/environment.lock"
    flock 9
    if [ "$(cat "$stamp" 2>/dev/null)" != "$current" ]; then
        ensure_python
        ensure_uv
        read_current "$@" # there may not have been a Python before
        say "setting up $environment (on first use this takes about a minute)"
        # A moved checkout or another Python: the programs in the environment would not start.
        case $(cat "$stamp" 2>/dev/null) in
            '' | *" $root $(readlink -f "$python") "*) ;;
            *) rm -rf "$environment" ;;
        esac
        groups=
        for group; do groups="$groups --group $group"; done
        # --inexact: a developer's own additions to the environment stay.
        # shellcheck disable=SC2086
        UV_PROJECT_ENVIRONMENT=$environment "$uv" sync --project "$root" --frozen --inexact \
            --no-default-groups $groups --python "$python" --no-managed-python \
            --no-python-downloads --system-certs >&2 ||
            fail "cannot set up $environment: uv failed, see above; run the command again when it is mended"
        printf '%s\n' "$current" >"$stamp"
        give_to_owner
    fi
    exec 9>&-
}
