#!/bin/sh
# Create the environment: sh setup_env.sh [FOLDER]   (what `make env` calls)
#
# Plain pip does all of it; where uv is on the PATH it is used instead, since it is many times
# faster. On a machine without an NVIDIA GPU the CPU build of torch is preferred: PyPI's own Linux
# wheels are the CUDA build, several GB.
set -eu
venv=${1:-.venv}
python=${PYTHON:-python3}
constraints=constraints.txt

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; name one with: make env PYTHON=python3.12" >&2
    exit 2
}
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"

if command -v uv >/dev/null 2>&1; then
    # uv does not read pip's configuration: hand over the folders of wheels that pip would look in.
    links=$("$venv/bin/python" -m pip config get global.find-links 2>/dev/null || true)
    links="${PIP_FIND_LINKS:-} $links"
    set --
    for folder in $links; do set -- "$@" --find-links "$folder"; done
    # pip compiles to bytecode as it installs; uv only when told, and every start would pay for it.
    install() { uv pip install --compile-bytecode --python "$venv/bin/python" "$@"; }
else
    set --
    install() { "$venv/bin/python" -m pip install --disable-pip-version-check "$@"; }
fi

torch=$(sed -n 's/^torch==//p' "$constraints")
if ! command -v nvidia-smi >/dev/null 2>&1 && [ "$(uname -s)" = Linux ]; then
    if install --quiet "$@" "torch==$torch+cpu" >/dev/null 2>&1; then
        echo "torch $torch, CPU build"
    elif command -v uv >/dev/null 2>&1 &&
        install --quiet --torch-backend cpu "torch==$torch" >/dev/null 2>&1; then
        echo "torch $torch, CPU build"
    else
        echo "No CPU build of torch is offered by pip's sources: the default build (with CUDA," \
            "several GB) is installed. To avoid it add PyTorch's CPU index to pip's configuration."
    fi
fi
install --quiet "$@" -c "$constraints" -e '.[test,dev]'
echo "ready: $venv"
