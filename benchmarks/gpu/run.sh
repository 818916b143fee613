#!/bin/sh
# Run the check with the packages of the bundle before those of this machine: gpu-check/gpu-check [python]
here=$(cd "$(dirname "$0")" && pwd)
python=${1:-python3.12}
if [ ! -x "$here/env/bin/python" ]; then
    "$python" -m venv --without-pip --system-site-packages "$here/env" || exit 2
    site=$("$here/env/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    printf '%s\n%s\n' "$here/site" "$here/check" > "$site/gpu_check.pth"
fi
exec "$here/env/bin/python" -m benchmarks.gpu.check --home "$here/home" --report "$here/report.txt"
