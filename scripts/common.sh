# What the scripts share: finding a Python, making a virtual environment once, Debian packages. Sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$*" >&2; }

# works VERSION-OR-EMPTY COMMAND: is it a Python of that version (3.10 or later when empty) that can make environments?
works() {
    "$2" - "$1" >/dev/null 2>&1 <<'PY'
import ensurepip, sys, venv
wanted = sys.argv[1]
have = '%d.%d' % sys.version_info[:2]
sys.exit(0 if (have == wanted if wanted else sys.version_info >= (3, 10)) else 1)
PY
}

# find_python [VERSION]: prints the command of a Python; on PATH first, then pyenv's.
find_python() {
    local wanted=${1:-} candidate
    local names=(python3 python python3.14 python3.13 python3.12 python3.11 python3.10)
    [ -z "$wanted" ] || names=("python$wanted" python3 python)
    for candidate in "${names[@]}" "${PYENV_ROOT:-$HOME/.pyenv}/versions/${wanted:-3.1}"*/bin/python; do
        if command -v "$candidate" >/dev/null 2>&1 && works "$wanted" "$candidate"; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

# make_venv DIRECTORY PYTHON REQUIREMENT...: makes it once; again when the requirements change, pyproject.toml
# among them when the project itself is one.
make_venv() {
    local venv=$1 python=$2
    shift 2
    local stamp
    stamp=$({ printf '%s\n' "$top" "$*"; [ "$1" != --editable ] || cat "$top/pyproject.toml"; } | cksum)
    if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    say "Setting up ${venv#"$top"/} ..."
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check "$@" </dev/null
    printf '%s\n' "$stamp" >"$venv/.stamp"
}

# need_packages COMMAND:PACKAGE...: installs the Debian packages whose commands are missing, or whose paths are.
need_packages() {
    local pair wanted missing=()
    for pair in "$@"; do
        wanted=${pair%%:*}
        case $wanted in
            /*) [ -e "$wanted" ] || missing+=("${pair##*:}") ;;
            *) command -v "$wanted" >/dev/null 2>&1 || [ -x "/usr/sbin/$wanted" ] || missing+=("${pair##*:}") ;;
        esac
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# install_packages PACKAGE...: with apt-get when root; otherwise, or when that fails, a note and on we go.
install_packages() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        say "Not installed: $* (install them for what needs them)"
        return 0
    fi
    say "Installing $* ..."
    if [ -z "${APT_UPDATED:-}" ]; then
        apt-get update -qq </dev/null >&2 || say "apt-get update failed; trying with the lists there are"
        export APT_UPDATED=1
    fi
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >"$top/.cache/apt.log" 2>&1; then
        tail -n 20 "$top/.cache/apt.log" >&2
        say "Could not install $*"
    fi
}

mkdir -p "$top/.cache"
