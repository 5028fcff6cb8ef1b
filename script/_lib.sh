# Sourced by its neighbours: goes to the top of the checkout, and knows how what is missing gets onto this machine.
set -eu
cd "$(dirname "$0")/.."

# fail MESSAGE...: one line on stderr, and the end.
fail() {
    printf '%s: %s\n' "$0" "$*" >&2
    exit 1
}

# apt_install PACKAGE...: installs Debian packages, and starts none of their servers (the tests start their own).
apt_install() {
    command -v apt-get >/dev/null ||
        fail "missing: $*; there is no apt-get here, install what these Debian packages hold"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || fail "missing: $*; as root: apt-get update && apt-get install -y $*"
        as_root="sudo -n"
    fi
    echo "installing $*"
    # rabbitmq-server's installation fails where its node can't start at once; policy-rc.d tells it not to try.
    $as_root sh -eu -c '
        log="$(mktemp)"
        trap "rm -f $log" EXIT
        trap "exit 1" HUP INT TERM
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap "rm -f $log $policy" EXIT
            printf "#!/bin/sh\nexit 101\n" >"$policy"
            chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        { apt-get -q update &&
            apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"
        } >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
    ' sh "$@" || fail "apt-get could not install: $*"
}

# find_python: sets $python to a Python that is new enough.
find_python() {
    command -v python3 >/dev/null || apt_install python3
    for python in python3 python3.13 python3.12 python3.11; do
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    done
    fail "Python 3.11 or newer is needed, and python3 is $(python3 -V 2>&1); install for example python3.11"
}

# usable_venv: is there a .venv that was made here, by a Python that is still there?
usable_venv() {
    grep -qsF "$PWD/.venv/bin/python" .venv/bin/pip && .venv/bin/python -c 'import pip' 2>/dev/null
}

# make_venv: a fresh .venv.
make_venv() {
    find_python
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    "$python" -m venv --clear .venv
}

# pip_install ARGUMENT...: the pinned releases, and no others.
pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$@" ||
        fail "pip could not install the packages of constraints.txt; is the package index within reach?"
}

# install_packages run|dev: .venv with Slowpost and what it runs on; dev: and with what tests and checks it.
# What has been installed is noted in .venv/installed, so that the second time costs nothing.
install_packages() {
    wanted="$(cksum constraints.txt setup.cfg pyproject.toml)"
    if usable_venv; then
        case "$(cat .venv/installed 2>/dev/null)" in
            "$wanted dev" | "$wanted $1") return ;;
        esac
    else
        make_venv
    fi
    echo "installing the packages of constraints.txt into .venv"
    # Without build isolation, which would fetch a setuptools of its own that nothing pins.
    pip_install setuptools
    case "$1" in
        dev) pip_install --no-build-isolation --editable '.[dev]' ;;
        run) pip_install --no-build-isolation --editable . ;;
    esac
    printf '%s\n' "$wanted $1" >.venv/installed
}

# install_servers: PostgreSQL's and RabbitMQ's programs, where they are missing; who needs a server starts it itself.
install_servers() {
    missing="$(.venv/bin/python -m tests.servers)"
    # shellcheck disable=SC2086  # one word is one package
    [ -z "$missing" ] || apt_install $missing
}
