# Sourced: PYTHON, and the packages that it finds. Wheels in WHEELS (default: wheels/ in the repository) are unpacked beside
# them, for machines that reach no package index.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PYTHON=${PYTHON:-python3}
WHEELS=${WHEELS:-$root/wheels}
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if compgen -G "$WHEELS/*.whl" >/dev/null; then
    site=${TMPDIR:-/tmp}/seenn-wheels
    "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target "$site" "$WHEELS"/*.whl
    PYTHONPATH="$PYTHONPATH:$site"
fi
